//! Clips, frames and videos on disk.
//!
//! An input is one of:
//!
//! * a directory of PNG, JPEG, WebP, BMP or TIFF frames, taken in natural order (`frame9.png` before `frame10.png`,
//!   `0.5.png` before `1.25.png` before `1.3.png`);
//! * a video file of any common container, decoded by the program `ffmpeg`;
//! * a `.safetensors` with the float tensor `data`, a ready clip N×3×T×H×W, or else with uint8 tensors `frames.0`,
//!   `frames.1`, …, each T×H×W×3, T×3×H×W or 3×T×H×W and each one clip of the batch;
//! * an `.npy` of floats, a ready clip, or of uint8, pictures T×H×W×3, T×3×H×W or 3×T×H×W, with N before for a batch.
//!
//! What a file is, its contents say; only where they do not, its name.
//!
//! Frames are chosen ([`FrameSelection`], or [`Sampling`] as weights want them) and preprocessed one by one as they are read, so that memory is needed for the
//! clip only; a ready clip is taken as it is.

mod arrays;
mod damage;
mod gather;
mod npy;
mod picks;
mod pictures;
mod selection;
mod tensors;
mod video;
mod views;

use std::path::{Path, PathBuf};

pub use self::damage::{Damage, DamagePolicy};
use self::gather::Gathering;
pub use self::pictures::is_frame_name;
pub use self::selection::FrameSelection;
pub use self::tensors::{clip_file, save_clip};
pub use self::views::{View, Viewed};
use super::Clip;
use super::preprocess::{ChannelOrder, Frames, Normalization, Preprocess};
use super::sampling::Sampling;
use crate::content::{self, Content};
use crate::error::{Error, ErrorRepr, Result};
use crate::shape::Shape;

/// How inputs are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct LoadOptions {
    /// What frames become. Ready clips are not touched.
    pub preprocess: Preprocess,
    /// The order of the channels in arrays of pictures. `None` takes those of `frames.*` tensors for blue, green, red, as
    /// OpenCV reads and as it has always been, and warns of it; those of an `.npy` for red, green, blue, as other readers
    /// (decord, PyAV, imageio, torchvision) have them. Picture and video files know their own.
    pub channel_order: Option<ChannelOrder>,
    /// Which frames are taken, where `sampling` says nothing. Nothing can be chosen from a ready clip.
    pub selection: FrameSelection,
    /// Which frames are taken of a video or of frames, as weights want them. It goes before `selection`.
    pub sampling: Option<Sampling>,
    /// How the values of a ready clip must have been normalised, if its file says how they were. `None` takes any.
    pub expected: Option<Normalization>,
    /// Whether [`Input::frames`] is wanted, the original pictures.
    pub keep_frames: bool,
    /// What becomes of damaged pictures of videos.
    pub damaged: DamagePolicy,
}

impl LoadOptions {
    /// Sets [`LoadOptions::preprocess`](field@LoadOptions::preprocess).
    pub fn preprocess(self, preprocess: Preprocess) -> Self {
        Self { preprocess, ..self }
    }

    /// Sets [`LoadOptions::channel_order`](field@LoadOptions::channel_order).
    pub fn channel_order(self, channel_order: impl Into<Option<ChannelOrder>>) -> Self {
        Self { channel_order: channel_order.into(), ..self }
    }

    /// Sets [`LoadOptions::selection`](field@LoadOptions::selection).
    pub fn selection(self, selection: FrameSelection) -> Self {
        Self { selection, ..self }
    }

    /// Sets [`LoadOptions::sampling`](field@LoadOptions::sampling).
    pub fn sampling(self, sampling: impl Into<Option<Sampling>>) -> Self {
        Self { sampling: sampling.into(), ..self }
    }

    /// Sets [`LoadOptions::expected`](field@LoadOptions::expected).
    pub fn expected(self, expected: impl Into<Option<Normalization>>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    /// Sets [`LoadOptions::keep_frames`](field@LoadOptions::keep_frames).
    pub fn keep_frames(self, keep_frames: bool) -> Self {
        Self { keep_frames, ..self }
    }

    /// Sets [`LoadOptions::damaged`](field@LoadOptions::damaged).
    pub fn damaged(self, damaged: DamagePolicy) -> Self {
        Self { damaged, ..self }
    }
}

/// What was read: the clip, and the pictures it was made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Input {
    /// The clip or batch of clips, N×C×T×H×W.
    pub clip: Clip,
    /// The original pictures, one [`Frames`] for each N, if [`LoadOptions::keep_frames`] asks for them; empty also where
    /// the input was a ready clip, or where they would be more than 1 GiB.
    pub frames: Vec<Frames>,
    /// How the values of the clip were normalised; `None` where a ready clip does not say.
    pub normalization: Option<Normalization>,
    /// What was damaged in videos, one entry for each that was, and what became of it.
    pub damage: Vec<Damage>,
    /// What was taken of every input, where [`LoadOptions::sampling`] chose.
    pub taken: Vec<Taken>,
}

impl From<Clip> for Input {
    /// A clip of which nothing else is known.
    fn from(clip: Clip) -> Self {
        Self { clip, frames: Vec::new(), normalization: None, damage: Vec::new(), taken: Vec::new() }
    }
}

/// The frames that were taken of an input.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Taken {
    /// The input.
    pub input: String,
    /// The frames, counted from 0, in the order of the clip.
    pub frames: Vec<usize>,
    /// How many it has.
    pub of: usize,
    /// Its frames a second, where it has a rate.
    pub fps: Option<f64>,
    /// Whether it is shorter than the clip should be, so that frames are repeated or closer together.
    pub short: bool,
}

impl From<Viewed> for Taken {
    fn from(viewed: Viewed) -> Self {
        Self {
            input: viewed.name,
            frames: viewed.clips.into_iter().flatten().collect(),
            of: viewed.there.unwrap_or(0),
            fps: viewed.rate,
            short: viewed.short,
        }
    }
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadProgress {
    /// How many frames of the input at hand have been taken.
    pub frames: usize,
    /// How many there will be, where the input says so; a video may be wrong about it.
    pub expected: Option<usize>,
}

/// Reads one input as a clip. A file may hold a batch.
///
/// # Errors
/// As [`load_inputs`].
pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Clip> {
    load_batch(&[path], options)
}

/// Reads several inputs as one batch, in the order given.
///
/// # Errors
/// As [`load_inputs`].
pub fn load_batch<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Clip> {
    load_inputs(paths, options).map(|input| input.clip)
}

/// Reads several inputs as one batch, in the order given, with what is known about them.
///
/// All frames get the same padded size; ready clips are joined as they are.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) for what cannot be read; [`ErrorKind::Format`](crate::ErrorKind::Format)
/// for a file that is not what its name says, or that lacks the tensors;
/// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) for a video that is, unless [`LoadOptions::damaged`] says
/// otherwise; [`ErrorKind::ElementType`](crate::ErrorKind::ElementType) and
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for tensors of another type or shape;
/// [`ErrorKind::Clip`](crate::ErrorKind::Clip) for a directory without frames, for frames of several sizes, for fewer
/// frames than are chosen, for inputs of unequal length, for frames beside ready clips, and for a ready clip of another
/// normalisation than is expected; [`ErrorKind::Size`](crate::ErrorKind::Size) for a clip that would be too large;
/// [`ErrorKind::Program`](crate::ErrorKind::Program) if a video cannot be decoded for want of an `ffmpeg` that works;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for other kinds of files.
pub fn load_inputs<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Input> {
    load_inputs_watched(paths, options, &mut |_| {})
}

/// [`load_inputs`], which tells `progress` about every frame.
///
/// # Errors
/// As [`load_inputs`].
pub fn load_inputs_watched<P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Input> {
    options.selection.checked()?;
    // A name that is wrong is told before the others are read.
    for path in paths.iter().map(AsRef::as_ref) {
        path.metadata().map_err(Error::file("read", path))?;
    }
    let mut gathering = Gathering::new(options, progress);
    let mut clips: Vec<(&Path, Ready)> = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        if let Some(ready) = read(path, &mut gathering)? {
            check_ready(path, &ready, options, &clips)?;
            clips.push((path, ready));
        }
        if let (Some((path, _)), Some(name)) = (clips.first(), gathering.first_name()) {
            return Err(ErrorRepr::Clip {
                wanted: "inputs that are all frames or all ready clips".to_owned(),
                given: format!("frames in {name}, a ready clip in {}", path.display()),
            }
            .into());
        }
    }
    if clips.is_empty() { gathering.finish() } else { join(clips) }
}

/// Reads one input as the clips that [`LoadOptions::sampling`] takes of it, several of them where it says so, and hands each
/// to `sink` when it is complete. What was taken of each of the inputs that the file has, and what was damaged.
///
/// Where damaged pictures of a video are found, or fewer frames than it says it has, its clips come again, from the first
/// one on. Ready clips come one for each N.
///
/// # Errors
/// As [`load_inputs`], and those of `sink`.
pub fn load_views(
    path: impl AsRef<Path>,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
    sink: &mut dyn FnMut(View) -> Result<()>,
) -> Result<(Vec<Viewed>, Vec<Damage>)> {
    let path = path.as_ref();
    options.selection.checked()?;
    path.metadata().map_err(Error::file("read", path))?;
    let mut gathering = Gathering::with_views(options, progress, sink);
    let Some(ready) = read(path, &mut gathering)? else { return Ok(gathering.viewed()) };
    drop(gathering);
    check_ready(path, &ready, options, &[])?;
    let shape = ready.clip.shape();
    let one = Shape { n: 1, ..shape };
    let mut viewed = Vec::new();
    for (input, data) in ready.clip.data().chunks_exact(one.len()).enumerate() {
        let of = if shape.n == 1 { String::new() } else { format!("clip {input} of ") };
        let name = format!("{of}{}", path.display());
        viewed.push(Viewed { name, clips: Vec::new(), crops: 1, there: None, rate: None, short: false });
        sink(View { input, clip: 0, clips: 1, crop: 0, crops: 1, values: Clip::new(one, data.to_vec())? })?;
    }
    Ok((viewed, Vec::new()))
}

/// A clip that needs no preprocessing.
struct Ready {
    clip: Clip,
    /// How its values were normalised, if the file says so.
    normalization: Option<Normalization>,
}

/// Reads a ready clip, or the frames of `path` into `gathering`.
fn read(path: &Path, gathering: &mut Gathering<'_>) -> Result<Option<Ready>> {
    let unsupported = |kind: &str| {
        ErrorRepr::Unsupported {
            what: format!("input {}", path.display()),
            reason: format!(
                "wanted a directory of {} frames, a video file, a .safetensors or a .npy file, got {kind}",
                pictures::KINDS
            ),
        }
        .into()
    };
    let metadata = path.metadata().map_err(Error::file("read", path))?;
    if metadata.is_dir() {
        return pictures::read(path, gathering).map(|()| None);
    }
    if !metadata.is_file() {
        return Err(unsupported(&format!("{}: write what it gives into a file first", kind(&metadata))));
    }
    let file = pointed_at(path).map_err(|_| unsupported("an open file whose name cannot be found"))?;
    let file = file.as_path();
    let head = content::head(file)?;
    let content = Content::of(&head);
    match (content, extension(file).as_str()) {
        (Content::Npy, _) => npy::read(file, gathering),
        (Content::Safetensors, _) => tensors::read(file, gathering),
        (Content::Foreign { .. } | Content::Picture(_), "npy") => Err(refused(path, content, "a .npy file")),
        (Content::Foreign { .. } | Content::Picture(_), "safetensors") => {
            Err(refused(path, content, "a whole safetensors file"))
        }
        (Content::Foreign { .. }, _) => Err(refused(path, content, "a video that ffmpeg can open")),
        (Content::Zip { .. }, _) => {
            Err(unsupported("a zip archive, which holds weights or several arrays: take one out and numpy.save it"))
        }
        (Content::Pickle | Content::OldTorch, _) => Err(unsupported("a file that holds weights or several arrays")),
        (Content::Video(_), _) => video::read(path, file, gathering).map(|()| None),
        (_, "npy") => npy::read(file, gathering),
        (_, "safetensors") => tensors::read(file, gathering),
        _ if pictures::is_frame(file) => Err(unsupported("a single picture, which has to be in a directory")),
        (_, "pkl" | "pickle" | "pth" | "pt" | "npz") => Err(unsupported("a file that holds weights or several arrays")),
        // What other programs read has been opened above, since their words for what keeps them from it are less clear.
        _ => video::read(path, file, gathering).map(|()| None).map_err(|error| with_text(error, &head)),
    }
}

/// The error for a file that plainly is something else than what was `wanted`.
fn refused(path: &Path, content: Content, wanted: &str) -> Error {
    content.refusal(path, wanted).unwrap_or_else(|| Error::format(path, wanted, "something else"))
}

/// Says of a file that is no video that it is text, if it is.
fn with_text(error: Error, head: &[u8]) -> Error {
    match content::describe_text(head) {
        Some(given) => error.format_given(given),
        None => error,
    }
}

/// What a file is that is neither a regular one nor a directory.
fn kind(metadata: &std::fs::Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    let _ = metadata;
    "what is no regular file"
}

/// The file itself, where `path` leads through names that mean another file in another process, as `/dev/stdin` and
/// `/dev/fd/3` do; else `path`.
///
/// # Errors
/// If that file has no name.
fn pointed_at(path: &Path) -> std::io::Result<PathBuf> {
    /// More links than a system follows.
    const MOST_LINKS: usize = 64;
    let of_a_process = |path: &Path| path.starts_with("/dev") || path.starts_with("/proc");
    let mut at = std::path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        if of_a_process(&at) {
            let real = std::fs::canonicalize(&at)?;
            // Where these are no links, a file that was opened cannot be found by them.
            return if real.starts_with("/dev/fd") || real.starts_with("/proc") {
                Err(std::io::ErrorKind::NotFound.into())
            } else {
                Ok(real)
            };
        }
        let Ok(target) = std::fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(&at).join(target);
    }
    Ok(path.to_owned())
}

/// Refuses a ready clip that frames are chosen from, and one that was normalised otherwise than is expected or than the
/// one before it.
fn check_ready(path: &Path, ready: &Ready, options: &LoadOptions, before: &[(&Path, Ready)]) -> Result<()> {
    if !options.selection.is_everything() || options.sampling.is_some_and(|sampling| sampling.exact) {
        return Err(ErrorRepr::Clip {
            wanted: "a video or frames, to choose some of them".to_owned(),
            given: format!("a ready clip, {}, which is taken whole", path.display()),
        }
        .into());
    }
    let expected = options.expected.or_else(|| before.iter().find_map(|(_, ready)| ready.normalization));
    match (expected, ready.normalization) {
        (Some(expected), Some(given)) if expected != given => Err(ErrorRepr::Clip {
            wanted: format!("a clip preprocessed as {}", expected.name()),
            given: format!("{}, which was preprocessed as {}", path.display(), given.name()),
        }
        .into()),
        _ => {
            warn_of_pixels(path, ready);
            Ok(())
        }
    }
}

/// Warns of a clip that nothing says to be normalised, and that does not look it.
fn warn_of_pixels(path: &Path, ready: &Ready) {
    if ready.normalization.is_none() && !ready.clip.data().iter().any(|&value| value < 0.0) {
        log::warn!(
            "{}: no value of this clip is below 0, and of normalised pictures some are: if these are pixels, store them as \
             bytes (uint8, TxHxWx3), and they are preprocessed; floats are taken as they are",
            path.display()
        );
    }
}

/// The extension in lower case, empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Ready clips behind one another along N.
fn join(clips: Vec<(&Path, Ready)>) -> Result<Input> {
    let normalization = clips.iter().find_map(|(_, ready)| ready.normalization);
    let mut clips = clips.into_iter().map(|(path, ready)| (path, ready.clip));
    let Some((_, first)) = clips.next() else {
        return Err(ErrorRepr::Clip { wanted: "at least one input".to_owned(), given: "none".to_owned() }.into());
    };
    let mut shape = first.shape;
    let mut data = first.data;
    for (path, clip) in clips {
        let wanted = Shape { n: clip.shape.n, ..shape };
        if clip.shape != wanted {
            return Err(ErrorRepr::Shape {
                what: path.display().to_string(),
                wanted: format!("{wanted}, as the inputs before it"),
                given: clip.shape.to_string(),
            }
            .into());
        }
        // Both are lengths of vectors in memory, so that their sum cannot overflow.
        shape.n += clip.shape.n;
        data.extend_from_slice(&clip.data);
    }
    let clip = Clip::new(shape, data)?;
    Ok(Input { clip, frames: Vec::new(), normalization, damage: Vec::new(), taken: Vec::new() })
}
