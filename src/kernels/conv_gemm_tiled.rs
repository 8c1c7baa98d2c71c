//! Host side of `shaders/conv_gemm_tiled.wgsl`: implicit-GEMM convolution through workgroup memory.
//!
//! Parameters, launch, weights and bias are those of [`super::conv_gemm`], in blocks of 64 output channels. With max
//! pooling behind it, the launch is that of [`super::conv_pool`].

use super::conv_gemm::{Home, Homes, Input, Tile, assemble_gemm};
use super::conv_pool::{self, Runs};
use crate::shape::Shape;

const SOURCE: &str = include_str!("../../shaders/conv_gemm_tiled.wgsl");

/// Output channels of a workgroup.
const CHANNELS: usize = 64;

/// Rows of invocations: those that have the same eight channels.
const ROWS: usize = 8;

/// The positions of a workgroup, spread over its invocations, each of which has eight channels of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    /// Positions of an invocation.
    pub each: usize,
    /// Invocations side by side.
    pub columns: usize,
    /// Times that many, each for a part of the products: 1 or 4.
    pub slices: usize,
}

impl Spread {
    /// 64 positions, 64 invocations.
    pub(super) const NARROW: Self = Self { each: 8, columns: 8, slices: 1 };
    /// 128 positions, 128 invocations.
    pub(super) const WIDE: Self = Self { each: 8, columns: 16, slices: 1 };
    /// 64 positions, 128 invocations: fewer registers for each, at the price of half as many more loads from workgroup
    /// memory.
    pub(super) const COMPACT: Self = Self { each: 4, columns: 16, slices: 1 };
    /// 64 positions, 256 invocations: four times those of [`Self::NARROW`], for layers of few workgroups.
    pub(super) const SLICED: Self = Self { each: 8, columns: 8, slices: 4 };

    /// What a column of invocations has.
    pub(super) fn tile(self) -> Tile {
        Tile { channel_vec4s: CHANNELS / 4, positions: self.each }
    }

    fn positions(self) -> usize {
        self.each * self.columns
    }

    /// Invocations of a workgroup.
    pub(super) fn lanes(self) -> usize {
        ROWS * self.columns * self.slices
    }

    /// Whether it is meant for so many workgroups of so many entries. Large GPUs have room for some 130 workgroups, each
    /// beside four schedulers: where there are no more, one of two subgroups leaves half of these without work. What
    /// slices cost, adding up and as many barriers for less work between them, is lost in 32 entries and more.
    pub(super) fn suits(self, workgroups: usize, entries: usize) -> bool {
        self.slices == 1 || (workgroups <= 128 && entries >= 32)
    }

    /// Entries (tap, input quad) staged at a time: 4 with 64 positions, 2 with 128, so that two stages, with 64 vec4 of
    /// weights for each entry, are within the 16 KiB of workgroup memory that every adapter has.
    pub(super) fn stage(self) -> usize {
        256 / self.positions()
    }
}

/// Pooled rows and columns below a workgroup of 64 positions that pools: 7 by 9 positions, of which neighbours have a row
/// and a column too.
const PATCH: [usize; 2] = [3, 4];

/// The shader for so many terms, or for one with max pooling behind it.
pub(super) fn source(spread: Spread, terms: usize, pools: bool) -> String {
    let (positions, stage, lanes) = (spread.positions(), spread.stage(), spread.lanes());
    let prelude = [
        ("POSITIONS", positions),
        ("LANES", lanes),
        ("EACH", spread.each),
        ("HALF", spread.each / 2),
        ("QUARTER", spread.each / 4),
        ("SLICES", spread.slices),
        ("KEPT", spread.each / spread.slices),
        ("STAGE", stage),
        ("INPUTS", positions * stage / lanes),
        ("WEIGHTS", CHANNELS * stage / lanes),
        ("POOLS", pools.into()),
        ("PATCH_H", PATCH[0]),
        ("PATCH_W", PATCH[1]),
        ("DEPTH", if pools { conv_pool::CHANNELS } else { 4 }),
    ];
    let input = if pools { Input::Planes } else { Input::Quads(Home::Buffer) };
    assemble_gemm(&prelude, Homes { input, weights: Home::Buffer }, terms, SOURCE)
}

/// Patches of all frames, each a workgroup.
pub(super) fn patches(pooled: Shape) -> Runs {
    let [h, w] = PATCH;
    Runs { count: pooled.n * pooled.t * pooled.h.div_ceil(h) * pooled.w.div_ceil(w), rows: h }
}
