//! Host side of `shaders/winograd_fused.wgsl`: Winograd's F(2×2, 3×3) in one dispatch, for GPUs.

use super::conv_gemm::{Gemm, Order, Packing, pack};
use super::launch::{Grid, Launch, Operand, Slice, WINDOW_SOURCE, WindowParams, params};
use super::source::assemble;
use super::winograd::{Tile, Width, product_of, transformed_filters};
use super::{AdapterClass, Kernel, RowTiles, winograd};
use crate::error::Result;
use crate::graph::Conv;
use crate::shape::Shape;
use crate::weights::{Weights, fold_affine};

const SOURCE: &str = include_str!("../../shaders/winograd_fused.wgsl");

/// Output channels of a workgroup.
const CHANNELS: usize = 32;

/// Invocations of a workgroup.
pub(super) const LANES: usize = 256;

/// Vec4 of the weights of a block, for each tap in time and quad of input channels.
const ENTRY: usize = 512;

const TILE: Tile = Tile::F2;

/// Weights as the shader reads them.
const PACKING: Packing = Packing { channels: CHANNELS, order: Order::OutputsInner, batches_inside: true };

/// How many tiles an invocation has, of eight output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    each: usize,
}

impl Spread {
    /// 32 tiles for a workgroup.
    pub(super) const NARROW: Self = Self { each: 8 };
    /// 16 tiles: half the registers, for half as many more loads from workgroup memory.
    pub(super) const COMPACT: Self = Self { each: 4 };

    /// Tiles of a workgroup.
    fn tiles(self) -> usize {
        4 * self.each
    }

    /// The squares of output that are computed whole.
    pub(super) fn row_tiles(self) -> RowTiles {
        RowTiles { side: TILE.outputs(), run_len: self.tiles() }
    }
}

pub(super) fn source(spread: Spread) -> String {
    let prelude = [("EACH", spread.each), ("ROUNDS", spread.each / 2), ("TILES", spread.tiles())];
    assemble(&prelude, &[WINDOW_SOURCE, Width::Quads.source(), TILE.source()], SOURCE)
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, workgroups: u32, blocks: u32,
        tiles: u32, tiles_h: u32, tiles_w: u32, first_row: u32,
        in_quads: u32, in_t: u32, in_h: u32, in_w: u32,
        out_quads: u32, out_t: u32, out_h: u32, out_w: u32, first_quad: u32,
        add_residual: u32, relu: u32,
    }
}

/// Whether it can compute `conv`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(conv: &Conv) -> Result<(), String> {
    winograd::accepts_window(conv)?;
    match conv.groups {
        1 => Ok(()),
        groups => Err(format!("it has no groups, the convolution has {groups}")),
    }
}

/// Whether this is expected to be quicker on a GPU than the definition for a clip with that output, and than the same in
/// three dispatches.
pub(super) fn pays(spread: Spread, conv: &Conv, output: Shape, class: AdapterClass) -> bool {
    let product = match spread {
        Spread::COMPACT => Gemm::TILED_COMPACT,
        _ => Gemm::TILED,
    };
    let own = relative_cost(spread, conv, output, product);
    let unfused = |tile| winograd::relative_cost(tile, product, conv, output, class);
    class != AdapterClass::Software && own < 1.0 && Tile::ALL.into_iter().all(|tile| own < unfused(tile))
}

/// What this costs against the definition computed by `product`: how many products there are, with the padding to whole
/// workgroups, and by count what the transform of the input adds to a stage, and how many stages the epilogue is worth.
fn relative_cost(spread: Spread, conv: &Conv, output: Shape, product: Gemm) -> f64 {
    const TRANSFORM: f64 = 0.25;
    const EPILOGUE: f64 = 3.0;
    let padded = |positions: usize, run_len| positions.next_multiple_of(run_len) as f64;
    let tiles: usize = TILE.grid(output.h, output.w).into_iter().product();
    let products = TILE.batches() as f64 * padded(output.t * tiles, spread.tiles());
    let direct = 9.0 * padded(output.t * output.h * output.w, product.run_len());
    let stages = (conv.window.kernel[0] * conv.dim_in.div_ceil(4)) as f64;
    products * (1.0 + TRANSFORM + EPILOGUE / stages) / direct
}

/// Blocks of output channels, between which weights and bias are cut.
pub(super) fn blocks(conv: &Conv) -> usize {
    conv.dim_out.div_ceil(CHANNELS)
}

pub(super) fn launch(spread: Spread, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    accepts(conv)?;
    let (input, output) = (slice.inputs[0], slice.output);
    let [tiles_h, tiles_w] = TILE.grid(slice.rows.len(), output.w);
    let tiles = output.n * output.t * tiles_h * tiles_w;
    let workgroups = (tiles.div_ceil(spread.tiles()) * slice.blocks.len()) as u64;
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
        in_quads: input.c.div_ceil(4) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_quads: output.c.div_ceil(4) as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        first_quad: (slice.blocks.start * CHANNELS / 4) as u32,
        add_residual: conv.epilogue.residual.into(),
        relu: conv.epilogue.relu.into(),
    };
    Ok(Launch {
        kernel: Kernel::WinogradFused(spread),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: Operand::of_conv(conv),
    })
}

/// Multiply-adds of a dispatch with these parameters, those of the transforms left out.
pub(super) fn macs(spread: Spread, params: &Params) -> u64 {
    let entries = u64::from(params.window.kernel_t) * u64::from(params.in_quads);
    u64::from(params.workgroups) * entries * (ENTRY * 4 * spread.tiles()) as u64
}

/// Transformed weights, and the bias, in blocks both.
pub(super) fn constant_lens(conv: &Conv) -> [usize; 2] {
    let channels = blocks(conv) * CHANNELS;
    [PACKING.len(&product_of(conv), TILE.batches()), channels]
}

/// The values of these. The affine channel is folded and the filters are transformed in f64, and rounded once.
pub(super) fn constants(conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let (folded, mut bias) = fold_affine(conv, weights)?;
    let filters = transformed_filters::<4, 16>(TILE, conv, &folded);
    let packed = pack(PACKING, &product_of(conv), |_, out, channel, tap| filters(out, channel, tap));
    bias.resize(blocks(conv) * CHANNELS, 0.0);
    Ok(vec![packed, bias])
}

#[cfg(test)]
mod tests {
    use super::super::winograd::tests::square;
    use super::*;

    /// The layers of the flagship: what is quicker in three dispatches stays there.
    #[test]
    fn it_pays_where_the_domain_is_dear_to_move() {
        let pays = |spread, class, channels, kernel_t, side| {
            pays(spread, &square(channels, kernel_t), Shape::new(1, channels, 8, side, side), class)
        };
        for spread in [Spread::NARROW, Spread::COMPACT] {
            let gpu = |channels, kernel_t, side| pays(spread, AdapterClass::Gpu, channels, kernel_t, side);
            assert!(gpu(64, 1, 56));
            assert!(!gpu(128, 3, 28) && !gpu(256, 3, 14), "F(4x4) has fewer products");
            assert!(!gpu(4, 1, 56), "the epilogue costs more than the products");
            assert!(!pays(spread, AdapterClass::Software, 64, 1, 56));
        }
    }
}
