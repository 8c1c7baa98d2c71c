//! The reference's model helper: one method per operator (`lib/modeling/detector.py`).

use super::{Affine, Axes, Blob, BlobId, Conv, Epilogue, Graph, Layout, OpKind, Operator, SlowFrames, Window};
use crate::dtype::DType;

/// Adds operators to a graph one by one, as the reference's `DetectionModelHelper` does.
///
/// ```
/// use resnet3d_wgpu::low_level::graph::{GraphBuilder, Window};
///
/// let mut model = GraphBuilder::new();
/// let data = model.input("data", 3);
/// let conv = model.conv_affine_nd(data, "conv", 8, Window::POINTWISE, 1, true);
/// let out = model.relu(conv);
/// let graph = model.finish(out);
/// assert_eq!(graph.operators().len(), 3);
/// ```
#[derive(Debug, Default)]
pub struct GraphBuilder {
    blobs: Vec<Blob>,
    operators: Vec<Operator>,
    inputs: Vec<BlobId>,
    slow_frames: Option<SlowFrames>,
    stages: Vec<BlobId>,
}

impl GraphBuilder {
    /// A builder without blobs and operators.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input blob with `channels` channels.
    pub fn input(&mut self, name: &str, channels: usize) -> BlobId {
        let id = self.blob(name.to_owned(), channels);
        self.inputs.push(id);
        id
    }

    /// Adds an input blob that takes some frames of the first input. It must be the last input.
    pub fn sampled(&mut self, name: &str, slow_frames: SlowFrames) -> BlobId {
        self.slow_frames = Some(slow_frames);
        let id = self.next_version(self.inputs[0]);
        self.blobs[id.0].name = name.to_owned();
        self.inputs.push(id);
        id
    }

    /// The channels of `blob`.
    pub fn channels(&self, blob: BlobId) -> usize {
        self.blobs[blob.0].channels
    }

    /// Adds a convolution without bias to `dim_out` channels. Its weight is `<name>_w` (`ConvNd`).
    pub fn conv_nd(&mut self, blob_in: BlobId, name: &str, dim_out: usize, window: Window, groups: usize) -> BlobId {
        let conv = Conv {
            weight: format!("{name}_w"),
            dim_in: self.channels(blob_in),
            dim_out,
            groups,
            window,
            epilogue: Epilogue::default(),
        };
        let output = self.blob(name.to_owned(), dim_out);
        self.push(name.to_owned(), OpKind::Conv(conv), vec![blob_in], output)
    }

    /// Adds `x * <name>_s[c] + <name>_b[c]` (`AffineChannelNd`). The output has the input's name if `inplace`, else
    /// `name`.
    pub fn affine_channel_nd(&mut self, blob_in: BlobId, name: &str, inplace: bool) -> BlobId {
        let affine = Affine { scale: Some(format!("{name}_s")), bias: format!("{name}_b") };
        let output =
            if inplace { self.next_version(blob_in) } else { self.blob(name.to_owned(), self.channels(blob_in)) };
        self.push(name.to_owned(), OpKind::Affine(affine), vec![blob_in], output)
    }

    /// Adds a convolution `prefix` and the affine channel `<prefix>_bn` (`ConvAffineNd`).
    pub fn conv_affine_nd(
        &mut self,
        blob_in: BlobId,
        prefix: &str,
        dim_out: usize,
        window: Window,
        groups: usize,
        inplace: bool,
    ) -> BlobId {
        let conv = self.conv_nd(blob_in, prefix, dim_out, window, groups);
        self.affine_channel_nd(conv, &format!("{prefix}_bn"), inplace)
    }

    /// Adds `x + <name>_b[c]`, in place.
    pub fn bias(&mut self, blob: BlobId, name: &str) -> BlobId {
        let affine = Affine { scale: None, bias: format!("{name}_b") };
        self.in_place(blob, OpKind::Affine(affine), vec![blob], "bias")
    }

    /// Adds a fully connected layer over the channels of every position, into the blob `name`. It is a pointwise
    /// convolution with the weight `<name>_w` of shape (`dim_out`, channels, 1, 1, 1) and the bias `<name>_b`.
    pub fn linear(&mut self, blob_in: BlobId, name: &str, dim_out: usize) -> BlobId {
        let product = self.conv_nd(blob_in, name, dim_out, Window::POINTWISE, 1);
        self.bias(product, name)
    }

    /// Adds `max(x, 0)`, in place (`Relu(x, x)`).
    pub fn relu(&mut self, blob: BlobId) -> BlobId {
        self.in_place(blob, OpKind::Relu, vec![blob], "relu")
    }

    /// Adds max pooling into the blob `name` (`MaxPool`).
    pub fn max_pool(&mut self, blob_in: BlobId, name: &str, window: Window) -> BlobId {
        let output = self.blob(name.to_owned(), self.channels(blob_in));
        self.push(name.to_owned(), OpKind::MaxPool(window), vec![blob_in], output)
    }

    /// Adds the mean of every clip and channel over time, height and width into the blob `name`, N×C×1×1×1. The means
    /// of the frames are in the blob `<name>_frames`, N×C×T×1×1.
    pub fn average_pool(&mut self, blob_in: BlobId, name: &str) -> BlobId {
        let frames = self.mean(blob_in, &format!("{name}_frames"), Axes::Space);
        self.mean(frames, name, Axes::Time)
    }

    /// Adds subsampling by `stride` into the blob `name`, padded with zero channels to `dim_out`.
    pub fn subsample(&mut self, blob_in: BlobId, name: &str, dim_out: usize, stride: [usize; 3]) -> BlobId {
        let output = self.blob(name.to_owned(), dim_out);
        let window = Window { stride, ..Window::POINTWISE };
        self.push(name.to_owned(), OpKind::Subsample(window), vec![blob_in], output)
    }

    /// Adds the mean over `axes` into the blob `name`.
    pub fn mean(&mut self, blob_in: BlobId, name: &str, axes: Axes) -> BlobId {
        let output = self.blob(name.to_owned(), self.channels(blob_in));
        self.push(name.to_owned(), OpKind::AveragePool(axes), vec![blob_in], output)
    }

    /// Adds `a + b` (`Sum([a, b], name)`). The output has the name of `a` if `name` is `None`.
    pub fn sum(&mut self, a: BlobId, b: BlobId, name: Option<&str>) -> BlobId {
        match name {
            Some(name) => {
                let output = self.blob(name.to_owned(), self.channels(a));
                self.push(name.to_owned(), OpKind::Sum, vec![a, b], output)
            }
            None => self.in_place(a, OpKind::Sum, vec![a, b], "sum"),
        }
    }

    /// Adds the concatenation of the channels of `a` and `b` into the blob `name` (`Concat([a, b], name)`).
    pub fn concat(&mut self, a: BlobId, b: BlobId, name: &str) -> BlobId {
        let output = self.blob(name.to_owned(), self.channels(a) + self.channels(b));
        self.push(name.to_owned(), OpKind::Concat, vec![a, b], output)
    }

    /// Adds a stop of the gradient in training, in place (`StopGradient(x, x)`). It changes no value.
    pub fn stop_gradient(&mut self, blob: BlobId) -> BlobId {
        self.in_place(blob, OpKind::StopGradient, vec![blob], "stop_gradient")
    }

    /// Marks `blob` as the last blob of a stage.
    pub fn end_stage(&mut self, blob: BlobId) {
        self.stages.push(blob);
    }

    /// The graph that computes `output`.
    pub fn finish(self, output: BlobId) -> Graph {
        let Self { blobs, operators, inputs, slow_frames, stages } = self;
        Graph { blobs, operators, inputs, slow_frames, output, stages }
    }

    fn blob(&mut self, name: String, channels: usize) -> BlobId {
        self.blobs.push(Blob { name, channels, layout: Layout::default(), dtype: DType::HOST });
        BlobId(self.blobs.len() - 1)
    }

    fn next_version(&mut self, blob: BlobId) -> BlobId {
        let Blob { name, channels, .. } = self.blobs[blob.0].clone();
        self.blob(name, channels)
    }

    fn in_place(&mut self, blob: BlobId, kind: OpKind, inputs: Vec<BlobId>, suffix: &str) -> BlobId {
        let name = format!("{}_{suffix}", self.blobs[blob.0].name);
        let output = self.next_version(blob);
        self.push(name, kind, inputs, output)
    }

    fn push(&mut self, name: String, kind: OpKind, inputs: Vec<BlobId>, output: BlobId) -> BlobId {
        self.operators.push(Operator { name, kind, inputs, output, fused: Vec::new() });
        output
    }
}
