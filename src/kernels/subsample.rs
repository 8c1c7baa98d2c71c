//! Host side of `shaders/subsample.wgsl`: strided copies with more channels.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, WINDOW_SOURCE, WindowParams, params, quad_grid};
use super::source::assemble;
use crate::graph::Window;

const SOURCE: &str = include_str!("../../shaders/subsample.wgsl");

pub(super) fn source() -> String {
    assemble(&[], &[WINDOW_SOURCE], SOURCE)
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, len: u32, quads: u32,
        in_quads: u32, in_t: u32, in_h: u32, in_w: u32,
        out_t: u32, out_h: u32, out_w: u32,
    }
}

pub(super) fn launch(window: &Window, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    let (input, output) = (slice.inputs[0], slice.output);
    let (len, grid) = quad_grid(output, max_groups)?;
    let params = Params {
        window: slice.window(window),
        grid_x: grid.x,
        len,
        quads: output.c.div_ceil(4) as u32,
        in_quads: input.c.div_ceil(4) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
    };
    Ok(Launch {
        kernel: Kernel::Subsample,
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), Operand::Output],
    })
}
