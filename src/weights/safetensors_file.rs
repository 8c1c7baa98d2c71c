//! Weight files of the safetensors kind.

use super::raw::{Contents, Element, Payload, RawTensor};
use safetensors::{Dtype, SafeTensors};

/// The tensors of a safetensors file; the error is what its reader said.
pub(crate) fn read(file: &[u8]) -> Result<Contents, String> {
    let (header_len, header) = SafeTensors::read_metadata(file).map_err(|e| e.to_string())?;
    // Of this the crate has checked that it covers the file exactly.
    let start = size_of::<u64>() + header_len;
    let tensors = header.tensors().into_iter().map(|(name, info)| {
        let (begin, end) = info.data_offsets;
        let tensor = RawTensor {
            element: element(info.dtype),
            shape: info.shape.clone(),
            fortran: false,
            big_endian: false,
            payload: Payload { range: start + begin..start + end, latin1: false },
        };
        (name, tensor)
    });
    let said = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
    Ok(Contents {
        tensors: tensors.collect(),
        config: said("config"),
        preprocess: said("preprocess"),
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
