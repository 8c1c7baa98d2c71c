//! Host side of `shaders/concat.wgsl`: the channels of one blob behind those of another.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, params, quad_grid};

pub(super) const SOURCE: &str = include_str!("../../shaders/concat.wgsl");

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, quads: u32,
        first_c: u32, second_c: u32,
        first_quads: u32, second_quads: u32,
    }
}

pub(super) fn launch(slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    let (len, grid) = quad_grid(slice.output, max_groups)?;
    let [first, second] = [slice.inputs[0].c, slice.inputs[1].c];
    let params = Params {
        grid_x: grid.x,
        len,
        quads: slice.output.c.div_ceil(4) as u32,
        first_c: first as u32,
        second_c: second as u32,
        first_quads: first.div_ceil(4) as u32,
        second_quads: second.div_ceil(4) as u32,
    };
    Ok(Launch {
        kernel: Kernel::Concat,
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), Operand::Input(1), Operand::Output],
    })
}
