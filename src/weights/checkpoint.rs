//! Opened weight files of every kind: which network they hold, and its parameters.

use super::assemble::{Loaded, Tensors};
use super::families::{Family, Publisher};
use super::file::WeightFile;
use super::names::Naming;
use super::raw::Contents;
use super::recognise::Source;
use super::{WeightOptions, Weights, mismatch, pickle, safetensors_file, torch};
use crate::clip::preprocess::{Normalization, Preprocess};
use crate::clip::sampling::Sampling;
use crate::config::Transformation;
use crate::content::{self, Content};
use crate::error::{Error, ErrorRepr, Result};
use crate::graph::Body;
use crate::network::Network;
use std::path::{Path, PathBuf};

/// The wanted contents of a pickle, for messages.
const PICKLE: &str = "a pickle of numpy arrays by name";

/// An opened weight file: safetensors, an archive of `torch.save`, or a pickle as Detectron writes it. Its tensors have
/// the names of Caffe2's blobs or of another known project, see [`Naming`].
#[derive(Debug)]
pub struct Checkpoint {
    file: WeightFile,
    contents: Contents,
    source: Source,
}

impl Checkpoint {
    /// Opens a weight file. Its first bytes determine its kind. If they do not, a name that ends in `.pkl` or `.pickle`
    /// means a pickle.
    ///
    /// Opening reads the list of tensors. Values are read when they are needed, so the file must not change until then.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read, otherwise as [`Checkpoint::from_bytes`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(WeightFile::open(path)?)
    }

    /// The weight file `bytes`. `path` names it in messages and helps to determine its kind. No tensor is decoded yet.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) if the file is truncated or not a weight file, if an archive of
    /// `torch.save` holds something other than tensors by name, or if a pickle contains an instruction or a global that
    /// weight files do not need; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for known networks that this
    /// body cannot represent, and for networks with parts that it lacks.
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self> {
        Self::new(WeightFile::from_bytes(path.into(), bytes))
    }

    fn new(file: WeightFile) -> Result<Self> {
        let contents = contents(&file)?;
        if let Some(arch) = &contents.arch {
            log::debug!("{}: the file names its network {arch:?}", file.path().display());
        }
        if let Some(config) = &contents.meta_config {
            log::debug!("{}: the file contains its training configuration:\n{config}", file.path().display());
        }
        let source = Source::find(&contents, &file.path().display().to_string(), None)?;
        Ok(Self { file, contents, source })
    }

    /// The same file, with its family stated by the caller: names and shapes do not always show the family.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if names and shapes show another family.
    pub fn of_family(mut self, family: Family) -> Result<Self> {
        self.source = Source::find(&self.contents, &self.file.path().display().to_string(), Some(family))?;
        Ok(self)
    }

    /// The project that published the network, for video networks whose project is known.
    pub fn family(&self) -> Option<Family> {
        match self.source.publisher {
            Publisher::Known(family) => Some(family),
            Publisher::ImageProject | Publisher::Ambiguous(..) => None,
        }
    }

    /// The properties of a video network that neither names nor shapes show, each in a few words. They are assumed to
    /// be as in the networks that the project publishes. Empty if the file's metadata has the whole configuration.
    pub fn assumed(&self) -> Vec<String> {
        if self.contents.config.is_some() { Vec::new() } else { self.source.assumed() }
    }

    /// The network in the file: the one that `config` in its metadata describes, or else the one that the names and
    /// shapes of its tensors show; `None` if they show none.
    ///
    /// Tensors do not show where the stride is; it follows from the file's source (see [`Checkpoint::stride_1x1`]). 2-D
    /// weights do not show a time kernel; it is 3, as in every preset. Res5 is left out unless the metadata or
    /// Detectron's configuration in the file includes it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the metadata describes no valid network;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the tensors show a network that this body cannot
    /// represent.
    pub fn network(&self) -> Result<Option<Network>> {
        match &self.contents.config {
            Some(json) => Network::from_json(json).map(Some),
            None => self.source.network(&self.contents, &self.file.path().display().to_string()),
        }
    }

    /// The naming of the tensors.
    pub fn naming(&self) -> Naming {
        self.source.names.naming
    }

    /// Whether the bottleneck blocks in this file were trained with their stride on the first 1×1×1, if the source
    /// implies it. Blobs in safetensors do not imply it; the metadata has to state it. For basic blocks the value has
    /// no meaning.
    pub fn stride_1x1(&self) -> Option<bool> {
        self.source.stride_1x1
    }

    /// The normalization of clips for these weights, from `preprocess` in the metadata or else from the file's source;
    /// `None` if neither is known.
    pub fn normalization(&self) -> Option<Normalization> {
        self.source.preprocess.map(|preprocess| preprocess.normalization)
    }

    /// The preprocessing of frames for these weights: the usual one for [`Checkpoint::normalization`], or the one with
    /// which the project tests the network; `None` if neither is known.
    pub fn preprocess(&self) -> Option<Preprocess> {
        self.source.preprocess
    }

    /// Which frames of a video make a clip for these weights, and over how many clips and crops the project averages
    /// the scores. It comes from `sampling` in the metadata, else from PySlowFast's configuration in the file, else
    /// from the family. `None` if it is not known, as for all image networks and Detectron's.
    pub fn sampling(&self) -> Option<Sampling> {
        self.source.sampling
    }

    /// The parameters of `network`, without inflation of 2-D weights.
    ///
    /// # Errors
    /// See [`Weights::load`].
    pub fn weights(&self, network: impl Into<Network>) -> Result<Weights> {
        self.load(network, &WeightOptions::default()).map(|loaded| loaded.weights)
    }

    /// The parameters of `network`, and the origin of each.
    ///
    /// # Errors
    /// See [`Weights::load_with`].
    pub fn load(&self, network: impl Into<Network>, options: &WeightOptions) -> Result<Loaded> {
        let network = network.into();
        let graph = Body::new(&network)?.graph;
        if !self.source.known {
            return Err(self.unknown_names());
        }
        let loaded = self.tensors().assemble(&graph, options)?;
        if let Some(configured) = &self.source.unsupported_normalization {
            log::warn!(
                "{}: in its configuration {configured}, and no normalization supports that: frames are normalized with \
                 0.45 and 0.225, as for every published network of its family; for other values pass a preprocessed \
                 clip",
                self.file.path().display()
            );
        }
        if let Publisher::Ambiguous(..) = self.source.publisher {
            if self.naming() != Naming::Caffe2 {
                return Err(self.source.publisher.ambiguous(&self.file.path().display().to_string()));
            }
            if self.contents.config.is_none() && self.contents.tensors.contains_key("pred_w") {
                log::warn!(
                    "{}: the file has pred_w, and its middle convolutions have a time axis of 1, as in files of \
                     PySlowFast and video-nonlocal-net: the weights may belong to another network than the given one",
                    self.file.path().display()
                );
            }
        }
        if let Network::Reference(config) = &network
            && config.transformation == Transformation::Bottleneck
            && self.stride_1x1().is_some_and(|trained| trained != config.stride_1x1)
        {
            log::warn!(
                "{}: the network has stride_1x1 {}, but weights of this source ({}) were trained with {}",
                self.file.path().display(),
                config.stride_1x1,
                self.naming().name(),
                !config.stride_1x1
            );
        }
        Ok(loaded)
    }

    /// The names in the file that `network` does not use, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for the config.
    pub fn unused(&self, network: impl Into<Network>) -> Result<Vec<String>> {
        let graph = Body::new(network)?.graph;
        let tensors = self.tensors();
        let mut names = mismatch::unused(&tensors, &graph.parameters());
        names.sort_unstable();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// The error for a file with unknown names.
    fn unknown_names(&self) -> Error {
        const SHOWN: usize = 5;
        let mut names: Vec<String> =
            self.contents.names().take(SHOWN).map(|name| name.chars().take(80).collect()).collect();
        if self.contents.names().nth(SHOWN).is_some() {
            names.push("…".to_owned());
        }
        let first = if names.is_empty() {
            "it has no tensors".to_owned()
        } else {
            format!("its first names are {}", names.join(", "))
        };
        ErrorRepr::Unsupported {
            what: format!(
                "{}, whose names are not those of Detectron, torchvision, Detectron2, maskrcnn-benchmark or Hugging \
                 Face's ResNets, nor, for video, of torchvision, VMZ (PyTorch's and Caffe2's), PyTorchVideo, \
                 PySlowFast, video-nonlocal-net, 3D-ResNets-PyTorch, I3ResNet or mmaction2,",
                self.file.path().display()
            ),
            reason: format!(
                "{first}; if it is such a ResNet, rename its tensors to torchvision's names, layer1.0.conv1.weight …"
            ),
        }
        .into()
    }

    fn tensors(&self) -> Tensors<'_> {
        Tensors { file: &self.file, contents: &self.contents, names: &self.source.names }
    }
}

/// Reads the contents of a file of any kind.
fn contents(file: &WeightFile) -> Result<Contents> {
    let path = file.path();
    let named =
        |wanted: &[&str]| path.extension().is_some_and(|e| wanted.iter().any(|name| e.eq_ignore_ascii_case(name)));
    let (named_safetensors, named_pickle) = (named(&["safetensors"]), named(&["pkl", "pickle"]));
    let named_torch = named(&["pth", "pt", "pyth"]);
    let head = file.head(content::HEAD)?;
    let kind = Content::of(&head);
    match kind {
        Content::Safetensors => {
            warn_of_name(path, named_pickle || named_torch, "a safetensors file");
            safetensors_file::read(file)
        }
        Content::Pickle => {
            warn_of_name(path, named_safetensors, "a pickle");
            read_pickle(file)
        }
        Content::OldTorch => {
            warn_of_name(path, named_safetensors, "an archive of torch.save");
            torch::read_legacy(file)
        }
        Content::Zip { arrays: false } => {
            warn_of_name(path, named_safetensors, "an archive of torch.save");
            torch::read_zip(file)
        }
        // If the reader fails and the file is text, the error says so.
        Content::Unknown => {
            let read = if named_pickle { read_pickle } else { safetensors_file::read };
            let text = content::describe_text(&head).filter(|_| !is_protocol_0(file));
            read(file).map_err(|error| match text {
                Some(given) => error.format_given(given),
                None => error,
            })
        }
        other => {
            let wanted = match (named_safetensors, named_pickle, named_torch) {
                (true, _, _) => safetensors_file::WANTED.to_owned(),
                (_, true, _) => PICKLE.to_owned(),
                (_, _, true) => torch::WANTED.to_owned(),
                _ => format!("{} or {PICKLE}", safetensors_file::WANTED),
            };
            Err(other.refusal(path, &wanted).unwrap_or_else(|| Error::format(path, wanted, "another file")))
        }
    }
}

/// Reads a pickle of arrays. This reads the whole file.
fn read_pickle(file: &WeightFile) -> Result<Contents> {
    let bytes = file.range(0..file.len())?;
    pickle::read(&bytes).map_err(|refusal| {
        ErrorRepr::Format {
            path: file.path().to_owned(),
            wanted: PICKLE.to_owned(),
            given: format!("{} at byte {}", refusal.what, refusal.at),
            hint: refusal.hint,
        }
        .into()
    })
}

/// Warns that the contents of a file, which decide how it is read, do not match its name.
fn warn_of_name(path: &Path, misnamed: bool, what: &str) {
    if misnamed {
        log::warn!("{}: by its contents this is {what}, and it is read as one", path.display());
    }
}

/// Whether a text file may be a pickle of protocol 0, which is text too: a dictionary or a call that ends with STOP.
fn is_protocol_0(file: &WeightFile) -> bool {
    let last = file.len().saturating_sub(1);
    let byte_at = |at: usize| file.range(at..at + 1).ok().and_then(|byte| byte.first().copied());
    matches!((byte_at(0), byte_at(last)), (Some(b'(' | b'c' | b'}' | b'0'..=b'9'), Some(b'.')))
}
