//! Host side of `shaders/conv_pool_subgroup.wgsl`: a convolution and the max pooling behind it at once, from registers.
//!
//! Parameters and launch are those of [`super::conv_pool`], constants those of [`super::conv_gemm_subgroup`].

use super::conv_gemm::{Home, Homes, Input, Tile, assemble_gemm};
use super::conv_gemm_subgroup::LANES;
use super::conv_pool::Runs;
use crate::shape::Shape;

const SOURCE: &str = include_str!("../../shaders/conv_pool_subgroup.wgsl");

/// Workgroups that a dispatch should have at least: rows are cut into strips for that.
const WORKGROUPS: usize = 32;

pub(super) fn source(tile: Tile, weights: Home) -> String {
    let channels = tile.channels();
    let prelude = [("TILE_M", tile.channel_vec4s), ("TILE_C", channels), ("LOADS", channels / LANES)];
    assemble_gemm(&prelude, Homes { input: Input::Planes, weights }, 1, SOURCE)
}

/// Columns of all frames, seven to a workgroup, in as few strips of rows as make enough workgroups.
pub(super) fn runs(pooled: Shape, blocks: usize) -> Runs {
    let columns = (pooled.n * pooled.t * pooled.w).div_ceil(LANES - 1);
    let strips = WORKGROUPS.div_ceil(columns * blocks).min(pooled.h);
    let rows = pooled.h.div_ceil(strips);
    Runs { count: columns * pooled.h.div_ceil(rows), rows }
}
