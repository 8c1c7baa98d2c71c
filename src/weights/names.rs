//! How weight files name the parameters of a body.

use super::batch_norm::{EPS_CAFFE2, EPS_PYTORCH, EPS_VMZ};
use super::families::{FIRST_OF_VMZ, Hints, canonical, lateral_of_caffe2, renamed_vmz};
use super::raw::Contents;
use crate::graph::described::FAST;
use crate::named::named;
use std::collections::{BTreeMap, BTreeSet};

/// Whose names the tensors of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Naming {
    /// The blobs of Caffe2, Detectron and this crate: `res3_0_branch2b_w`.
    Caffe2,
    /// torchvision, on its own or as the body of its detectors: `layer2.0.conv2.weight`.
    Torchvision,
    /// Detectron2: `backbone.bottom_up.res3.0.conv2.weight`.
    Detectron2,
    /// maskrcnn-benchmark: `backbone.body.layer2.0.conv2.weight`, with a `stem`.
    MaskRcnnBenchmark,
    /// Hugging Face's `ResNetModel`: `resnet.encoder.stages.1.layers.0.layer.1.convolution.weight`. The values are those of
    /// torchvision's networks.
    HuggingFace,
    /// torchvision's networks for video, and what VMZ and ig65m made of their code: `layer2.0.conv2.0.weight`, with a `stem`.
    TorchvisionVideo,
    /// PyTorchVideo: `blocks.2.res_blocks.0.branch2.conv_b.weight`.
    PyTorchVideo,
    /// PySlowFast: `s3.pathway0_res0.branch2.b.weight`.
    PySlowFast,
    /// 3D-ResNets-PyTorch and other inflated ResNets: torchvision's names with weights that span frames.
    ThreeDResNets,
    /// mmaction2: `backbone.layer2.0.conv2.conv.weight`.
    Mmaction2,
    /// VMZ's networks in Caffe2's form: `comp_3_conv_2_w`, which counts blocks over all stages.
    VmzCaffe2,
}

named!(Naming, "names of tensors":
    Caffe2 => "caffe2",
    Torchvision => "torchvision",
    Detectron2 => "detectron2",
    MaskRcnnBenchmark => "maskrcnn-benchmark",
    HuggingFace => "huggingface",
    TorchvisionVideo => "torchvision (video)",
    PyTorchVideo => "pytorchvideo",
    PySlowFast => "pyslowfast",
    ThreeDResNets => "3d-resnets",
    Mmaction2 => "mmaction2",
    VmzCaffe2 => "vmz (caffe2)",
);

impl Naming {
    /// `eps` of its batch norms, as far as names tell.
    fn eps(self) -> f64 {
        match self {
            Self::Caffe2 => EPS_CAFFE2,
            // Its FrozenBatchNorm2d adds none.
            Self::MaskRcnnBenchmark => 0.0,
            Self::Torchvision
            | Self::Detectron2
            | Self::HuggingFace
            | Self::TorchvisionVideo
            | Self::PyTorchVideo
            | Self::PySlowFast
            | Self::ThreeDResNets
            | Self::Mmaction2 => EPS_PYTORCH,
            Self::VmzCaffe2 => EPS_VMZ,
        }
    }

    /// Whether these are the names of networks for video, which are told by [`canonical`].
    pub(super) fn is_of_video(self) -> bool {
        match self {
            Self::TorchvisionVideo
            | Self::PyTorchVideo
            | Self::PySlowFast
            | Self::ThreeDResNets
            | Self::Mmaction2
            | Self::VmzCaffe2 => true,
            Self::Caffe2 | Self::Torchvision | Self::Detectron2 | Self::MaskRcnnBenchmark | Self::HuggingFace => false,
        }
    }
}

/// A convolution of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Stem,
    /// In block `block` of stage `stage`, which is 2 for res2.
    Block {
        stage: usize,
        block: usize,
        branch: Branch,
    },
}

/// Which convolution of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Branch {
    A,
    B,
    C,
    Projection,
}

impl Branch {
    const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::Projection];

    fn caffe2(self) -> &'static str {
        match self {
            Self::A => "branch2a",
            Self::B => "branch2b",
            Self::C => "branch2c",
            Self::Projection => "branch1",
        }
    }
}

/// What of a layer a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weight,
    Scale,
    Bias,
}

/// The layer and part that the body's parameter `blob` is.
pub(crate) fn parameter(blob: &str) -> Option<(Layer, Part)> {
    let (base, part) = [("_bn_s", Part::Scale), ("_bn_b", Part::Bias), ("_w", Part::Weight)]
        .into_iter()
        .find_map(|(suffix, part)| Some((blob.strip_suffix(suffix)?, part)))?;
    if base == if part == Part::Weight { "conv1" } else { "res_conv1" } {
        return Some((Layer::Stem, part));
    }
    let mut words = base.strip_prefix("res")?.split('_');
    let (stage, block, branch) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    let branch = Branch::ALL.into_iter().find(|b| b.caffe2() == branch)?;
    words.next().is_none().then_some((Layer::Block { stage, block, branch }, part))
}

/// The names of a batch norm, or of the affine channel that one was folded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NormNames {
    pub scale: String,
    pub bias: String,
    pub mean: String,
    pub variance: String,
}

/// How many axes weights have to have for a name to be somebody's.
#[derive(Clone, Copy)]
enum Axes {
    Any,
    OfImages,
    OfVideo,
}

impl Axes {
    fn fit(self, rank: usize) -> bool {
        match self {
            Self::Any => true,
            Self::OfImages => rank != 5,
            Self::OfVideo => rank == 5,
        }
    }
}

/// Where in the body a name belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Stem,
    /// Block `block` of stage `stage`, which is 2 for res2.
    Block {
        stage: usize,
        block: usize,
    },
}

/// The names in one file: whose, and what is in front of each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Names {
    pub naming: Naming,
    pub prefix: String,
    /// What batch norms add to the variance, and those between the halves of a factored convolution.
    pub eps: [f64; 2],
    /// Whether a pooling between the stages takes a number of its own.
    pub pool_is_numbered: bool,
    /// How many columns of the classifier's weight are the fast pathway's and come first in the file, where they do.
    pub fast_first: usize,
    /// The file's names by those of blobs, of networks for video.
    renamed: BTreeMap<String, String>,
}

impl Names {
    /// Finds out how the body's tensors are named, by the first convolution of the first block: all the ways that fit,
    /// with their prefixes. There may be none; several are several networks in one file.
    pub fn find(contents: &Contents) -> Vec<Self> {
        const FIRST: [(u8, Axes, &str); 15] = [
            (1, Axes::OfImages, "layer1.0.conv1.weight"),
            (2, Axes::Any, "res2.0.conv1.weight"),
            (3, Axes::Any, "encoder.stages.0.layers.0.layer.0.convolution.weight"),
            (4, Axes::OfVideo, "layer1.0.conv1.0.weight"),
            (4, Axes::OfVideo, "layer1.0.conv1.0.0.weight"),
            (5, Axes::Any, "blocks.1.res_blocks.0.branch2.conv_a.weight"),
            (5, Axes::Any, "blocks.1.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight"),
            (6, Axes::Any, "s2.pathway0_res0.branch2.a.weight"),
            (7, Axes::OfVideo, "layer1.0.conv1.weight"),
            (7, Axes::OfVideo, "layer1.0.conv1_s.weight"),
            (8, Axes::Any, "layer1.0.conv1.conv.weight"),
            (8, Axes::Any, "slow_path.layer1.0.conv1.conv.weight"),
            (8, Axes::Any, "layer1.0.conv1.conv.conv_s.weight"),
            (9, Axes::Any, FIRST_OF_VMZ[0]),
            (9, Axes::Any, FIRST_OF_VMZ[1]),
        ];
        let mut found = BTreeSet::new();
        for (name, tensor) in &contents.tensors {
            if parameter(name).is_some() {
                found.insert((0, String::new()));
            }
            for (kind, axes, suffix) in FIRST {
                let prefix = name.strip_suffix(suffix).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
                // What is called so in a pathway is a part of a network.
                let prefix =
                    prefix.filter(|prefix| !["slow_path.", "fast_path."].iter().any(|own| prefix.ends_with(own)));
                let prefix = prefix.filter(|_| axes.fit(tensor.shape.len()));
                found.extend(prefix.map(|prefix| (kind, prefix.to_owned())));
            }
        }
        // Their stem is called as Caffe2's others are.
        if found.contains(&(9, String::new())) {
            found.remove(&(0, String::new()));
        }
        if found.is_empty() {
            found = Self::find_without_the_first(contents);
        }
        let named = found.into_iter().map(|(kind, prefix)| {
            let stem = contents.tensors.contains_key(&format!("{prefix}stem.conv1.weight"));
            let naming = match kind {
                0 => Naming::Caffe2,
                1 if stem => Naming::MaskRcnnBenchmark,
                1 => Naming::Torchvision,
                2 => Naming::Detectron2,
                4 => Naming::TorchvisionVideo,
                5 => Naming::PyTorchVideo,
                6 => Naming::PySlowFast,
                7 => Naming::ThreeDResNets,
                8 => Naming::Mmaction2,
                9 => Naming::VmzCaffe2,
                _ => Naming::HuggingFace,
            };
            Self::new(naming, prefix).with_renamed(contents)
        });
        named.collect()
    }

    /// The same by any other convolution, of a file that lacks the first: so that this can be said. None if that does not
    /// show one way.
    fn find_without_the_first(contents: &Contents) -> BTreeSet<(u8, String)> {
        const STAGES: [(u8, Naming, &str); 3] = [
            (1, Naming::Torchvision, "layer"),
            (2, Naming::Detectron2, "res"),
            (3, Naming::HuggingFace, "encoder.stages."),
        ];
        let mut found = BTreeSet::new();
        for name in contents.tensors.keys() {
            for (kind, naming, start) in STAGES {
                for (at, _) in name.match_indices(start).take(8) {
                    let names = Self::new(naming, name[..at].to_owned());
                    let Some(Place::Block { stage: stage @ 2..=5, block }) = names.place(name) else { continue };
                    let mut branches = Branch::ALL.into_iter();
                    if branches.any(|branch| names.weight(Layer::Block { stage, block, branch }) == *name) {
                        found.insert((kind, names.prefix));
                    }
                }
            }
        }
        if found.len() > 1 { BTreeSet::new() } else { found }
    }

    /// The names of Caffe2's blobs, as they are.
    pub fn caffe2() -> Self {
        Self::new(Naming::Caffe2, String::new())
    }

    fn new(naming: Naming, prefix: String) -> Self {
        Self {
            naming,
            prefix,
            eps: [naming.eps(); 2],
            pool_is_numbered: false,
            fast_first: 0,
            renamed: BTreeMap::new(),
        }
    }

    /// With the names of a network for video among `contents`.
    fn with_renamed(mut self, contents: &Contents) -> Self {
        if self.naming == Naming::VmzCaffe2 {
            let names = contents.tensors.keys().map(String::as_str);
            self.renamed = renamed_vmz(names, |name| contents.tensors.contains_key(name));
        } else if self.naming == Naming::Caffe2 {
            let laterals = contents.tensors.keys().filter_map(|name| Some((lateral_of_caffe2(name)?, name.clone())));
            self.renamed = laterals.collect();
        } else if self.naming.is_of_video() {
            let hints =
                Hints::new(self.naming, |name| contents.tensors.contains_key(&format!("{}{name}", self.prefix)));
            self.pool_is_numbered = hints.pool_is_numbered;
            for name in contents.tensors.keys() {
                if let Some(blob) = self.own(name).and_then(|own| canonical(self.naming, own, hints)) {
                    self.renamed.entry(blob).or_insert_with(|| name.clone());
                }
            }
            // The classifier of mmaction2's networks of two pathways has the fast one's channels first.
            if self.naming == Naming::Mmaction2 {
                let last = self.renamed.iter().filter(|(blob, _)| blob.starts_with("t_res5_") && blob.ends_with("_w"));
                let widths = last.filter_map(|(_, name)| contents.shape(name)?.first().copied());
                self.fast_first = widths.max().unwrap_or(0);
            }
        }
        self
    }

    /// `name` without the prefix; `None` if it has another.
    fn own<'a>(&self, name: &'a str) -> Option<&'a str> {
        // The classifier of mmaction2's is beside the backbone.
        let outside = self.prefix.strip_suffix("backbone.").filter(|_| self.naming == Naming::Mmaction2);
        let head = outside.and_then(|prefix| name.strip_prefix(prefix)).filter(|own| own.starts_with("cls_head."));
        head.or_else(|| name.strip_prefix(self.prefix.as_str()))
    }

    /// The name that the file has for the parameter `blob`, or for a statistic of a batch norm by the name that Caffe2 gives
    /// it. Where the file has none, it is the blob's own.
    pub fn name_of(&self, blob: &str) -> String {
        if let Some(name) = self.renamed.get(blob) {
            return name.clone();
        }
        let Some((layer, part)) = parameter(blob).filter(|_| !self.naming.is_of_video()) else {
            return blob.to_owned();
        };
        let norm = || self.norm(layer);
        match part {
            Part::Weight => self.weight(layer),
            Part::Scale => norm().scale,
            Part::Bias => norm().bias,
        }
    }

    /// The names that `blob` is made from in a file of `contents`: one, or for a batch norm four, the part itself first, then
    /// the other of scale and bias, mean and variance. Names that are not there are among them.
    pub fn sources(&self, blob: &str, contents: &Contents) -> Vec<String> {
        let (base, scale_first) = match (blob.strip_suffix("_bn_s"), blob.strip_suffix("_bn_b")) {
            (Some(base), _) => (base, true),
            (_, Some(base)) => (base, false),
            _ => return vec![self.name_of(blob)],
        };
        let NormNames { scale, bias, mean, variance } = match parameter(blob).filter(|_| !self.naming.is_of_video()) {
            Some((layer, _)) => self.norm(layer),
            None => {
                let name = |suffix: &str| self.name_of(&format!("{base}_bn_{suffix}"));
                NormNames { scale: name("s"), bias: name("b"), mean: name("rm"), variance: name("riv") }
            }
        };
        // Caffe2's networks mostly come with their batch norms folded; the statistics tell which ones do not.
        let folds = [&mean, &variance].into_iter().any(|name| contents.tensors.contains_key(name));
        match (folds || self.naming != Naming::Caffe2, scale_first) {
            (false, true) => vec![scale],
            (false, false) => vec![bias],
            (true, true) => vec![scale, bias, mean, variance],
            (true, false) => vec![bias, scale, mean, variance],
        }
    }

    /// What the batch norm adds to the variance that the scale or bias `blob` is made from.
    pub fn eps_of(&self, blob: &str) -> f64 {
        let [whole, mid] = self.eps;
        if blob.ends_with("_mid_bn_s") || blob.ends_with("_mid_bn_b") { mid } else { whole }
    }

    /// The name of a layer's weight.
    pub fn weight(&self, layer: Layer) -> String {
        let blob = match layer {
            Layer::Stem => "conv1_w".to_owned(),
            Layer::Block { stage, block, branch } => format!("res{stage}_{block}_{}_w", branch.caffe2()),
        };
        match self.naming {
            Naming::Caffe2 => blob,
            naming if naming.is_of_video() => self.name_of(&blob),
            _ => format!("{}{}.weight", self.prefix, self.pytorch(layer).0),
        }
    }

    /// The names of what follows a layer's convolution.
    pub fn norm(&self, layer: Layer) -> NormNames {
        if self.naming == Naming::Caffe2 {
            let base = match layer {
                Layer::Stem => "res_conv1".to_owned(),
                Layer::Block { stage, block, branch } => format!("res{stage}_{block}_{}", branch.caffe2()),
            };
            let name = |suffix: &str| format!("{base}_bn_{suffix}");
            NormNames { scale: name("s"), bias: name("b"), mean: name("rm"), variance: name("riv") }
        } else {
            let name = |suffix: &str| format!("{}{}.{suffix}", self.prefix, self.pytorch(layer).1);
            NormNames {
                scale: name("weight"),
                bias: name("bias"),
                mean: name("running_mean"),
                variance: name("running_var"),
            }
        }
    }

    /// Where in the body a tensor of this name belongs, whether or not the body has such a part; `None` for heads and
    /// whatever else is beside it.
    pub fn place(&self, name: &str) -> Option<Place> {
        let own = name.strip_prefix(self.prefix.as_str()).filter(|own| !own.ends_with("_momentum"))?;
        let ends: &[&str] = match self.naming {
            Naming::VmzCaffe2 => &["_w", "_b", "_s", "_rm", "_riv"],
            _ => &[".weight", ".bias", ".running_mean", ".running_var"],
        };
        let is_parameter = ends.iter().any(|end| own.ends_with(end));
        if self.naming.is_of_video() {
            let starts: &[&str] = match self.naming {
                Naming::TorchvisionVideo => &["stem.", "layer"],
                Naming::PyTorchVideo => &["blocks."],
                Naming::PySlowFast => &["s1", "s2", "s3", "s4", "s5"],
                Naming::VmzCaffe2 => &["conv1_", "comp_", "shortcut_projection_"],
                Naming::Mmaction2 => &["conv1", "layer", "slow_path.", "fast_path."],
                _ => &["conv1", "bn1", "layer"],
            };
            return (is_parameter && starts.iter().any(|start| own.starts_with(start))).then_some(Place::Stem);
        }
        // Stage and block as numbers, and what parts them.
        let numbers = |text: &str, between: &str, end: char| {
            let (stage, rest) = text.split_once(between)?;
            let (block, _) = rest.split_once(end)?;
            Some((stage.parse::<usize>().ok()?, block.parse::<usize>().ok()?))
        };
        let (block, first) = match self.naming {
            // Blobs that are no parameters may have such names too.
            Naming::Caffe2 if !["_w", "_b", "_s", "_rm", "_riv"].iter().any(|end| own.ends_with(end)) => return None,
            Naming::Caffe2 => {
                (own.strip_prefix(FAST).unwrap_or(own).strip_prefix("res").and_then(|rest| numbers(rest, "_", '_')), 0)
            }
            Naming::Detectron2 => (own.strip_prefix("res").and_then(|rest| numbers(rest, ".", '.')), 0),
            Naming::Torchvision | Naming::MaskRcnnBenchmark => {
                (own.strip_prefix("layer").and_then(|rest| numbers(rest, ".", '.')), 1)
            }
            _ => (own.strip_prefix("encoder.stages.").and_then(|rest| numbers(rest, ".layers.", '.')), 2),
        };
        if let Some((stage, block)) = block {
            return Some(Place::Block { stage: stage.checked_add(first)?, block });
        }
        let in_stem = match self.naming {
            Naming::Caffe2 if own.starts_with(FAST) => true,
            Naming::Caffe2 => ["conv1_", "conv2_", "conv3_", "res_conv1_"].iter().any(|start| own.starts_with(start)),
            Naming::Torchvision => {
                let module = own.split('.').next().unwrap_or_default();
                let numbered = ["conv", "bn"].iter().find_map(|kind| module.strip_prefix(kind));
                matches!(module, "stem" | "layer0") || matches!(numbered, Some("1" | "2" | "3"))
            }
            // Detectron2's converter puts torchvision's classifier there.
            Naming::Detectron2 | Naming::MaskRcnnBenchmark => own.starts_with("stem.") && !own.starts_with("stem.fc."),
            _ => own.starts_with("embedder."),
        };
        (in_stem && (is_parameter || self.naming == Naming::Caffe2)).then_some(Place::Stem)
    }

    /// PyTorch's modules for a layer: the convolution and its batch norm.
    fn pytorch(&self, layer: Layer) -> (String, String) {
        if self.naming == Naming::HuggingFace {
            let base = match layer {
                Layer::Stem => "embedder.embedder".to_owned(),
                Layer::Block { stage, block, branch } => {
                    let part = match branch {
                        Branch::A => "layer.0",
                        Branch::B => "layer.1",
                        Branch::C => "layer.2",
                        Branch::Projection => "shortcut",
                    };
                    format!("encoder.stages.{}.layers.{block}.{part}", stage - 2)
                }
            };
            return (format!("{base}.convolution"), format!("{base}.normalization"));
        }
        let detectron2 = self.naming == Naming::Detectron2;
        let base = match layer {
            Layer::Stem if self.naming == Naming::Torchvision => String::new(),
            Layer::Stem => "stem.".to_owned(),
            Layer::Block { stage, block, .. } if detectron2 => format!("res{stage}.{block}."),
            Layer::Block { stage, block, .. } => format!("layer{}.{block}.", stage - 1),
        };
        let (conv, norm) = match layer {
            Layer::Stem | Layer::Block { branch: Branch::A, .. } => ("conv1", "bn1"),
            Layer::Block { branch: Branch::B, .. } => ("conv2", "bn2"),
            Layer::Block { branch: Branch::C, .. } => ("conv3", "bn3"),
            Layer::Block { branch: Branch::Projection, .. } if detectron2 => ("shortcut", ""),
            Layer::Block { branch: Branch::Projection, .. } => ("downsample.0", "downsample.1"),
        };
        let norm = if detectron2 { format!("{base}{conv}.norm") } else { format!("{base}{norm}") };
        (base + conv, norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackboneConfig;
    use crate::graph::Body;

    #[test]
    fn every_parameter_of_every_body_has_a_layer_and_the_reference_s_name() {
        let names = Names::caffe2();
        for preset in BackboneConfig::PRESETS {
            let body = Body::new(BackboneConfig::preset(preset).unwrap()).unwrap();
            for wanted in body.graph.parameters() {
                let (layer, part) = parameter(&wanted.name).unwrap_or_else(|| panic!("{}", wanted.name));
                let norm = names.norm(layer);
                let own = match part {
                    Part::Weight => names.weight(layer),
                    Part::Scale => norm.scale,
                    Part::Bias => norm.bias,
                };
                assert_eq!(own, wanted.name);
            }
        }
        for other in ["", "data", "conv1", "conv1_bn_s", "res_conv1_w", "res2_0_branch2d_w", "res2_0_branch1_x_w"] {
            assert_eq!(parameter(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_those_of_each_project() {
        let block = |stage, block, branch| Layer::Block { stage, block, branch };
        let layers = [Layer::Stem, block(2, 0, Branch::A), block(4, 1, Branch::C), block(3, 0, Branch::Projection)];
        let cases = [
            (
                Naming::Torchvision,
                "",
                ["conv1", "layer1.0.conv1", "layer3.1.conv3", "layer2.0.downsample.0"],
                ["bn1", "layer1.0.bn1", "layer3.1.bn3", "layer2.0.downsample.1"],
            ),
            (
                Naming::MaskRcnnBenchmark,
                "module.backbone.body.",
                ["stem.conv1", "layer1.0.conv1", "layer3.1.conv3", "layer2.0.downsample.0"],
                ["stem.bn1", "layer1.0.bn1", "layer3.1.bn3", "layer2.0.downsample.1"],
            ),
            (
                Naming::Detectron2,
                "backbone.bottom_up.",
                ["stem.conv1", "res2.0.conv1", "res4.1.conv3", "res3.0.shortcut"],
                ["stem.conv1.norm", "res2.0.conv1.norm", "res4.1.conv3.norm", "res3.0.shortcut.norm"],
            ),
            (
                Naming::HuggingFace,
                "resnet.",
                [
                    "embedder.embedder.convolution",
                    "encoder.stages.0.layers.0.layer.0.convolution",
                    "encoder.stages.2.layers.1.layer.2.convolution",
                    "encoder.stages.1.layers.0.shortcut.convolution",
                ],
                [
                    "embedder.embedder.normalization",
                    "encoder.stages.0.layers.0.layer.0.normalization",
                    "encoder.stages.2.layers.1.layer.2.normalization",
                    "encoder.stages.1.layers.0.shortcut.normalization",
                ],
            ),
        ];
        for (naming, prefix, convs, norms) in cases {
            let names = Names::new(naming, prefix.to_owned());
            for (layer, (conv, norm)) in layers.into_iter().zip(convs.into_iter().zip(norms)) {
                assert_eq!(names.weight(layer), format!("{prefix}{conv}.weight"));
                let got = names.norm(layer);
                assert_eq!(got.scale, format!("{prefix}{norm}.weight"));
                assert_eq!(got.bias, format!("{prefix}{norm}.bias"));
                assert_eq!(got.mean, format!("{prefix}{norm}.running_mean"));
                assert_eq!(got.variance, format!("{prefix}{norm}.running_var"));
            }
        }
    }
    #[test]
    fn names_have_their_place_in_the_body_or_none() {
        let block = |stage, block| Some(Place::Block { stage, block });
        let stem = Some(Place::Stem);
        let cases = [
            (Naming::Caffe2, "", "res3_1_branch2d_w", block(3, 1)),
            (Naming::Caffe2, "", "res3_1_se_fc1_w", block(3, 1)),
            (Naming::Caffe2, "", "res3_1_branch2a_w_momentum", None),
            (Naming::Caffe2, "", "res3_1_sum", None),
            (Naming::Caffe2, "", "conv1_b", stem),
            (Naming::Caffe2, "", "res_conv1_gn_s", stem),
            (Naming::Caffe2, "", "conv_rpn_w", None),
            (Naming::Caffe2, "", "fpn_res4_5_sum_w", None),
            (Naming::Torchvision, "module.", "module.layer2.0.se.fc1.weight", block(3, 0)),
            (Naming::Torchvision, "module.", "layer2.0.se.fc1.weight", None),
            (Naming::Torchvision, "", "conv1.3.weight", stem),
            (Naming::Torchvision, "", "bn3.weight", stem),
            (Naming::Torchvision, "", "convert.weight", None),
            (Naming::Torchvision, "", "fc.weight", None),
            (Naming::Detectron2, "backbone.", "backbone.res4.10.conv3.bias", block(4, 10)),
            (Naming::Detectron2, "backbone.", "backbone.stem.conv2.weight", stem),
            (Naming::Detectron2, "", "stem.fc.weight", None),
            (Naming::Detectron2, "", "stem.data", None),
            (Naming::Detectron2, "backbone.", "backbone.fpn_output4.weight", None),
            (Naming::HuggingFace, "resnet.", "resnet.encoder.stages.1.layers.3.attention.weight", block(3, 3)),
            (Naming::HuggingFace, "resnet.", "resnet.embedder.embedder.0.convolution.weight", stem),
            (Naming::HuggingFace, "resnet.", "classifier.1.weight", None),
            (Naming::VmzCaffe2, "", "comp_3_conv_2_1x_w", stem),
            (Naming::VmzCaffe2, "", "comp_3_sum_2", None),
            (Naming::VmzCaffe2, "", "comp_3_conv_2_w_momentum", None),
            (Naming::VmzCaffe2, "", "last_out_L400_w", None),
        ];
        for (naming, prefix, name, wanted) in cases {
            let names = Names::new(naming, prefix.to_owned());
            assert_eq!(names.place(name), wanted, "{naming:?} {name}");
        }
    }
}
