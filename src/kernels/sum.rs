//! Host side of `shaders/sum.wgsl`: the residual sum, where it has not been fused.

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

/// The sum of two blobs. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sum;

impl Permutation for Sum {
    fn row(&self) -> Row {
        Row::new("sum", wgsl!("sum"), Params::LAYOUT, 3)
    }
}

impl Family for Sum {
    type Operator = ();

    fn operator(kind: &OpKind) -> Option<&()> {
        if let OpKind::Sum = kind { Some(&()) } else { None }
    }

    fn launches(&self, (): &(), slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (len, grid) = channel_block_grid(slice.output, max_groups)?;
        let params = Params { grid_x: grid.x, len };
        let operands = vec![Operand::Input(0), Operand::Input(1), Operand::Output];
        Ok(vec![Launch::new(Kernel::Sum(*self), &params, grid, operands)])
    }
}
