//! Host side of `shaders/conv_gemm.wgsl`, and of what it shares with `shaders/conv_gemm_subgroup.wgsl`: implicit-GEMM
//! convolution from registers.

use super::launch::{Grid, Launch, Operand, Slice, WINDOW_SOURCE, WindowParams, params};
use super::source::assemble;
use crate::error::Result;
use crate::graph::Conv;
use crate::weights::{Weights, fold_affine};

pub(super) const SHARED: [&str; 2] = [WINDOW_SOURCE, include_str!("../../shaders/shared/conv_gemm.wgsl")];
const SOURCE: &str = include_str!("../../shaders/conv_gemm.wgsl");

/// Invocations of a workgroup.
const LANES: usize = 64;

/// The register tile of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Output channels, in fours.
    pub channel_vec4s: usize,
    /// Output positions.
    pub positions: usize,
}

impl Tile {
    /// Eight channels by eight positions.
    pub const M8_N8: Self = Self { channel_vec4s: 2, positions: 8 };
    /// Sixteen channels by eight positions.
    pub const M16_N8: Self = Self { channel_vec4s: 4, positions: 8 };
    /// Sixteen channels by four positions.
    pub const M16_N4: Self = Self { channel_vec4s: 4, positions: 4 };
    /// Thirty-two channels by four positions.
    pub const M32_N4: Self = Self { channel_vec4s: 8, positions: 4 };

    /// Output channels of a tile.
    pub fn channels(self) -> usize {
        4 * self.channel_vec4s
    }

    /// Blocks of output channels, tiles side by side: weights and bias are cut between them.
    pub(super) fn blocks(self, conv: &Conv) -> usize {
        conv.dim_out.div_ceil(self.channels())
    }
}

pub(super) fn source(tile: Tile) -> String {
    assemble(&[("TILE_M", tile.channel_vec4s), ("TILE_N", tile.positions)], &SHARED, SOURCE)
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, blocks: u32, workgroups: u32, positions: u32,
        in_quads: u32, in_t: u32, in_h: u32, in_w: u32,
        out_quads: u32, out_t: u32, out_h: u32, out_w: u32,
        first_quad: u32,
        add_residual: u32, relu: u32,
    }
}

pub(super) fn launch(tile: Tile, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    launch_with(tile, LANES, conv, slice, max_groups)
}

/// The launch of either kernel; `lanes` is the size of its workgroup.
pub(super) fn launch_with(
    tile: Tile,
    lanes: usize,
    conv: &Conv,
    slice: &Slice,
    max_groups: u32,
) -> Result<Launch, String> {
    if conv.groups != 1 {
        return Err(format!("it has no groups, the convolution has {}", conv.groups));
    }
    let (input, output) = (slice.inputs[0], slice.output);
    let positions = output.n * output.t * output.h * output.w;
    let blocks = slice.blocks.len();
    let workgroups = positions.div_ceil(lanes * tile.positions) * blocks;
    let grid = Grid::fold(workgroups as u64, max_groups)?;
    let params = Params {
        window: slice.window(&conv.window),
        grid_x: grid.x,
        blocks: blocks as u32,
        workgroups: workgroups as u32,
        positions: positions as u32,
        in_quads: input.c.div_ceil(4) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_quads: output.c.div_ceil(4) as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        first_quad: (slice.blocks.start * tile.channel_vec4s) as u32,
        add_residual: conv.epilogue.residual.into(),
        relu: conv.epilogue.relu.into(),
    };
    Ok(Launch { params: bytemuck::bytes_of(&params).to_vec(), grid, operands: Operand::of_conv(conv) })
}

/// Weights and bias.
pub(super) fn constant_lens(tile: Tile, conv: &Conv) -> Vec<usize> {
    let padded_out = tile.blocks(conv) * tile.channels();
    let padded_in = conv.dim_in.next_multiple_of(4);
    vec![padded_out * conv.window.taps() * padded_in, padded_out]
}

/// Weights as [block][tap][input channel, padded to quads][channel of the block] and bias as [block][channel of the
/// block], with the affine channel folded in.
pub(super) fn constants(tile: Tile, conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let (dense, dense_bias) = fold_affine(conv, weights)?;
    let [weights_len, bias_len] = constant_lens(tile, conv)[..] else { unreachable!("two constants") };
    let (mut packed, mut bias) = (vec![0.0; weights_len], vec![0.0; bias_len]);
    bias[..conv.dim_out].copy_from_slice(&dense_bias);
    let (taps, padded_in) = (conv.window.taps(), conv.dim_in.next_multiple_of(4));
    for (out, row) in dense.chunks_exact(conv.macs_per_output()).enumerate() {
        let (block, lane) = (out / tile.channels(), out % tile.channels());
        for (index, &value) in row.iter().enumerate() {
            let (channel, tap) = (index / taps, index % taps);
            packed[((block * taps + tap) * padded_in + channel) * tile.channels() + lane] = value;
        }
    }
    Ok(vec![packed, bias])
}
