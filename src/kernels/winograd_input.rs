//! Host side of `shaders/winograd_input.wgsl`: tiles of the input into the Winograd domain.

use super::launch::{Launch, Operand, Slice, params};
use super::source::assemble;
use super::winograd::{Tile, Width, domain_operand};
use super::{Home, IMAGE_WIDTH, Kernel, launch};
use crate::graph::Conv;

const SOURCE: &str = include_str!("../../shaders/winograd_input.wgsl");
const DOMAIN_IN_BUFFER: &str = include_str!("../../shaders/shared/domain_in_buffer.wgsl");
const DOMAIN_IN_IMAGE: &str = include_str!("../../shaders/shared/domain_in_image.wgsl");

pub(super) fn source(tile: Tile, width: Width, domain: Home) -> String {
    let mut prelude = vec![("IN", tile.inputs()), ("OUT", tile.outputs())];
    let output = match domain {
        Home::Buffer => DOMAIN_IN_BUFFER,
        Home::Image => {
            prelude.push(("IMAGE_WIDTH", IMAGE_WIDTH));
            DOMAIN_IN_IMAGE
        }
    };
    assemble(&prelude, &[width.source(), tile.source(), output], SOURCE)
}

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, parts: u32, positions: u32,
        tiles_h: u32, tiles_w: u32, in_h: u32, in_w: u32,
        pad_h: i32, pad_w: i32,
    }
}

/// From the operator's input to the workspace of the Winograd domain there.
pub(super) fn launch(
    tile: Tile,
    width: Width,
    domain: Home,
    conv: &Conv,
    slice: &Slice,
    max_groups: u32,
) -> Result<Launch, String> {
    let input = slice.inputs[0];
    let [tiles_h, tiles_w] = tile.grid(slice.rows.len(), slice.output.w);
    let positions = input.n * input.t * tiles_h * tiles_w;
    let parts = width.parts(input.c.div_ceil(4));
    let (len, grid) = launch::invocations(positions as u64 * u64::from(parts), max_groups)?;
    let params = Params {
        grid_x: grid.x,
        len,
        parts,
        positions: positions as u32,
        tiles_h: tiles_h as u32,
        tiles_w: tiles_w as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        // The first of these rows is what the padding is in front of.
        pad_h: slice.pads_h[0] as i32 - slice.rows.start as i32,
        pad_w: conv.window.pad[2] as i32,
    };
    Ok(Launch {
        kernel: Kernel::WinogradInput(tile, width, domain),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), domain_operand(domain)],
    })
}
