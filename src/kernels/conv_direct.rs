//! Host side of `shaders/conv_direct.wgsl`: direct convolution of any shape.

use super::Kernel;
use super::launch::{Grid, Launch, Operand, Slice, WINDOW, WindowParams, params};
use super::method::{Family, one_convolution};
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::dtype::Format;
use crate::error::Result;
use crate::graph::{Conv, OpKind};
use crate::weights::{Weights, fold_affine};

/// The register tile of an invocation: neighbouring output columns, and output channels as a number of vec4.
const COLUMNS: usize = 4;
const CHANNEL_VEC4S: usize = 2;
const CHANNELS: usize = 4 * CHANNEL_VEC4S;

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

/// Channel tiles of one group. Tiles do not cross groups.
fn group_tiles(conv: &Conv) -> usize {
    (conv.dim_out / conv.groups).div_ceil(CHANNELS)
}

/// Direct convolution. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvDirect;

impl Permutation for ConvDirect {
    fn row(&self) -> Row {
        Row::new(format!("conv_direct_{COLUMNS}x{CHANNELS}"), wgsl!("conv_direct"), Params::LAYOUT, 5)
            .shared(&[WINDOW])
            .prelude(&[("TILE_W", COLUMNS), ("TILE_C", CHANNEL_VEC4S)])
            .in_f32(&[2])
    }
}

impl Family for ConvDirect {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        one_convolution(conv)
    }

    /// The number of channel tiles. Weights and bias can be cut between them.
    fn blocks(&self, conv: &Conv) -> usize {
        conv.groups * group_tiles(conv)
    }

    /// The weights have the format of the plan, the bias is f32.
    fn constant_format(&self, index: usize) -> Format {
        if index == 0 { Format::Plan } else { Format::F32 }
    }

    /// Weights and bias.
    fn constant_lens(&self, conv: &Conv, _channels: usize) -> Vec<usize> {
        let padded = self.blocks(conv) * CHANNELS;
        vec![padded * conv.macs_per_output(), padded]
    }

    /// Weights as [channel tile][input channel of the group][tap][channel of the tile] and bias as [channel
    /// tile][channel of the tile], with the affine channel folded in.
    fn constants(&self, conv: &Conv, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        let (dense, dense_bias) = fold_affine(conv, weights)?;
        let mut constants: Vec<Vec<f32>> =
            self.constant_lens(conv, channels).into_iter().map(|len| vec![0.0; len]).collect();
        let [packed, bias] = &mut constants[..] else { unreachable!("weights and bias") };
        let row = conv.macs_per_output();
        let group_out_c = conv.dim_out / conv.groups;
        for (channel, values) in dense.chunks_exact(row).enumerate() {
            let (group, within) = (channel / group_out_c, channel % group_out_c);
            let index = group * group_tiles(conv) + within / CHANNELS;
            let inner = within % CHANNELS;
            bias[index * CHANNELS + inner] = dense_bias[channel];
            for (position, &value) in values.iter().enumerate() {
                packed[(index * row + position) * CHANNELS + inner] = value as f32;
            }
        }
        Ok(constants)
    }

    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (input, output) = (slice.inputs[0], slice.output);
        let row_tiles = output.w.div_ceil(COLUMNS);
        let tiles = slice.blocks.len();
        let len = (output.n * output.t * output.h * row_tiles) as u64 * tiles as u64;
        let grid = Grid::fold(len.div_ceil(64), max_groups)?;
        let params = Params {
            window: slice.window(&conv.window),
            grid_x: grid.x,
            len: len as u32,
            tiles: tiles as u32,
            first_tile: slice.blocks.start as u32,
            group_tiles: group_tiles(conv) as u32,
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
        let macs = len * params.window.taps() * (conv.dim_in / conv.groups * COLUMNS * CHANNELS) as u64;
        let kernel = Kernel::ConvDirect(*self);
        Ok(vec![Launch::new(kernel, &params, grid, Operand::of_conv(conv)).with_macs(macs)])
    }
}
