//! Host side of `shaders/concat.wgsl`: concatenation of the channels of two blobs.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, channel_block_grid, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::graph::OpKind;

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, channel_blocks: u32,
        first_c: u32, second_c: u32,
        first_channel_blocks: u32, second_channel_blocks: u32,
    }
}

/// Concatenation of channels. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat;

impl Permutation for Concat {
    fn row(&self) -> Row {
        Row::new("concat", wgsl!("concat"), Params::LAYOUT, 3)
    }
}

impl Family for Concat {
    type Operator = ();

    fn operator(kind: &OpKind) -> Option<&()> {
        if let OpKind::Concat = kind { Some(&()) } else { None }
    }

    fn launches(&self, (): &(), slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (len, grid) = channel_block_grid(slice.output, max_groups)?;
        let [first, second] = [slice.inputs[0].c, slice.inputs[1].c];
        let params = Params {
            grid_x: grid.x,
            len,
            channel_blocks: slice.output.c.div_ceil(4) as u32,
            first_c: first as u32,
            second_c: second as u32,
            first_channel_blocks: first.div_ceil(4) as u32,
            second_channel_blocks: second.div_ceil(4) as u32,
        };
        let operands = vec![Operand::Input(0), Operand::Input(1), Operand::Output];
        Ok(vec![Launch::new(Kernel::Concat(*self), &params, grid, operands)])
    }
}
