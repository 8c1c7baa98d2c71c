//! Parameters as a safetensors file that needs no conversion any more.

use super::Weights;
use crate::clip::preprocess::Normalization;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::tensor_file::{Entry, serialize};
use half::f16;
use safetensors::Dtype;
use std::collections::BTreeMap;

/// The element type of stored parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// float32, as they are.
    #[default]
    F32,
    /// float16, rounded to nearest.
    F16,
}

impl Weights {
    /// The bytes of a safetensors file with the parameters by blob name; its metadata says under `config` which network
    /// they are of and under `preprocess`, where that is known, what pixels it wants. The same parameters make the same
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a value that float16 cannot hold.
    pub fn to_safetensors(
        &self,
        network: impl Into<Network>,
        preprocess: Option<Normalization>,
        storage: Storage,
    ) -> Result<Vec<u8>> {
        let encoded = self.tensors.iter().map(|(name, tensor)| {
            let bytes = match storage {
                Storage::F32 => tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect(),
                Storage::F16 => half_bytes(name, &tensor.data)?,
            };
            Ok((name.as_str(), tensor.shape.clone(), bytes))
        });
        let encoded = encoded.collect::<Result<Vec<(&str, Vec<usize>, Vec<u8>)>>>()?;
        let entries: Vec<Entry<'_>> =
            encoded.iter().map(|(name, shape, bytes)| Entry { name, shape: shape.clone(), bytes }).collect();
        let dtype = match storage {
            Storage::F32 => Dtype::F32,
            Storage::F16 => Dtype::F16,
        };
        let mut metadata = BTreeMap::from([("config", network.into().to_json())]);
        metadata.extend(preprocess.map(|way| ("preprocess", way.name().to_owned())));
        serialize(&entries, dtype, &metadata)
    }
}

fn half_bytes(blob: &str, values: &[f32]) -> Result<Vec<u8>> {
    let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
    if let Some(index) = halves.iter().position(|half| !half.is_finite()) {
        return Err(Error::Unsupported {
            what: format!("blob {blob:?} as float16"),
            reason: format!("{} at flat index {index} is beyond its largest value, {}", values[index], f16::MAX),
        });
    }
    Ok(halves.iter().flat_map(|half| half.to_le_bytes()).collect())
}
