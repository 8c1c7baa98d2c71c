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

pub use crate::network::Spread;
pub use crate::window::Window;
pub use body::Body;
pub use builder::GraphBuilder;
pub use layout::Layout;
pub use slow_frames::SlowFrames;
pub use stages::{StageInfo, stage_info};

use crate::dtype::DType;
use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

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
    /// What its values are there.
    pub dtype: DType,
}

impl Blob {
    /// Bytes of a blob of `shape` in this layout and number format.
    pub fn bytes(&self, shape: Shape) -> u64 {
        match self.layout {
            Layout::Planar => shape.bytes_as(self.dtype),
            Layout::ChannelsLast => Shape { c: shape.c.next_multiple_of(4), ..shape }.bytes_as(self.dtype),
        }
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
    pub const ALL: &[Self] = &[Self::Space, Self::Time];

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
