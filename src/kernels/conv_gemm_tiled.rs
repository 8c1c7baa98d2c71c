//! Host side of `shaders/conv_gemm_tiled.wgsl`: implicit-GEMM convolution through workgroup memory.
//!
//! Parameters, weights and bias are those of [`super::conv_gemm`], in blocks of 64 output channels.

use super::conv_gemm::{SHARED, Tile, launch_with};
use super::launch::{Launch, Slice};
use super::source::assemble;
use crate::graph::Conv;

const SOURCE: &str = include_str!("../../shaders/conv_gemm_tiled.wgsl");

/// Entries (tap, input quad) staged at a time: 8 KiB of workgroup memory.
const STAGE: usize = 4;

/// What a workgroup computes: 64 channels by 8 columns of 8 positions.
pub(super) const TILE: Tile = Tile { channel_vec4s: 16, positions: 8 };
const COLUMNS: usize = 8;

pub(super) fn source() -> String {
    assemble(&[("STAGE", STAGE)], &SHARED, SOURCE)
}

pub(super) fn launch(conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    launch_with(TILE, COLUMNS, conv, slice, max_groups)
}
