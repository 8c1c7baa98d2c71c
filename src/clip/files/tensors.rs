//! Ready clips and frames from safetensors files, and clips into them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::gather::{Gathering, Picture};
use super::{Ready, npy};
use crate::atomic_file::{Contents, Staged};
use crate::clip::Clip;
use crate::clip::preprocess::{ChannelOrder, Frames, Normalization};
use crate::content;
use crate::error::{Error, Result};

/// The key of the metadata that says how a clip's values were normalised.
const NORMALIZATION_KEY: &str = "preprocess";

/// Writes `clip` as tensor `data` of a safetensors file, float32, whole or not at all. The metadata's `preprocess` says
/// how its values were normalised (`detectron` or `imagenet`), if that is known.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn save_clip(clip: &Clip, normalization: Option<Normalization>, path: impl AsRef<Path>) -> Result<()> {
    Staged::new(path, &ClipFile::new(clip, normalization)?)?.commit()
}

/// What [`save_clip`] writes. The values go into the file piece by piece, without a copy of all of them.
#[derive(Debug)]
pub struct ClipFile<'a> {
    /// The length of what follows, and the description of the tensor.
    header: Vec<u8>,
    values: &'a [f32],
}

impl<'a> ClipFile<'a> {
    /// The file of `clip`, whose values were normalised by `normalization`, if that is known.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a clip that the format has no description of.
    pub fn new(clip: &'a Clip, normalization: Option<Normalization>) -> Result<Self> {
        let said = normalization.map(|it| HashMap::from([(NORMALIZATION_KEY.to_owned(), it.name().to_owned())]));
        let shape: [usize; 5] = clip.shape().into();
        let info = TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), data_offsets: (0, size_of_val(clip.data())) };
        let unsupported =
            |reason: String| Error::Unsupported { what: "a clip of this kind as safetensors".to_owned(), reason };
        let described = Metadata::new(said, vec![("data".to_owned(), info)]);
        let described = described.map_err(|error| unsupported(error.to_string()))?;
        let mut text = serde_json::to_vec(&described).map_err(|error| unsupported(error.to_string()))?;
        // The values start at a multiple of 8 bytes.
        text.resize(text.len().next_multiple_of(8), b' ');
        let header = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
        Ok(Self { header, values: clip.data() })
    }
}

impl Contents for ClipFile<'_> {
    fn write_to(&self, file: &mut dyn Write) -> io::Result<()> {
        const VALUES_AT_ONCE: usize = 1 << 16;
        file.write_all(&self.header)?;
        let mut bytes = Vec::with_capacity(4 * VALUES_AT_ONCE);
        for values in self.values.chunks(VALUES_AT_ONCE) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            file.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// Reads the ready clip `data`, or else the selected frames of `frames.0`, `frames.1`, …
pub(super) fn read(path: &Path, into: &mut Gathering<'_>) -> Result<Option<Ready>> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let damaged = |error: SafeTensorError| {
        let given = content::describe_text(&bytes).unwrap_or_else(|| error.to_string());
        Error::format(path, "a whole safetensors file", given)
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    if let Ok(tensor) = file.tensor("data") {
        let said = header.metadata().as_ref().and_then(|metadata| metadata.get(NORMALIZATION_KEY));
        let normalization = said.and_then(|name| Normalization::by_name(name));
        return Ok(Some(Ready { clip: ready_clip(path, &tensor)?, normalization }));
    }
    let selection = into.options().selection;
    let order = into.options().channel_order;
    let mut found = 0;
    while let Ok(tensor) = file.tensor(&format!("frames.{found}")) {
        let name = format!("frames.{found} of {}", path.display());
        let frames = frames(&name, &tensor, order.unwrap_or(ChannelOrder::Bgr))?;
        selection.check(&name, frames.count())?;
        into.begin(name.clone(), Some(selection.taken_of(frames.count())));
        let size = [frames.height(), frames.width()];
        for (_, bytes) in frames.iter().enumerate().filter(|(index, _)| selection.takes(*index)) {
            into.push(&name, &Picture { size, order: frames.order(), bytes })?;
        }
        found += 1;
    }
    if found > 0 && order.is_none() {
        log::warn!(
            "{}: the channels of frames.* are taken for blue, green, red, which is OpenCV's order; decord, PyAV, imageio and \
             torchvision give red, green, blue: say which it is (--channel-order)",
            path.display()
        );
    }
    if found == 0 {
        return Err(Error::Format {
            path: path.to_owned(),
            wanted: "a tensor data (a clip) or tensors frames.0, frames.1, … (uint8 pictures)".to_owned(),
            given: tensor_names(&file),
            hint: Some("name the tensor data if it is a ready clip, and frames.0 if it is uint8 pictures, TxHxWx3"),
        });
    }
    Ok(None)
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

fn frames(name: &str, tensor: &TensorView<'_>, order: ChannelOrder) -> Result<Frames> {
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
