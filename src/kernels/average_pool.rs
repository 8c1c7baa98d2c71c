//! Host side of `shaders/average_pool.wgsl`: average pooling over whole axes.

use super::Kernel;
use super::launch::{Grid, Launch, Operand, Slice, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::graph::{Axes, OpKind};
use crate::shape::Shape;

/// Channel blocks of four that a workgroup computes, and invocations for each of them.
const BLOCKS: usize = 8;
const SHARES: usize = 8;

/// Values that an invocation sums before it adds that sum to its total.
const CHUNK: usize = 16;

/// Iterations of a loop that no driver ends early, see [`super::conv_gemm`].
const MAX_ITERATIONS: usize = 65_000;

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, workgroups: u32, channel_blocks: u32, block_workgroups: u32,
        in_t: u32, in_h: u32, in_w: u32,
        out_t: u32, out_h: u32, out_w: u32,
        first_t: u32, first_h: u32,
        count: u32, step: u32,
    }
}

/// The number of input positions whose mean is an output, and the distance between them.
fn positions(axes: Axes, input: Shape) -> (usize, usize) {
    match axes {
        Axes::Space => (input.h * input.w, 1),
        Axes::Time => (input.t, input.h * input.w),
    }
}

/// Average pooling. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AveragePool;

impl Permutation for AveragePool {
    fn row(&self) -> Row {
        Row::new("average_pool", wgsl!("average_pool"), Params::LAYOUT, 2)
            .prelude(&[("BLOCKS", BLOCKS), ("SHARES", SHARES), ("CHUNK", CHUNK)])
            .invocations(BLOCKS * SHARES)
    }
}

impl Family for AveragePool {
    type Operator = Axes;

    fn operator(kind: &OpKind) -> Option<&Axes> {
        if let OpKind::AveragePool(axes) = kind { Some(axes) } else { None }
    }

    /// Rejects means over so many positions that drivers would end the loop early.
    fn supports_input(&self, axes: &Axes, input: Shape) -> Result<(), String> {
        let (count, _) = positions(*axes, input);
        if count.div_ceil(CHUNK * SHARES) > MAX_ITERATIONS {
            return Err(format!("its loop over the {count} positions of {input} would be cut off"));
        }
        Ok(())
    }

    fn launches(&self, axes: &Axes, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (input, output) = (slice.inputs[0], slice.output);
        let (channel_blocks, block_workgroups) = (output.c.div_ceil(4), output.c.div_ceil(4 * BLOCKS));
        let workgroups = (output.n * output.t * output.h * output.w * block_workgroups) as u64;
        let grid = Grid::fold(workgroups, max_groups)?;
        // An averaged axis is bound whole. Along other axes, the bound input may begin before the first position that
        // is read.
        let (count, step) = positions(*axes, input);
        let params = Params {
            grid_x: grid.x,
            workgroups: workgroups as u32,
            channel_blocks: channel_blocks as u32,
            block_workgroups: block_workgroups as u32,
            in_t: input.t as u32,
            in_h: input.h as u32,
            in_w: input.w as u32,
            out_t: output.t as u32,
            out_h: output.h as u32,
            out_w: output.w as u32,
            first_t: -slice.pads_t[0] as u32,
            first_h: -slice.pads_h[0] as u32,
            count: count as u32,
            step: step as u32,
        };
        Ok(vec![Launch::new(Kernel::AveragePool(*self), &params, grid, vec![Operand::Input(0), Operand::Output])])
    }
}
