//! Host side of `shaders/max_pool.wgsl`: max pooling.

use super::launch::{Launch, Operand, params, quad_grid};
use crate::graph::Window;
use crate::shape::Shape;

pub(super) const SOURCE: &str = include_str!("../../shaders/max_pool.wgsl");

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, quads: u32,
        in_t: u32, in_h: u32, in_w: u32,
        out_t: u32, out_h: u32, out_w: u32,
        kernel_t: u32, kernel_h: u32, kernel_w: u32,
        stride_t: u32, stride_h: u32, stride_w: u32,
        pad_t: u32, pad_h: u32, pad_w: u32,
        dilation_t: u32, dilation_h: u32, dilation_w: u32,
        lowest: f32,
    }
}

pub(super) fn launch(window: &Window, input: Shape, output: Shape, max_groups: u32) -> Result<Launch, String> {
    if !window.always_touches(input.thw()) {
        return Err(format!("{window:?} can lie wholly in the padding of {input}, where nothing is the largest"));
    }
    let (len, grid) = quad_grid(output, max_groups)?;
    let [kernel_t, kernel_h, kernel_w] = window.kernel.map(|v| v as u32);
    let [stride_t, stride_h, stride_w] = window.stride.map(|v| v as u32);
    let [pad_t, pad_h, pad_w] = window.pad.map(|v| v as u32);
    let [dilation_t, dilation_h, dilation_w] = window.dilation.map(|v| v as u32);
    let params = Params {
        grid_x: grid.x,
        len: len as u32,
        quads: output.c.div_ceil(4) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        kernel_t,
        kernel_h,
        kernel_w,
        stride_t,
        stride_h,
        stride_w,
        pad_t,
        pad_h,
        pad_w,
        dilation_t,
        dilation_h,
        dilation_w,
        lowest: f32::NEG_INFINITY,
    };
    Ok(Launch {
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), Operand::Output],
    })
}
