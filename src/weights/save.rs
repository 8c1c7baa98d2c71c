//! Converted parameters as a safetensors file.

use super::{Family, Weights};
use crate::clip::preprocess::Normalization;
use crate::clip::sampling::Sampling;
use crate::error::Result;
use crate::network::Network;
use crate::tensor_file::{Entry, TensorFile};
use std::collections::BTreeMap;

pub use crate::tensor_file::Storage;

impl Weights {
    /// A safetensors file with the parameters by blob name. Its metadata has the network under `config`, and the
    /// family, the normalization and the sampling, if given, under `family`, `preprocess` and `sampling`. The same
    /// parameters give the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a value that float16 cannot hold.
    pub fn to_safetensors(
        &self,
        network: impl Into<Network>,
        family: Option<Family>,
        preprocess: Option<Normalization>,
        sampling: Option<Sampling>,
        storage: Storage,
    ) -> Result<TensorFile<'_>> {
        let entries = self.tensors.iter();
        let entries = entries.map(|(name, tensor)| Entry { name, shape: tensor.shape.clone(), values: &tensor.data });
        let mut metadata = BTreeMap::from([("config", network.into().to_json())]);
        metadata.extend(family.map(|family| ("family", family.name().to_owned())));
        metadata.extend(preprocess.map(|normalization| ("preprocess", normalization.name().to_owned())));
        // This cannot fail: a sampling has only numbers and names.
        let sampling = sampling.and_then(|sampling| serde_json::to_string(&sampling).ok());
        metadata.extend(sampling.map(|json| ("sampling", json)));
        TensorFile::new(entries.collect(), storage, &metadata)
    }
}
