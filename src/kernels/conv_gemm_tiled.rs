//! Host side of `shaders/conv_gemm_tiled.wgsl`: implicit-GEMM convolution through workgroup memory.
//!
//! Parameters, launch, weights and bias are those of [`super::conv_gemm`], in blocks of 64 output channels.

use super::conv_gemm::{Home, Tile, assemble_gemm};

const SOURCE: &str = include_str!("../../shaders/conv_gemm_tiled.wgsl");

/// Entries (tap, input quad) staged at a time: 8 KiB of workgroup memory.
pub(super) const STAGE: usize = 4;

/// What a workgroup computes: 64 channels by 8 columns of 8 positions.
pub(super) const TILE: Tile = Tile { channel_vec4s: 16, positions: 8 };
pub(super) const COLUMNS: usize = 8;

pub(super) fn source() -> String {
    assemble_gemm(&[("STAGE", STAGE)], Home::Buffer, SOURCE)
}
