//! Host side of `shaders/winograd_output.wgsl`: out of the Winograd domain.

use super::launch::{Launch, Operand, Slice, params};
use super::source::assemble;
use super::winograd::{Tile, Width};
use super::{Kernel, launch};
use crate::graph::Conv;
use crate::shape::Shape;

const SOURCE: &str = include_str!("../../shaders/winograd_output.wgsl");

pub(super) fn source(tile: Tile, width: Width) -> String {
    let prelude = [("IN", tile.inputs()), ("OUT", tile.outputs())];
    assemble(&prelude, &[width.source(), tile.source()], SOURCE)
}

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, parts: u32, out_parts: u32, first_part: u32, positions: u32,
        tiles_h: u32, tiles_w: u32, first_row: u32, out_h: u32, out_w: u32,
        add_residual: u32, relu: u32,
    }
}

/// From `products`, in the second scratch buffer, to the rows of `slice` of the operator's output, its quads from
/// `first_quad` on.
pub(super) fn launch(
    tile: Tile,
    width: Width,
    conv: &Conv,
    products: Shape,
    first_quad: usize,
    slice: &Slice,
    max_groups: u32,
) -> Result<Launch, String> {
    let output = slice.output;
    let [tiles_h, tiles_w] = tile.grid(slice.rows.len(), output.w);
    let positions = output.n * output.t * tiles_h * tiles_w;
    let parts = width.parts(products.c.div_ceil(4));
    let (len, grid) = launch::invocations(positions as u64 * u64::from(parts), max_groups)?;
    let params = Params {
        grid_x: grid.x,
        len,
        parts,
        out_parts: width.parts(output.c.div_ceil(4)),
        first_part: width.parts(first_quad),
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
        kernel: Kernel::WinogradOutput(tile, width),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Scratch(1), Operand::Constant(2), residual, Operand::Output],
    })
}
