//! Weight files of every kind, opened: what network they are of, and its parameters.

use super::assemble::{Loaded, Tensors};
use super::families::{Family, Whose};
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

/// What a pickle should be, for messages.
const PICKLE: &str = "a pickle of numpy arrays by name";

/// An opened weight file: safetensors, an archive of `torch.save`, or a pickle as Detectron writes it. The names of its
/// tensors are those of Caffe2's blobs, or of a project that is known, see [`Naming`].
#[derive(Debug)]
pub struct Checkpoint {
    file: WeightFile,
    contents: Contents,
    source: Source,
}

impl Checkpoint {
    /// Opens a weight file. Its first bytes tell its kind; only where they do not, a name that ends in `.pkl` means a
    /// pickle.
    ///
    /// What is read is what says which tensors there are; of their values, only those that are asked for, when they are.
    /// The file should stay as it is until then.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if it cannot be read, otherwise as [`Checkpoint::from_bytes`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(WeightFile::open(path)?)
    }

    /// The weight file `bytes`, called `path` in messages and for telling its kind. No tensor is decoded yet.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) if it is truncated or no such file, or holds what is neither
    /// tensors nor passed over: in an archive of `torch.save` anything instead of them, in a pickle any instruction or
    /// global that weight files do not need; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for networks
    /// that are known to be no such body or have parts that it has not.
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self> {
        Self::new(WeightFile::from_bytes(path.into(), bytes))
    }

    fn new(file: WeightFile) -> Result<Self> {
        let contents = contents(&file)?;
        if let Some(arch) = &contents.arch {
            log::debug!("{}: the file calls its network {arch:?}", file.path().display());
        }
        if let Some(config) = &contents.meta_config {
            log::debug!("{}: the file has the configuration of its training:\n{config}", file.path().display());
        }
        let source = Source::find(&contents, &file.path().display().to_string(), None)?;
        Ok(Self { file, contents, source })
    }

    /// The same file, said to be of that family: whose a network is neither its names nor its shapes always tell.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if they tell that it is another's.
    pub fn of_family(mut self, family: Family) -> Result<Self> {
        self.source = Source::find(&self.contents, &self.file.path().display().to_string(), Some(family))?;
        Ok(self)
    }

    /// Who published the network, of those for video where that is known.
    pub fn family(&self) -> Option<Family> {
        match self.source.whose {
            Whose::Of(family) => Some(family),
            Whose::Image | Whose::OneOf(..) => None,
        }
    }

    /// What of a network for video neither names nor shapes show, and is taken to be as its project publishes it; a few words
    /// each. Empty where the file's metadata says all.
    pub fn assumed(&self) -> Vec<String> {
        if self.contents.config.is_some() { Vec::new() } else { self.source.assumed() }
    }

    /// The network that the file is of: that of its metadata's `config`, else what the names and shapes of its tensors
    /// show, `None` if they show none.
    ///
    /// Tensors show no place of the stride, which is by the file's source (see [`Checkpoint::stride_1x1`]), and of 2-D
    /// weights no time kernel, which is 3 as in every preset. Res5 is left out unless the metadata or Detectron's
    /// configuration in the file has it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if what the metadata names is no network;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the tensors are of one that this body cannot be.
    pub fn network(&self) -> Result<Option<Network>> {
        match &self.contents.config {
            Some(json) => Network::from_json(json).map(Some),
            None => self.source.network(&self.contents, &self.file.path().display().to_string()),
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
        self.source.preprocess.map(|preprocess| preprocess.normalization)
    }

    /// How frames become such clips: what is usual for [`Checkpoint::normalization`], or what its project tests the network
    /// with; `None` where that is not known.
    pub fn preprocess(&self) -> Option<Preprocess> {
        self.source.preprocess
    }

    /// Which frames of a video make a clip for these weights, and of how many clips and crops its project averages the scores:
    /// what the metadata says under `sampling`, else PySlowFast's configuration in the file, else what is usual in its family;
    /// `None` where that is not known, as of all image networks and Detectron's.
    pub fn sampling(&self) -> Option<Sampling> {
        self.source.sampling
    }

    /// The parameters of `network`, from weights that need no inflation.
    ///
    /// # Errors
    /// See [`Weights::load`].
    pub fn weights(&self, network: impl Into<Network>) -> Result<Weights> {
        self.load(network, &WeightOptions::default()).map(|loaded| loaded.weights)
    }

    /// The parameters of `network`, and how each came to be.
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
        if let Some(other) = &self.source.other_values {
            log::warn!(
                "{}: by its configuration {other}, which no normalization here has: frames get 0.45 and 0.225 as those of every \
                 published network of its family; to have others, make a ready clip",
                self.file.path().display()
            );
        }
        if let Whose::OneOf(..) = self.source.whose {
            if self.naming() != Naming::Caffe2 {
                return Err(self.source.whose.undecided(&self.file.path().display().to_string()));
            }
            if self.contents.config.is_none() && self.contents.tensors.contains_key("pred_w") {
                log::warn!(
                    "{}: weights with a time axis of 1 in the middle of the blocks, and pred_w: those of PySlowFast and \
                     video-nonlocal-net are such, and may be of another network than the one that was asked for",
                    self.file.path().display()
                );
            }
        }
        if let Network::Reference(config) = &network
            && config.transformation == Transformation::Bottleneck
            && self.stride_1x1().is_some_and(|own| own != config.stride_1x1)
        {
            log::warn!(
                "{}: the network has stride_1x1 {}, and weights of this source ({}) were trained with {}",
                self.file.path().display(),
                config.stride_1x1,
                self.naming().name(),
                !config.stride_1x1
            );
        }
        Ok(loaded)
    }

    /// Names of the file that `network` does not use, sorted.
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

    /// The error for a file by nobody's names that are known.
    fn unknown_names(&self) -> Error {
        const SHOWN: usize = 5;
        let mut names: Vec<String> =
            self.contents.names().take(SHOWN).map(|name| name.chars().take(80).collect()).collect();
        if self.contents.names().nth(SHOWN).is_some() {
            names.push("…".to_owned());
        }
        let first =
            if names.is_empty() { "it has none".to_owned() } else { format!("its first are {}", names.join(", ")) };
        ErrorRepr::Unsupported {
            what: format!(
                "{}, whose names are of none of Detectron, torchvision, Detectron2, maskrcnn-benchmark, Hugging Face's ResNets, \
                 and for video torchvision, VMZ (PyTorch's and Caffe2's), PyTorchVideo, PySlowFast, video-nonlocal-net, 3D-ResNets-PyTorch, I3ResNet \
                 and mmaction2,",
                self.file.path().display()
            ),
            reason: format!(
                "{first}; if it is such a ResNet, rename its tensors as torchvision does, layer1.0.conv1.weight …"
            ),
        }.into()
    }

    fn tensors(&self) -> Tensors<'_> {
        Tensors { file: &self.file, contents: &self.contents, names: &self.source.names }
    }
}

/// What a file holds.
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
        // What it turns out to be is said only where its reader does not understand it.
        Content::Unknown => {
            let read = if named_pickle { read_pickle } else { safetensors_file::read };
            let described = content::describe_text(&head).filter(|_| !is_protocol_0(file));
            read(file).map_err(|error| match described {
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

/// What a pickle of arrays holds, all of which is read.
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

/// Says that a file is read by its contents where its name says something else.
fn warn_of_name(path: &Path, misnamed: bool, what: &str) {
    if misnamed {
        log::warn!("{}: by its contents this is {what}, and it is read as one", path.display());
    }
}

/// Whether text may be a pickle of protocol 0, which is text too: it is a dictionary or a call, and ends with STOP.
fn is_protocol_0(file: &WeightFile) -> bool {
    let last = file.len().saturating_sub(1);
    let byte_at = |at: usize| file.range(at..at + 1).ok().and_then(|byte| byte.first().copied());
    matches!((byte_at(0), byte_at(last)), (Some(b'(' | b'c' | b'}' | b'0'..=b'9'), Some(b'.')))
}
