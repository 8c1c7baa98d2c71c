//! The published networks, under the names that their projects give them.
//!
//! Counts and widths are those in the projects' code: torchvision `models/video/resnet.py`, PyTorchVideo
//! `models/hub/*.py` with `models/{resnet,csn,r2plus1d}.py`, 3D-ResNets-PyTorch `models/{resnet,resnext}.py`, VMZ
//! `pt/vmz/models/*.py`.

use super::Spread;
use super::{Block, Description, FastPathway, FirstHalf, Lateral, Pool, Shortcut, Stage, Stem, Unit};
use crate::config::BackboneConfig;

/// The names that `preset` accepts in addition to [`BackboneConfig::PRESETS`]. The names of Hara's networks may end in
/// `_K`, `_KM`, `_KMS`, `_KS`, `_M`, `_MS` or `_S`, as the names of the published files do. The suffix adds the
/// classifier for the training data.
pub const NAMES: &[&str] = &[
    "r3d_18",
    "mc3_18",
    "r2plus1d_18",
    "slow_r50",
    "c2d_r50",
    "i3d_r50",
    "csn_r101",
    "r2plus1d_r50",
    "slowfast_r50",
    "slowfast_r101",
    "r3d10",
    "r3d18",
    "r3d34",
    "r3d50",
    "r3d101",
    "r3d152",
    "r3d200",
    "resnext101",
    "r2plus1d_34",
    "ir_csn_50",
    "ir_csn_152",
    "ip_csn_50",
    "ip_csn_152",
];

/// The training data sets of Hara's networks and their numbers of classes: Kinetics-700, Moments in Time, STAIR
/// Actions, and combinations of these.
const TRAINING_DATA: [(&str, usize); 7] =
    [("K", 700), ("KM", 1039), ("KMS", 1139), ("KS", 800), ("M", 339), ("MS", 439), ("S", 100)];

/// The inner widths of the stages, which are also the output widths of basic blocks.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// All names that `preset` accepts.
pub fn all() -> impl Iterator<Item = &'static str> {
    BackboneConfig::PRESETS.iter().chain(NAMES).copied()
}

/// The network called `name`, if there is one.
pub(super) fn described(name: &str) -> Option<Description> {
    Some(match name {
        "r3d_18" => torchvision([2; 4], [3; 4]),
        "mc3_18" => torchvision([2; 4], [3, 1, 1, 1]),
        "r2plus1d_18" => r2plus1d([2; 4], false),
        "r2plus1d_34" => r2plus1d([3, 4, 6, 3], true),
        "slow_r50" => pytorchvideo(1, [3, 4, 6, 3], SLOW, None),
        "c2d_r50" => pytorchvideo(1, [3, 4, 6, 3], [&[1]; 4], Some(Pool::MAX_2X1X1)),
        "i3d_r50" => pytorchvideo(5, [3, 4, 6, 3], [&[3], &[3, 1], &[3, 1], &[1, 3]], Some(Pool::MAX_2X1X1)),
        "csn_r101" => csn([3, 4, 23, 3], false),
        "ir_csn_50" => csn([3, 4, 6, 3], false),
        "ir_csn_152" => csn([3, 8, 36, 3], false),
        "ip_csn_50" => csn([3, 4, 6, 3], true),
        "ip_csn_152" => csn([3, 8, 36, 3], true),
        "r2plus1d_r50" => r2plus1d_r50(),
        "slowfast_r50" => slowfast([3, 4, 6, 3], 7),
        "slowfast_r101" => slowfast([3, 4, 23, 3], 5),
        "resnext101" => resnext101(),
        _ => {
            let (depth, training_data) = match name.strip_prefix("r3d")?.split_once('_') {
                Some((depth, training_data)) => (depth, Some(training_data)),
                None => (name.strip_prefix("r3d")?, None),
            };
            let mut network = hara(depth, counts(depth)?);
            if let Some(data) = training_data {
                let (_, classes) = TRAINING_DATA.iter().find(|(name, _)| name.eq_ignore_ascii_case(data))?;
                network.classes = Some(*classes);
            }
            network
        }
    })
}

/// The block counts of Hara's networks.
fn counts(depth: &str) -> Option<[usize; 4]> {
    Some(match depth {
        "10" => [1, 1, 1, 1],
        "18" => [2, 2, 2, 2],
        "34" | "50" => [3, 4, 6, 3],
        "101" => [3, 4, 23, 3],
        "152" => [3, 8, 36, 3],
        "200" => [3, 24, 36, 3],
        _ => return None,
    })
}

/// torchvision's networks with basic blocks, 3×3×3 or 1×3×3 by stage.
fn torchvision(counts: [usize; 4], time_kernels: [usize; 4]) -> Description {
    let stem = stem(Unit::new(64, [3, 7, 7]), None);
    network(stem, counts, |Position { dim_in, stage, first, .. }| {
        let [kt, stride] = [time_kernels[stage], if first && stage > 0 { 2 } else { 1 }];
        let unit = Unit::new(WIDTHS[stage], [kt, 3, 3]);
        let stride = [if kt > 1 { stride } else { 1 }, stride, stride];
        residual(dim_in, vec![unit.clone().strided(stride), unit])
    })
}

/// R(2+1)D with basic blocks. The width between the halves of a convolution is computed from its input and output
/// widths. In torchvision's networks the second convolution of a block takes the width of the first; in VMZ's and
/// ig65m's networks it has a separate width (`separate_mids`).
fn r2plus1d(counts: [usize; 4], separate_mids: bool) -> Description {
    let first = Unit { mid: Some(spatial(45, [1, 7, 7], 2)), ..Unit::new(64, [3, 1, 1]) };
    let stem = Stem { convs: vec![first], pool: None };
    network(stem, counts, |Position { dim_in, stage, first, .. }| {
        let width = WIDTHS[stage];
        let mid = |dim_in: usize| (dim_in * width * 27) / (dim_in * 9 + 3 * width);
        let unit = |mid: usize, stride: usize| Unit {
            mid: Some(spatial(mid, [1, 3, 3], stride)),
            ..Unit::new(width, [3, 1, 1]).strided([stride, 1, 1])
        };
        let second = if separate_mids { mid(width) } else { mid(dim_in) };
        residual(dim_in, vec![unit(mid(dim_in), if first && stage > 0 { 2 } else { 1 }), unit(second, 1)])
    })
}

/// The spatial half of a factored convolution.
fn spatial(width: usize, kernel: [usize; 3], stride: usize) -> FirstHalf {
    FirstHalf { width, kernel, stride: [1, stride, stride], relu: true }
}

/// The time kernels of slow networks, by stage.
const SLOW: [&[usize]; 4] = [&[1], &[1], &[3], &[3]];

/// PyTorchVideo's networks with bottleneck blocks. The first units of a stage's blocks cycle through its
/// `time_kernels`.
fn pytorchvideo(stem_time: usize, counts: [usize; 4], time_kernels: [&[usize]; 4], pool: Option<Pool>) -> Description {
    let mut network = bottlenecks(64, stem_time, counts, time_kernels);
    network.stages[0].pool = pool;
    network
}

/// A pathway of bottleneck blocks whose stem has `width` channels.
fn bottlenecks(width: usize, stem_time: usize, counts: [usize; 4], time_kernels: [&[usize]; 4]) -> Description {
    let stem = stem(Unit::new(width, [stem_time, 7, 7]), Some(Pool::MAX_1X3X3));
    network(stem, counts, |Position { dim_in, stage, block, first }| {
        let stride = if first && stage > 0 { 2 } else { 1 };
        let kt = time_kernels[stage][block % time_kernels[stage].len()];
        let inner = width << stage;
        let branch = vec![
            Unit::new(inner, [kt, 1, 1]),
            Unit::new(inner, [1, 3, 3]).strided([1, stride, stride]),
            Unit::pointwise(4 * inner),
        ];
        residual(dim_in, branch)
    })
}

/// SlowFast networks: a slow pathway that takes one frame in four, and a fast pathway of an eighth of its width. The
/// lateral convolutions span `lateral_kernel` frames and have twice the channels of the fast pathway.
fn slowfast(counts: [usize; 4], lateral_kernel: usize) -> Description {
    const WIDTH: usize = 8;
    let Description { stem, stages, .. } = bottlenecks(WIDTH, 5, counts, [&[3]; 4]);
    let widths = [WIDTH].into_iter().chain((0..3).map(|stage| (4 * WIDTH) << stage));
    let laterals = widths.map(|width| Lateral { width: 2 * width, kernel: lateral_kernel, relu: true }).collect();
    let fast = FastPathway { alpha: 4, spread: Spread::Even, stem, stages, laterals };
    Description { fast: Some(Box::new(fast)), ..bottlenecks(64, 1, counts, SLOW) }
}

/// Channel-separated networks: the 3×3×3 convolution is depthwise. In the interaction-preserved networks a 1×1×1
/// convolution is in front of it.
fn csn(counts: [usize; 4], interaction_preserved: bool) -> Description {
    let stem = stem(Unit::new(64, [3, 7, 7]), Some(Pool::MAX_1X3X3));
    network(stem, counts, |Position { dim_in, stage, first, .. }| {
        let stride = if first && stage > 0 { 2 } else { 1 };
        let inner = WIDTHS[stage];
        let mid =
            interaction_preserved.then_some(FirstHalf { width: inner, kernel: [1; 3], stride: [1; 3], relu: false });
        let depthwise = Unit { groups: inner, mid, ..Unit::new(inner, [3; 3]).strided([stride; 3]) };
        residual(dim_in, vec![Unit::pointwise(inner), depthwise, Unit::pointwise(4 * inner)])
    })
}

/// PyTorchVideo's R(2+1)D-50: the temporal half comes first, there is no pooling, and every stage strides.
fn r2plus1d_r50() -> Description {
    let stem = stem(Unit::new(64, [1, 7, 7]), None);
    network(stem, [3, 4, 6, 3], |Position { dim_in, stage, first, .. }| {
        let [time, space] = if first { [[1, 1, 2, 2][stage], 2] } else { [1, 1] };
        let inner = WIDTHS[stage];
        let mid = FirstHalf { width: inner, kernel: [3, 1, 1], stride: [time, 1, 1], relu: true };
        let factored = Unit { mid: Some(mid), ..Unit::new(inner, [1, 3, 3]).strided([1, space, space]) };
        residual(dim_in, vec![Unit::pointwise(inner), factored, Unit::pointwise(4 * inner)])
    })
}

/// Hara's networks with projected shortcuts.
fn hara(depth: &str, counts: [usize; 4]) -> Description {
    let basic = matches!(depth, "10" | "18" | "34");
    let stem = stem(Unit::new(64, [7; 3]), Some(Pool::MAX_3X3X3));
    network(stem, counts, |Position { dim_in, stage, first, .. }| {
        let stride = [if first && stage > 0 { 2 } else { 1 }; 3];
        let unit = Unit::new(WIDTHS[stage], [3; 3]);
        let branch = if basic {
            vec![unit.clone().strided(stride), unit]
        } else {
            vec![Unit::pointwise(WIDTHS[stage]), unit.strided(stride), Unit::pointwise(4 * WIDTHS[stage])]
        };
        residual(dim_in, branch)
    })
}

/// Hara's ResNeXt-101 with 32 groups.
fn resnext101() -> Description {
    let stem = stem(Unit::new(64, [7; 3]), Some(Pool::MAX_3X3X3));
    network(stem, [3, 4, 23, 3], |Position { dim_in, stage, first, .. }| {
        let stride = [if first && stage > 0 { 2 } else { 1 }; 3];
        let inner = 2 * WIDTHS[stage];
        let grouped = Unit { groups: 32, ..Unit::new(inner, [3; 3]).strided(stride) };
        residual(dim_in, vec![Unit::pointwise(inner), grouped, Unit::pointwise(2 * inner)])
    })
}

fn stem(unit: Unit, pool: Option<Pool>) -> Stem {
    Stem { convs: vec![unit.strided([1, 2, 2])], pool }
}

/// The position of a block in a network: its stage, its index in the stage, and the width of its input.
struct Position {
    stage: usize,
    block: usize,
    first: bool,
    dim_in: usize,
}

fn network(stem: Stem, counts: [usize; 4], block_at: impl Fn(Position) -> Block) -> Description {
    let mut dim_in = stem.convs.last().map_or(0, |unit| unit.width);
    let mut stages = Vec::new();
    for (stage, count) in counts.into_iter().enumerate() {
        let mut blocks = Vec::new();
        for block in 0..count {
            let block = block_at(Position { stage, block, first: block == 0, dim_in });
            dim_in = block.width();
            blocks.push(block);
        }
        stages.push(Stage { blocks, pool: None, stop_gradient: false });
    }
    Description { stem, stages, fast: None, classes: None }
}

/// A block of these units. Its shortcut is projected if the block strides or changes the width.
fn residual(dim_in: usize, branch: Vec<Unit>) -> Block {
    let mut block = Block { branch, shortcut: Shortcut::Identity };
    let (width, stride) = (block.width(), block.stride());
    if dim_in != width || stride != [1; 3] {
        block.shortcut = Shortcut::Projection(Unit::pointwise(width).strided(stride));
    }
    block
}
