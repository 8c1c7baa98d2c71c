//! Weight files in the safetensors format.

use super::file::WeightFile;
use super::raw::{Contents, Element, Payload, RawTensor};
use crate::error::{Error, Result};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError};

/// The wanted format, for messages.
pub(crate) const WANTED: &str = "a whole safetensors file";

/// The maximum length of a header that the format allows.
const MAX_HEADER_LEN: u64 = 100_000_000;

/// The tensors of a safetensors file. Only the header is read.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) with the error that the crate `safetensors` gives for the file.
pub(crate) fn read(file: &WeightFile) -> Result<Contents> {
    let refused = |error: SafeTensorError| Error::format(file.path(), WANTED, error);
    if file.len() < size_of::<u64>() {
        return Err(refused(SafeTensorError::HeaderTooSmall));
    }
    let mut length = [0; size_of::<u64>()];
    length.copy_from_slice(&file.range(0..size_of::<u64>())?);
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_LEN {
        return Err(refused(SafeTensorError::HeaderTooLarge));
    }
    let start = size_of::<u64>() + length as usize;
    if start > file.len() {
        return Err(refused(SafeTensorError::InvalidHeaderLength));
    }
    let header = file.range(size_of::<u64>()..start)?;
    let header = std::str::from_utf8(&header).map_err(|error| refused(SafeTensorError::InvalidHeader(error)))?;
    // Deserialization by the crate checks that the tensors follow each other without gaps.
    let header: Metadata =
        serde_json::from_str(header).map_err(|error| refused(SafeTensorError::InvalidHeaderDeserialization(error)))?;
    if start.checked_add(header.data_len()) != Some(file.len()) {
        return Err(refused(SafeTensorError::MetadataIncompleteBuffer));
    }
    let tensors = header.tensors().into_iter().map(|(name, info)| {
        let (begin, end) = info.data_offsets;
        let payload = Payload::plain(start + begin..start + end);
        (name, RawTensor::dense(element(info.dtype), info.shape.clone(), payload))
    });
    let metadata = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
    Ok(Contents {
        tensors: tensors.collect(),
        config: metadata("config"),
        family: metadata("family"),
        preprocess: metadata("preprocess"),
        sampling: metadata("sampling"),
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
