//! Host side of `shaders/layout.wgsl`: NCTHW to NTHWC and back.

use super::Kernel;
use super::launch::{Launch, Operand, invocations, params};
use super::source::assemble;
use crate::graph::Layout;
use crate::shape::Shape;

const SOURCE: &str = include_str!("../../shaders/layout.wgsl");

pub(super) fn source() -> String {
    assemble(&[], &[], SOURCE)
}

params! {
    /// Uniform parameters.
    Params { grid_x: u32, len: u32, channels: u32, quads: u32, positions: u32, to_planar: u32 }
}

pub(super) fn launch(to: Layout, shape: Shape, max_groups: u32) -> Result<Launch, String> {
    let (quads, positions) = (shape.c.div_ceil(4), shape.t * shape.h * shape.w);
    let (len, grid) = invocations((shape.n * quads * positions) as u64, max_groups)?;
    let params = Params {
        grid_x: grid.x,
        len,
        channels: shape.c as u32,
        quads: quads as u32,
        positions: positions as u32,
        to_planar: (to == Layout::Planar).into(),
    };
    Ok(Launch {
        kernel: Kernel::Layout,
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), Operand::Output],
    })
}
