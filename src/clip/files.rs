//! Clips and frames on disk.
//!
//! An input is one of:
//!
//! * a directory of PNG or JPEG frames, taken in natural order (`frame9.png` before `frame10.png`);
//! * a `.safetensors` with the float tensor `data`, a ready clip N×3×T×H×W, or else with uint8 tensors `frames.0`,
//!   `frames.1`, …, each T×H×W×3 and each one clip of the batch;
//! * an `.npy` of floats, a ready clip.
//!
//! Frames are preprocessed; a ready clip is taken as it is.

mod npy;

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::Clip;
use super::preprocess::{ChannelOrder, Frames, Preprocess, check_equal_counts, preprocess};
use crate::atomic_file::write_atomically;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// How inputs are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The sizes that frames are brought to. Ready clips are not touched.
    pub preprocess: Preprocess,
    /// The order of the channels in `frames.*` tensors. Picture files know their own.
    pub channel_order: ChannelOrder,
}

/// What was read: the clip, and the pictures it was made from.
#[derive(Clone, Debug)]
pub struct Input {
    /// The clip or batch of clips, N×C×T×H×W.
    pub clip: Clip,
    /// The original pictures, one [`Frames`] for each N; empty where the input was a ready clip.
    pub frames: Vec<Frames>,
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

/// Reads several inputs as one batch, in the order given, and keeps the pictures that there were.
///
/// Frames are preprocessed together, so that all get the same padded size; ready clips are joined as they are.
///
/// # Errors
/// [`Error::File`] for what cannot be read; [`Error::Format`] for a file that is not what its name says, or that lacks
/// the tensors; [`Error::ElementType`] and [`Error::Shape`] for tensors of another type or shape; [`Error::Clip`] for a
/// directory without frames or with frames of several sizes, for inputs of unequal length, and for frames beside ready
/// clips; [`Error::Unsupported`] for videos and other kinds of files.
pub fn load_inputs<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Input> {
    let mut frames = Vec::new();
    let mut frame_names = Vec::new();
    let mut clips: Vec<(&Path, Clip)> = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        match read(path, options)? {
            Contents::Clip(clip) => clips.push((path, clip)),
            Contents::Frames(found) => {
                for (name, found) in found {
                    frame_names.push(name);
                    frames.push(found);
                }
            }
        }
    }
    match (clips.first(), frame_names.first()) {
        (Some((path, _)), Some(name)) => Err(Error::Clip {
            wanted: "inputs that are all frames or all ready clips".to_owned(),
            given: format!("frames in {name}, a ready clip in {}", path.display()),
        }),
        (Some(_), None) => Ok(Input { clip: join(clips)?, frames }),
        (None, _) => {
            check_equal_counts(&frames, |i| frame_names[i].clone())?;
            let clip = preprocess(&frames, &options.preprocess)?;
            Ok(Input { clip, frames })
        }
    }
}

/// Writes `clip` as tensor `data` of a safetensors file, float32, whole or not at all.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn save_clip(clip: &Clip, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes: Vec<u8> = clip.data().iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape: [usize; 5] = clip.shape().into();
    let serialized = TensorView::new(Dtype::F32, shape.to_vec(), &bytes)
        .and_then(|tensor| safetensors::serialize([("data", tensor)], None))
        .map_err(|error| Error::format(path, "a clip that safetensors can hold", error))?;
    write_atomically(path, &serialized)
}

/// What one path held.
enum Contents {
    Clip(Clip),
    /// Clips as pictures, each with the name to give it in a message.
    Frames(Vec<(String, Frames)>),
}

fn read(path: &Path, options: &LoadOptions) -> Result<Contents> {
    let metadata = path.metadata().map_err(Error::file("read", path))?;
    if metadata.is_dir() {
        let frames = read_directory(path)?;
        return Ok(Contents::Frames(vec![(path.display().to_string(), frames)]));
    }
    match extension(path).as_str() {
        "npy" => npy::read(path).map(Contents::Clip),
        "safetensors" => read_safetensors(path, options.channel_order),
        _ => Err(Error::Unsupported {
            what: format!("input {}", path.display()),
            reason: "wanted a directory of PNG or JPEG frames, a .safetensors or a .npy file; video files come in a \
                     later version, until then extract the frames first: ffmpeg -i VIDEO DIRECTORY/%06d.png"
                .to_owned(),
        }),
    }
}

/// The extension in lower case, empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Ready clips behind one another along N.
fn join(clips: Vec<(&Path, Clip)>) -> Result<Clip> {
    let mut clips = clips.into_iter();
    let Some((_, first)) = clips.next() else {
        return Err(Error::Clip { wanted: "at least one input".to_owned(), given: "none".to_owned() });
    };
    let mut shape = first.shape;
    let mut data = first.data;
    for (path, clip) in clips {
        let wanted = Shape { n: clip.shape.n, ..shape };
        if clip.shape != wanted {
            return Err(Error::Shape {
                what: path.display().to_string(),
                wanted: format!("{wanted}, as the inputs before it"),
                given: clip.shape.to_string(),
            });
        }
        // Both are lengths of vectors in memory, so that their sum cannot overflow.
        shape.n += clip.shape.n;
        data.extend_from_slice(&clip.data);
    }
    Clip::new(shape, data)
}

/// All PNG and JPEG files of `directory` as one clip.
fn read_directory(directory: &Path) -> Result<Frames> {
    let list = |error| Error::file("list", directory)(error);
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in directory.read_dir().map_err(list)? {
        let path = entry.map_err(list)?.path();
        // Hidden files with such names are the droppings of file managers, not frames.
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && matches!(extension(&path).as_str(), "png" | "jpg" | "jpeg") && path.is_file() {
            paths.push(path);
        }
    }
    alphanumeric_sort::sort_path_slice(&mut paths);

    let mut data = Vec::new();
    let mut size: Option<[usize; 2]> = None;
    for path in &paths {
        let picture = read_picture(path)?;
        let given = [picture.height() as usize, picture.width() as usize];
        let wanted = *size.get_or_insert(given);
        if given != wanted {
            return Err(Error::Clip {
                wanted: format!(
                    "frames that are all as large as {}, {}x{} pixels",
                    paths[0].display(),
                    wanted[1],
                    wanted[0]
                ),
                given: format!("{} of {}x{} pixels", path.display(), given[1], given[0]),
            });
        }
        data.extend_from_slice(picture.as_raw());
    }
    let Some([height, width]) = size else {
        return Err(Error::Clip {
            wanted: format!("a directory with PNG or JPEG frames (.png, .jpg, .jpeg) as {}", directory.display()),
            given: "none in it".to_owned(),
        });
    };
    Frames::new([paths.len(), height, width], ChannelOrder::Rgb, data)
}

/// One picture as it is meant to be seen: like OpenCV's reader, this obeys the EXIF orientation and drops any alpha.
fn read_picture(path: &Path) -> Result<image::RgbImage> {
    use image::ImageDecoder as _;
    let foreign = |error: image::ImageError| match error {
        image::ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::file("read", path)(error)
        }
        error => Error::format(path, "a PNG or JPEG picture", error),
    };
    let reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(Error::file("read", path))?;
    let mut decoder = reader.into_decoder().map_err(foreign)?;
    let orientation = decoder.orientation().map_err(foreign)?;
    let mut picture = image::DynamicImage::from_decoder(decoder).map_err(foreign)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

fn read_safetensors(path: &Path, order: ChannelOrder) -> Result<Contents> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| Error::format(path, "a safetensors file", error))?;
    if let Ok(tensor) = file.tensor("data") {
        return ready_clip(path, &tensor).map(Contents::Clip);
    }
    let mut found = Vec::new();
    while let Ok(tensor) = file.tensor(&format!("frames.{}", found.len())) {
        let name = format!("frames.{} of {}", found.len(), path.display());
        let frames = frames_tensor(&name, &tensor, order)?;
        found.push((name, frames));
    }
    if found.is_empty() {
        return Err(Error::format(
            path,
            "a tensor data (a clip) or tensors frames.0, frames.1, … (uint8 pictures)",
            tensor_names(&file),
        ));
    }
    Ok(Contents::Frames(found))
}

/// The tensors of a file for a message: the first few in order, and how many more.
fn tensor_names(file: &SafeTensors<'_>) -> String {
    const SHOWN: usize = 8;
    let mut names = file.names();
    names.sort_unstable();
    match names.len() {
        0 => "no tensors".to_owned(),
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}

fn ready_clip(path: &Path, tensor: &TensorView<'_>) -> Result<Clip> {
    let bytes = tensor.data();
    let data: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect(),
        other => {
            return Err(Error::ElementType {
                what: format!("tensor data of {}", path.display()),
                wanted: "F32, F64, F16 or BF16",
                given: format!("{other:?}"),
            });
        }
    };
    let shape = npy::clip_shape(&format!("tensor data of {}", path.display()), tensor.shape())?;
    Clip::new(shape, data)
}

fn frames_tensor(name: &str, tensor: &TensorView<'_>, order: ChannelOrder) -> Result<Frames> {
    if tensor.dtype() != Dtype::U8 {
        return Err(Error::ElementType { what: name.to_owned(), wanted: "U8", given: format!("{:?}", tensor.dtype()) });
    }
    match *tensor.shape() {
        [t, h, w, 3] => Frames::new([t, h, w], order, tensor.data().to_vec()),
        ref other => {
            Err(Error::Shape { what: name.to_owned(), wanted: "TxHxWx3".to_owned(), given: format!("{other:?}") })
        }
    }
}
