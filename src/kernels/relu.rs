//! Host side of `shaders/relu.wgsl`: the rectifier, where it has not been fused.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, channel_block_grid, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::graph::OpKind;

params! {
    /// Uniform parameters.
    Params { grid_x: u32, len: u32 }
}

/// The rectifier. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Relu;

impl Permutation for Relu {
    fn row(&self) -> Row {
        Row::new("relu", wgsl!("relu"), Params::LAYOUT, 2)
    }
}

impl Family for Relu {
    type Operator = ();

    fn operator(kind: &OpKind) -> Option<&()> {
        if let OpKind::Relu = kind { Some(&()) } else { None }
    }

    fn launches(&self, (): &(), slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (len, grid) = channel_block_grid(slice.output, max_groups)?;
        let params = Params { grid_x: grid.x, len };
        Ok(vec![Launch::new(Kernel::Relu(*self), &params, grid, vec![Operand::Input(0), Operand::Output])])
    }
}
