//! How weight files name the parameters of a body.
//!
//! `naming` lists the known namings, and `detect` finds the naming of a file. `layer` has the parameters by blob name,
//! and `place` says where in the body any tensor belongs.

mod detect;
mod layer;
mod naming;
mod place;

pub(crate) use layer::{Branch, Layer, Part, parameter};
pub use naming::Naming;
pub(crate) use place::Place;

use super::raw::Contents;
use std::collections::BTreeMap;

/// The names of the parts of a batch norm, or of the affine channel that it was folded into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NormNames {
    pub scale: String,
    pub bias: String,
    pub mean: String,
    pub variance: String,
}

/// The names in one file: their naming, and the prefix of each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Names {
    pub naming: Naming,
    pub prefix: String,
    /// `eps` of the batch norms: first in general, then between the halves of a factored convolution.
    pub eps: [f64; 2],
    /// Whether a pooling between the stages has an index among the names.
    pub pool_has_index: bool,
    /// How many leading columns of the classifier's weight belong to the fast pathway; 0 if the slow pathway comes
    /// first.
    pub leading_fast_columns: usize,
    /// The names in the file by blob name, where a table is needed: for video networks and lateral connections.
    file_names: BTreeMap<String, String>,
}

impl Names {
    /// The names of Caffe2's blobs.
    pub fn caffe2() -> Self {
        Self::new(Naming::Caffe2, String::new())
    }

    fn new(naming: Naming, prefix: String) -> Self {
        Self {
            naming,
            prefix,
            eps: [naming.eps(); 2],
            pool_has_index: false,
            leading_fast_columns: 0,
            file_names: BTreeMap::new(),
        }
    }

    /// The name in the file for `blob`, a parameter or a statistic of a batch norm under its name in Caffe2. `blob`
    /// itself if no other name is known.
    pub fn name_of(&self, blob: &str) -> String {
        if let Some(name) = self.file_names.get(blob) {
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

    /// The names in a file of `contents` from which `blob` is made, whether or not the file has them: one name, or four
    /// for a batch norm. The four are `blob` itself, then bias or scale, whichever `blob` is not, then mean and
    /// variance.
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
        // Most Caffe2 networks come with their batch norms folded; the others have statistics.
        let has_statistics = [&mean, &variance].into_iter().any(|name| contents.tensors.contains_key(name));
        match (has_statistics || self.naming != Naming::Caffe2, scale_first) {
            (false, true) => vec![scale],
            (false, false) => vec![bias],
            (true, true) => vec![scale, bias, mean, variance],
            (true, false) => vec![bias, scale, mean, variance],
        }
    }

    /// `eps` of the batch norm from which the scale or bias `blob` is made.
    pub fn eps_of(&self, blob: &str) -> f64 {
        let [eps, eps_mid] = self.eps;
        if blob.ends_with("_mid_bn_s") || blob.ends_with("_mid_bn_b") { eps_mid } else { eps }
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

    /// The names of the batch norm after a layer's convolution.
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

    /// The PyTorch modules of a layer: the convolution and its batch norm.
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
                let name = match part {
                    Part::Weight => names.weight(layer),
                    Part::Scale => norm.scale,
                    Part::Bias => norm.bias,
                };
                assert_eq!(name, wanted.name);
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
}
