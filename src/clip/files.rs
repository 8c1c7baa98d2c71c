//! Clips, frames and videos on disk.
//!
//! An input is one of:
//!
//! * a directory of PNG, JPEG, WebP, BMP or TIFF frames, which are read in natural order (`frame9.png` before
//!   `frame10.png`, `0.5.png` before `1.25.png` before `1.3.png`);
//! * a video file of any common container, decoded by the program `ffmpeg`;
//! * a `.safetensors` file with the float tensor `data` (a ready clip, N×3×T×H×W), or with uint8 tensors `frames.0`,
//!   `frames.1`, …, each of which is one clip of the batch, T×H×W×3, T×3×H×W or 3×T×H×W;
//! * an `.npy` file of floats (a ready clip) or of uint8 (pictures, T×H×W×3, T×3×H×W or 3×T×H×W; a batch has N as an
//!   additional first axis).
//!
//! The contents of a file determine its kind. The file name counts only if the contents do not reveal it.
//!
//! Frames are chosen ([`FrameSelection`], or [`Sampling`] as the weights want them) and preprocessed one by one as they
//! are read, so that only the clip needs memory. A ready clip is used unchanged.

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
    /// The preprocessing of frames. Ready clips are used unchanged.
    pub preprocess: Preprocess,
    /// The order of the channels in arrays of pictures. `None` takes `frames.*` tensors for blue, green, red, which is
    /// OpenCV's order and that of earlier versions, with a warning, and an `.npy` file for red, green, blue, which is
    /// the order of other readers (decord, PyAV, imageio, torchvision). Picture and video files state their order.
    pub channel_order: Option<ChannelOrder>,
    /// Which frames are used if `sampling` is `None`. A ready clip does not permit a selection.
    pub selection: FrameSelection,
    /// Which frames of a video or a directory the weights want. This overrides `selection`.
    pub sampling: Option<Sampling>,
    /// The required normalisation of a ready clip, if its file states one. `None` accepts any.
    pub expected: Option<Normalization>,
    /// Whether to keep the original pictures in [`Input::frames`].
    pub keep_frames: bool,
    /// How to handle damaged pictures of videos.
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

/// The result of reading inputs: the clip, and the pictures that it was made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Input {
    /// The clip or batch of clips, N×C×T×H×W.
    pub clip: Clip,
    /// The original pictures, one [`Frames`] for each N, if [`LoadOptions::keep_frames`] asks for them. Empty for a
    /// ready clip, and for more than 1 GiB of pictures.
    pub frames: Vec<Frames>,
    /// The normalisation of the clip; `None` if the file of a ready clip does not state it.
    pub normalization: Option<Normalization>,
    /// One element for each damaged video.
    pub damage: Vec<Damage>,
    /// The used frames of every input, if [`LoadOptions::sampling`] chose them.
    pub taken: Vec<Taken>,
}

impl From<Clip> for Input {
    /// A clip without further information.
    fn from(clip: Clip) -> Self {
        Self { clip, frames: Vec::new(), normalization: None, damage: Vec::new(), taken: Vec::new() }
    }
}

/// The frames that were used of an input.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Taken {
    /// Name of the input.
    pub input: String,
    /// The frames, counted from 0, in the order of the clip.
    pub frames: Vec<usize>,
    /// The number of frames of the input.
    pub of: usize,
    /// Frame rate of the input in frames a second, if it has one.
    pub fps: Option<f64>,
    /// Whether the input is shorter than the clip should be, so that frames are repeated or closer together.
    pub short: bool,
}

impl From<Viewed> for Taken {
    fn from(viewed: Viewed) -> Self {
        Self {
            input: viewed.name,
            frames: viewed.clips.into_iter().flatten().collect(),
            of: viewed.available.unwrap_or(0),
            fps: viewed.rate,
            short: viewed.short,
        }
    }
}

/// Progress of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadProgress {
    /// Frames of the current input that have been read so far.
    pub frames: usize,
    /// The total number of frames, if the input states it. A video may state a wrong number.
    pub expected: Option<usize>,
}

/// Reads one input as a clip. A file may hold a batch.
///
/// # Errors
/// As [`load_inputs`].
pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Clip> {
    load_batch(&[path], options)
}

/// Reads several inputs as one batch, in the given order.
///
/// # Errors
/// As [`load_inputs`].
pub fn load_batch<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Clip> {
    load_inputs(paths, options).map(|input| input.clip)
}

/// Reads several inputs as one batch, in the given order, and returns what is known about them.
///
/// All frames get the same padded size. Ready clips are joined unchanged.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) for a file that cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) for a file whose contents do not match its name, or that lacks the
/// tensors; [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) for a damaged video, unless [`LoadOptions::damaged`]
/// permits it; [`ErrorKind::ElementType`](crate::ErrorKind::ElementType) and
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for tensors of another type or shape;
/// [`ErrorKind::Clip`](crate::ErrorKind::Clip) for a directory without frames, for frames of several sizes, for fewer
/// frames than are chosen, for inputs of unequal length, for frames together with ready clips, and for a ready clip
/// with another normalisation than expected; [`ErrorKind::Size`](crate::ErrorKind::Size) for a clip that would be too
/// large; [`ErrorKind::Program`](crate::ErrorKind::Program) if there is no working `ffmpeg` to decode a video;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for other kinds of files.
pub fn load_inputs<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Input> {
    load_inputs_watched(paths, options, &mut |_| {})
}

/// [`load_inputs`] that calls `progress` for every frame.
///
/// # Errors
/// As [`load_inputs`].
pub fn load_inputs_watched<P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Input> {
    options.selection.checked()?;
    // A wrong name is reported before any input is read.
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

/// Reads the clips of one input that [`LoadOptions::sampling`] selects, and hands each to `sink` when it is complete.
/// Returns the used frames of each input in the file, and the damage.
///
/// If a video turns out to be damaged, or to have fewer frames than it states, all clips are handed out again from the
/// first one on. Ready clips are handed out one by one along N.
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
        viewed.push(Viewed { name, clips: Vec::new(), crops: 1, available: None, rate: None, short: false });
        sink(View { input, clip: 0, clips: 1, crop: 0, crops: 1, values: Clip::new(one, data.to_vec())? })?;
    }
    Ok((viewed, Vec::new()))
}

/// A ready clip, which needs no preprocessing.
struct Ready {
    clip: Clip,
    /// The normalisation of its values, if the file states it.
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
        return Err(unsupported(&format!("{}: write its data to a file first", kind(&metadata))));
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
            Err(unsupported("a zip archive, which holds weights or several arrays: extract an array and numpy.save it"))
        }
        (Content::Pickle | Content::OldTorch, _) => Err(unsupported("a file that holds weights or several arrays")),
        (Content::Video(_), _) => video::read(path, file, gathering).map(|()| None),
        (_, "npy") => npy::read(file, gathering),
        (_, "safetensors") => tensors::read(file, gathering),
        _ if pictures::is_frame(file) => Err(unsupported("a single picture, which has to be in a directory")),
        (_, "pkl" | "pickle" | "pth" | "pt" | "npz") => Err(unsupported("a file that holds weights or several arrays")),
        // The file was opened above, because our message for a failure is clearer than that of ffmpeg.
        _ => video::read(path, file, gathering).map(|()| None).map_err(|error| with_text(error, &head)),
    }
}

/// The error for a file whose contents are clearly not what was `wanted`.
fn refused(path: &Path, content: Content, wanted: &str) -> Error {
    content.refusal(path, wanted).unwrap_or_else(|| Error::format(path, wanted, "something else"))
}

/// If a file that is not a video is text, makes its error say so.
fn with_text(error: Error, head: &[u8]) -> Error {
    match content::describe_text(head) {
        Some(given) => error.format_given(given),
        None => error,
    }
}

/// The kind of a file that is neither a regular file nor a directory.
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
    "not a regular file"
}

/// The actual file, if `path` leads through names such as `/dev/stdin` and `/dev/fd/3`, which name different files in
/// different processes; otherwise `path`.
///
/// # Errors
/// If that file has no name.
fn pointed_at(path: &Path) -> std::io::Result<PathBuf> {
    /// More links than any system follows.
    const MOST_LINKS: usize = 64;
    let of_a_process = |path: &Path| path.starts_with("/dev") || path.starts_with("/proc");
    let mut at = std::path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        if of_a_process(&at) {
            let real = std::fs::canonicalize(&at)?;
            // If these names are not links, they do not lead to the opened file.
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

/// Refuses a ready clip if the options choose frames, and if its normalisation differs from the expected one or from
/// that of an earlier clip.
fn check_ready(path: &Path, ready: &Ready, options: &LoadOptions, before: &[(&Path, Ready)]) -> Result<()> {
    if !options.selection.is_everything() || options.sampling.is_some_and(|sampling| sampling.exact) {
        return Err(ErrorRepr::Clip {
            wanted: "a video or frames, to choose some of them".to_owned(),
            given: format!("a ready clip, {}, which is used whole", path.display()),
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

/// Warns of a clip without stated normalisation whose values do not look normalised.
fn warn_of_pixels(path: &Path, ready: &Ready) {
    if ready.normalization.is_none() && !ready.clip.data().iter().any(|&value| value < 0.0) {
        log::warn!(
            "{}: no value of this clip is below 0, which is unusual for normalised pictures: if these are pixels, \
             store them as bytes (uint8, TxHxWx3), which are then preprocessed; floats are used unchanged",
            path.display()
        );
    }
}

/// The extension in lower case; empty if there is none.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Joins ready clips along N.
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
                wanted: format!("{wanted}, as in the inputs before"),
                given: clip.shape.to_string(),
            }
            .into());
        }
        // Both are lengths of vectors in memory, so their sum cannot overflow.
        shape.n += clip.shape.n;
        data.extend_from_slice(&clip.data);
    }
    let clip = Clip::new(shape, data)?;
    Ok(Input { clip, frames: Vec::new(), normalization, damage: Vec::new(), taken: Vec::new() })
}
