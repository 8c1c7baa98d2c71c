//! Host side of `shaders/layout.wgsl`: NCTHW to NTHWC and back.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, invocations, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::graph::{Layout, OpKind};

params! {
    /// Uniform parameters.
    Params { grid_x: u32, len: u32, channels: u32, channel_blocks: u32, positions: u32, to_planar: u32 }
}

/// The conversion between layouts. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversion;

impl Permutation for Conversion {
    fn row(&self) -> Row {
        Row::new("layout", wgsl!("layout"), Params::LAYOUT, 2)
    }
}

impl Family for Conversion {
    type Operator = ();

    fn operator(kind: &OpKind) -> Option<&()> {
        if let OpKind::Layout = kind { Some(&()) } else { None }
    }

    fn launches(&self, (): &(), slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let shape = slice.output;
        let (channel_blocks, positions) = (shape.c.div_ceil(4), shape.t * shape.h * shape.w);
        let (len, grid) = invocations((shape.n * channel_blocks * positions) as u64, max_groups)?;
        let params = Params {
            grid_x: grid.x,
            len,
            channels: shape.c as u32,
            channel_blocks: channel_blocks as u32,
            positions: positions as u32,
            to_planar: (slice.output_layout == Layout::Planar).into(),
        };
        Ok(vec![Launch::new(Kernel::Layout(*self), &params, grid, vec![Operand::Input(0), Operand::Output])])
    }
}
