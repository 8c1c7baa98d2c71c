//! Host side of `shaders/subsample.wgsl`: strided copies with more channels.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, WINDOW, WindowParams, channel_block_grid, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::graph::{OpKind, Window};

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, len: u32, channel_blocks: u32,
        in_channel_blocks: u32, in_t: u32, in_h: u32, in_w: u32,
        out_t: u32, out_h: u32, out_w: u32,
    }
}

/// Strided copies. They have one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subsample;

impl Permutation for Subsample {
    fn row(&self) -> Row {
        Row::new("subsample", wgsl!("subsample"), Params::LAYOUT, 2).shared(&[WINDOW])
    }
}

impl Family for Subsample {
    type Operator = Window;

    fn operator(kind: &OpKind) -> Option<&Window> {
        if let OpKind::Subsample(window) = kind { Some(window) } else { None }
    }

    fn launches(&self, window: &Window, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (input, output) = (slice.inputs[0], slice.output);
        let (len, grid) = channel_block_grid(output, max_groups)?;
        let params = Params {
            window: slice.window(window),
            grid_x: grid.x,
            len,
            channel_blocks: output.c.div_ceil(4) as u32,
            in_channel_blocks: input.c.div_ceil(4) as u32,
            in_t: input.t as u32,
            in_h: input.h as u32,
            in_w: input.w as u32,
            out_t: output.t as u32,
            out_h: output.h as u32,
            out_w: output.w as u32,
        };
        Ok(vec![Launch::new(Kernel::Subsample(*self), &params, grid, vec![Operand::Input(0), Operand::Output])])
    }
}
