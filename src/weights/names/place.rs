//! Where in the body a tensor belongs, by its name.

use super::{Names, Naming};
use crate::graph::described::FAST;

/// A part of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Stem,
    /// Block `block` of stage `stage`, which is 2 for res2.
    Block {
        stage: usize,
        block: usize,
    },
}

impl Names {
    /// Where in the body a tensor of this name belongs, whether or not the body has such a tensor; `None` for heads and
    /// everything else outside the body. All of a video network's body counts as the stem.
    pub fn place(&self, name: &str) -> Option<Place> {
        let name = name.strip_prefix(self.prefix.as_str()).filter(|name| !name.ends_with("_momentum"))?;
        let ends: &[&str] = match self.naming {
            Naming::VmzCaffe2 => &["_w", "_b", "_s", "_rm", "_riv"],
            _ => &[".weight", ".bias", ".running_mean", ".running_var"],
        };
        let is_parameter = ends.iter().any(|end| name.ends_with(end));
        if self.naming.is_of_video() {
            let starts: &[&str] = match self.naming {
                Naming::TorchvisionVideo => &["stem.", "layer"],
                Naming::PyTorchVideo => &["blocks."],
                Naming::PySlowFast => &["s1", "s2", "s3", "s4", "s5"],
                Naming::VmzCaffe2 => &["conv1_", "comp_", "shortcut_projection_"],
                Naming::Mmaction2 => &["conv1", "layer", "slow_path.", "fast_path."],
                _ => &["conv1", "bn1", "layer"],
            };
            return (is_parameter && starts.iter().any(|start| name.starts_with(start))).then_some(Place::Stem);
        }
        // The numbers of stage and block, with `between` after the first and `end` after the second.
        let numbers = |text: &str, between: &str, end: char| {
            let (stage, rest) = text.split_once(between)?;
            let (block, _) = rest.split_once(end)?;
            Some((stage.parse::<usize>().ok()?, block.parse::<usize>().ok()?))
        };
        let (block, first) = match self.naming {
            // Blobs that are not parameters may begin in the same way.
            Naming::Caffe2 if !["_w", "_b", "_s", "_rm", "_riv"].iter().any(|end| name.ends_with(end)) => return None,
            Naming::Caffe2 => {
                let slow = name.strip_prefix(FAST).unwrap_or(name);
                (slow.strip_prefix("res").and_then(|rest| numbers(rest, "_", '_')), 0)
            }
            Naming::Detectron2 => (name.strip_prefix("res").and_then(|rest| numbers(rest, ".", '.')), 0),
            Naming::Torchvision | Naming::MaskRcnnBenchmark => {
                (name.strip_prefix("layer").and_then(|rest| numbers(rest, ".", '.')), 1)
            }
            _ => (name.strip_prefix("encoder.stages.").and_then(|rest| numbers(rest, ".layers.", '.')), 2),
        };
        if let Some((stage, block)) = block {
            return Some(Place::Block { stage: stage.checked_add(first)?, block });
        }
        let in_stem = match self.naming {
            Naming::Caffe2 if name.starts_with(FAST) => true,
            Naming::Caffe2 => ["conv1_", "conv2_", "conv3_", "res_conv1_"].iter().any(|start| name.starts_with(start)),
            Naming::Torchvision => {
                let module = name.split('.').next().unwrap_or_default();
                let number = ["conv", "bn"].iter().find_map(|kind| module.strip_prefix(kind));
                matches!(module, "stem" | "layer0") || matches!(number, Some("1" | "2" | "3"))
            }
            // Detectron2's converter puts torchvision's classifier under `stem`.
            Naming::Detectron2 | Naming::MaskRcnnBenchmark => {
                name.starts_with("stem.") && !name.starts_with("stem.fc.")
            }
            _ => name.starts_with("embedder."),
        };
        (in_stem && (is_parameter || self.naming == Naming::Caffe2)).then_some(Place::Stem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_a_place_in_the_body_or_none() {
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
