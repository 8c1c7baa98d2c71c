//! Host side of `shaders/conv_pool_subgroup.wgsl`: a convolution and the max pooling behind it at once, from registers.
//!
//! Parameters and launch are those of [`super::conv_pool`], constants those of [`super::conv_gemm_subgroup`].

use super::OperandMemory;
use super::conv_gemm::{Input, RegisterTile, gemm_row};
use super::conv_gemm_subgroup::LANES;
use super::conv_pool::Runs;
use super::source::wgsl;
use super::table::Row;
use crate::shape::Shape;

/// Workgroups that a dispatch should have at least: rows are cut into strips for that.
const WORKGROUPS: usize = 32;

/// The row of the kernel of that name.
pub(super) fn row(name: String, tile: RegisterTile, weights: OperandMemory) -> Row {
    let channels = tile.channels();
    let prelude = [("TILE_M", tile.channel_vec4s), ("TILE_C", channels), ("LANES", LANES), ("LOADS", channels / LANES)];
    let row = gemm_row(name, wgsl!("conv_pool_subgroup"), &prelude, Input::Planes, weights, 1);
    row.invocations(LANES).subgroups_of(LANES)
}

/// Columns of all frames, seven to a workgroup, in as few strips of rows as make enough workgroups.
pub(super) fn runs(pooled: Shape, blocks: usize) -> Runs {
    let columns = (pooled.n * pooled.t * pooled.w).div_ceil(LANES - 1);
    let strips = WORKGROUPS.div_ceil(columns * blocks).min(pooled.h);
    let rows = pooled.h.div_ceil(strips);
    Runs { count: columns * pooled.h.div_ceil(rows), rows }
}
