//! The ResNet3D body: `lib/modeling/ResNet3D.py` of *Detect-and-Track*, function by function.

use super::{BlobId, GraphBuilder, Window};
use crate::config::{BackboneConfig, Transformation};

/// The arguments with which a stage and its blocks and transformations are built.
#[derive(Clone, Copy, Debug)]
pub struct StageArgs {
    /// Which residual branch (`RESNETS.TRANS_FUNC`).
    pub transformation: Transformation,
    /// 1 for res2, which never strides, to 4 for res5.
    pub stage_id: usize,
    /// Width of the stage's output.
    pub dim_out: usize,
    /// Width inside the blocks.
    pub dim_inner: usize,
    /// Groups of the (last) k×3×3 convolution.
    pub groups: usize,
    /// Dilation of that convolution over height and width.
    pub dilation: usize,
    /// Stride of the first block, if it strides.
    pub stride_init: usize,
    /// Whether a bottleneck strides in its first 1×1×1.
    pub stride_1x1: bool,
    /// Time extent of the k×3×3 kernels.
    pub time_kernel_dim: usize,
    /// Whether strides apply to time as well.
    pub time_stride_on: bool,
}

impl StageArgs {
    fn strides(&self, stride: usize) -> [usize; 3] {
        [if self.time_stride_on { stride } else { 1 }, stride, stride]
    }

    fn window(&self, stride: usize, dilation: usize) -> Window {
        Window {
            kernel: [self.time_kernel_dim, 3, 3],
            stride: self.strides(stride),
            pad: [self.time_kernel_dim / 2, dilation, dilation],
            dilation: [1, dilation, dilation],
        }
    }

    fn pointwise(&self, stride: usize) -> Window {
        Window { stride: self.strides(stride), ..Window::POINTWISE }
    }
}

/// The branch of 1×1×1, k×3×3 and 1×1×1 convolutions, each with an affine channel, with ReLU after the first two.
pub fn bottleneck_transformation(
    model: &mut GraphBuilder,
    blob_in: BlobId,
    prefix: &str,
    stride: usize,
    args: &StageArgs,
) -> BlobId {
    let (str1x1, str3x3) = if args.stride_1x1 { (stride, 1) } else { (1, stride) };
    let window = args.pointwise(str1x1);
    let cur = model.conv_affine_nd(blob_in, &format!("{prefix}_branch2a"), args.dim_inner, window, 1, true);
    let cur = model.relu(cur);

    let window = args.window(str3x3, args.dilation);
    let cur = model.conv_affine_nd(cur, &format!("{prefix}_branch2b"), args.dim_inner, window, args.groups, true);
    let cur = model.relu(cur);

    model.conv_affine_nd(cur, &format!("{prefix}_branch2c"), args.dim_out, Window::POINTWISE, 1, false)
}

/// The branch of two k×3×3 convolutions, each with an affine channel, with ReLU after the first.
///
/// The first convolution is neither grouped nor dilated. The second dilates height and width only. The reference passes
/// a bare number there, which Caffe2 ignores, so no reference net with `dilation` above 1 can run.
pub fn basic_transformation(
    model: &mut GraphBuilder,
    blob_in: BlobId,
    prefix: &str,
    stride: usize,
    args: &StageArgs,
) -> BlobId {
    let window = args.window(stride, 1);
    let cur = model.conv_affine_nd(blob_in, &format!("{prefix}_branch2a"), args.dim_inner, window, 1, true);
    let cur = model.relu(cur);

    let window = args.window(1, args.dilation);
    model.conv_affine_nd(cur, &format!("{prefix}_branch2b"), args.dim_out, window, args.groups, false)
}

/// The shortcut: the input if the width stays the same, else its projection by a 1×1×1 convolution and an affine
/// channel.
pub fn add_shortcut(
    model: &mut GraphBuilder,
    blob_in: BlobId,
    prefix: &str,
    stride: usize,
    args: &StageArgs,
) -> BlobId {
    if model.channels(blob_in) == args.dim_out {
        return blob_in;
    }
    model.conv_affine_nd(blob_in, &format!("{prefix}_branch1"), args.dim_out, args.pointwise(stride), 1, false)
}

/// A residual block with either transformation: `ReLU(branch + shortcut)`.
///
/// The sum has the name of the branch if `inplace_sum`, else `<prefix>_sum`.
pub fn add_bottleneck_block(
    model: &mut GraphBuilder,
    blob_in: BlobId,
    prefix: &str,
    inplace_sum: bool,
    args: &StageArgs,
) -> BlobId {
    let projected = model.channels(blob_in) != args.dim_out;
    let strided = projected && args.stage_id != 1 && args.dilation == 1;
    let stride = if strided { args.stride_init } else { 1 };
    let branch = match args.transformation {
        Transformation::Bottleneck => bottleneck_transformation(model, blob_in, prefix, stride, args),
        Transformation::Basic => basic_transformation(model, blob_in, prefix, stride, args),
    };
    let shortcut = add_shortcut(model, blob_in, prefix, stride, args);
    let sum_name = format!("{prefix}_sum");
    let sum = model.sum(branch, shortcut, (!inplace_sum).then_some(sum_name.as_str()));
    model.relu(sum)
}

/// A stage of `count` blocks. Only the last block has a `_sum` blob. Returns the last blob and its width.
pub fn add_stage(
    model: &mut GraphBuilder,
    blob_in: BlobId,
    prefix: &str,
    count: usize,
    args: &StageArgs,
) -> (BlobId, usize) {
    let mut blob = blob_in;
    for i in 0..count {
        blob = add_bottleneck_block(model, blob, &format!("{prefix}_{i}"), i + 1 < count, args);
    }
    (blob, model.channels(blob))
}

/// The whole body from `data` on: the stem, then res2 to res4 or res5. Returns the last blob, its width and the nominal
/// spatial scale, as `add_ResNet_convX_body` does.
///
/// `config` must be valid, see [`BackboneConfig::validate`].
pub fn add_resnet_convx_body(model: &mut GraphBuilder, config: &BackboneConfig) -> (BlobId, usize, f64) {
    let stem = |kernel: usize| Window {
        kernel: [1, kernel, kernel],
        stride: [1, 2, 2],
        pad: [0, kernel / 2, kernel / 2],
        dilation: [1; 3],
    };
    let data = model.input("data", 3);
    let blob = model.conv_nd(data, "conv1", config.feat_dims[0], stem(7), 1);
    let blob = model.affine_channel_nd(blob, "res_conv1_bn", true);
    let blob = model.relu(blob);
    let mut blob = model.max_pool(blob, "pool1", stem(3));

    let mut dim = config.feat_dims[0];
    for (i, &count) in config.block_counts.iter().enumerate() {
        let stage = i + 2;
        let args = StageArgs {
            transformation: config.transformation,
            stage_id: i + 1,
            dim_out: config.feat_dims[i + 1],
            dim_inner: config.dim_inner(i),
            groups: config.num_groups,
            dilation: if stage == 5 { config.dilation } else { 1 },
            stride_init: 2,
            stride_1x1: config.stride_1x1,
            time_kernel_dim: if stage == 2 { 1 } else { config.time_kernel_dim },
            time_stride_on: stage != 2 && config.time_stride_on,
        };
        (blob, dim) = add_stage(model, blob, &format!("res{stage}"), count, &args);
        if config.freeze_at == stage {
            blob = model.stop_gradient(blob);
        }
        model.end_stage(blob);
    }
    (blob, dim, config.spatial_scale())
}
