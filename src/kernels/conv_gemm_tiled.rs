//! Host side of `shaders/conv_gemm_tiled.wgsl`: implicit-GEMM convolution through workgroup memory.
//!
//! Parameters, launch, weights and bias are those of [`super::conv_gemm`], in blocks of 64 output channels. With max
//! pooling behind it, the launch is that of [`super::conv_pool`].

use super::OperandMemory;
use super::conv_gemm::{Input, RegisterTile, gemm_row};
use super::conv_pool::{self, Runs};
use super::source::wgsl;
use super::table::Row;
use crate::shape::Shape;

/// Output channels of a workgroup.
const CHANNELS: usize = 64;

/// Rows of invocations: those that have the same eight channels.
const ROWS: usize = 8;

/// Vec4 of a workgroup's inputs that one half of its memory has room for: a stage is as many k indices as fit.
const STAGED_INPUTS: usize = 256;

/// The positions of a workgroup, and how they lie over its invocations, each of which has eight channels of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkgroupTile {
    /// 64 positions, 64 invocations.
    Narrow,
    /// 128 positions, 128 invocations.
    Wide,
    /// 64 positions, 128 invocations: fewer registers for each, at the price of half as many more loads from workgroup
    /// memory.
    Compact,
    /// 64 positions, 256 invocations: four times those of [`Self::Narrow`], for layers of few workgroups.
    Sliced,
}

impl WorkgroupTile {
    /// What it adds to the name of a kernel.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Narrow => "",
            Self::Wide => "_wide",
            Self::Compact => "_compact",
            Self::Sliced => "_sliced",
        }
    }

    /// Positions of an invocation.
    fn each(self) -> usize {
        match self {
            Self::Narrow | Self::Wide | Self::Sliced => 8,
            Self::Compact => 4,
        }
    }

    /// Invocations side by side.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::Narrow | Self::Sliced => 8,
            Self::Wide | Self::Compact => 16,
        }
    }

    /// Times that many invocations, each for a part of the products: 1 or 4.
    fn slices(self) -> usize {
        match self {
            Self::Narrow | Self::Wide | Self::Compact => 1,
            Self::Sliced => 4,
        }
    }

    /// What a column of invocations has.
    pub(super) fn column(self) -> RegisterTile {
        RegisterTile { channel_vec4s: CHANNELS / 4, positions: self.each() }
    }

    fn positions(self) -> usize {
        self.each() * self.columns()
    }

    /// Invocations of a workgroup.
    fn invocations(self) -> usize {
        ROWS * self.columns() * self.slices()
    }

    /// Whether it is meant for so many workgroups of so many k indices. Large GPUs have room for some 130 workgroups, each
    /// beside four schedulers: where there are no more, one of two subgroups leaves half of these without work. What
    /// slices cost, adding up and as many barriers for less work between them, is lost in 32 k indices and more.
    pub(super) fn is_profitable(self, workgroups: usize, k_len: usize) -> bool {
        self.slices() == 1 || (workgroups <= 128 && k_len >= 32)
    }

    /// k indices (tap, input channel block) staged at a time: 4 with 64 positions, 2 with 128, so that two stages, with 64
    /// vec4 of weights for each k index, are within the 16 KiB of workgroup memory that every adapter has.
    pub(super) fn stage(self) -> usize {
        STAGED_INPUTS / self.positions()
    }
}

/// Pooled rows and columns below a workgroup of 64 positions that pools: 7 by 9 positions, of which neighbours have a row
/// and a column too.
const PATCH: [usize; 2] = [3, 4];

/// The row of the kernel of that name, for so many terms, or for one with max pooling behind it.
pub(super) fn row(name: String, tile: WorkgroupTile, input: Input, terms: usize, pools: bool) -> Row {
    let (positions, stage, invocations) = (tile.positions(), tile.stage(), tile.invocations());
    let prelude = [
        ("BLOCK_VEC4S", CHANNELS / 4),
        ("POSITIONS", positions),
        ("LANES", invocations),
        ("EACH", tile.each()),
        ("HALF", tile.each() / 2),
        ("QUARTER", tile.each() / 4),
        ("SLICES", tile.slices()),
        ("KEPT", tile.each() / tile.slices()),
        ("STAGE", stage),
        ("INPUTS", positions * stage / invocations),
        ("WEIGHTS", CHANNELS * stage / invocations),
        ("POOLS", pools.into()),
        ("PATCH_H", PATCH[0]),
        ("PATCH_W", PATCH[1]),
        ("DEPTH", if pools { conv_pool::CHANNELS } else { 4 }),
    ];
    let shader = wgsl!("conv_gemm_tiled");
    gemm_row(name, shader, &prelude, input, OperandMemory::Buffer, terms).invocations(invocations)
}

/// Patches of all frames, each a workgroup.
pub(super) fn patches(pooled: Shape) -> Runs {
    let [h, w] = PATCH;
    Runs { count: pooled.n * pooled.t * pooled.h.div_ceil(h) * pooled.w.div_ceil(w), rows: h }
}
