//! Host side of `shaders/winograd_fused.wgsl`: Winograd's F(2×2, 3×3) in one dispatch, for GPUs.

use super::conv_gemm::{Gemm, Order, Packing, pack};
use super::launch::{Grid, Launch, Operand, Slice, Tiles, WINDOW, WindowParams, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::winograd::{self, Width, WinogradTile, product_of, transformed_filters};
use super::{AdapterClass, Kernel, RowTiles, Target};
use crate::error::Result;
use crate::graph::{Conv, OpKind};
use crate::shape::Shape;
use crate::weights::{Weights, fold_affine};

/// Output channels of a workgroup.
const CHANNELS: usize = 32;

/// Invocations of a workgroup.
const INVOCATIONS: usize = 256;

/// The vec4 of a block's weights for each k index (tap in time, input channel block of four).
const WEIGHTS: usize = 512;

const TILE: WinogradTile = WinogradTile::F2;

/// The layout of the weights that the shader reads.
const PACKING: Packing = Packing { channels: CHANNELS, order: Order::OutputsInner, batches_inside: true };

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, workgroups: u32, blocks: u32,
        tiles: u32, tiles_h: u32, tiles_w: u32, first_row: u32,
        in_channel_blocks: u32, in_t: u32, in_h: u32, in_w: u32,
        out_channel_blocks: u32, out_t: u32, out_h: u32, out_w: u32, first_channel_block: u32,
        add_residual: u32, relu: u32,
    }
}

/// The number of tiles of a workgroup, each of 32 output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkgroupTile {
    /// 32 tiles: eight for each invocation, of eight channels.
    Narrow,
    /// 16 tiles: half the registers, and 1.5 times as many loads from workgroup memory.
    Compact,
}

impl WorkgroupTile {
    /// Tiles of an invocation.
    fn invocation_tiles(self) -> usize {
        match self {
            Self::Narrow => 8,
            Self::Compact => 4,
        }
    }

    /// Tiles of a workgroup.
    fn tiles(self) -> usize {
        4 * self.invocation_tiles()
    }

    /// The implicit GEMM whose invocations have the same number of sums.
    fn equal_gemm(self) -> Gemm {
        match self {
            Self::Narrow => Gemm::TILED,
            Self::Compact => Gemm::TILED_COMPACT,
        }
    }

    /// The cost of this method relative to the definition, which `product` computes. It counts the products, with the
    /// padding to whole workgroups. `TRANSFORM` is the share that the input transform adds to a stage and `EPILOGUE`
    /// the number of stages that the epilogue is worth, both by instruction count.
    fn relative_cost(self, conv: &Conv, output: Shape, product: Gemm) -> f64 {
        const TRANSFORM: f64 = 0.25;
        const EPILOGUE: f64 = 3.0;
        let padded = |positions: usize, multiple| positions.next_multiple_of(multiple) as f64;
        let tiles: usize = TILE.grid(output.h, output.w).into_iter().product();
        let products = TILE.batches() as f64 * padded(output.t * tiles, self.tiles());
        let direct = 9.0 * padded(output.t * output.h * output.w, product.workgroup_positions());
        let stages = (conv.window.kernel[0] * conv.dim_in.div_ceil(4)) as f64;
        products * (1.0 + TRANSFORM + EPILOGUE / stages) / direct
    }
}

impl Permutation for WorkgroupTile {
    fn row(&self) -> Row {
        let name = match self {
            Self::Narrow => "winograd_2x2_fused",
            Self::Compact => "winograd_2x2_fused_compact",
        };
        Row::new(name, wgsl!("winograd_fused"), Params::LAYOUT, 5)
            .shared(&[WINDOW, Width::Four.source(), TILE.source()])
            .prelude(&[
                ("INVOCATIONS", INVOCATIONS),
                ("WEIGHTS", WEIGHTS),
                ("INVOCATION_TILES", self.invocation_tiles()),
                ("EPILOGUE_STEPS", self.invocation_tiles() / 2),
                ("TILES", self.tiles()),
            ])
            .invocations(INVOCATIONS)
            .in_f32(&[1, 2])
    }
}

impl Family for WorkgroupTile {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        winograd::supports_window(conv)?;
        match conv.groups {
            1 => Ok(()),
            groups => Err(format!("it has no groups, the convolution has {groups}")),
        }
    }

    /// On a GPU: if it is faster than the definition and than Winograd's method in three dispatches.
    fn is_profitable(&self, conv: &Conv, clip: Shape, target: Target) -> bool {
        let product = self.equal_gemm();
        let cost = self.relative_cost(conv, clip, product);
        let unfused = |tile| winograd::relative_cost(tile, product, conv, clip, target.class);
        let fastest = cost < 1.0 && WinogradTile::ALL.iter().all(|&tile| cost < unfused(tile));
        target.class != AdapterClass::Software && fastest
    }

    fn winograd_tile(&self) -> Option<WinogradTile> {
        Some(TILE)
    }

    /// The squares of output that are computed as a whole.
    fn row_tiles(&self) -> Option<RowTiles> {
        Some(RowTiles { side: TILE.outputs(), workgroup_tiles: self.tiles() })
    }

    /// The number of blocks of output channels. Weights and bias can be cut between them.
    fn blocks(&self, conv: &Conv) -> usize {
        conv.dim_out.div_ceil(CHANNELS)
    }

    /// Transformed weights and the bias, both in blocks.
    fn constant_lens(&self, conv: &Conv, _channels: usize) -> Vec<usize> {
        vec![PACKING.len(&product_of(conv), TILE.batches()), self.blocks(conv) * CHANNELS]
    }

    /// The affine channel is folded and the filters are transformed in f64, and the result is rounded once.
    fn constants(&self, conv: &Conv, _channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        let (folded, mut bias) = fold_affine(conv, weights)?;
        let filters = transformed_filters::<4, 16>(TILE, conv, &folded);
        let packed = pack(PACKING, &product_of(conv), |_, out, channel, tap| filters(out, channel, tap));
        bias.resize(self.blocks(conv) * CHANNELS, 0.0);
        Ok(vec![packed, bias])
    }

    /// The arithmetic of the transforms is not counted as multiply-adds.
    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (input, output) = (slice.inputs[0], slice.output);
        let [tiles_h, tiles_w] = TILE.grid(slice.rows.len(), output.w);
        let tiles = output.n * output.t * tiles_h * tiles_w;
        let position_tiles = tiles.div_ceil(self.tiles());
        let workgroups = (position_tiles * slice.blocks.len()) as u64;
        let grid = Grid::fold(workgroups, max_groups)?;
        let params = Params {
            window: slice.window(&conv.window),
            grid_x: grid.x,
            workgroups: workgroups as u32,
            blocks: slice.blocks.len() as u32,
            tiles: tiles as u32,
            tiles_h: tiles_h as u32,
            tiles_w: tiles_w as u32,
            first_row: slice.rows.start as u32,
            in_channel_blocks: input.c.div_ceil(4) as u32,
            in_t: input.t as u32,
            in_h: input.h as u32,
            in_w: input.w as u32,
            out_channel_blocks: output.c.div_ceil(4) as u32,
            out_t: output.t as u32,
            out_h: output.h as u32,
            out_w: output.w as u32,
            first_channel_block: (slice.blocks.start * CHANNELS / 4) as u32,
            add_residual: conv.epilogue.residual.into(),
            relu: conv.epilogue.relu.into(),
        };
        let k_len = u64::from(params.window.kernel_t) * u64::from(params.in_channel_blocks);
        let macs = workgroups * k_len * (WEIGHTS * 4 * self.tiles()) as u64;
        let kernel = Kernel::WinogradFused(*self);
        let launch = Launch::new(kernel, &params, grid, Operand::of_conv(conv)).with_macs(macs);
        Ok(vec![launch.with_tiles(Tiles { channels: params.blocks, positions: position_tiles as u32, stages: k_len })])
    }
}

#[cfg(test)]
mod tests {
    use super::super::winograd::tests::square;
    use super::*;

    /// The layers of the flagship. Layers that are faster in three dispatches are not fused.
    #[test]
    fn it_is_profitable_where_the_domain_is_expensive_to_move() {
        let profitable = |tile: WorkgroupTile, class, channels, kernel_t, side| {
            let output = Shape::new(1, channels, 8, side, side);
            Family::is_profitable(&tile, &square(channels, kernel_t), output, Target::typical(class))
        };
        for tile in [WorkgroupTile::Narrow, WorkgroupTile::Compact] {
            let gpu = |channels, kernel_t, side| profitable(tile, AdapterClass::Gpu, channels, kernel_t, side);
            assert!(gpu(64, 1, 56));
            assert!(!gpu(128, 3, 28) && !gpu(256, 3, 14), "F(4x4) has fewer products");
            assert!(!gpu(4, 1, 56), "the epilogue costs more than the products");
            assert!(!profitable(tile, AdapterClass::Software, 64, 1, 56));
        }
    }
}
