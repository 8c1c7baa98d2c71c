//! Host side of `shaders/conv_depthwise.wgsl`, and of what it shares with `conv_depthwise_walk.wgsl`: parameters, launch,
//! packed weights.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, WINDOW_SOURCE, WindowParams, invocations, params};
use super::source::{Prelude, assemble};
use crate::error::Result;
use crate::graph::Conv;
use crate::weights::{Weights, fold_affine};

const SOURCE: &str = include_str!("../../shaders/conv_depthwise.wgsl");

/// Shared code, in front of both shaders.
const SHARED_SOURCE: &str = include_str!("../../shaders/shared/conv_depthwise.wgsl");

/// Channels of a block: eight quads.
const BLOCK: usize = 32;

/// Columns that an invocation computes.
pub(super) const COLUMNS: usize = 4;

pub(super) fn source() -> String {
    assemble_depthwise(&[("TILE_W", COLUMNS)], SOURCE)
}

/// The text of one of these shaders, `kernel` being its own part.
pub(super) fn assemble_depthwise(prelude: &Prelude, kernel: &str) -> String {
    assemble(prelude, &[WINDOW_SOURCE, SHARED_SOURCE], kernel)
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, len: u32,
        quads: u32, first_quad: u32,
        tiles_w: u32, tiles_h: u32, tiles_t: u32, tile_t: u32,
        all_quads: u32,
        in_t: u32, in_h: u32, in_w: u32,
        out_t: u32, out_h: u32, out_w: u32,
        add_residual: u32, relu: u32,
    }
}

/// Blocks of channels: weights and bias are cut between them.
pub(super) fn blocks(conv: &Conv) -> usize {
    conv.dim_out.div_ceil(BLOCK)
}

/// Whether it can compute `conv`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(conv: &Conv) -> Result<(), String> {
    let Conv { dim_in, dim_out, groups, .. } = *conv;
    if (dim_in, dim_out) != (groups, groups) {
        return Err(format!("it computes channels by themselves, not {dim_in} to {dim_out} in {groups} groups"));
    }
    match conv.epilogue.projection {
        None => Ok(()),
        Some(_) => Err("it computes one convolution, not the sum of two".to_owned()),
    }
}

/// The launch of `kernel`, whose invocations compute tiles of these extents: frames, rows, columns.
pub(super) fn launch(
    kernel: Kernel,
    tile: [usize; 3],
    conv: &Conv,
    slice: &Slice,
    max_groups: u32,
) -> Result<Launch, String> {
    accepts(conv)?;
    let (input, output) = (slice.inputs[0], slice.output);
    let all_quads = output.c.div_ceil(4);
    let first_quad = slice.blocks.start * (BLOCK / 4);
    let quads = (slice.blocks.end * (BLOCK / 4)).min(all_quads) - first_quad;
    let [tiles_t, tiles_h, tiles_w] = [0, 1, 2].map(|axis| output.thw()[axis].div_ceil(tile[axis]));
    let (len, grid) = invocations((output.n * tiles_t * tiles_h * tiles_w * quads) as u64, max_groups)?;
    let params = Params {
        window: slice.window(&conv.window),
        grid_x: grid.x,
        len,
        quads: quads as u32,
        first_quad: first_quad as u32,
        tiles_w: tiles_w as u32,
        tiles_h: tiles_h as u32,
        tiles_t: tiles_t as u32,
        tile_t: tile[0] as u32,
        all_quads: all_quads as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        add_residual: conv.epilogue.residual.into(),
        relu: conv.epilogue.relu.into(),
    };
    let params = bytemuck::bytes_of(&params).to_vec();
    Ok(Launch { kernel, params, grid, operands: Operand::of_conv(conv) })
}

/// Weights and bias.
pub(super) fn constant_lens(conv: &Conv) -> [usize; 2] {
    let padded = blocks(conv) * BLOCK;
    [padded * conv.window.taps(), padded]
}

/// Weights as [block][tap][channel of the block] and bias as [block][channel of the block], with the affine channel folded in.
pub(super) fn constants(conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let (dense, mut bias) = fold_affine(conv, weights)?;
    let [weights_len, bias_len] = constant_lens(conv);
    let taps = conv.window.taps();
    let mut packed = vec![0.0; weights_len];
    for (channel, values) in dense.chunks_exact(taps).enumerate() {
        for (tap, &value) in values.iter().enumerate() {
            packed[(channel / BLOCK * taps + tap) * BLOCK + channel % BLOCK] = value as f32;
        }
    }
    bias.resize(bias_len, 0.0);
    Ok(vec![packed, bias])
}
