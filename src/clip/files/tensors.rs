//! Reads ready clips and frames from safetensors files, and writes clips to them.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::Ready;
use super::arrays::{Pictures, clip_shape};
use super::gather::Gathering;
use crate::atomic_file::Staged;
use crate::clip::Clip;
use crate::clip::preprocess::{ChannelOrder, Normalization};
use crate::content;
use crate::error::{Error, ErrorRepr, Result};
use crate::tensor_file::{Entry, Storage, TensorFile};

/// The metadata key for the normalisation of a clip.
const NORMALIZATION_KEY: &str = "preprocess";

/// Writes `clip` as the float32 tensor `data` of a safetensors file, completely or not at all. The metadata key
/// `preprocess` states the normalisation (for example `detectron` or `imagenet`), if it is known.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be written.
pub fn save_clip(clip: &Clip, normalization: Option<Normalization>, path: impl AsRef<Path>) -> Result<()> {
    Staged::new(path, &clip_file(clip, normalization)?)?.commit()
}

/// The file that [`save_clip`] writes.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a clip that the format cannot describe.
pub fn clip_file(clip: &Clip, normalization: Option<Normalization>) -> Result<TensorFile<'_>> {
    let shape: [usize; 5] = clip.shape().into();
    let tensor = Entry { name: "data", shape: shape.to_vec(), values: clip.data() };
    let metadata = normalization.map(|it| (NORMALIZATION_KEY, it.name().to_owned()));
    TensorFile::new(vec![tensor], Storage::F32, &metadata.into_iter().collect())
}

/// Reads the ready clip `data`, or the selected frames of `frames.0`, `frames.1`, …
pub(super) fn read(path: &Path, into: &mut Gathering<'_>) -> Result<Option<Ready>> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let damaged = |error: SafeTensorError| {
        let given = content::describe_text(&bytes).unwrap_or_else(|| error.to_string());
        Error::format(path, "a whole safetensors file", given)
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    if let Ok(tensor) = file.tensor("data") {
        let stated = header.metadata().as_ref().and_then(|metadata| metadata.get(NORMALIZATION_KEY));
        let normalization = stated.and_then(|name| name.parse().ok());
        return Ok(Some(Ready { clip: ready_clip(path, &tensor)?, normalization }));
    }
    let order = into.options().channel_order;
    let mut found = 0;
    while let Ok(tensor) = file.tensor(&format!("frames.{found}")) {
        let name = format!("frames.{found} of {}", path.display());
        pictures(&name, &tensor)?.read(&name, tensor.data(), order.unwrap_or(ChannelOrder::Bgr), into)?;
        found += 1;
    }
    if found > 0 && order.is_none() {
        log::warn!(
            "{}: the channels of frames.* are taken for blue, green, red, which is OpenCV's order; decord, PyAV, \
             imageio and torchvision give red, green, blue: state the channel order",
            path.display()
        );
    }
    if found == 0 {
        return Err(ErrorRepr::Format {
            path: path.to_owned(),
            wanted: "a tensor data (a clip) or tensors frames.0, frames.1, … (uint8 pictures)".to_owned(),
            given: tensor_names(&file),
            hint: Some("name the tensor data if it is a ready clip, and frames.0 if it is uint8 pictures, TxHxWx3"),
        }
        .into());
    }
    Ok(None)
}

/// The names of the tensors of a file for a message: the first few in order, and the number of the others.
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
            return Err(ErrorRepr::ElementType {
                what: format!("tensor data of {}", path.display()),
                wanted: "F32, F64, F16 or BF16",
                given: format!("{other:?}"),
            }
            .into());
        }
    };
    let shape = clip_shape(&format!("tensor data of {}", path.display()), tensor.shape())?;
    Clip::new(shape, data)
}

/// The layout of the pictures of one clip in `tensor`. A last axis of length three is the channels, whatever the other
/// axes are.
fn pictures(name: &str, tensor: &TensorView<'_>) -> Result<Pictures> {
    if tensor.dtype() != Dtype::U8 {
        return Err(ErrorRepr::ElementType {
            what: name.to_owned(),
            wanted: "U8",
            given: format!("{:?}", tensor.dtype()),
        }
        .into());
    }
    match *tensor.shape() {
        [t, h, w, 3] => Pictures::channels_last(name, &[t, h, w, 3]),
        [_, _, _, _] => Pictures::of(name, tensor.shape(), false),
        ref other => Err(ErrorRepr::Shape {
            what: name.to_owned(),
            wanted: "TxHxWx3, Tx3xHxW or 3xTxHxW (pictures of one clip)".to_owned(),
            given: format!("{other:?}"),
        }
        .into()),
    }
}
