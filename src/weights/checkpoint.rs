//! Weight files of every kind, opened: what network they are of, and its parameters.

use super::assemble::{Loaded, Tensors};
use super::names::Naming;
use super::raw::Contents;
use super::recognise::Source;
use super::{WeightOptions, Weights, mismatch, pickle, safetensors_file};
use crate::clip::preprocess::Normalization;
use crate::config::{BackboneConfig, Transformation};
use crate::error::{Error, Result};
use crate::graph::resnet::Body;
use std::path::{Path, PathBuf};

/// An opened weight file: safetensors, or a pickle as Detectron writes it. The names of its tensors are those of Caffe2's
/// blobs, or of torchvision, Detectron2 or maskrcnn-benchmark.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    contents: Contents,
    source: Source,
}

impl Checkpoint {
    /// Reads a weight file. A name that ends in `.pkl` means a pickle, `.safetensors` means that; otherwise the first
    /// bytes tell.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, otherwise as [`Checkpoint::from_bytes`].
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        Self::from_bytes(path, bytes)
    }

    /// The weight file `bytes`, called `path` in messages and for telling its kind. No tensor is decoded yet.
    ///
    /// # Errors
    /// [`Error::Format`] if it is truncated or no such file, or uses instructions or globals of pickles that weight files
    /// do not need; [`Error::Unsupported`] for archives of PyTorch's, and for networks that are known to be no such body.
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self> {
        let path = path.into();
        let contents = match Kind::of(&path, &bytes) {
            Kind::Safetensors => safetensors_file::read(&bytes)
                .map_err(|error| Error::format(&path, "a whole safetensors file", error))?,
            Kind::Pickle => pickle::read(&bytes).map_err(|refusal| {
                let given = format!("{} at byte {}", refusal.what, refusal.at);
                Error::format(&path, "a pickle of numpy arrays by name", given)
            })?,
            Kind::Zip => {
                return Err(Error::Unsupported {
                    what: format!("{}, a zip archive as torch.save writes it,", path.display()),
                    reason: "save the weights as safetensors: safetensors.torch.save_file(model.state_dict(), …)"
                        .to_owned(),
                });
            }
        };
        let source = Source::find(&contents, &path.display().to_string())?;
        Ok(Self { path, bytes, contents, source })
    }

    /// The network that the file is of: that of its metadata's `config`, else what the names and shapes of its tensors
    /// show, `None` if they show none.
    ///
    /// Tensors show no place of the stride, which is by the file's source (see [`Checkpoint::stride_1x1`]), and of 2-D
    /// weights no time kernel, which is 3 as in every preset. Res5 is left out unless the metadata or Detectron's
    /// configuration in the file has it.
    ///
    /// # Errors
    /// [`Error::Config`] if what the metadata names is no network; [`Error::Unsupported`] if the tensors are of one that
    /// this body cannot be.
    pub fn config(&self) -> Result<Option<BackboneConfig>> {
        match &self.contents.config {
            Some(json) => BackboneConfig::from_json(json).map(Some),
            None => self.source.config(&self.contents, &self.path.display().to_string()),
        }
    }

    /// Whose names the tensors have.
    pub fn naming(&self) -> Naming {
        self.source.names.naming
    }

    /// Whether the bottlenecks of this file were trained with their stride on the first 1×1×1, as far as its source
    /// tells: not for blobs in safetensors, whose metadata has to say it. Of basic blocks it has no meaning.
    pub fn stride_1x1(&self) -> Option<bool> {
        self.source.stride_1x1
    }

    /// What a clip has to hold for these weights: what the metadata says under `preprocess`, else by the file's source;
    /// `None` where that is not known.
    pub fn normalization(&self) -> Option<Normalization> {
        self.source.normalization
    }

    /// The parameters of the body `config`, from weights that need no inflation.
    ///
    /// # Errors
    /// See [`Weights::load`].
    pub fn weights(&self, config: &BackboneConfig) -> Result<Weights> {
        self.load(config, &WeightOptions::default()).map(|loaded| loaded.weights)
    }

    /// The parameters of the body `config`, and how each came to be.
    ///
    /// # Errors
    /// See [`Weights::load_with`].
    pub fn load(&self, config: &BackboneConfig, options: &WeightOptions) -> Result<Loaded> {
        let graph = Body::new(config)?.graph;
        let loaded = self.tensors().assemble(&graph, options)?;
        if config.transformation == Transformation::Bottleneck
            && self.stride_1x1().is_some_and(|own| own != config.stride_1x1)
        {
            log::warn!(
                "{}: the network has stride_1x1 {}, and weights of this source ({}) were trained with {}",
                self.path.display(),
                config.stride_1x1,
                self.naming().name(),
                !config.stride_1x1
            );
        }
        Ok(loaded)
    }

    /// Names of the file that the body `config` does not use, sorted.
    ///
    /// # Errors
    /// [`Error::Config`] for the config.
    pub fn unused(&self, config: &BackboneConfig) -> Result<Vec<String>> {
        let graph = Body::new(config)?.graph;
        let tensors = self.tensors();
        let mut names = mismatch::unused(&tensors, &graph.parameters());
        names.sort_unstable();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn tensors(&self) -> Tensors<'_> {
        Tensors { file: &self.bytes, contents: &self.contents, names: &self.source.names }
    }
}

/// Kinds of files.
enum Kind {
    Safetensors,
    Pickle,
    Zip,
}

impl Kind {
    fn of(path: &Path, bytes: &[u8]) -> Self {
        let named = |wanted| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted));
        // Safetensors begin with the length of a header in JSON, pickles with the instruction PROTO.
        let json = bytes.get(8) == Some(&b'{');
        match bytes {
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            _ if named("safetensors") => Self::Safetensors,
            _ if named("pkl") || named("pickle") => Self::Pickle,
            [0x80, 2..=5, ..] if !json => Self::Pickle,
            _ => Self::Safetensors,
        }
    }
}
