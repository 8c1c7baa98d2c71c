//! Trained values by blob name: from a file, or from the deterministic generator.
//!
//! A file passes through three stages. No stage depends on a later one:
//!
//! 1. `safetensors_file`, `pickle` or `torch` read the bytes of the file (`file`) and list its tensors by the names in
//!    the file, without decoding any (`raw`; `encoding` and `strided` handle escaped bytes and strides).
//! 2. `names`, `recognise` and `families` find out which project the names come from and which network they show. `cfg`
//!    reads the settings that tensors cannot show from a project's configuration.
//! 3. `assemble` makes the parameters of the body: it finds each by name, puts it into row-major order, folds batch
//!    norms (`batch_norm`) and inflates 2-D kernels (`inflate`). `mismatch` explains what is wrong if the file holds
//!    another network.
//!
//! [`Checkpoint`] is the entry point to all three.

mod assemble;
mod batch_norm;
mod cfg;
mod checkpoint;
mod encoding;
mod families;
mod file;
mod fold;
mod inflate;
mod mismatch;
mod names;
mod pickle;
pub mod random;
mod raw;
mod recognise;
mod safetensors_file;
mod save;
mod strided;
mod torch;

pub use assemble::{Dropped, Loaded, Origin};
pub use checkpoint::Checkpoint;
pub use families::Family;
pub(crate) use fold::fold_affine;
pub use inflate::InflateMode;
pub use names::Naming;
pub use save::Storage;

use crate::error::{ErrorRepr, Result};
use crate::graph::{Body, Graph};
use crate::network::Network;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A dense float32 tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor from its values.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the length of `data` is not the product of `shape`.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self> {
        let len = shape.iter().try_fold(1usize, |len, &n| len.checked_mul(n));
        if len != Some(data.len()) {
            return Err(ErrorRepr::Shape {
                what: "tensor".to_owned(),
                wanted: format!("{shape:?}"),
                given: format!("{} values", data.len()),
            }
            .into());
        }
        Ok(Self { shape, data })
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }
}

/// How the weights of a file are converted to the weights of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct WeightOptions {
    inflate: Option<InflateMode>,
    seed: u64,
}

impl WeightOptions {
    /// How to inflate 2-D weights where the network wants a time kernel above 1. With `None`, the default, these
    /// weights are an error, because no mode suits every use.
    pub fn inflate(self, mode: impl Into<Option<InflateMode>>) -> Self {
        Self { inflate: mode.into(), ..self }
    }

    /// The seed of [`InflateMode::CenterOnlyRestRand`] (default: 0).
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// All parameters of one body, of the right shapes and finite. Clones share the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    tensors: Arc<BTreeMap<String, Tensor>>,
}

impl Weights {
    /// Reads the parameters of `network`, which may be a [`crate::BackboneConfig`], from a weight file (see
    /// [`Checkpoint`]). Other tensors are ignored.
    ///
    /// F16 and BF16 are widened to float32 and F64 is rounded to it; batch norms are folded. 2-D weights are accepted
    /// where the network's time kernel is 1, as in res2; [`Weights::load_with`] inflates them elsewhere.
    ///
    /// # Errors
    /// As [`Weights::load_with`].
    pub fn load(path: impl AsRef<Path>, network: impl Into<Network>) -> Result<Self> {
        Self::load_with(path, network, &WeightOptions::default())
    }

    /// Reads the parameters of `network`, which may be a [`crate::BackboneConfig`], from a weight file and inflates 2-D
    /// weights.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File), [`ErrorKind::Format`](crate::ErrorKind::Format) and
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for the file;
    /// [`ErrorKind::MissingBlob`](crate::ErrorKind::MissingBlob), [`ErrorKind::Shape`](crate::ErrorKind::Shape),
    /// [`ErrorKind::NeedsInflation`](crate::ErrorKind::NeedsInflation),
    /// [`ErrorKind::ElementType`](crate::ErrorKind::ElementType), [`ErrorKind::NonFinite`](crate::ErrorKind::NonFinite)
    /// for a parameter; [`ErrorKind::Config`](crate::ErrorKind::Config) for the config.
    pub fn load_with(path: impl AsRef<Path>, network: impl Into<Network>, options: &WeightOptions) -> Result<Self> {
        Checkpoint::open(path.as_ref())?.load(network, options).map(|loaded| loaded.weights)
    }

    /// Deterministic random parameters, see [`random`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for the config.
    pub fn random(network: impl Into<Network>, seed: u64) -> Result<Self> {
        Ok(Self::random_for(&Body::new(network)?.graph, seed))
    }

    /// Deterministic random parameters for any graph, see [`random`].
    pub fn random_for(graph: &Graph, seed: u64) -> Self {
        let tensors = graph.parameters().into_iter().map(|p| {
            let data = random::parameter(&p, seed);
            (p.name, Tensor { shape: p.shape, data })
        });
        Self { tensors: Arc::new(tensors.collect()) }
    }

    /// Takes the parameters of `graph` out of `tensors`.
    ///
    /// # Errors
    /// [`ErrorKind::MissingBlob`](crate::ErrorKind::MissingBlob), [`ErrorKind::Shape`](crate::ErrorKind::Shape) or
    /// [`ErrorKind::NonFinite`](crate::ErrorKind::NonFinite) for the first parameter at fault, in the graph's order.
    pub fn from_tensors(graph: &Graph, mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for parameter in graph.parameters() {
            let Some(tensor) = tensors.remove(&parameter.name) else {
                return Err(ErrorRepr::MissingBlob {
                    hint: missing_hint(&parameter.name, tensors.keys().map(String::as_str)),
                    blob: parameter.name,
                    wanted: format!("{:?}", parameter.shape),
                }
                .into());
            };
            if tensor.shape != parameter.shape {
                return Err(ErrorRepr::Shape {
                    what: format!("weights: blob {:?}", parameter.name),
                    wanted: format!("{:?}", parameter.shape),
                    given: format!("{:?}", tensor.shape),
                }
                .into());
            }
            if let Some(index) = tensor.data.iter().position(|v| !v.is_finite()) {
                return Err(ErrorRepr::NonFinite { value: tensor.data[index], blob: parameter.name, index }.into());
            }
            parameters.insert(parameter.name, tensor);
        }
        Ok(Self { tensors: Arc::new(parameters) })
    }

    /// All parameters, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The values of the blob `name`, row-major.
    ///
    /// # Errors
    /// [`ErrorKind::MissingBlob`](crate::ErrorKind::MissingBlob) if there is no such blob,
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if its shape is not `shape`. Either means that the weights belong
    /// to another network.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let tensor = self.tensors.get(name).ok_or_else(|| ErrorRepr::MissingBlob {
            blob: name.to_owned(),
            wanted: format!("{shape:?}"),
            hint: missing_hint(name, self.tensors.keys().map(String::as_str)),
        })?;
        if tensor.shape != shape {
            return Err(ErrorRepr::Shape {
                what: format!("weights: blob {name:?}"),
                wanted: format!("{shape:?}"),
                given: format!("{:?}", tensor.shape),
            }
            .into());
        }
        Ok(&tensor.data)
    }
}

/// A hint for a missing blob: that the weights may be of basic blocks, or nothing.
fn missing_hint<'a>(name: &str, mut present: impl Iterator<Item = &'a str>) -> String {
    if name.contains("_branch2c") && !present.any(|n| n.contains("_branch2c")) {
        r#" (there is no branch2c at all: these may be the weights of basic blocks, "transformation": "basic")"#
            .to_owned()
    } else {
        String::new()
    }
}
