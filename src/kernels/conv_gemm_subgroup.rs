//! Host side of `shaders/conv_gemm_subgroup.wgsl`: implicit-GEMM convolution with weights broadcast in a subgroup.
//!
//! Parameters, launch, weights and bias are those of [`super::conv_gemm`], but the innermost order of the weights
//! differs.

use super::OperandMemory;
use super::conv_gemm::{Input, RegisterTile, gemm_row};
use super::source::wgsl;
use super::table::Row;

/// Lanes of the subgroups that the shader is written for. A workgroup is one subgroup.
pub(super) const LANES: usize = 8;

/// The row of the kernel of that name.
pub(super) fn row(name: String, tile: RegisterTile, input: Input, weights: OperandMemory) -> Row {
    let RegisterTile { channel_vec4s, positions } = tile;
    let channels = tile.channels();
    let prelude = [
        ("TILE_M", channel_vec4s),
        ("TILE_N", positions),
        ("TILE_C", channels),
        ("LANES", LANES),
        ("LOADS", channels / LANES),
    ];
    gemm_row(name, wgsl!("conv_gemm_subgroup"), &prelude, input, weights).invocations(LANES).subgroups_of(LANES)
}
