//! How weight files name the parameters of a body.

use super::batch_norm::{EPS_CAFFE2, EPS_PYTORCH};
use super::raw::Contents;
use std::collections::BTreeSet;

/// Whose names the tensors of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Naming {
    /// The blobs of Caffe2, Detectron and this crate: `res3_0_branch2b_w`.
    Caffe2,
    /// torchvision, on its own or as the body of its detectors: `layer2.0.conv2.weight`.
    Torchvision,
    /// Detectron2: `backbone.bottom_up.res3.0.conv2.weight`.
    Detectron2,
    /// maskrcnn-benchmark: `backbone.body.layer2.0.conv2.weight`, with a `stem`.
    MaskRcnnBenchmark,
}

impl Naming {
    /// `caffe2`, `torchvision`, `detectron2` or `maskrcnn-benchmark`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caffe2 => "caffe2",
            Self::Torchvision => "torchvision",
            Self::Detectron2 => "detectron2",
            Self::MaskRcnnBenchmark => "maskrcnn-benchmark",
        }
    }

    /// `eps` of its batch norms.
    pub(crate) fn eps(self) -> f64 {
        match self {
            Self::Caffe2 => EPS_CAFFE2,
            Self::Torchvision | Self::Detectron2 => EPS_PYTORCH,
            // Its FrozenBatchNorm2d adds none.
            Self::MaskRcnnBenchmark => 0.0,
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
    let branch = [Branch::A, Branch::B, Branch::C, Branch::Projection].into_iter().find(|b| b.caffe2() == branch)?;
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

/// The names in one file: whose, and what is in front of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub naming: Naming,
    pub prefix: String,
}

impl Names {
    /// Finds out how the body's tensors are named, by the first convolution of the first block: all the ways that fit,
    /// with their prefixes. There may be none; several are several networks in one file.
    pub fn find(contents: &Contents) -> Vec<Self> {
        let mut found = BTreeSet::new();
        for name in contents.tensors.keys() {
            if name == "conv1_w" || name == "res2_0_branch2a_w" {
                found.insert((0, String::new()));
            }
            for (kind, suffix) in [(1, "layer1.0.conv1.weight"), (2, "res2.0.conv1.weight")] {
                let prefix = name.strip_suffix(suffix).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
                found.extend(prefix.map(|prefix| (kind, prefix.to_owned())));
            }
        }
        let named = found.into_iter().map(|(kind, prefix)| {
            let stem = contents.tensors.contains_key(&format!("{prefix}stem.conv1.weight"));
            let naming = match kind {
                0 => Naming::Caffe2,
                1 if stem => Naming::MaskRcnnBenchmark,
                1 => Naming::Torchvision,
                _ => Naming::Detectron2,
            };
            Self { naming, prefix }
        });
        named.collect()
    }

    /// The names of Caffe2's blobs, as they are.
    pub fn caffe2() -> Self {
        Self { naming: Naming::Caffe2, prefix: String::new() }
    }

    /// The name of a layer's weight.
    pub fn weight(&self, layer: Layer) -> String {
        match (self.naming, layer) {
            (Naming::Caffe2, Layer::Stem) => "conv1_w".to_owned(),
            (Naming::Caffe2, Layer::Block { stage, block, branch }) => {
                format!("res{stage}_{block}_{}_w", branch.caffe2())
            }
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

    /// What all names of PyTorch's for a block begin with behind the prefix.
    pub fn pytorch_block(&self, stage: usize, block: usize) -> String {
        match self.naming {
            Naming::Detectron2 => format!("res{stage}.{block}."),
            _ => format!("layer{}.{block}.", stage - 1),
        }
    }

    /// PyTorch's modules for a layer: the convolution and its batch norm.
    fn pytorch(&self, layer: Layer) -> (String, String) {
        let detectron2 = self.naming == Naming::Detectron2;
        let base = match layer {
            Layer::Stem if self.naming == Naming::Torchvision => String::new(),
            Layer::Stem => "stem.".to_owned(),
            Layer::Block { stage, block, .. } => self.pytorch_block(stage, block),
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
    use crate::graph::resnet::Body;

    #[test]
    fn every_parameter_of_every_body_has_a_layer_and_the_reference_s_name() {
        let names = Names::caffe2();
        for preset in crate::config::PRESETS {
            let body = Body::new(&BackboneConfig::preset(preset).unwrap()).unwrap();
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
        ];
        for (naming, prefix, convs, norms) in cases {
            let names = Names { naming, prefix: prefix.to_owned() };
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
}
