//! Weight files: safetensors, with tensors named as blobs.

use super::{Tensor, Weights};
use crate::config::BackboneConfig;
use crate::error::{Error, Result};
use crate::graph::resnet::Body;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An opened weight file, its header checked.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The metadata's `config`, unread: who brings a configuration of their own need not mind what is there.
    config: Option<String>,
}

impl Checkpoint {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] if it is truncated or no safetensors,
    /// [`Error::Unsupported`] for `.pkl`.
    pub fn open(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pkl")) {
            return Err(Error::Unsupported {
                what: format!("the Detectron pickle {}", path.display()),
                reason: "this version reads weights from safetensors only".to_owned(),
            });
        }
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| not_safetensors(path, e))?;
        let config = header.metadata().as_ref().and_then(|m| m.get("config")).cloned();
        Ok(Self { path: path.to_owned(), bytes, config })
    }

    /// The network that the file's metadata names under `config`, if any.
    ///
    /// # Errors
    /// [`Error::Config`] if what it names is no network.
    pub fn config(&self) -> Result<Option<BackboneConfig>> {
        self.config.as_deref().map(BackboneConfig::from_json).transpose()
    }

    /// The parameters of the body `config`.
    ///
    /// # Errors
    /// See [`Weights::load`].
    pub fn weights(&self, config: &BackboneConfig) -> Result<Weights> {
        let graph = Body::new(config)?.graph;
        let file = self.parse()?;
        let wanted: Vec<String> = graph.parameters().into_iter().map(|p| p.name).collect();
        let mut tensors = BTreeMap::new();
        for name in &wanted {
            if let Ok(view) = file.tensor(name) {
                let data = widen(view.dtype(), view.data()).ok_or_else(|| Error::ElementType {
                    what: format!("{}: tensor {name:?}", self.path.display()),
                    wanted: "F32, F16, BF16 or F64",
                    given: format!("{:?}", view.dtype()),
                })?;
                tensors.insert(name.clone(), Tensor::new(view.shape().to_vec(), data)?);
            }
        }
        Weights::from_tensors(&graph, tensors)
    }

    /// Names of the tensors that the body `config` does not use, sorted.
    ///
    /// # Errors
    /// [`Error::Config`] for the config.
    pub fn unused(&self, config: &BackboneConfig) -> Result<Vec<String>> {
        let graph = Body::new(config)?.graph;
        let used: std::collections::HashSet<String> = graph.parameters().into_iter().map(|p| p.name).collect();
        let mut names: Vec<String> = self.parse()?.names().into_iter().map(str::to_owned).collect();
        names.retain(|name| !used.contains(name));
        names.sort();
        Ok(names)
    }

    fn parse(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| not_safetensors(&self.path, e))
    }
}

fn not_safetensors(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::format(path, "a whole safetensors file", error)
}

/// Little-endian floats of any width as float32; `None` for other element types.
fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        _ => return None,
    })
}
