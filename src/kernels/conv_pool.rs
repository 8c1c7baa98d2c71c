//! A convolution and the max pooling after it in one kernel: the common part of these kernels.
//!
//! Parameters and constants are those of [`super::conv_gemm`]; the constants are those of the kernel for the
//! convolution alone. The input is an uploaded clip, plane by plane. It has so few channels that converting it to
//! channels last gains nothing.

use super::conv_gemm::{self, Batch, Gemm, Input};
use super::conv_gemm_tiled::{self, WorkgroupTile};
use super::launch::{Launch, Slice};
use super::method::Family;
use super::table::{Permutation, Row};
use super::{Kernel, OperandMemory, Target, conv_pool_subgroup};
use crate::dtype::Format;
use crate::error::Result;
use crate::graph::{Conv, OpKind, Window};
use crate::shape::Shape;
use crate::weights::Weights;

/// The pooling of the stem, as in Caffe2.
const POOL: Window = Window { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1], dilation: [1; 3] };

/// The most channels of a clip. The fourth channel of its channel block is zero, and these kernels do not multiply it.
pub(super) const CHANNELS: usize = 3;

/// The position tiles of a dispatch: one workgroup for each of them and each block of output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PositionTiles {
    pub count: usize,
    /// The pooled rows of a tile.
    pub rows: usize,
}

/// A convolution and the max pooling after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvPool {
    /// From registers, with values of neighbours shuffled in subgroups of eight. The weights are in that memory.
    Subgroup(OperandMemory),
    /// Through workgroup memory, eight positions an invocation.
    Tiled,
    /// The same, four positions an invocation.
    TiledCompact,
}

impl ConvPool {
    pub(super) const SUBGROUP: Self = Self::Subgroup(OperandMemory::Buffer);
    pub(super) const SUBGROUP_TEXTURE: Self = Self::Subgroup(OperandMemory::Texture);

    /// All kernels.
    pub(super) const ALL: &[Self] = &[Self::SUBGROUP, Self::SUBGROUP_TEXTURE, Self::Tiled, Self::TiledCompact];

    /// The GEMM whose constants it takes.
    pub(super) fn gemm(self) -> Gemm {
        match self {
            Self::Subgroup(OperandMemory::Buffer) => Gemm::SUBGROUP_64X4,
            Self::Subgroup(OperandMemory::Texture) => Gemm::SUBGROUP_64X4_TEXTURE,
            Self::Tiled => Gemm::TILED,
            Self::TiledCompact => Gemm::TILED_COMPACT,
        }
    }

    /// Multiply-adds of a launch with these parameters: those of all positions that its workgroups compute, including
    /// the positions that neighbours compute too.
    fn macs(self, params: &conv_gemm::Params) -> u64 {
        let gemm = self.gemm();
        let tiles = u64::from(params.workgroups) * gemm.workgroup_positions() as u64;
        let positions = match self {
            Self::Tiled | Self::TiledCompact => tiles,
            // A strip below another, of this dispatch or of the dispatch above, has one more row of squares.
            Self::Subgroup(_) => {
                let strips = u64::from(params.pool_h.div_ceil(params.pool_rows));
                tiles / strips * (u64::from(params.pool_h) + strips - 1 + u64::from(params.pool_above))
            }
        };
        positions * (gemm.tile().channels() * CHANNELS) as u64 * gemm.k_len(&params.window, params.group_channel_blocks)
    }
}

impl Permutation for ConvPool {
    fn row(&self) -> Row {
        let tiled = |tile: WorkgroupTile| {
            let name = format!("conv_pool_tiled{}", tile.suffix());
            conv_gemm_tiled::row(name, tile, Input::Planes, 1, true)
        };
        match *self {
            Self::Subgroup(weights) => {
                let name = format!("conv_pool_subgroup{}", weights.suffix());
                conv_pool_subgroup::row(name, self.gemm().tile(), weights)
            }
            Self::Tiled => tiled(WorkgroupTile::Narrow),
            Self::TiledCompact => tiled(WorkgroupTile::Compact),
        }
    }
}

impl Family for ConvPool {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        if conv.epilogue.pool.as_deref() != Some(&POOL) || conv.epilogue.residual {
            return Err("it is for convolutions with pooling of 1x3x3, stride 1x2x2 and no residual".to_owned());
        }
        if conv.dim_in > CHANNELS {
            return Err(format!("it is for clips of {CHANNELS} channels or fewer, not for {}", conv.dim_in));
        }
        self.gemm().supports_alone(conv)
    }

    /// Faster than a convolution and a pooling, unless much of the block of channels is padding. There is no narrower
    /// block.
    fn is_profitable(&self, conv: &Conv, _clip: Shape, _target: Target) -> bool {
        conv.dim_out.next_multiple_of(self.gemm().tile().channels()) <= conv.dim_out + conv.dim_out / 8
    }

    fn constant_memory(&self, index: usize) -> OperandMemory {
        Family::constant_memory(&self.gemm(), index)
    }

    fn constant_format(&self, index: usize) -> Format {
        Family::constant_format(&self.gemm(), index)
    }

    fn blocks(&self, conv: &Conv) -> usize {
        Family::blocks(&self.gemm(), conv)
    }

    fn constant_lens(&self, conv: &Conv, channels: usize) -> Vec<usize> {
        Family::constant_lens(&self.gemm(), conv, channels)
    }

    fn constants(&self, conv: &Conv, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        Family::constants(&self.gemm(), conv, channels, weights)
    }

    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (input, pooled) = (slice.inputs[0], slice.output);
        let fits =
            |axis, extent| conv.window.output_along(axis, extent).ok_or("its window does not fit into the input");
        // The rows of the convolution, from the first row that is not shared with the pooled rows above.
        let h = fits(1, slice.input_h)? - slice.above * POOL.stride[1];
        let output = Shape { h, w: fits(2, input.w)?, ..pooled };
        let tiles = match self {
            Self::Tiled | Self::TiledCompact => conv_gemm_tiled::patches(pooled),
            Self::Subgroup(_) => conv_pool_subgroup::position_tiles(pooled, slice.blocks.len()),
        };
        let plane = (input.t * input.h * input.w) as u32;
        let plane_start = |channel: usize| if channel < input.c { channel as u32 * plane } else { 0 };
        let params = conv_gemm::Params {
            in_frames: (input.c * input.t) as u32,
            second_plane: plane_start(1),
            third_plane: plane_start(2),
            pool_h: pooled.h as u32,
            pool_w: pooled.w as u32,
            pool_rows: tiles.rows as u32,
            pool_above: (slice.above > 0).into(),
            ..conv_gemm::parameters(self.gemm(), &Batch::single(conv), slice, output, tiles.count)
        };
        let kernel = Kernel::ConvPool(*self);
        Ok(vec![conv_gemm::launched(kernel, self.gemm(), params, conv, max_groups, |params| self.macs(params))?])
    }
}
