//! Host side of `shaders/conv_gemm_subgroup.wgsl`: implicit-GEMM convolution with weights broadcast in a subgroup.
//!
//! Parameters, weights and bias are those of [`super::conv_gemm`].

use super::conv_gemm::{SHARED, Tile, launch_with};
use super::launch::{Launch, Slice};
use super::source::assemble;
use crate::graph::Conv;

const SOURCE: &str = include_str!("../../shaders/conv_gemm_subgroup.wgsl");

/// Lanes of the subgroups it is written for: a workgroup is one of them.
pub(super) const LANES: usize = 8;

pub(super) fn source(tile: Tile) -> String {
    let Tile { channel_vec4s, positions } = tile;
    let prelude = [("TILE_M", channel_vec4s), ("TILE_N", positions), ("LOADS", channel_vec4s / 2)];
    assemble(&prelude, &SHARED, SOURCE)
}

pub(super) fn launch(tile: Tile, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    launch_with(tile, LANES, conv, slice, max_groups)
}
