//! Host side of `shaders/sum.wgsl`: the residual sum, where it has not been fused.

use super::Kernel;
use super::launch::{Launch, Operand, params, quad_grid};
use crate::shape::Shape;

pub(super) const SOURCE: &str = include_str!("../../shaders/sum.wgsl");

params! {
    /// Uniform parameters.
    Params { grid_x: u32, len: u32 }
}

pub(super) fn launch(output: Shape, max_groups: u32) -> Result<Launch, String> {
    let (len, grid) = quad_grid(output, max_groups)?;
    let params = Params { grid_x: grid.x, len };
    Ok(Launch {
        kernel: Kernel::Sum,
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), Operand::Input(1), Operand::Output],
    })
}
