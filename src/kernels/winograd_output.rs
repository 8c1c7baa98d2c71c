//! Host side of `shaders/winograd_output.wgsl`: out of the Winograd domain.

use super::launch::{Launch, Operand, Slice, params};
use super::source::assemble;
use super::winograd::Tile;
use super::{Kernel, launch};
use crate::graph::Conv;
use crate::shape::Shape;

const SOURCE: &str = include_str!("../../shaders/winograd_output.wgsl");

pub(super) fn source(tile: Tile) -> String {
    assemble(&[("IN", tile.inputs()), ("OUT", tile.outputs())], &[tile.source()], SOURCE)
}

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, quads: u32, out_quads: u32, first_quad: u32, positions: u32,
        tiles_h: u32, tiles_w: u32, first_row: u32, out_h: u32, out_w: u32,
        add_residual: u32, relu: u32,
    }
}

/// From `products`, in the second scratch buffer, to the rows of `slice` of the operator's output, its quads from
/// `first_quad` on.
pub(super) fn launch(
    tile: Tile,
    conv: &Conv,
    products: Shape,
    first_quad: usize,
    slice: &Slice,
    max_groups: u32,
) -> Result<Launch, String> {
    let output = slice.output;
    let [tiles_h, tiles_w] = tile.grid(slice.rows.len(), output.w);
    let positions = output.n * output.t * tiles_h * tiles_w;
    let quads = products.c.div_ceil(4);
    let (len, grid) = launch::invocations(positions as u64 * quads as u64, max_groups)?;
    let params = Params {
        grid_x: grid.x,
        len,
        quads: quads as u32,
        out_quads: output.c.div_ceil(4) as u32,
        first_quad: first_quad as u32,
        positions: positions as u32,
        tiles_h: tiles_h as u32,
        tiles_w: tiles_w as u32,
        first_row: slice.rows.start as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        add_residual: conv.epilogue.residual.into(),
        relu: conv.epilogue.relu.into(),
    };
    // The bias of the outputs is the third constant, and stands in for a residual that is not there.
    let residual = if conv.epilogue.residual { Operand::Input(1) } else { Operand::Constant(2) };
    Ok(Launch {
        kernel: Kernel::WinogradOutput(tile),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Scratch(1), Operand::Constant(2), residual, Operand::Output],
    })
}
