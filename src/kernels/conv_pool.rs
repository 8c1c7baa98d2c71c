//! A convolution and the max pooling behind it in one kernel: what both kernels for that share.
//!
//! Parameters and constants are those of [`super::conv_gemm`], constants as the kernel for the convolution alone has them.
//! The input is a clip as it comes, plane by plane: so few channels that nothing is gained by having them side by side
//! first.

use super::conv_gemm::{self, Batch, Gemm};
use super::launch::{Launch, Slice};
use super::{Kernel, conv_gemm_tiled, conv_pool_subgroup};
use crate::graph::{Conv, Window};
use crate::shape::Shape;

/// The pooling: Caffe2's of the stem.
const POOL: Window = Window { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1], dilation: [1; 3] };

/// Channels of a clip, at most: the fourth of its quad is zero, and these kernels do not multiply it.
pub(super) const CHANNELS: usize = 3;

/// The kernels, each by the one whose constants it takes.
pub(super) const GEMMS: [Gemm; 4] = [Gemm::SUBGROUP_64X4, Gemm::SUBGROUP_64X4_IMAGE, Gemm::TILED, Gemm::TILED_COMPACT];

/// Workgroups side by side, for each block of output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Runs {
    pub count: usize,
    /// The pooled rows that one computes.
    pub rows: usize,
}

pub(super) fn source(gemm: Gemm) -> String {
    match gemm {
        Gemm::Tiled(spread) => conv_gemm_tiled::source(spread, 1, true),
        Gemm::Registers(tile, weights) | Gemm::Subgroup(tile, weights) => conv_pool_subgroup::source(tile, weights),
    }
}

/// Whether it can compute `conv`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(gemm: Gemm, conv: &Conv) -> Result<(), String> {
    if conv.epilogue.pool.as_deref() != Some(&POOL) || conv.epilogue.residual {
        return Err("it is for convolutions with pooling of 1x3x3, stride 1x2x2 and no residual".to_owned());
    }
    if conv.dim_in > CHANNELS {
        return Err(format!("it is for clips of {CHANNELS} channels or fewer, not for {}", conv.dim_in));
    }
    gemm.accepts(conv)
}

/// Whether it is expected to be quicker than a convolution and a pooling: there is no narrower tile of channels, which
/// would pad less.
pub(super) fn pays(gemm: Gemm, conv: &Conv) -> bool {
    conv.dim_out.next_multiple_of(gemm.tile().channels()) <= conv.dim_out + conv.dim_out / 8
}

pub(super) fn launch(gemm: Gemm, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    accepts(gemm, conv)?;
    let (input, pooled) = (slice.inputs[0], slice.output);
    let fits = |axis, extent| conv.window.output_along(axis, extent).ok_or("its window does not fit into the input");
    // From the row below the first two on that the first pooled row here is the maximum of.
    let h = fits(1, slice.input_h)? - slice.above * POOL.stride[1];
    let own = Shape { h, w: fits(2, input.w)?, ..pooled };
    let runs = match gemm {
        Gemm::Tiled(_) => conv_gemm_tiled::patches(pooled),
        Gemm::Registers(..) | Gemm::Subgroup(..) => conv_pool_subgroup::runs(pooled, slice.blocks.len()),
    };
    let plane = (input.t * input.h * input.w) as u32;
    let begins = |channel: usize| if channel < input.c { channel as u32 * plane } else { 0 };
    let params = conv_gemm::Params {
        in_frames: (input.c * input.t) as u32,
        second_plane: begins(1),
        third_plane: begins(2),
        pool_h: pooled.h as u32,
        pool_w: pooled.w as u32,
        pool_rows: runs.rows as u32,
        pool_above: (slice.above > 0).into(),
        ..conv_gemm::parameters(gemm, &Batch::single(conv), slice, own, runs.count)
    };
    conv_gemm::launched(Kernel::ConvPool(gemm), params, conv, max_groups)
}

/// Positions that the workgroups of a launch compute, those for their neighbours included.
pub(super) fn positions(gemm: Gemm, params: &conv_gemm::Params) -> u64 {
    let each = u64::from(params.workgroups) * gemm.run_len() as u64;
    match gemm {
        Gemm::Tiled(_) => each,
        // A strip below another, of this dispatch or of the one above, has a row of squares more.
        Gemm::Registers(..) | Gemm::Subgroup(..) => {
            let strips = u64::from(params.pool_h.div_ceil(params.pool_rows));
            each / strips * (u64::from(params.pool_h) + strips - 1 + u64::from(params.pool_above))
        }
    }
}
