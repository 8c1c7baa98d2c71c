//! Drawing random operators and bodies.
//!
//! A case is a function of a seed and a number, so that a single case of a run can be drawn again. A body follows every
//! five operators. The number also determines the kind of an operator: any 25 operators in a row contain every kind.

use super::Expected;
use crate::clip::Clip;
use crate::config::{BackboneConfig, Transformation};
use crate::error::Result;
use crate::graph::{Axes, BlobId, Body, Graph, GraphBuilder, SlowFrames, Spread, Window};
use crate::shape::Shape;
use crate::weights::{Weights, random};
use fastrand::Rng;

/// A graph with weights and inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// A description for messages.
    pub description: String,
    /// The graph as built.
    pub graph: Graph,
    /// Its parameters.
    pub weights: Weights,
    /// A clip for each of the graph's inputs.
    pub inputs: Vec<Clip>,
    /// Blobs to compare in addition to the last one.
    pub taps: Vec<String>,
    /// An artificial limit on workgroups along one axis, so that small grids fold too.
    pub max_groups: u32,
}

/// The number of operators before each body.
const OPERATORS: usize = 5;

/// The number of operator `index`, both from 0.
pub(super) fn number_of_operator(index: usize) -> usize {
    index / OPERATORS * (OPERATORS + 1) + index % OPERATORS
}

/// The number of body `index`, both from 0.
pub(super) fn number_of_body(index: usize) -> usize {
    index * (OPERATORS + 1) + OPERATORS
}

/// Whether the case of that number is a body.
pub(super) fn is_body(number: usize) -> bool {
    number % (OPERATORS + 1) == OPERATORS
}

/// A case, its expected results, and the seed and number that draw it again.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The seed.
    pub seed: u64,
    /// The number of the case among those of the seed, from 0.
    pub number: usize,
    /// Whether it is a body, not an operator.
    pub is_body: bool,
    /// Its number among the operators or among the bodies, from 0. Everything that alternates between cases follows
    /// this number.
    pub index: usize,
    /// The case.
    pub case: Case,
    /// The results of the CPU reference.
    pub expected: Expected,
}

impl Drawn {
    /// Case `number` of `seed`. It depends on nothing else.
    ///
    /// # Errors
    /// None that drawn cases can have.
    pub fn new(seed: u64, number: usize) -> Result<Self> {
        let is_body = is_body(number);
        let bodies_before = number / (OPERATORS + 1);
        let index = if is_body { bodies_before } else { number - bodies_before };
        let mut rng = generator(seed, number, Stream::Case);
        loop {
            let case = if is_body { random_body(&mut rng)? } else { random_operator(&mut rng, index) };
            let expected = Expected::of(&case)?;
            if !is_body || !expected.has_cancelled() {
                return Ok(Self { seed, number, is_body, index, case, expected });
            }
        }
    }

    /// The generator for the limits under which the case is split. It is separate, so that splitting a case does not
    /// change what is drawn for the case.
    pub fn splits(&self) -> Rng {
        generator(self.seed, self.number, Stream::Splits)
    }
}

/// A purpose of random numbers.
#[derive(Clone, Copy)]
enum Stream {
    Case,
    Splits,
}

/// The generator for one purpose of one case. Seed, number and purpose are hashed one after the other, so that cases
/// with successive numbers are independent.
fn generator(seed: u64, number: usize, stream: Stream) -> Rng {
    let words = [seed, number as u64, stream as u64];
    Rng::with_seed(words.into_iter().fold(0, |state, word| Rng::with_seed(state ^ word).u64(..)))
}

impl Case {
    fn new(description: String, graph: Graph, shapes: &[Shape], rng: &mut Rng) -> Self {
        let seed = rng.u64(..);
        let clip = |(index, &shape): (usize, &Shape)| {
            let name = &graph.blob(graph.inputs()[index]).name;
            let data = random::uniform(name, seed).take(shape.len()).map(|u| u as f32).collect();
            Clip::new(shape, data).expect("cases are drawn with small shapes")
        };
        Self {
            description,
            weights: Weights::random_for(&graph, seed),
            inputs: shapes.iter().enumerate().map(clip).collect(),
            taps: Vec::new(),
            max_groups: if rng.u32(..4) == 0 { 64 } else { u32::MAX },
            graph,
        }
    }

    /// Shapes of the inputs.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(Clip::shape).collect()
    }
}

/// The pooling behind the stem's convolution.
const STEM_POOL: Window = Window { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1], dilation: [1; 3] };

/// The kind of a random operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    MaxPool,
    Subsample,
    Mean,
    /// The end of a network that classifies.
    Head,
    Relu,
    Affine,
    Sum,
    /// The channels of two blobs, or of a slow pathway and of a convolution over time on the whole clip.
    Concat,
    Conv,
    /// A convolution whose weights fill several blocks of the widest tile and are larger than the frames, so that
    /// limits split the weights first.
    HeavyConv,
    /// A convolution with several workgroup tiles along channels and along positions, and several stages, in every
    /// kernel.
    WideConv,
    /// A depthwise convolution.
    Depthwise,
    /// Two convolutions, added.
    Projected,
    /// The same with several workgroup tiles along both axes, and several stages.
    WideProjected,
}

impl Kind {
    /// All kinds, each as often as its share. The length is odd, so that other choices that alternate between cases
    /// meet every kind.
    const DECK: [Self; 25] = {
        use Kind::*;
        [
            Conv,
            MaxPool,
            Depthwise,
            Conv,
            Mean,
            Conv,
            Projected,
            Head,
            Conv,
            Affine,
            Depthwise,
            Conv,
            HeavyConv,
            Conv,
            Relu,
            Subsample,
            Concat,
            Depthwise,
            WideProjected,
            Conv,
            MaxPool,
            Mean,
            Conv,
            Sum,
            WideConv,
        ]
    };
}

/// A single operator; behind a convolution also any of the operators that can be fused into it. `index`, its number
/// among the operators, determines its kind.
fn random_operator(rng: &mut Rng, index: usize) -> Case {
    let mut model = GraphBuilder::new();
    let groups = [1, 1, 1, 1, 2, 3, 4][rng.usize(..7)];
    let kind = Kind::DECK[index % Kind::DECK.len()];
    let heavy = kind == Kind::HeavyConv;
    let groups = if heavy || matches!(kind, Kind::WideConv | Kind::WideProjected) { 1 } else { groups };
    // The stem's pooling behind the convolution of a clip. Some kernels compute both.
    let pool = heavy || kind == Kind::Conv && groups == 1 && rng.u32(..4) == 0;
    // Sometimes more than one block of the depthwise kernels. A single channel would not be a depthwise convolution.
    let by_channel = kind == Kind::Depthwise;
    // Groups of whole channel blocks, which the implicit-GEMM kernels support if their blocks fit the groups.
    let whole_blocks = groups > 1 && rng.bool();
    let of_group = match kind {
        Kind::WideConv => rng.usize(5..=8),
        // Five channel blocks or more: two stages of any tile.
        Kind::WideProjected => rng.usize(17..=24),
        _ if by_channel => rng.usize(2..=40),
        _ if whole_blocks => 4 * rng.usize(1..=3),
        _ if pool && rng.u32(..4) > 0 => rng.usize(1..=3),
        _ => rng.usize(1..=9),
    };
    let dim_in = groups * of_group;
    // Pooling halves the rows. Higher clips leave enough rows to split.
    let height = rng.usize(1..=if pool { 64 } else { 24 });
    // A mean leaves little. Longer clips leave enough frames to split.
    let frames = rng.usize(1..=if kind == Kind::Mean { 12 } else { 5 });
    let shape = match kind {
        Kind::WideConv | Kind::WideProjected => wide_shape(rng, dim_in),
        _ => Shape::new(rng.usize(1..=2), dim_in, frames, height, rng.usize(1..=24)),
    };
    let data = model.input("data", dim_in);
    let (description, out, shapes) = match kind {
        Kind::MaxPool => {
            let window = random_window(rng, shape, true);
            let out = model.max_pool(data, "pool", window);
            (format!("max_pool {window:?} of {shape}"), out, vec![shape])
        }
        Kind::Subsample => {
            let stride = [rng.usize(1..=2), rng.usize(1..=3), rng.usize(1..=3)];
            let dim_out = dim_in + rng.usize(..=9);
            let out = model.subsample(data, "sub", dim_out, stride);
            (format!("subsample {stride:?} of {shape} to {dim_out} channels"), out, vec![shape])
        }
        Kind::Mean => {
            let axes = Axes::ALL[rng.usize(..2)];
            (format!("mean of {shape} over {axes:?}"), model.mean(data, "mean", axes), vec![shape])
        }
        Kind::Head => return head(rng, model, data, shape),
        Kind::Relu => (format!("relu of {shape}"), model.relu(data), vec![shape]),
        Kind::Affine if rng.bool() => (format!("bias of {shape}"), model.bias(data, "bn"), vec![shape]),
        Kind::Affine => (format!("affine of {shape}"), model.affine_channel_nd(data, "bn", false), vec![shape]),
        Kind::Sum => {
            let shortcut = model.input("shortcut", dim_in);
            (format!("sum of {shape}"), model.sum(data, shortcut, Some("sum")), vec![shape; 2])
        }
        Kind::Concat if rng.bool() => return two_pathways(rng, model, data, shape),
        Kind::Concat => {
            let further = if rng.bool() { rng.usize(1..=9) } else { 4 * rng.usize(1..=5) };
            let other = model.input("other", further);
            let (first, second) = if rng.bool() { (data, other) } else { (other, data) };
            let out = model.concat(first, second, "concat");
            (
                format!("{further} more channels with those of {shape}"),
                out,
                vec![shape, shape.with(further, shape.thw())],
            )
        }
        Kind::Depthwise => return depthwise(rng, model, data, shape),
        Kind::Projected | Kind::WideProjected => {
            let wide = kind == Kind::WideProjected;
            projected_convolution(rng, &mut model, data, shape, wide)
        }
        Kind::Conv | Kind::HeavyConv | Kind::WideConv => {
            let shape = if heavy { shape.with(dim_in, shape.thw().map(|n| n.min(6))) } else { shape };
            let window = match kind {
                // Every method supports it, and the output has as many positions as the input.
                Kind::WideConv => Window { kernel: [1, 3, 3], pad: [0, 1, 1], ..Window::POINTWISE },
                _ => random_window(rng, shape, false),
            };
            // Sometimes more than one block of the widest tile.
            let dim_out = groups
                * match rng.u32(..6) {
                    _ if heavy => rng.usize(65..=140),
                    _ if kind == Kind::WideConv => rng.usize(WIDE_CHANNELS),
                    _ if whole_blocks => 4 << rng.usize(..4),
                    0 => rng.usize(22..=80),
                    _ => rng.usize(1..=21),
                };
            let [affine, mut sum, relu] = [(); 3].map(|()| rng.bool());
            let scaled = rng.u32(..4) > 0;
            sum &= !pool;
            let mut shapes = vec![shape];
            let mut out = model.conv_nd(data, "conv", dim_out, window, groups);
            if affine {
                out = match scaled {
                    true => model.affine_channel_nd(out, "conv_bn", true),
                    false => model.bias(out, "conv"),
                };
            }
            if sum {
                let thw = window.output(shape.thw()).expect("drawn to fit");
                shapes.push(shape.with(dim_out, thw));
                let shortcut = model.input("shortcut", dim_out);
                out = model.sum(out, shortcut, Some("conv_sum"));
            }
            if relu {
                out = model.relu(out);
            }
            if pool {
                out = model.max_pool(out, "pool", STEM_POOL);
            }
            let extras = format!("affine {affine}, scaled {scaled}, sum {sum}, relu {relu}, pool {pool}");
            (format!("conv {window:?} of {shape} to {dim_out}, groups {groups}, {extras}"), out, shapes)
        }
    };
    let graph = model.finish(out);
    Case::new(description, graph, &shapes, rng)
}

/// A depthwise convolution, one in three with a 3×3×3 kernel, and any of the operators that can be fused into it.
fn depthwise(rng: &mut Rng, mut model: GraphBuilder, data: BlobId, shape: Shape) -> Case {
    let mut window = random_window(rng, shape, false);
    if rng.u32(..3) == 0 {
        let stride = rng.usize(1..=2);
        let pad = [(); 3].map(|()| [1, 1, 0, 2, 3, 3][rng.usize(..6)]);
        let common = Window { kernel: [3; 3], stride: [rng.usize(1..=3), stride, stride], pad, dilation: [1; 3] };
        window = common.output(shape.thw()).map_or(window, |_| common);
    }
    let [affine, sum, relu] = [(); 3].map(|()| rng.bool());
    let mut shapes = vec![shape];
    let mut out = match affine {
        true => model.conv_affine_nd(data, "conv", shape.c, window, shape.c, true),
        false => model.conv_nd(data, "conv", shape.c, window, shape.c),
    };
    if sum {
        shapes.push(shape.with(shape.c, window.output(shape.thw()).expect("drawn to fit")));
        let shortcut = model.input("shortcut", shape.c);
        out = model.sum(out, shortcut, Some("conv_sum"));
    }
    if relu {
        out = model.relu(out);
    }
    let description = format!("depthwise conv {window:?} of {shape}, affine {affine}, sum {sum}, relu {relu}");
    Case::new(description, model.finish(out), &shapes, rng)
}

/// The beginning of a network with two pathways: a convolution on some frames of a clip, joined with a strided
/// convolution over time on all frames.
fn two_pathways(rng: &mut Rng, mut model: GraphBuilder, data: BlobId, shape: Shape) -> Case {
    let alpha = rng.usize(1..=4);
    let shape = Shape { t: alpha * rng.usize(1..=4), ..shape };
    let spread = [Spread::Even, Spread::Every][rng.usize(..2)];
    let slow = model.sampled("slow", SlowFrames { alpha, spread });
    let mut from = data;
    if rng.bool() {
        from = model.conv_affine_nd(from, "fast", rng.usize(1..=9), Window::POINTWISE, 1, true);
    }
    let kernel = [1, 3, 5, 7][rng.usize(..4)];
    let window = Window { kernel: [kernel, 1, 1], stride: [alpha, 1, 1], pad: [kernel / 2, 0, 0], ..Window::POINTWISE };
    let fused = model.conv_nd(from, "fuse", rng.usize(1..=12), window, 1);
    let slow = match rng.bool() {
        true => model.conv_affine_nd(slow, "conv", rng.usize(1..=12), Window::POINTWISE, 1, true),
        false => slow,
    };
    let joined = model.concat(slow, fused, "concat");
    let description = format!("two pathways of {shape}, one frame in {alpha} ({spread:?}), {kernel} frames joined");
    Case::new(description, model.finish(joined), &[shape], rng)
}

/// The end of a network that classifies: a convolution, the mean of its output, and the classes. One of the three is
/// the output of the graph, and some of the others are tapped.
fn head(rng: &mut Rng, mut model: GraphBuilder, data: BlobId, shape: Shape) -> Case {
    let dim_out = rng.usize(1..=40);
    let stage = model.conv_affine_nd(data, "stage", dim_out, random_window(rng, shape, false), 1, true);
    let stage = model.relu(stage);
    let pooled = model.average_pool(stage, "pool");
    let classes = if rng.bool() { rng.usize(1..=21) } else { rng.usize(22..=150) };
    let scores = model.linear(pooled, "pred", classes);
    let mut blobs = vec![(stage, "stage"), (pooled, "pool"), (scores, "pred")];
    let (output, last) = blobs.swap_remove(rng.usize(..3));
    blobs.retain(|_| rng.bool());
    let taps: Vec<String> = blobs.into_iter().map(|(_, name)| name.to_owned()).collect();
    let description = format!("a head of {dim_out} channels and {classes} classes on {shape}, {last} and {taps:?}");
    Case { taps, ..Case::new(description, model.finish(output), &[shape], rng) }
}

/// The end of a bottleneck block: the sum of a pointwise convolution of `data` and one of another input, with any
/// strides.
fn projected_convolution(
    rng: &mut Rng,
    model: &mut GraphBuilder,
    data: BlobId,
    shape: Shape,
    wide: bool,
) -> (String, BlobId, Vec<Shape>) {
    let mut window = |most: usize| Window { stride: [(); 3].map(|()| rng.usize(1..=most)), ..Window::POINTWISE };
    let (window, shortcut_window) = (window(2), window(2));
    let thw = window.output(shape.thw()).expect("one tap always fits");
    let from = [0, 1, 2].map(|axis| {
        let stride = shortcut_window.stride[axis];
        (thw[axis] - 1) * stride + rng.usize(1..=stride)
    });
    let dim_out = match wide {
        true => rng.usize(WIDE_CHANNELS),
        false if rng.bool() => rng.usize(1..=21),
        false => rng.usize(22..=80),
    };
    let from = shape.with(rng.usize(1..=21), from);
    let [affine, relu] = [(); 2].map(|()| rng.bool());
    let add = |model: &mut GraphBuilder, from: BlobId, name: &str, window: Window, affine: bool| match affine {
        true => model.conv_affine_nd(from, name, dim_out, window, 1, true),
        false => model.conv_nd(from, name, dim_out, window, 1),
    };
    let branch = add(model, data, "conv", window, affine);
    let source = model.input("source", from.c);
    let shortcut = add(model, source, "shortcut", shortcut_window, rng.bool());
    let mut out = model.sum(branch, shortcut, Some("conv_sum"));
    if relu {
        out = model.relu(out);
    }
    let strides = (window.stride, shortcut_window.stride);
    (format!("conv of {shape} and of {from} to {dim_out}, strides {strides:?}, relu {relu}"), out, vec![shape, from])
}

/// Output channels of wide convolutions: more than the 64 of the widest workgroup tile.
const WIDE_CHANNELS: std::ops::RangeInclusive<usize> = 65..=80;

/// Output positions of the longest workgroup tile.
const LONGEST_TILE: usize = 512;

/// A shape with more 2×2 squares than the longest workgroup tile has positions, so that Winograd's products also need
/// several of these tiles.
fn wide_shape(rng: &mut Rng, channels: usize) -> Shape {
    let (n, h, w) = (rng.usize(1..=2), rng.usize(17..=24), rng.usize(17..=24));
    let frames = LONGEST_TILE / (n * (h / 2) * (w / 2)) + 1;
    Shape::new(n, channels, frames, h, w)
}

/// A window that fits into `shape` at least once; for pooling, a window that never lies entirely in the padding.
fn random_window(rng: &mut Rng, shape: Shape, pooling: bool) -> Window {
    loop {
        let mut kernel = [(); 3].map(|()| [1, 1, 2, 3, 3, 5, 7][rng.usize(..7)]);
        let mut dilation = [(); 3].map(|()| [1, 1, 1, 2, 3][rng.usize(..5)]);
        let mut stride = [(); 3].map(|()| [1, 1, 2, 2, 3][rng.usize(..5)]);
        // The window of most layers, which would rarely be drawn by chance.
        if !pooling && rng.u32(..3) == 0 {
            for axis in 1..3 {
                (kernel[axis], dilation[axis], stride[axis]) = (3, 1, 1);
            }
        }
        let span = |axis: usize| dilation[axis] * (kernel[axis] - 1);
        let pad = [0, 1, 2].map(|axis| {
            // Convolutions may have more padding than the window covers.
            let most = if pooling { span(axis) } else { span(axis) + 1 };
            if rng.bool() { (span(axis) / 2).min(most) } else { rng.usize(..=most) }
        });
        let window = Window { kernel, stride, pad, dilation };
        let fits = if pooling { window.always_touches(shape.thw()) } else { window.output(shape.thw()).is_some() };
        // Large kernels on all axes would only take time.
        if fits && window.taps() <= 75 {
            return window;
        }
    }
}

/// A narrow body with either transformation, a small clip of any size, and a few taps.
///
/// # Errors
/// None that a valid configuration can have.
fn random_body(rng: &mut Rng) -> Result<Case> {
    let stages = rng.usize(3..=4);
    let num_groups = [1, 1, 2, 3][rng.usize(..4)];
    let mut feat_dims = vec![num_groups * rng.usize(1..=5)];
    for _ in 0..stages {
        let last = *feat_dims.last().expect("has the stem's");
        // Sometimes a stage keeps its width, and then has neither a projection nor a stride.
        feat_dims.push(if rng.u32(..4) == 0 { last } else { num_groups * rng.usize(1..=9) });
    }
    let config = BackboneConfig {
        transformation: [Transformation::Bottleneck, Transformation::Basic][rng.usize(..2)],
        block_counts: (0..stages).map(|_| rng.usize(1..=2)).collect(),
        feat_dims,
        num_groups,
        width_per_group: rng.usize(1..=6),
        stride_1x1: rng.bool(),
        time_kernel_dim: [1, 3, 3, 5][rng.usize(..4)],
        time_stride_on: rng.bool(),
        dilation: [1, 1, 2, 4][rng.usize(..4)],
        freeze_at: [0, 2, 3, 4, 5][rng.usize(..5)],
    };
    let body = Body::new(&config)?;
    let shape = Shape::new(rng.usize(1..=2), 3, rng.usize(1..=5), rng.usize(7..=40), rng.usize(7..=40));
    let mut case = Case::new(format!("{} on {shape}", config.to_json()), body.graph, &[shape], rng);
    let blobs = case.graph.blobs();
    case.taps = (0..rng.usize(..=3)).map(|_| blobs[rng.usize(..blobs.len())].name.clone()).collect();
    if rng.u32(..8) == 0 {
        // The clip is then converted as well, even if the stem reads it without conversion.
        case.taps.push("data".to_owned());
    }
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_count_operators_and_bodies_in_turn() {
        let operators: Vec<usize> = (0..12).map(number_of_operator).collect();
        assert_eq!(operators, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13]);
        assert_eq!([0, 1, 2].map(number_of_body), [5, 11, 17]);
        assert_eq!((0..18).filter(|&number| is_body(number)).collect::<Vec<_>>(), [5, 11, 17]);
        for (index, number) in operators.into_iter().enumerate() {
            assert_eq!(Drawn::new(1, number).unwrap().index, index);
        }
    }

    #[test]
    fn a_case_depends_on_seed_and_number_alone() {
        let draw = |seed, number| Drawn::new(seed, number).unwrap();
        for number in [0, 5, 41] {
            let (one, again) = (draw(7, number), draw(7, number));
            assert_eq!(one.case.description, again.case.description);
            assert_eq!(one.case.inputs, again.case.inputs);
            assert_eq!(one.case.weights, again.case.weights);
            assert_eq!((&one.case.taps, one.case.max_groups), (&again.case.taps, again.case.max_groups));
            assert_eq!(one.splits().u64(..), again.splits().u64(..));
        }
        // Another seed, and another case of the same kind, is another case.
        let others =
            [(7, 0), (8, 0), (7, number_of_operator(25)), (7, number_of_operator(50)), (7, 5), (7, 11), (8, 5)];
        let descriptions: BTreeSet<String> =
            others.into_iter().map(|(seed, number)| draw(seed, number).case.description).collect();
        assert_eq!(descriptions.len(), others.len(), "{descriptions:?}");
    }
}
