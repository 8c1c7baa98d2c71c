//! A network from the shapes of its parameters, and what its project's code tells beside.

use super::Rules;
use crate::graph::SlowFrames;
use crate::graph::described::FAST;
use crate::network::{Block, Description, FastPathway, FirstHalf, Lateral, Pool, Shortcut, Stage, Stem, Unit};

/// The most blocks of a stage that are looked for.
const MAX_BLOCKS: usize = 1000;

/// The shapes of a file's parameters by the names of blobs.
pub(crate) struct Shapes<'a> {
    /// The extents of the parameter of that name, if it is there.
    pub of: &'a dyn Fn(&str) -> Option<Vec<usize>>,
    /// Whether a pooling between the stages takes a number of its own among the names.
    pub pool_is_numbered: bool,
    /// Whether the names are Caffe2's.
    pub of_caffe2: bool,
}

impl Shapes<'_> {
    /// A convolution's weight as (out, in/groups, kt, kh, kw), where 2-D weights have a time kernel of 1; `None` also where
    /// an extent is zero.
    pub fn weight(&self, blob: &str) -> Option<[usize; 5]> {
        let shape = (self.of)(&format!("{blob}_w"))?;
        let weight = match shape[..] {
            [out, of_group, kh, kw] => [out, of_group, 1, kh, kw],
            [out, of_group, kt, kh, kw] => [out, of_group, kt, kh, kw],
            _ => return None,
        };
        (!weight.contains(&0)).then_some(weight)
    }

    /// Whether the second convolution of a bottleneck is depthwise.
    pub fn is_depthwise(&self) -> bool {
        let second = self.weight("res2_0_branch2b");
        self.weight("res2_0_branch2c").is_some() && second.is_some_and(|[out, of_group, ..]| out > 1 && of_group == 1)
    }

    /// Whether convolutions of blocks are in two halves.
    pub fn is_factored(&self) -> bool {
        ["a", "b"].iter().any(|letter| self.weight(&format!("res2_0_branch2{letter}_mid")).is_some())
    }

    /// Whether the blocks do not span more frames late than early: by that PySlowFast's I3D and C2D, which pool over time
    /// behind res2, are told from its slow networks.
    pub fn spans_alike(&self) -> bool {
        let time = |blob: &str| self.weight(blob).map(|[_, _, kt, _, _]| kt);
        match [time("res2_0_branch2a"), time("res4_0_branch2a")] {
            [Some(1), Some(3)] => false,
            // The C2Ds that were published in Caffe2's form pool nothing.
            [Some(1), Some(1)] => !self.of_caffe2,
            _ => true,
        }
    }

    /// Whether there is a fast pathway.
    pub fn has_two_pathways(&self) -> bool {
        self.weight(&format!("{FAST}conv1")).is_some()
    }

    /// Frames that the stem spans.
    pub fn stem_time(&self) -> usize {
        self.weight("conv1").map_or(1, |[_, _, kt, _, _]| kt)
    }

    /// Whether the stem's weight is of images.
    pub fn is_flat(&self) -> bool {
        (self.of)("conv1_w").is_some_and(|shape| shape.len() == 4)
    }
}

/// The network that `shapes` show; `None` if they show none that hangs together. What is wrong with it beyond that is for
/// [`Description::validate`].
pub(crate) fn describe(shapes: &Shapes<'_>, rules: &Rules) -> Option<Description> {
    let laterals: Vec<Lateral> = (1..=4).map_while(|index| lateral(shapes, index)).collect();
    let joined: Vec<usize> = laterals.iter().map(|lateral| lateral.width).collect();
    let (stem, stages) = Reader { shapes, rules, pathway: "" }.pathway(&joined)?;
    let fast = match rules.slow_frames {
        None => None,
        Some(SlowFrames { alpha, spread }) => {
            let (stem, stages) = Reader { shapes, rules, pathway: FAST }.pathway(&[])?;
            Some(Box::new(FastPathway { alpha, spread, stem, stages, laterals }))
        }
    };
    let classes = (shapes.of)("pred_w").and_then(|shape| shape.first().copied());
    (!stages.is_empty()).then_some(Description { stem, stages, fast, classes })
}

/// The lateral connection of that index, if there is one.
fn lateral(shapes: &Shapes<'_>, index: usize) -> Option<Lateral> {
    let [width, _, kernel, ..] = shapes.weight(&format!("fuse{index}"))?;
    Some(Lateral { width, kernel, relu: (shapes.of)(&format!("fuse{index}_bn_s")).is_some() })
}

struct Reader<'a> {
    shapes: &'a Shapes<'a>,
    rules: &'a Rules,
    /// What the names of its blobs begin with.
    pathway: &'a str,
}

impl Reader<'_> {
    /// The stem and the stages; so many channels are `joined` to the input of each, if any.
    fn pathway(&self, joined: &[usize]) -> Option<(Stem, Vec<Stage>)> {
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
            let pool: Option<Pool> = self.rules.pool2.clone().filter(|_| stage == 2);
            stages.push(Stage { blocks, pool, stop_gradient: false });
        }
        Some((stem, stages))
    }

    fn stem(&self) -> Option<Stem> {
        let mut conv = self.unit(&format!("{}conv1", self.pathway), 3)?;
        stride(&mut conv, self.rules.stem_stride);
        Some(Stem { convs: vec![conv], pool: self.rules.pool1.clone() })
    }

    /// A block, if it is there: `Some(None)` if it is not, `None` if it does not fit.
    fn block(&self, stage: usize, block: usize, dim_in: usize) -> Option<Option<Block>> {
        let prefix = format!("{}res{stage}_{block}", self.pathway);
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
        // Basic blocks stride in their first convolution, bottlenecks in their second.
        let Some(strided) = branch.get_mut(if block_is_basic(&prefix, self.shapes) { 0 } else { 1 }) else {
            return Some(None).filter(|_| branch.is_empty());
        };
        let own = if block == 0 { self.stride(stage, strided) } else { [1; 3] };
        stride(strided, own);
        let mut block = Block { branch, shortcut: Shortcut::Identity };
        let total = block.stride();
        if let Some(mut projection) = self.optional_unit(&format!("{prefix}_branch1"), dim_in)? {
            stride(&mut projection, total);
            block.shortcut = Shortcut::Projection(projection);
        } else if self.rules.pads && (dim_in != width || total != [1; 3]) {
            block.shortcut = Shortcut::ZeroPad;
        }
        Some(Some(block))
    }

    /// The steps of a stage's first block, whose strided convolution is `unit`.
    fn stride(&self, stage: usize, unit: &Unit) -> [usize; 3] {
        let [time, space] = [self.rules.time[stage - 2], self.rules.space[stage - 2]];
        let spans = unit.kernel[0] > 1 || unit.mid.as_ref().is_some_and(|mid| mid.kernel[0] > 1);
        [if spans || self.rules.time_always { time } else { 1 }, space, space]
    }

    fn optional_unit(&self, blob: &str, dim_in: usize) -> Option<Option<Unit>> {
        if self.shapes.weight(blob).is_none() { Some(None) } else { self.unit(blob, dim_in).map(Some) }
    }

    /// A convolution of `dim_in` channels, without its stride.
    fn unit(&self, blob: &str, dim_in: usize) -> Option<Unit> {
        let [width, of_group, kernel @ ..] = self.shapes.weight(blob)?;
        let mid = self.shapes.weight(&format!("{blob}_mid")).map(|[width, _, first @ ..]| FirstHalf {
            width,
            kernel: first,
            stride: [1; 3],
            // A pointwise half in front of a depthwise one has none (VMZ's ip-CSN).
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

/// Gives `unit` these steps. Of two halves, each strides along what it spans; of two that span nothing, the first does so
/// over height and width, as in front of one that spans frames.
fn stride(unit: &mut Unit, [time, space, _]: [usize; 3]) {
    let whole = unit.kernel;
    match &mut unit.mid {
        None => unit.stride = [time, space, space],
        Some(mid) if mid.kernel == [1; 3] && whole != [1; 3] => unit.stride = [time, space, space],
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
