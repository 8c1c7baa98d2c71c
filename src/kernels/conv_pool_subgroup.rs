//! Host side of `shaders/conv_pool_subgroup.wgsl`: a convolution and the max pooling behind it at once.
//!
//! Parameters and constants are those of [`super::conv_gemm`], those of [`super::conv_gemm_subgroup`] with 64 output
//! channels.

use super::Kernel;
use super::conv_gemm::{self, Batch, Gemm, Home, assemble_gemm};
use super::conv_gemm_subgroup::LANES;
use super::launch::{Launch, Slice};
use crate::graph::{Conv, Window};

const SOURCE: &str = include_str!("../../shaders/conv_pool_subgroup.wgsl");

/// The pooling it does: Caffe2's of the stem.
pub(super) const POOL: Window = Window { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1], dilation: [1; 3] };

/// Workgroups that a dispatch should have at least: rows are cut into strips for that. Each strip computes a row of
/// squares more.
const WORKGROUPS: usize = 32;

pub(super) fn source(weights: Home) -> String {
    let tile = gemm(weights).tile();
    let channels = tile.channels();
    let prelude = [("TILE_M", tile.channel_vec4s), ("TILE_C", channels), ("LOADS", channels / LANES)];
    assemble_gemm(&prelude, weights, 1, SOURCE)
}

/// Whose weights it takes.
pub(super) fn gemm(weights: Home) -> Gemm {
    match weights {
        Home::Buffer => Gemm::SUBGROUP_64X4,
        Home::Image => Gemm::SUBGROUP_64X4_IMAGE,
    }
}

/// Whether it can compute `conv`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(weights: Home, conv: &Conv) -> Result<(), String> {
    if conv.epilogue.pool.as_deref() != Some(&POOL) || conv.epilogue.residual {
        return Err("it is for convolutions with pooling of 1x3x3, stride 1x2x2 and no residual".to_owned());
    }
    gemm(weights).accepts(conv)
}

/// Whether it is expected to be quicker than a convolution and a pooling: there is no narrower tile of channels, which
/// would pad less.
pub(super) fn pays(weights: Home, conv: &Conv) -> bool {
    conv.dim_out.next_multiple_of(gemm(weights).tile().channels()) <= conv.dim_out + conv.dim_out / 8
}

pub(super) fn launch(weights: Home, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    accepts(weights, conv)?;
    let (input, pooled) = (slice.inputs[0], slice.output);
    let [_, h, w] = conv.window.output(input.thw()).ok_or("its window does not fit into the input")?;
    let own = pooled.with(pooled.c, [pooled.t, h, w]);
    let columns = (pooled.n * pooled.t * pooled.w).div_ceil(LANES - 1);
    let strips = WORKGROUPS.div_ceil(columns * slice.blocks.len()).min(pooled.h);
    let rows = pooled.h.div_ceil(strips);
    let batch = Batch { count: 1, conv };
    let params = conv_gemm::Params {
        pool_h: pooled.h as u32,
        pool_w: pooled.w as u32,
        pool_rows: rows as u32,
        ..conv_gemm::parameters(gemm(weights), &batch, slice, own, columns * pooled.h.div_ceil(rows))
    };
    conv_gemm::launched(Kernel::ConvPool(weights), params, conv, max_groups)
}
