//! Weight files of the safetensors kind.

use super::file::WeightFile;
use super::raw::{Contents, Element, Payload, RawTensor};
use crate::error::{Error, Result};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError};

/// What such a file should be, for messages.
pub(crate) const WANTED: &str = "a whole safetensors file";

/// More than this no header may have.
const LONGEST_HEADER: u64 = 100_000_000;

/// The tensors of a safetensors file, of which only the header is read.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if it cannot be read; [`ErrorKind::Format`](crate::ErrorKind::Format)
/// with what the crate `safetensors` said, or else would have.
pub(crate) fn read(file: &WeightFile) -> Result<Contents> {
    let refused = |said: SafeTensorError| Error::format(file.path(), WANTED, said);
    if file.len() < size_of::<u64>() {
        return Err(refused(SafeTensorError::HeaderTooSmall));
    }
    let mut length = [0; size_of::<u64>()];
    length.copy_from_slice(&file.range(0..size_of::<u64>())?);
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(refused(SafeTensorError::HeaderTooLarge));
    }
    let start = size_of::<u64>() + length as usize;
    if start > file.len() {
        return Err(refused(SafeTensorError::InvalidHeaderLength));
    }
    let header = file.range(size_of::<u64>()..start)?;
    let header = std::str::from_utf8(&header).map_err(|said| refused(SafeTensorError::InvalidHeader(said)))?;
    // What is read has been checked by the crate: the tensors lie behind one another without gaps.
    let header: Metadata =
        serde_json::from_str(header).map_err(|said| refused(SafeTensorError::InvalidHeaderDeserialization(said)))?;
    if start.checked_add(header.data_len()) != Some(file.len()) {
        return Err(refused(SafeTensorError::MetadataIncompleteBuffer));
    }
    let tensors = header.tensors().into_iter().map(|(name, info)| {
        let (begin, end) = info.data_offsets;
        let payload = Payload::plain(start + begin..start + end);
        (name, RawTensor::dense(element(info.dtype), info.shape.clone(), payload))
    });
    let said = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
    Ok(Contents {
        tensors: tensors.collect(),
        config: said("config"),
        family: said("family"),
        preprocess: said("preprocess"),
        sampling: said("sampling"),
        ..Contents::default()
    })
}

fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => Element::Other(format!("{other:?}")),
    }
}
