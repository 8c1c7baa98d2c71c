//! Blobs and operators, by the reference's names.
//!
//! A [`Graph`] has the operators that the reference's builders add to a Caffe2 net: convolution, affine channel, ReLU,
//! sum, max pooling, stop-gradient. It also has operators of other networks: means, shortcuts without parameters,
//! concatenation. [`resnet`] builds it from a [`crate::BackboneConfig`], [`described`] from the description of any
//! network. [`fuse`](fuse::fuse) rewrites it into fewer operators that compute the same values. The planner and the CPU
//! reference take either form.
//!
//! In Caffe2 an operator may write its input's blob (`Relu(x, x)`). Here every operator has a separate output
//! [`BlobId`], and the output of an in-place operator has the *name* of its input. A name therefore means its last
//! version, which is also what Caffe2 returns for a blob after a run.

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

/// An activation. Its extents depend on the clip, its channels do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Name as in Caffe2, for example `res3_0_branch2b`.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// The layout of its values in a device's memory.
    pub layout: Layout,
    /// The number format of its values in a device's memory.
    pub dtype: DType,
}

impl Blob {
    /// The size of a blob of `shape` in this layout and number format, in bytes.
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
    /// Name of the scale, `…_s`; `None` if there is only a bias.
    pub scale: Option<String>,
    /// Name of the bias, `…_b`.
    pub bias: String,
}

impl Affine {
    /// The names of its parameters: the scale, if there is one, and the bias.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.scale.iter().chain([&self.bias]).map(String::as_str)
    }
}

/// What a convolution does to its result before storing it, in this order. Graphs have no epilogues before fusion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epilogue {
    /// Affine channel.
    pub affine: Option<Affine>,
    /// Adds the operator's second input, or the result of `projection` if there is one. The addend has the output's
    /// shape.
    pub residual: bool,
    /// A projected shortcut: a convolution of the second input with its affine channel.
    pub projection: Option<Box<Conv>>,
    /// Clamps negative values to zero.
    pub relu: bool,
    /// Max pooling with this window as the last step.
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
    /// Groups. Their number divides both channel counts.
    pub groups: usize,
    /// Kernel, stride, padding, dilation.
    pub window: Window,
    /// The steps that fusion has added.
    pub epilogue: Epilogue,
}

impl Conv {
    /// Shape of the weight: (out, in/groups, kt, kh, kw).
    pub fn weight_shape(&self) -> [usize; 5] {
        let [kt, kh, kw] = self.window.kernel;
        [self.dim_out, self.dim_in / self.groups, kt, kh, kw]
    }

    /// Multiply-adds per output value of this convolution, without those of the fused projection.
    pub fn macs_per_output(&self) -> usize {
        self.dim_in / self.groups * self.window.taps()
    }

    /// This convolution and the projection fused into it, if any. The operator sums their results.
    pub fn terms(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(self.epilogue.projection.as_deref())
    }
}

/// The axes of an average.
///
/// The mean of a clip is the mean of its frames' means, computed by two operators. So a blob that is too large to read
/// at once can be read frame by frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axes {
    /// Height and width: N×C×T×H×W becomes N×C×T×1×1.
    Space,
    /// Time: N×C×T×H×W becomes N×C×1×H×W.
    Time,
}

impl Axes {
    /// All values.
    pub const ALL: &[Self] = &[Self::Space, Self::Time];

    /// The extents of the mean of a blob with extents `thw`.
    pub fn output(self, [t, h, w]: [usize; 3]) -> [usize; 3] {
        match self {
            Self::Space => [t, 1, 1],
            Self::Time => [1, h, w],
        }
    }

    /// Whether the mean is over `axis`: 0 for time, 1 for height, 2 for width.
    pub(crate) fn contains(self, axis: usize) -> bool {
        match self {
            Self::Space => axis > 0,
            Self::Time => axis == 0,
        }
    }

    /// The window that covers these axes of a blob with extents `thw` and has extent 1 along the others.
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
    /// Max pooling. Padding is never the maximum.
    MaxPool(Window),
    /// Average pooling: the mean over these axes.
    AveragePool(Axes),
    /// Subsampling by a window of one tap, with zeros in the channels that the input lacks: shortcut A of residual
    /// networks.
    Subsample(Window),
    /// Elementwise sum of two blobs of equal shape.
    Sum,
    /// The channels of one blob, then the channels of another.
    Concat,
    /// The identity. Training stops the gradient here.
    StopGradient,
    /// Conversion to the other layout.
    Layout,
}

impl OpKind {
    /// Name of the kind in the output of `plan`.
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

    /// The convolution, if the operator is one.
    pub fn conv(&self) -> Option<&Conv> {
        if let Self::Conv(conv) = self { Some(conv) } else { None }
    }
}

/// One node of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name of the blob for which the operator was added, with a suffix if it works in place. Unique in the graph.
    pub name: String,
    /// What it computes.
    pub kind: OpKind,
    /// The blobs that it reads.
    pub inputs: Vec<BlobId>,
    /// The blob that it writes.
    pub output: BlobId,
    /// Names of the operators fused into this one, in order of execution.
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

/// Blobs, and operators in topological order.
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

    /// Which frames of the first input make the last one; `None` if the caller gives every input.
    pub fn slow_frames(&self) -> Option<SlowFrames> {
        self.slow_frames
    }

    /// The number of inputs that the caller gives. They come first.
    pub fn clips(&self) -> usize {
        self.inputs.len() - usize::from(self.slow_frames.is_some())
    }

    /// The last blob.
    pub fn output(&self) -> BlobId {
        self.output
    }

    /// The last blob of every stage, shallowest first. These are the taps of [`Taps::Stages`](crate::Taps::Stages).
    pub fn stages(&self) -> &[BlobId] {
        &self.stages
    }

    /// The last version of the blob called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTap`](crate::ErrorKind::UnknownTap) with the last blobs of the stages, if there is no such
    /// blob.
    pub fn find(&self, name: &str) -> Result<BlobId> {
        let found = self.blobs.iter().rposition(|blob| blob.name == name);
        found.map(BlobId).ok_or_else(|| {
            let known = self.stages.iter().map(|&id| self.blob(id).name.clone()).collect();
            let note = match name {
                "pool5" | "pred" => " (pool5 and pred come with a classifier, which this network does not have)",
                _ => "",
            };
            ErrorRepr::UnknownTap { name: name.to_owned(), known, note }.into()
        })
    }

    /// The parameters, in the order of the operators that use them. Before fusion this is the reference's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        let add_affine = |affine: &Affine, channels: usize, parameters: &mut Vec<Parameter>| {
            let names = affine.parameters();
            parameters.extend(names.map(|name| Parameter { name: name.to_owned(), shape: vec![channels] }));
        };
        for op in &self.operators {
            match &op.kind {
                OpKind::Conv(conv) => {
                    for conv in conv.terms() {
                        parameters.push(Parameter { name: conv.weight.clone(), shape: conv.weight_shape().to_vec() });
                        if let Some(affine) = &conv.epilogue.affine {
                            add_affine(affine, conv.dim_out, &mut parameters);
                        }
                    }
                }
                OpKind::Affine(affine) => add_affine(affine, self.blob(op.output).channels, &mut parameters),
                OpKind::Relu | OpKind::MaxPool(_) | OpKind::AveragePool(_) | OpKind::Subsample(_) | OpKind::Concat => {}
                OpKind::Sum | OpKind::StopGradient | OpKind::Layout => {}
            }
        }
        parameters
    }

    /// The number of trained values: convolution weights, scales and biases.
    pub fn parameter_count(&self) -> u64 {
        let count = |p: Parameter| p.shape.iter().map(|&n| n as u64).product::<u64>();
        self.parameters().into_iter().map(count).sum()
    }
}
