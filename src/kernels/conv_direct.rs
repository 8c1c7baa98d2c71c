//! Host side of `shaders/conv_direct.wgsl`: direct convolution of any shape.

use super::Kernel;
use super::launch::{Grid, Launch, Operand, Slice, WINDOW_SOURCE, WindowParams, params};
use super::source::assemble;
use crate::error::Result;
use crate::graph::Conv;
use crate::weights::{Weights, fold_affine};

const SOURCE: &str = include_str!("../../shaders/conv_direct.wgsl");

pub(super) fn source(tile: Tile) -> String {
    assemble(&[("TILE_W", tile.columns), ("TILE_C", tile.channel_vec4s)], &[WINDOW_SOURCE], SOURCE)
}

/// The register tile of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Neighbouring output columns.
    pub columns: usize,
    /// Output channels, in fours.
    pub channel_vec4s: usize,
}

impl Tile {
    /// One column, four channels: the least registers.
    pub const ONE: Self = Self { columns: 1, channel_vec4s: 1 };
    /// Four columns, eight channels.
    pub const WIDE: Self = Self { columns: 4, channel_vec4s: 2 };

    fn channels(self) -> usize {
        self.channel_vec4s * 4
    }
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, len: u32,
        tiles: u32, first_tile: u32, group_tiles: u32, row_tiles: u32,
        in_stride: u32, out_stride: u32,
        in_t: u32, in_h: u32, in_w: u32,
        out_c: u32, out_t: u32, out_h: u32, out_w: u32,
        group_in_c: u32, group_out_c: u32,
        add_residual: u32, relu: u32,
    }
}

/// Channel tiles of one group: tiles do not cross groups.
fn group_tiles(tile: Tile, conv: &Conv) -> usize {
    (conv.dim_out / conv.groups).div_ceil(tile.channels())
}

/// Channel tiles: weights and bias are cut between them.
pub(super) fn blocks(tile: Tile, conv: &Conv) -> usize {
    conv.groups * group_tiles(tile, conv)
}

/// Whether it can compute `conv`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(conv: &Conv) -> Result<(), String> {
    match conv.epilogue.projection {
        None => Ok(()),
        Some(_) => Err("it computes one convolution, not the sum of two".to_owned()),
    }
}

pub(super) fn launch(tile: Tile, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    accepts(conv)?;
    let (input, output) = (slice.inputs[0], slice.output);
    let row_tiles = output.w.div_ceil(tile.columns);
    let tiles = slice.blocks.len();
    let len = (output.n * output.t * output.h * row_tiles) as u64 * tiles as u64;
    let grid = Grid::fold(len.div_ceil(64), max_groups)?;
    let params = Params {
        window: slice.window(&conv.window),
        grid_x: grid.x,
        len: len as u32,
        tiles: tiles as u32,
        first_tile: slice.blocks.start as u32,
        group_tiles: group_tiles(tile, conv) as u32,
        row_tiles: row_tiles as u32,
        in_stride: input.c.next_multiple_of(4) as u32,
        out_stride: output.c.next_multiple_of(4) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_c: output.c as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        group_in_c: (conv.dim_in / conv.groups) as u32,
        group_out_c: (conv.dim_out / conv.groups) as u32,
        add_residual: conv.epilogue.residual.into(),
        relu: conv.epilogue.relu.into(),
    };
    Ok(Launch {
        kernel: Kernel::ConvDirect(tile),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: Operand::of_conv(conv),
    })
}

/// Weights and bias.
pub(super) fn constant_lens(tile: Tile, conv: &Conv) -> Vec<usize> {
    let padded = blocks(tile, conv) * tile.channels();
    vec![padded * conv.macs_per_output(), padded]
}

/// Weights as [channel tile][input channel of the group][tap][channel of the tile] and bias as [channel tile][channel
/// of the tile], with the affine channel folded in.
pub(super) fn constants(tile: Tile, conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let (dense, dense_bias) = fold_affine(conv, weights)?;
    let [weights_len, bias_len] = constant_lens(tile, conv)[..] else { unreachable!("two constants") };
    let (mut packed, mut bias) = (vec![0.0; weights_len], vec![0.0; bias_len]);
    let row = conv.macs_per_output();
    let group_out_c = conv.dim_out / conv.groups;
    for (channel, values) in dense.chunks_exact(row).enumerate() {
        let (group, within) = (channel / group_out_c, channel % group_out_c);
        let index = group * group_tiles(tile, conv) + within / tile.channels();
        let lane = within % tile.channels();
        bias[index * tile.channels() + lane] = dense_bias[channel];
        for (position, &value) in values.iter().enumerate() {
            packed[(index * row + position) * tile.channels() + lane] = value as f32;
        }
    }
    Ok(vec![packed, bias])
}
