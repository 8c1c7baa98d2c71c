//! Host side of `shaders/conv_pool_subgroup.wgsl`: a convolution and the max pooling after it in one kernel, from
//! registers.
//!
//! Parameters and launch are those of [`super::conv_pool`], constants those of [`super::conv_gemm_subgroup`].

use super::OperandMemory;
use super::conv_gemm::{Input, RegisterTile, gemm_row};
use super::conv_gemm_subgroup::LANES;
use super::conv_pool::PositionTiles;
use super::source::wgsl;
use super::table::Row;
use crate::shape::Shape;

/// The fewest workgroups that a dispatch should have. Rows are cut into strips to get that many.
const WORKGROUPS: usize = 32;

/// The row of the kernel of that name.
pub(super) fn row(name: String, tile: RegisterTile, weights: OperandMemory) -> Row {
    let channels = tile.channels();
    let prelude = [("TILE_M", tile.channel_vec4s), ("TILE_C", channels), ("LANES", LANES), ("LOADS", channels / LANES)];
    let row = gemm_row(name, wgsl!("conv_pool_subgroup"), &prelude, Input::Planes, weights);
    row.invocations(LANES).subgroups_of(LANES)
}

/// The columns of all frames, seven to a workgroup, in the fewest strips of rows that make enough workgroups.
pub(super) fn position_tiles(pooled: Shape, blocks: usize) -> PositionTiles {
    let columns = (pooled.n * pooled.t * pooled.w).div_ceil(LANES - 1);
    let strips = WORKGROUPS.div_ceil(columns * blocks).min(pooled.h);
    let rows = pooled.h.div_ceil(strips);
    PositionTiles { count: columns * pooled.h.div_ceil(rows), rows }
}
