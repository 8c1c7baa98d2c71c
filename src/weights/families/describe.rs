//! A network's description from the shapes of its parameters and the hyperparameters of its family.

use super::Hyperparameters;
use crate::graph::SlowFrames;
use crate::graph::described::FAST;
use crate::network::{Block, Description, FastPathway, FirstHalf, Lateral, Pool, Shortcut, Stage, Stem, Unit};

/// The maximum number of blocks to look for in a stage.
const MAX_BLOCKS: usize = 1000;

/// The shapes of a file's parameters by blob name.
pub(crate) struct Shapes<'a> {
    /// The extents of the parameter of that name, if the file has it.
    pub of: &'a dyn Fn(&str) -> Option<Vec<usize>>,
    /// Whether a pooling between the stages has an index among the names.
    pub pool_has_index: bool,
    /// Whether the names are Caffe2's.
    pub of_caffe2: bool,
}

impl Shapes<'_> {
    /// The shape of a convolution's weight as (out, in/groups, kt, kh, kw); kt is 1 for 2-D weights. `None` if there is
    /// no such weight or an extent is zero.
    pub fn weight(&self, blob: &str) -> Option<[usize; 5]> {
        let shape = (self.of)(&format!("{blob}_w"))?;
        let weight = match shape[..] {
            [out, of_group, kh, kw] => [out, of_group, 1, kh, kw],
            [out, of_group, kt, kh, kw] => [out, of_group, kt, kh, kw],
            _ => return None,
        };
        (!weight.contains(&0)).then_some(weight)
    }

    /// Whether the second convolution of the bottleneck blocks is depthwise.
    pub fn is_depthwise(&self) -> bool {
        let second = self.weight("res2_0_branch2b");
        self.weight("res2_0_branch2c").is_some() && second.is_some_and(|[out, of_group, ..]| out > 1 && of_group == 1)
    }

    /// Whether convolutions in the blocks are factored into two halves.
    pub fn is_factored(&self) -> bool {
        ["a", "b"].iter().any(|letter| self.weight(&format!("res2_0_branch2{letter}_mid")).is_some())
    }

    /// Whether late blocks span no more frames than early ones. This tells PySlowFast's I3D and C2D, which pool over
    /// time after res2, from its slow networks.
    pub fn spans_alike(&self) -> bool {
        let time = |blob: &str| self.weight(blob).map(|[_, _, kt, _, _]| kt);
        match [time("res2_0_branch2a"), time("res4_0_branch2a")] {
            [Some(1), Some(3)] => false,
            // The C2D networks published in Caffe2's form do not pool over time.
            [Some(1), Some(1)] => !self.of_caffe2,
            _ => true,
        }
    }

    /// Whether there is a fast pathway.
    pub fn has_two_pathways(&self) -> bool {
        self.weight(&format!("{FAST}conv1")).is_some()
    }

    /// The number of frames that the stem spans.
    pub fn stem_time(&self) -> usize {
        self.weight("conv1").map_or(1, |[_, _, kt, _, _]| kt)
    }

    /// Whether the stem's weight is 2-D.
    pub fn has_2d_stem(&self) -> bool {
        (self.of)("conv1_w").is_some_and(|shape| shape.len() == 4)
    }
}

/// The network that `shapes` show; `None` if they do not form a connected network. [`Description::validate`] does all
/// other checks.
pub(crate) fn describe(shapes: &Shapes<'_>, hyperparameters: &Hyperparameters) -> Option<Description> {
    let laterals: Vec<Lateral> = (1..=4).map_while(|index| lateral(shapes, index)).collect();
    let joined: Vec<usize> = laterals.iter().map(|lateral| lateral.width).collect();
    let (stem, stages) = PathwayReader { shapes, hyperparameters, prefix: "" }.read(&joined)?;
    let fast = match hyperparameters.slow_frames {
        None => None,
        Some(SlowFrames { alpha, spread }) => {
            let (stem, stages) = PathwayReader { shapes, hyperparameters, prefix: FAST }.read(&[])?;
            Some(Box::new(FastPathway { alpha, spread, stem, stages, laterals }))
        }
    };
    let classes = (shapes.of)("pred_w").and_then(|shape| shape.first().copied());
    (!stages.is_empty()).then_some(Description { stem, stages, fast, classes })
}

/// The lateral connection with this index, if there is one.
fn lateral(shapes: &Shapes<'_>, index: usize) -> Option<Lateral> {
    let [width, _, kernel, ..] = shapes.weight(&format!("fuse{index}"))?;
    Some(Lateral { width, kernel, relu: (shapes.of)(&format!("fuse{index}_bn_s")).is_some() })
}

/// Reads the stem and the stages of one pathway.
struct PathwayReader<'a> {
    shapes: &'a Shapes<'a>,
    hyperparameters: &'a Hyperparameters,
    /// The prefix of the pathway's blob names.
    prefix: &'a str,
}

impl PathwayReader<'_> {
    /// The stem and the stages. Lateral connections add `joined[i]` channels to the input of stage i.
    fn read(&self, joined: &[usize]) -> Option<(Stem, Vec<Stage>)> {
        let stem = self.stem()?;
        let mut width = stem.convs.last()?.width;
        let mut stages = Vec::new();
        for stage in 2..=5 {
            let mut blocks = Vec::new();
            width += joined.get(stage - 2).copied().unwrap_or(0);
            while blocks.len() < MAX_BLOCKS {
                let Some(block) = self.block(stage, blocks.len(), width)? else { break };
                width = block.width();
                blocks.push(block);
            }
            if blocks.is_empty() {
                break;
            }
            let pool: Option<Pool> = self.hyperparameters.pool2.clone().filter(|_| stage == 2);
            stages.push(Stage { blocks, pool, stop_gradient: false });
        }
        Some((stem, stages))
    }

    fn stem(&self) -> Option<Stem> {
        let mut conv = self.unit(&format!("{}conv1", self.prefix), 3)?;
        set_stride(&mut conv, self.hyperparameters.stem_stride);
        Some(Stem { convs: vec![conv], pool: self.hyperparameters.pool1.clone() })
    }

    /// A block with `dim_in` input channels: `Some(None)` if the file has no such block, `None` if its weights do not
    /// fit.
    fn block(&self, stage: usize, block: usize, dim_in: usize) -> Option<Option<Block>> {
        let prefix = format!("{}res{stage}_{block}", self.prefix);
        let mut branch = Vec::new();
        let mut width = dim_in;
        for letter in 'a'..='z' {
            let blob = format!("{prefix}_branch2{letter}");
            if self.shapes.weight(&blob).is_none() {
                break;
            }
            let unit = self.unit(&blob, width)?;
            width = unit.width;
            branch.push(unit);
        }
        // Basic blocks stride in their first convolution, bottleneck blocks in their second.
        let Some(strided) = branch.get_mut(if block_is_basic(&prefix, self.shapes) { 0 } else { 1 }) else {
            return Some(None).filter(|_| branch.is_empty());
        };
        let stride = if block == 0 { self.stride(stage, strided) } else { [1; 3] };
        set_stride(strided, stride);
        let mut block = Block { branch, shortcut: Shortcut::Identity };
        let total_stride = block.stride();
        if let Some(mut projection) = self.optional_unit(&format!("{prefix}_branch1"), dim_in)? {
            set_stride(&mut projection, total_stride);
            block.shortcut = Shortcut::Projection(projection);
        } else if self.hyperparameters.pads && (dim_in != width || total_stride != [1; 3]) {
            block.shortcut = Shortcut::ZeroPad;
        }
        Some(Some(block))
    }

    /// The stride of a stage's first block, whose strided convolution is `unit`.
    fn stride(&self, stage: usize, unit: &Unit) -> [usize; 3] {
        let [time, space] = [self.hyperparameters.time[stage - 2], self.hyperparameters.space[stage - 2]];
        let spans_frames = unit.kernel[0] > 1 || unit.mid.as_ref().is_some_and(|mid| mid.kernel[0] > 1);
        [if spans_frames || self.hyperparameters.time_always { time } else { 1 }, space, space]
    }

    fn optional_unit(&self, blob: &str, dim_in: usize) -> Option<Option<Unit>> {
        if self.shapes.weight(blob).is_none() { Some(None) } else { self.unit(blob, dim_in).map(Some) }
    }

    /// A convolution with `dim_in` input channels and stride 1.
    fn unit(&self, blob: &str, dim_in: usize) -> Option<Unit> {
        let [width, of_group, kernel @ ..] = self.shapes.weight(blob)?;
        let mid = self.shapes.weight(&format!("{blob}_mid")).map(|[width, _, first @ ..]| FirstHalf {
            width,
            kernel: first,
            stride: [1; 3],
            // No ReLU follows a pointwise half in front of a depthwise one (VMZ's ip-CSN).
            relu: first != [1; 3] || of_group != 1 || kernel == [1; 3],
        });
        let dim_in = mid.as_ref().map_or(dim_in, |mid| mid.width);
        let groups = dim_in.checked_div(of_group).filter(|groups| groups * of_group == dim_in)?;
        Some(Unit { groups, mid, ..Unit::new(width, kernel) })
    }
}

fn block_is_basic(prefix: &str, shapes: &Shapes<'_>) -> bool {
    shapes.weight(&format!("{prefix}_branch2c")).is_none()
}

/// Sets the stride of `unit`. In a factored convolution each half strides along the axes that its kernel spans. If
/// neither half spans any axis, the first strides over height and width and the second over time.
fn set_stride(unit: &mut Unit, [time, space, _]: [usize; 3]) {
    let second_kernel = unit.kernel;
    match &mut unit.mid {
        None => unit.stride = [time, space, space],
        Some(mid) if mid.kernel == [1; 3] && second_kernel != [1; 3] => unit.stride = [time, space, space],
        Some(mid) if mid.kernel[0] > 1 => {
            mid.stride = [time, 1, 1];
            unit.stride = [1, space, space];
        }
        Some(mid) => {
            mid.stride = [1, space, space];
            unit.stride = [time, 1, 1];
        }
    }
}
