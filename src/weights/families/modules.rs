//! The modules of the projects' networks, and the blob names that they correspond to.
//!
//! The name of a project's tensor is the path of its module and its part in that module, `layer1.0.conv1.0.weight`. The
//! path shows which convolution, batch norm or classifier of the network it is. The blob name, `res2_0_branch2a`, is
//! the same for all projects.

use crate::graph::described::FAST;
use crate::weights::names::Naming;
use std::borrow::Cow;

/// A module with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Module {
    /// A convolution, by its blob name.
    Conv(String),
    /// A batch norm, by the blob name of the convolution in front of it.
    Norm(String),
    /// The classifier.
    Classifier,
}

/// What a single name does not show: whether certain other names are in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Whether the stem's convolution is in two halves.
    pub factored_stem: bool,
    /// Whether the second convolution of the bottleneck blocks is in two halves.
    pub factored_second: bool,
    /// Whether a pooling between the stages has an index among the names.
    pub pool_has_index: bool,
    /// Whether there are two pathways. Then the last pooling has an index.
    pub two_pathways: bool,
}

impl Hints {
    /// The hints for a file; `has` says whether it has a tensor of that name.
    pub fn new(naming: Naming, has: impl Fn(&str) -> bool) -> Self {
        let [stem, second, stage] = match naming {
            Naming::TorchvisionVideo => ["stem.3.weight", "", ""],
            // In networks with two pathways no pooling between the stages has an index.
            Naming::PyTorchVideo if has("blocks.0.multipathway_blocks.0.conv.weight") => {
                return Self { two_pathways: true, ..Self::default() };
            }
            Naming::PyTorchVideo => ["", "", "blocks.2.res_blocks.0.branch2.conv_a.weight"],
            Naming::Mmaction2 => ["", "layer1.0.conv2.1.conv.weight", ""],
            _ => [""; 3],
        };
        Self {
            factored_stem: has(stem),
            factored_second: has(second),
            pool_has_index: naming == Naming::PyTorchVideo && !has(stage),
            two_pathways: false,
        }
    }
}

/// The blob name of the tensor `name`, given without its prefix; `None` if the tensor is not a parameter of the
/// network.
pub(crate) fn blob_name(naming: Naming, name: &str, hints: Hints) -> Option<String> {
    let (path, part) = name.rsplit_once('.')?;
    if let Some(lateral) = lateral(naming, path) {
        return parameter(&lateral, part);
    }
    let (path, is_fast) = without_pathway(naming, path);
    let path = path.as_ref();
    let module = match naming {
        Naming::TorchvisionVideo => torchvision(path, hints),
        Naming::PyTorchVideo => pytorchvideo(path, hints),
        Naming::PySlowFast => pyslowfast(path),
        Naming::ThreeDResNets => three_d_resnets(path),
        Naming::Mmaction2 => mmaction2(path, hints),
        Naming::Caffe2
        | Naming::Torchvision
        | Naming::Detectron2
        | Naming::MaskRcnnBenchmark
        | Naming::HuggingFace
        | Naming::VmzCaffe2 => None,
    }?;
    let blob = parameter(&module, part)?;
    // The two pathways share one classifier.
    Some(if is_fast && module != Module::Classifier { format!("{FAST}{blob}") } else { blob })
}

/// The blob name of a part of a module.
fn parameter(module: &Module, part: &str) -> Option<String> {
    Some(match (module, part) {
        (Module::Conv(blob), "weight") => format!("{blob}_w"),
        (Module::Norm(blob), _) => {
            let suffix = match part {
                "weight" => "s",
                "bias" => "b",
                "running_mean" => "rm",
                "running_var" => "riv",
                _ => return None,
            };
            let stem = blob.starts_with("conv") && !blob.ends_with("_mid");
            format!("{}{blob}_bn_{suffix}", if stem { "res_" } else { "" })
        }
        (Module::Classifier, "weight") => "pred_w".to_owned(),
        (Module::Classifier, "bias") => "pred_b".to_owned(),
        _ => return None,
    })
}

/// The convolution or batch norm of a lateral connection that `path` leads to, in a network with two pathways.
fn lateral(naming: Naming, path: &str) -> Option<Module> {
    let (index, part) = match naming {
        Naming::PyTorchVideo => {
            let (block, part) = path.strip_prefix("blocks.")?.split_once(".multipathway_fusion.")?;
            (number(block)? + 1, part)
        }
        Naming::PySlowFast => {
            let (stage, part) = path.strip_prefix('s')?.split_once("_fuse.")?;
            (number(stage)?, part)
        }
        Naming::Mmaction2 => {
            let (place, part) = path.strip_prefix("slow_path.")?.split_once("_lateral.")?;
            (if place == "conv1" { 1 } else { number(place.strip_prefix("layer")?)? + 1 }, part)
        }
        _ => return None,
    };
    let blob = Some(index).filter(|index| (1..=4).contains(index)).map(|index| format!("fuse{index}"))?;
    match part {
        "conv_fast_to_slow" | "conv_f2s" | "conv" => Some(Module::Conv(blob)),
        "norm" | "bn" => Some(Module::Norm(blob)),
        _ => None,
    }
}

/// The blob name of a parameter of a lateral connection in Caffe2's form: `t_pool1_subsample_w`,
/// `t_res2_2_branch2c_bn_subsample_bn_s`.
pub(crate) fn lateral_of_caffe2(name: &str) -> Option<String> {
    let (place, part) = name.strip_prefix(FAST)?.split_once("_subsample_")?;
    let index = match place.strip_prefix("res") {
        None if place == "pool1" => 1,
        None => return None,
        Some(rest) => number(rest.split_once('_')?.0).filter(|stage| (2..=4).contains(stage))?,
    };
    ["w", "bn_s", "bn_b", "bn_rm", "bn_riv"].contains(&part).then(|| format!("fuse{index}_{part}"))
}

/// `path` as it is in a network with one pathway, and whether it belongs to the fast pathway.
fn without_pathway(naming: Naming, path: &str) -> (Cow<'_, str>, bool) {
    let marks: &[(&str, &str, bool)] = match naming {
        Naming::PyTorchVideo => &[(".multipathway_blocks.0.", ".", false), (".multipathway_blocks.1.", ".", true)],
        Naming::PySlowFast => &[(".pathway1_", ".pathway0_", true)],
        Naming::Mmaction2 => &[("slow_path.", "", false), ("fast_path.", "", true)],
        _ => &[],
    };
    for &(mark, replacement, is_fast) in marks {
        if let Some((before, after)) = path.split_once(mark) {
            return (format!("{before}{replacement}{after}").into(), is_fast);
        }
    }
    (path.into(), false)
}

fn stem(first_half: bool) -> String {
    if first_half { "conv1_mid" } else { "conv1" }.to_owned()
}

fn unit(stage: usize, block: usize, letter: char, first_half: bool) -> String {
    format!("res{stage}_{block}_branch2{letter}{}", if first_half { "_mid" } else { "" })
}

fn projection(stage: usize, block: usize, first_half: bool) -> String {
    format!("res{stage}_{block}_branch1{}", if first_half { "_mid" } else { "" })
}

/// Splits a path such as `layer2.0.conv1` into its stage, 3, its block, 0, and the rest.
fn layer(path: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = path.strip_prefix("layer")?.split_once('.')?;
    let (block, rest) = rest.split_once('.')?;
    let stage: usize = number(stage)?;
    Some((stage + 1, number(block)?, rest)).filter(|_| (1..=4).contains(&stage))
}

/// A number as PyTorch writes it, with at most three digits.
fn number(text: &str) -> Option<usize> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && digits).then(|| text.parse().ok()).flatten()
}

/// The branch letter of `conv1`, `conv2`, …: a, b, …
fn letter(text: &str, kind: &str) -> Option<char> {
    match text.strip_prefix(kind)? {
        "1" => Some('a'),
        "2" => Some('b'),
        "3" => Some('c'),
        _ => None,
    }
}

fn torchvision(path: &str, hints: Hints) -> Option<Module> {
    match (path, hints.factored_stem) {
        ("fc", _) => return Some(Module::Classifier),
        ("stem.0", factored) => return Some(Module::Conv(stem(factored))),
        ("stem.1", factored) => return Some(Module::Norm(stem(factored))),
        ("stem.3", true) => return Some(Module::Conv(stem(false))),
        ("stem.4", true) => return Some(Module::Norm(stem(false))),
        _ => {}
    }
    let (stage, block, rest) = layer(path)?;
    let (name, index) = rest.split_once('.')?;
    if name == "downsample" {
        return match index {
            "0" => Some(Module::Conv(projection(stage, block, false))),
            "1" => Some(Module::Norm(projection(stage, block, false))),
            _ => None,
        };
    }
    let letter = letter(name, "conv")?;
    let unit = |first_half| unit(stage, block, letter, first_half);
    // In a factored convolution 0.2 is a ReLU, or the second half if there is no ReLU (VMZ's ip-CSN).
    match index {
        "0" | "0.2" | "0.3" => Some(Module::Conv(unit(false))),
        "1" => Some(Module::Norm(unit(false))),
        "0.0" => Some(Module::Conv(unit(true))),
        "0.1" => Some(Module::Norm(unit(true))),
        _ => None,
    }
}

fn pytorchvideo(path: &str, hints: Hints) -> Option<Module> {
    let (index, rest) = path.strip_prefix("blocks.")?.split_once('.')?;
    let index = number(index)?;
    let pool_counts = hints.pool_has_index || hints.two_pathways;
    let stage = match (index, hints.pool_has_index) {
        (0, _) => {
            return match rest {
                "conv" => Some(Module::Conv(stem(false))),
                "norm" => Some(Module::Norm(stem(false))),
                _ => None,
            };
        }
        (1, _) => 2,
        (3..=5, true) => index,
        (2..=4, false) => index + 1,
        _ if rest == "proj" && index == if pool_counts { 6 } else { 5 } => return Some(Module::Classifier),
        _ => return None,
    };
    let (block, rest) = rest.strip_prefix("res_blocks.")?.split_once('.')?;
    let block = number(block)?;
    let unit = |letter, first_half| unit(stage, block, letter, first_half);
    Some(match rest {
        "branch1_conv" => Module::Conv(projection(stage, block, false)),
        "branch1_norm" => Module::Norm(projection(stage, block, false)),
        "branch2.conv_a" => Module::Conv(unit('a', false)),
        "branch2.norm_a" => Module::Norm(unit('a', false)),
        "branch2.conv_b.conv_t" => Module::Conv(unit('b', true)),
        "branch2.conv_b.norm" => Module::Norm(unit('b', true)),
        "branch2.conv_b" | "branch2.conv_b.conv_xy" => Module::Conv(unit('b', false)),
        "branch2.norm_b" => Module::Norm(unit('b', false)),
        "branch2.conv_c" => Module::Conv(unit('c', false)),
        "branch2.norm_c" => Module::Norm(unit('c', false)),
        _ => return None,
    })
}

fn pyslowfast(path: &str) -> Option<Module> {
    match path {
        "head.projection" => return Some(Module::Classifier),
        "s1.pathway0_stem.conv" => return Some(Module::Conv(stem(false))),
        "s1.pathway0_stem.bn" => return Some(Module::Norm(stem(false))),
        _ => {}
    }
    let (stage, rest) = path.strip_prefix('s')?.split_once(".pathway0_res")?;
    let stage = number(stage).filter(|stage| (2..=5).contains(stage))?;
    let (block, rest) = rest.split_once('.')?;
    let block = number(block)?;
    let unit = |letter| unit(stage, block, letter, false);
    Some(match rest {
        "branch1" => Module::Conv(projection(stage, block, false)),
        "branch1_bn" => Module::Norm(projection(stage, block, false)),
        "branch2.a" => Module::Conv(unit('a')),
        "branch2.a_bn" => Module::Norm(unit('a')),
        "branch2.b" => Module::Conv(unit('b')),
        "branch2.b_bn" => Module::Norm(unit('b')),
        "branch2.c" => Module::Conv(unit('c')),
        "branch2.c_bn" => Module::Norm(unit('c')),
        _ => return None,
    })
}

fn three_d_resnets(path: &str) -> Option<Module> {
    match path {
        "fc" => return Some(Module::Classifier),
        "conv1" | "conv1_t" => return Some(Module::Conv(stem(false))),
        "bn1" | "bn1_t" => return Some(Module::Norm(stem(false))),
        "conv1_s" => return Some(Module::Conv(stem(true))),
        "bn1_s" => return Some(Module::Norm(stem(true))),
        _ => {}
    }
    let (stage, block, rest) = layer(path)?;
    match rest {
        "downsample.0" => return Some(Module::Conv(projection(stage, block, false))),
        "downsample.1" => return Some(Module::Norm(projection(stage, block, false))),
        _ => {}
    }
    let (name, first_half) = match rest.strip_suffix("_s") {
        Some(name) => (name, true),
        None => (rest.strip_suffix("_t").unwrap_or(rest), false),
    };
    let unit = |letter| unit(stage, block, letter, first_half);
    match (letter(name, "conv"), letter(name, "bn")) {
        (Some(letter), _) => Some(Module::Conv(unit(letter))),
        (_, Some(letter)) => Some(Module::Norm(unit(letter))),
        _ => None,
    }
}

fn mmaction2(path: &str, hints: Hints) -> Option<Module> {
    if path == "cls_head.fc_cls" {
        return Some(Module::Classifier);
    }
    // Every convolution is a ConvModule of mmcv, which contains the batch norm.
    let in_module = |rest: &str, blob: &dyn Fn(bool) -> String| match rest {
        "conv" | "conv.conv_t" => Some(Module::Conv(blob(false))),
        "bn" => Some(Module::Norm(blob(false))),
        "conv.conv_s" => Some(Module::Conv(blob(true))),
        "conv.bn_s" => Some(Module::Norm(blob(true))),
        _ => None,
    };
    if let Some(rest) = path.strip_prefix("conv1.") {
        return in_module(rest, &stem);
    }
    let (stage, block, rest) = layer(path)?;
    let (name, rest) = rest.split_once('.')?;
    if name == "downsample" {
        return in_module(rest, &|first_half| projection(stage, block, first_half));
    }
    let letter = letter(name, "conv")?;
    // The second convolution of a CSN bottleneck is a list of one or two such modules.
    match (rest.strip_prefix("0."), rest.strip_prefix("1.")) {
        (Some(rest), _) => in_module(rest, &|_| unit(stage, block, letter, hints.factored_second)),
        (_, Some(rest)) => in_module(rest, &|_| unit(stage, block, letter, false)),
        _ => in_module(rest, &|first_half| unit(stage, block, letter, first_half)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laterals_of_caffe2_become_blobs() {
        for (name, blob) in [
            ("t_pool1_subsample_w", Some("fuse1_w")),
            ("t_pool1_subsample_bn_riv", Some("fuse1_bn_riv")),
            ("t_res4_5_branch2c_bn_subsample_bn_s", Some("fuse4_bn_s")),
            ("t_res5_2_branch2c_bn_subsample_w", None),
            ("t_pool1_subsample_w_momentum", None),
            ("t_conv1_w", None),
        ] {
            assert_eq!(lateral_of_caffe2(name).as_deref(), blob, "{name}");
        }
    }

    #[test]
    fn names_of_every_project_become_blobs() {
        let plain = Hints::default();
        let factored = Hints { factored_stem: true, ..plain };
        let numbered = Hints { pool_has_index: true, ..plain };
        let two = Hints { two_pathways: true, ..plain };
        let second = Hints { factored_second: true, ..plain };
        use Naming::{Mmaction2, PySlowFast, PyTorchVideo, ThreeDResNets, TorchvisionVideo};
        for (naming, hints, name, blob) in [
            (TorchvisionVideo, plain, "stem.0.weight", "conv1_w"),
            (TorchvisionVideo, plain, "stem.1.running_var", "res_conv1_bn_riv"),
            (TorchvisionVideo, factored, "stem.0.weight", "conv1_mid_w"),
            (TorchvisionVideo, factored, "stem.1.bias", "conv1_mid_bn_b"),
            (TorchvisionVideo, factored, "stem.3.weight", "conv1_w"),
            (TorchvisionVideo, factored, "stem.4.weight", "res_conv1_bn_s"),
            (TorchvisionVideo, plain, "layer2.1.conv2.0.weight", "res3_1_branch2b_w"),
            (TorchvisionVideo, plain, "layer2.1.conv2.1.running_mean", "res3_1_branch2b_bn_rm"),
            (TorchvisionVideo, plain, "layer2.1.conv2.0.0.weight", "res3_1_branch2b_mid_w"),
            (TorchvisionVideo, plain, "layer2.1.conv2.0.1.weight", "res3_1_branch2b_mid_bn_s"),
            (TorchvisionVideo, plain, "layer2.1.conv2.0.3.weight", "res3_1_branch2b_w"),
            (TorchvisionVideo, plain, "layer2.0.downsample.0.weight", "res3_0_branch1_w"),
            (TorchvisionVideo, plain, "layer2.0.downsample.1.bias", "res3_0_branch1_bn_b"),
            (TorchvisionVideo, plain, "fc.bias", "pred_b"),
            (PyTorchVideo, plain, "blocks.0.conv.weight", "conv1_w"),
            (PyTorchVideo, plain, "blocks.4.res_blocks.2.branch2.conv_c.weight", "res5_2_branch2c_w"),
            (PyTorchVideo, numbered, "blocks.5.res_blocks.2.branch2.norm_b.bias", "res5_2_branch2b_bn_b"),
            (PyTorchVideo, numbered, "blocks.1.res_blocks.0.branch1_conv.weight", "res2_0_branch1_w"),
            (PyTorchVideo, plain, "blocks.2.res_blocks.0.branch2.conv_b.conv_t.weight", "res3_0_branch2b_mid_w"),
            (PyTorchVideo, plain, "blocks.2.res_blocks.0.branch2.conv_b.conv_xy.weight", "res3_0_branch2b_w"),
            (PyTorchVideo, plain, "blocks.5.proj.weight", "pred_w"),
            (PyTorchVideo, numbered, "blocks.6.proj.weight", "pred_w"),
            (PyTorchVideo, two, "blocks.6.proj.weight", "pred_w"),
            (PySlowFast, plain, "s1.pathway0_stem.bn.weight", "res_conv1_bn_s"),
            (PySlowFast, plain, "s4.pathway0_res5.branch2.a.weight", "res4_5_branch2a_w"),
            (PySlowFast, plain, "s4.pathway0_res5.branch2.c_bn.running_mean", "res4_5_branch2c_bn_rm"),
            (PySlowFast, plain, "s2.pathway0_res0.branch1_bn.weight", "res2_0_branch1_bn_s"),
            (PySlowFast, plain, "head.projection.weight", "pred_w"),
            (PySlowFast, plain, "s1.pathway1_stem.conv.weight", "t_conv1_w"),
            (PySlowFast, plain, "s1.pathway1_stem.bn.bias", "t_res_conv1_bn_b"),
            (PySlowFast, plain, "s3.pathway1_res2.branch2.b_bn.weight", "t_res3_2_branch2b_bn_s"),
            (PySlowFast, plain, "s2_fuse.conv_f2s.weight", "fuse2_w"),
            (PySlowFast, plain, "s2_fuse.bn.running_var", "fuse2_bn_riv"),
            (PyTorchVideo, plain, "blocks.0.multipathway_blocks.0.conv.weight", "conv1_w"),
            (PyTorchVideo, plain, "blocks.0.multipathway_blocks.1.norm.weight", "t_res_conv1_bn_s"),
            (PyTorchVideo, plain, "blocks.0.multipathway_fusion.conv_fast_to_slow.weight", "fuse1_w"),
            (PyTorchVideo, plain, "blocks.3.multipathway_fusion.norm.running_mean", "fuse4_bn_rm"),
            (
                PyTorchVideo,
                plain,
                "blocks.2.multipathway_blocks.1.res_blocks.0.branch2.conv_c.weight",
                "t_res3_0_branch2c_w",
            ),
            (
                PyTorchVideo,
                plain,
                "blocks.2.multipathway_blocks.0.res_blocks.0.branch1_norm.bias",
                "res3_0_branch1_bn_b",
            ),
            (Mmaction2, plain, "slow_path.conv1.conv.weight", "conv1_w"),
            (Mmaction2, plain, "slow_path.conv1_lateral.conv.weight", "fuse1_w"),
            (Mmaction2, plain, "slow_path.layer3_lateral.conv.weight", "fuse4_w"),
            (Mmaction2, plain, "fast_path.conv1.bn.weight", "t_res_conv1_bn_s"),
            (Mmaction2, plain, "fast_path.layer4.2.conv3.conv.weight", "t_res5_2_branch2c_w"),
            (ThreeDResNets, plain, "conv1.weight", "conv1_w"),
            (ThreeDResNets, plain, "bn1_s.weight", "conv1_mid_bn_s"),
            (ThreeDResNets, plain, "layer4.1.bn3.running_var", "res5_1_branch2c_bn_riv"),
            (ThreeDResNets, plain, "layer4.1.conv2_s.weight", "res5_1_branch2b_mid_w"),
            (ThreeDResNets, plain, "layer4.1.conv2_t.weight", "res5_1_branch2b_w"),
            (Mmaction2, plain, "conv1.conv.weight", "conv1_w"),
            (Mmaction2, plain, "conv1.conv.bn_s.weight", "conv1_mid_bn_s"),
            (Mmaction2, plain, "layer1.0.conv2.conv.weight", "res2_0_branch2b_w"),
            (Mmaction2, plain, "layer1.0.conv2.0.conv.weight", "res2_0_branch2b_w"),
            (Mmaction2, second, "layer1.0.conv2.0.bn.weight", "res2_0_branch2b_mid_bn_s"),
            (Mmaction2, second, "layer1.0.conv2.1.conv.weight", "res2_0_branch2b_w"),
            (Mmaction2, plain, "layer2.0.downsample.conv.conv_s.weight", "res3_0_branch1_mid_w"),
            (Mmaction2, plain, "layer2.0.downsample.bn.weight", "res3_0_branch1_bn_s"),
            (Mmaction2, plain, "cls_head.fc_cls.weight", "pred_w"),
        ] {
            assert_eq!(blob_name(naming, name, hints).as_deref(), Some(blob), "{naming:?} {name}");
        }
        for (naming, name) in [
            (TorchvisionVideo, "layer2.1.conv2.0.bias"),
            (TorchvisionVideo, "layer5.1.conv2.0.weight"),
            (TorchvisionVideo, "layer0.1.conv2.0.weight"),
            (TorchvisionVideo, "layer1.01.conv2.0.weight"),
            (TorchvisionVideo, "layer1.0.conv4.0.weight"),
            (TorchvisionVideo, "stem.3.weight"),
            (TorchvisionVideo, "layer1.0.conv1.1.num_batches_tracked"),
            (PyTorchVideo, "blocks.6.proj.weight"),
            (PyTorchVideo, "blocks.1.res_blocks.0.branch2.conv_d.weight"),
            (PySlowFast, "s6.pathway0_res5.branch2.a.weight"),
            (PySlowFast, "s3.pathway2_res5.branch2.a.weight"),
            (PySlowFast, "s5_fuse.conv_f2s.weight"),
            (PyTorchVideo, "blocks.0.multipathway_blocks.2.conv.weight"),
            (Mmaction2, "fast_path.layer1_lateral.conv.weight"),
            (ThreeDResNets, "layer1.0.se.weight"),
            (Mmaction2, "layer1.0.non_local_block.g.0.conv.weight"),
            (Mmaction2, "weight"),
        ] {
            assert_eq!(blob_name(naming, name, plain), None, "{naming:?} {name}");
        }
    }
}
