//! Host side of `shaders/conv_gemm_subgroup.wgsl`: implicit-GEMM convolution with weights broadcast in a subgroup.
//!
//! Parameters, launch and bias are those of [`super::conv_gemm`], the weights as well but for their innermost order.

use super::conv_gemm::{Homes, Tile, assemble_gemm};

const SOURCE: &str = include_str!("../../shaders/conv_gemm_subgroup.wgsl");

/// Lanes of the subgroups it is written for: a workgroup is one of them.
pub(super) const LANES: usize = 8;

pub(super) fn source(tile: Tile, homes: Homes, terms: usize) -> String {
    let Tile { channel_vec4s, positions } = tile;
    let channels = tile.channels();
    let prelude = [("TILE_M", channel_vec4s), ("TILE_N", positions), ("TILE_C", channels), ("LOADS", channels / LANES)];
    assemble_gemm(&prelude, homes, terms, SOURCE)
}
