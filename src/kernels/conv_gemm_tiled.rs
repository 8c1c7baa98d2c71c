//! Host side of `shaders/conv_gemm_tiled.wgsl`: implicit-GEMM convolution through workgroup memory.
//!
//! Parameters, launch, weights and bias are those of [`super::conv_gemm`], in blocks of 64 output channels. With max
//! pooling behind it, the launch is that of [`super::conv_pool`].

use super::conv_gemm::{Home, Homes, Tile, assemble_gemm};
use super::conv_pool::Runs;
use crate::shape::Shape;

const SOURCE: &str = include_str!("../../shaders/conv_gemm_tiled.wgsl");

/// Columns of invocations: those that have the same position modulo 8.
pub(super) const COLUMNS: usize = 8;

/// What such a column of a workgroup computes: 64 channels at 8 positions, or at 16.
pub(super) const NARROW: Tile = Tile { channel_vec4s: 16, positions: 8 };
pub(super) const WIDE: Tile = Tile { channel_vec4s: 16, positions: 16 };

/// Entries (tap, input quad) staged at a time: 4 with 64 positions, 2 with 128, so that two stages, with 64 vec4 of weights
/// for each entry, are within the 16 KiB of workgroup memory that every adapter has.
pub(super) fn stage(tile: Tile) -> usize {
    32 / tile.positions
}

/// Pooled rows and columns below a workgroup of 64 positions that pools: 7 by 9 positions, of which neighbours have a row
/// and a column too.
const PATCH: [usize; 2] = [3, 4];

/// The shader for so many terms, or for one with max pooling behind it.
pub(super) fn source(tile: Tile, terms: usize, pools: bool) -> String {
    // Every invocation has 8 positions and 8 channels, so 8 invocations have the 64 channels of 8 positions.
    let positions = COLUMNS * tile.positions;
    let (lanes, stage) = (positions, stage(tile));
    let weights = tile.channels() * stage / lanes;
    let prelude = [
        ("POSITIONS", positions),
        ("LANES", lanes),
        ("STAGE", stage),
        ("WEIGHTS", weights),
        ("POOLS", pools.into()),
        ("PATCH_H", PATCH[0]),
        ("PATCH_W", PATCH[1]),
    ];
    assemble_gemm(&prelude, Homes { input: Home::Buffer, weights: Home::Buffer }, terms, SOURCE)
}

/// Patches of all frames, each a workgroup.
pub(super) fn patches(pooled: Shape) -> Runs {
    let [h, w] = PATCH;
    Runs { count: pooled.n * pooled.t * pooled.h.div_ceil(h) * pooled.w.div_ceil(w), rows: h }
}
