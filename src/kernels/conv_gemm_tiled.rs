//! Host side of `shaders/conv_gemm_tiled.wgsl`: implicit-GEMM convolution through workgroup memory.
//!
//! Parameters, launch, weights and bias are those of [`super::conv_gemm`], in blocks of 64 output channels. With max
//! pooling, the launch is that of [`super::conv_pool`].

use super::OperandMemory;
use super::conv_gemm::{Gemm, Input, RegisterTile, gemm_row};
use super::conv_pool::{self, PositionTiles};
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::shape::Shape;

/// Output channels of a workgroup.
const CHANNELS: usize = 64;

/// Rows of invocations. The invocations of a row have the same eight channels.
const ROWS: usize = 8;

/// The vec4 of input that fit into one half of a workgroup's memory. A stage has as many k indices as fit.
const STAGED_INPUTS: usize = 256;

/// The positions of a workgroup, and how they are distributed over its invocations. Each invocation computes eight
/// channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkgroupTile {
    /// 64 positions, 64 invocations.
    Narrow,
    /// 128 positions, 128 invocations.
    Wide,
    /// 64 positions, 128 invocations: fewer registers for each invocation, and 1.5 times as many loads from workgroup
    /// memory.
    Compact,
    /// 64 positions, 256 invocations: four times those of [`Self::Narrow`], for layers with few workgroups.
    Sliced,
}

impl WorkgroupTile {
    /// The part of a kernel's name that stands for it.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Narrow => "",
            Self::Wide => "_wide",
            Self::Compact => "_compact",
            Self::Sliced => "_sliced",
        }
    }

    /// Positions of an invocation.
    fn invocation_positions(self) -> usize {
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

    /// Slices, 1 or 4. Each slice sums a part of the k indices with a separate set of invocations.
    fn slices(self) -> usize {
        match self {
            Self::Narrow | Self::Wide | Self::Compact => 1,
            Self::Sliced => 4,
        }
    }

    /// The tile of a column of invocations.
    pub(super) fn column(self) -> RegisterTile {
        RegisterTile { channel_vec4s: CHANNELS / 4, positions: self.invocation_positions() }
    }

    fn positions(self) -> usize {
        self.invocation_positions() * self.columns()
    }

    /// Invocations of a workgroup.
    fn invocations(self) -> usize {
        ROWS * self.columns() * self.slices()
    }

    /// Whether it is meant for `workgroups` workgroups of `k_len` k indices. Large GPUs run some 130 workgroups at
    /// once, each on four schedulers. With no more workgroups than that, a workgroup of two subgroups leaves half of
    /// the schedulers without work. Slices cost a sum at the end, and the same number of barriers with less work
    /// between them; with 32 or more k indices that cost is negligible.
    pub(super) fn is_profitable(self, workgroups: usize, k_len: usize) -> bool {
        self.slices() == 1 || (workgroups <= 128 && k_len >= 32)
    }

    /// k indices (tap, input channel block) staged at a time: 4 with 64 positions, 2 with 128. So two stages, with 64
    /// vec4 of weights for each k index, fit into the 16 KiB of workgroup memory that every adapter has.
    pub(super) fn stage(self) -> usize {
        STAGED_INPUTS / self.positions()
    }
}

/// An implicit GEMM of two operand pairs: a convolution and the projection of another input, whose results are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Projected(pub(super) WorkgroupTile);

impl Permutation for Projected {
    fn row(&self) -> Row {
        let name = format!("conv_gemm{}_projected", Gemm::Tiled(self.0).suffix());
        row(name, self.0, Input::ChannelsLast(OperandMemory::Buffer), 2, false)
    }
}

/// Pooled rows and columns of a workgroup of 64 positions. They take 7 by 9 positions of the convolution; neighbouring
/// patches share a row or a column of them.
const PATCH: [usize; 2] = [3, 4];

/// The row of the kernel of that name, for `operand_pairs` operand pairs, with max pooling if `pools`.
pub(super) fn row(name: String, tile: WorkgroupTile, input: Input, operand_pairs: usize, pools: bool) -> Row {
    let (positions, stage, invocations) = (tile.positions(), tile.stage(), tile.invocations());
    let tile_n = tile.invocation_positions();
    let prelude = [
        ("BLOCK_VEC4S", CHANNELS / 4),
        ("POSITIONS", positions),
        ("INVOCATIONS", invocations),
        ("TILE_N", tile_n),
        ("HALF", tile_n / 2),
        ("QUARTER", tile_n / 4),
        ("SLICES", tile.slices()),
        ("KEPT", tile_n / tile.slices()),
        ("STAGE", stage),
        ("INPUTS", positions * stage / invocations),
        ("WEIGHTS", CHANNELS * stage / invocations),
        ("OPERAND_PAIRS", operand_pairs),
        ("POOLS", pools.into()),
        ("PATCH_H", PATCH[0]),
        ("PATCH_W", PATCH[1]),
        ("DEPTH", if pools { conv_pool::CHANNELS } else { 4 }),
    ];
    let shader = wgsl!("conv_gemm_tiled");
    gemm_row(name, shader, &prelude, input, OperandMemory::Buffer).invocations(invocations)
}

/// The patches of all frames, each a workgroup.
pub(super) fn patches(pooled: Shape) -> PositionTiles {
    let [h, w] = PATCH;
    PositionTiles { count: pooled.n * pooled.t * pooled.h.div_ceil(h) * pooled.w.div_ceil(w), rows: h }
}
