//! Blobs and operators, by the reference's names.
//!
//! A [`Graph`] is what the reference's builders would have added to a Caffe2 net: convolution, affine channel, ReLU, sum,
//! max pooling, stop-gradient; and what other networks have: means, shortcuts without parameters, joined channels. [`resnet`] builds it
//! from a [`crate::BackboneConfig`], [`described`] from the description of any network; [`fuse`](fuse::fuse) rewrites it into
//! fewer operators that compute the same. Everything downstream (planner, CPU reference) takes either form.
//!
//! Caffe2 lets an operator write its input's blob (`Relu(x, x)`). Here every operator has an output [`BlobId`] of its own,
//! and an in-place operator's output just has the *name* of its input: a name therefore means its last version, which is
//! what fetching the blob after a Caffe2 run gives.

mod body;
mod builder;
pub mod described;
pub mod fuse;
pub mod layout;
pub mod resnet;
mod slow_frames;
mod stages;

pub use body::Body;
pub use builder::GraphBuilder;
pub use layout::Layout;
pub use slow_frames::{SlowFrames, Spread};
pub use stages::{StageInfo, stage_info};

use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;
use std::ops::Range;

/// One version of a blob of one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub(crate) usize);

impl BlobId {
    /// Position in [`Graph::blobs`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// An activation: its extents depend on the clip, its channels do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Name as in Caffe2, for example `res3_0_branch2b`.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// How its values lie in memory on a device.
    pub layout: Layout,
}

impl Blob {
    /// Bytes of a blob of `shape` in this layout.
    pub fn bytes(&self, shape: Shape) -> u64 {
        match self.layout {
            Layout::Planar => shape.bytes(),
            Layout::ChannelsLast => Shape { c: shape.c.next_multiple_of(4), ..shape }.bytes(),
        }
    }
}

/// How a kernel slides over time, height and width, in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps along each axis.
    pub kernel: [usize; 3],
    /// Step between outputs.
    pub stride: [usize; 3],
    /// Padding on both sides.
    pub pad: [usize; 3],
    /// Step between taps.
    pub dilation: [usize; 3],
}

impl Window {
    /// One tap, stride 1, no padding.
    pub const POINTWISE: Self = Self { kernel: [1; 3], stride: [1; 3], pad: [0; 3], dilation: [1; 3] };

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Output extents for input extents `thw`: `floor((n + 2p - (d(k-1)+1)) / s) + 1` on each axis, for convolution and
    /// pooling alike (Caffe2 `ConvPoolOpBase::ComputeSizeAndPad`). `None` where the window does not fit even once.
    pub fn output(&self, thw: [usize; 3]) -> Option<[usize; 3]> {
        let mut out = [0; 3];
        for axis in 0..3 {
            out[axis] = self.output_along(axis, thw[axis])?;
        }
        Some(out)
    }

    /// The same along one axis.
    pub(crate) fn output_along(&self, axis: usize, extent: usize) -> Option<usize> {
        let reach = self.dilation[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
        let padded = self.pad[axis].checked_mul(2)?.checked_add(extent)?;
        Some(padded.checked_sub(reach)?.checked_div(self.stride[axis])? + 1)
    }

    /// The part of an axis of the input, which has `extent` there, that the outputs `out` read, padding left out. Where all
    /// taps lie in the padding it is what is next to them: there is always something to bind.
    pub(crate) fn input_range(&self, axis: usize, out: Range<usize>, extent: usize) -> Range<usize> {
        let inside = |padded: usize| padded.saturating_sub(self.pad[axis]);
        let first = inside(out.start * self.stride[axis]).min(extent - 1);
        let end = inside(out.start * self.stride[axis] + self.span(axis, out.len())).clamp(first + 1, extent);
        first..end
    }

    /// From the first to the last input, padding included, that so many outputs side by side read.
    pub(crate) fn span(&self, axis: usize, outputs: usize) -> usize {
        (outputs - 1) * self.stride[axis] + self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }

    /// Whether at every output position at least one tap lies inside an input of extents `thw`. Pooling needs that:
    /// nothing is the largest value of padding. Dilated taps can straddle a small input.
    pub fn always_touches(&self, thw: [usize; 3]) -> bool {
        let Some(out) = self.output(thw) else { return false };
        (0..3).all(|axis| {
            let inside = |at: usize| (self.pad[axis]..self.pad[axis] + thw[axis]).contains(&at);
            (0..out[axis]).all(|position| {
                let first = position * self.stride[axis];
                (0..self.kernel[axis]).any(|tap| inside(first + tap * self.dilation[axis]))
            })
        })
    }
}

/// The per-channel `x * scale[c] + bias[c]` (a folded batch norm), or `x + bias[c]`, by the names of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affine {
    /// Name of the scale, `…_s`; `None` where there is a bias only.
    pub scale: Option<String>,
    /// Name of the bias, `…_b`.
    pub bias: String,
}

impl Affine {
    /// The names of its parameters, the scale first where there is one.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.scale.iter().chain([&self.bias]).map(String::as_str)
    }
}

/// What a convolution does to its result before storing it, in this order. Empty in a graph as built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epilogue {
    /// Affine channel.
    pub affine: Option<Affine>,
    /// Adds the operator's second input, a blob of the output's shape, or what `projection` makes of it.
    pub residual: bool,
    /// The convolution of the second input that is added instead, with its affine channel: a projected shortcut.
    pub projection: Option<Box<Conv>>,
    /// Clamps negative values to zero.
    pub relu: bool,
    /// Takes the maximum under this window, behind all others; the operator's output is what that leaves.
    pub pool: Option<Box<Window>>,
}

/// A 3D convolution without bias: cross-correlation with zero padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Name of the weight, `…_w`, of shape (out, in/groups, kt, kh, kw).
    pub weight: String,
    /// Input channels.
    pub dim_in: usize,
    /// Output channels.
    pub dim_out: usize,
    /// Groups; divides both.
    pub groups: usize,
    /// Kernel, stride, padding, dilation.
    pub window: Window,
    /// What fusion has added.
    pub epilogue: Epilogue,
}

impl Conv {
    /// Shape of the weight: (out, in/groups, kt, kh, kw).
    pub fn weight_shape(&self) -> [usize; 5] {
        let [kt, kh, kw] = self.window.kernel;
        [self.dim_out, self.dim_in / self.groups, kt, kh, kw]
    }

    /// Multiply-adds for each value of the convolution itself, without those of a projection.
    pub fn macs_per_output(&self) -> usize {
        self.dim_in / self.groups * self.window.taps()
    }

    /// The convolution itself, then the projection that it has taken over, if it has: what is summed up.
    pub fn terms(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(self.epilogue.projection.as_deref())
    }
}

/// What an average is taken over.
///
/// The mean of a clip is that of its frames' means: two operators, so that where a blob is too large to be read at once
/// nothing but a frame has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axes {
    /// Height and width: N×C×T×H×W becomes N×C×T×1×1.
    Space,
    /// Time: N×C×T×H×W becomes N×C×1×H×W.
    Time,
}

impl Axes {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Space, Self::Time];

    /// Extents of the mean of a blob of extents `thw`.
    pub fn output(self, [t, h, w]: [usize; 3]) -> [usize; 3] {
        match self {
            Self::Space => [t, 1, 1],
            Self::Time => [1, h, w],
        }
    }

    /// The window that lies over all of these axes of a blob of extents `thw`, and nowhere else.
    pub(crate) fn window(self, [t, h, w]: [usize; 3]) -> Window {
        let kernel = match self {
            Self::Space => [1, h, w],
            Self::Time => [t, 1, 1],
        };
        Window { kernel, ..Window::POINTWISE }
    }
}

/// What an operator computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Convolution, with its fused epilogue if any.
    Conv(Conv),
    /// Affine channel.
    Affine(Affine),
    /// Rectifier.
    Relu,
    /// Max pooling; padding never wins.
    MaxPool(Window),
    /// Average pooling: the mean over all of these axes.
    AveragePool(Axes),
    /// The first position under each window of one tap, and zeros in the channels that the input lacks: the shortcut A of
    /// residual networks.
    Subsample(Window),
    /// Elementwise sum of two blobs of equal shape.
    Sum,
    /// The channels of one blob, then those of another.
    Concat,
    /// The identity: where training stops the gradient.
    StopGradient,
    /// The same values in the other layout.
    Layout,
}

impl OpKind {
    /// Name of the kind, as `plan` prints it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Conv(_) => "conv",
            Self::Affine(Affine { scale: Some(_), .. }) => "affine_channel",
            Self::Affine(Affine { scale: None, .. }) => "bias",
            Self::Relu => "relu",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool(_) => "average_pool",
            Self::Subsample(_) => "subsample",
            Self::Sum => "sum",
            Self::Concat => "concat",
            Self::StopGradient => "stop_gradient",
            Self::Layout => "layout",
        }
    }

    /// The convolution, if it is one.
    pub fn conv(&self) -> Option<&Conv> {
        if let Self::Conv(conv) = self { Some(conv) } else { None }
    }
}

/// One node of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Unique in the graph: the name of the blob the operator was added for, with a suffix where it works in place.
    pub name: String,
    /// What it computes.
    pub kind: OpKind,
    /// What it reads.
    pub inputs: Vec<BlobId>,
    /// What it writes.
    pub output: BlobId,
    /// Names of the operators that fusion folded into this one, in order of execution.
    pub fused: Vec<String>,
}

/// A trained tensor that the graph needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Blob name, for example `res3_0_branch2b_w` or `res_conv1_bn_s`.
    pub name: String,
    /// (out, in/groups, kt, kh, kw) for a weight, (channels) for a scale or bias.
    pub shape: Vec<usize>,
}

/// Operators in an order in which they can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    pub(crate) blobs: Vec<Blob>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) inputs: Vec<BlobId>,
    pub(crate) slow_frames: Option<SlowFrames>,
    pub(crate) output: BlobId,
    pub(crate) stages: Vec<BlobId>,
}

impl Graph {
    /// All versions of all blobs.
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// The blob `id`.
    pub fn blob(&self, id: BlobId) -> &Blob {
        &self.blobs[id.0]
    }

    /// The operators, in order of execution.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// The blobs that no operator computes, `data` first.
    pub fn inputs(&self) -> &[BlobId] {
        &self.inputs
    }

    /// How the last input is made of frames of the first; `None` where every input is fed.
    pub fn slow_frames(&self) -> Option<SlowFrames> {
        self.slow_frames
    }

    /// How many inputs are fed: the first ones.
    pub fn clips(&self) -> usize {
        self.inputs.len() - usize::from(self.slow_frames.is_some())
    }

    /// The last blob.
    pub fn output(&self) -> BlobId {
        self.output
    }

    /// The last blob of every stage, shallowest first: what [`Taps::Stages`](crate::Taps::Stages) stands for.
    pub fn stages(&self) -> &[BlobId] {
        &self.stages
    }

    /// The last version of the blob called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTap`](crate::ErrorKind::UnknownTap), which lists the blobs of the stages.
    pub fn find(&self, name: &str) -> Result<BlobId> {
        let found = self.blobs.iter().rposition(|blob| blob.name == name);
        found.map(BlobId).ok_or_else(|| {
            let known = self.stages.iter().map(|&id| self.blob(id).name.clone()).collect();
            let classifier = ["pool5", "pred"].contains(&name);
            let note =
                if classifier { " (pool5 and pred come with a classifier, which this network has not)" } else { "" };
            ErrorRepr::UnknownTap { name: name.to_owned(), known, note }.into()
        })
    }

    /// The parameters, in the order of the operators that use them: for a graph as built, the reference's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        let affine = |affine: &Affine, channels: usize, list: &mut Vec<Parameter>| {
            let own = affine.parameters();
            list.extend(own.map(|name| Parameter { name: name.to_owned(), shape: vec![channels] }));
        };
        for op in &self.operators {
            match &op.kind {
                OpKind::Conv(conv) => {
                    for term in conv.terms() {
                        parameters.push(Parameter { name: term.weight.clone(), shape: term.weight_shape().to_vec() });
                        if let Some(folded) = &term.epilogue.affine {
                            affine(folded, term.dim_out, &mut parameters);
                        }
                    }
                }
                OpKind::Affine(own) => affine(own, self.blob(op.output).channels, &mut parameters),
                OpKind::Relu | OpKind::MaxPool(_) | OpKind::AveragePool(_) | OpKind::Subsample(_) | OpKind::Concat => {}
                OpKind::Sum | OpKind::StopGradient | OpKind::Layout => {}
            }
        }
        parameters
    }

    /// Number of trained values: convolution weights, every affine's scale and bias, every bias.
    pub fn parameter_count(&self) -> u64 {
        let count = |p: Parameter| p.shape.iter().map(|&n| n as u64).product::<u64>();
        self.parameters().into_iter().map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tap by tap, for every range of outputs of many windows.
    #[test]
    fn the_frames_read_are_those_under_the_taps() {
        let draw = |limit: usize, rng: &mut fastrand::Rng| rng.usize(1..=limit);
        let rng = &mut fastrand::Rng::with_seed(7);
        let mut nothing = 0;
        for _ in 0..300 {
            let (kernel, stride, dilation) = (draw(5, rng), draw(3, rng), draw(3, rng));
            let (pad, frames) = (rng.usize(0..=dilation * kernel), draw(9, rng));
            let axis = |value: usize, others: usize| [value, others, others];
            let (kernel, stride) = (axis(kernel, 1), axis(stride, 1));
            let window = Window { kernel, stride, pad: axis(pad, 0), dilation: axis(dilation, 1) };
            let Some([outputs, _, _]) = window.output([frames, 1, 1]) else { continue };
            for (start, end) in (0..outputs).flat_map(|start| (start + 1..=outputs).map(move |end| (start, end))) {
                let taps = (start..end).flat_map(|t| (0..kernel[0]).map(move |tap| t * stride[0] + tap * dilation));
                let read: Vec<usize> = taps.filter_map(|at| at.checked_sub(pad)).filter(|&at| at < frames).collect();
                let got = window.input_range(0, start..end, frames);
                assert!(got.start < got.end && got.end <= frames, "{window:?} {start}..{end}: {got:?}");
                match (read.iter().min(), read.iter().max()) {
                    (Some(&first), Some(&last)) => {
                        // Dilated taps can straddle the edge; then nothing outside the span of all taps is read.
                        assert!(got.start <= first && last < got.end, "{window:?} {start}..{end} of {frames}: {got:?}");
                        let exact = dilation == 1 && stride[0] == 1;
                        assert!(!exact || got == (first..last + 1), "{window:?} {start}..{end} of {frames}: {got:?}");
                    }
                    _ => nothing += 1,
                }
            }
        }
        assert!(nothing > 0, "no window lay wholly in the padding");
    }
}
