//! Host side of `shaders/conv_depthwise.wgsl`, and of what it shares with `conv_depthwise_walk.wgsl`: parameters,
//! launch, packed weights.

use super::launch::{Launch, Operand, Slice, WINDOW, WindowParams, invocations, params};
use super::method::{Family, one_convolution};
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::{Kernel, Source};
use crate::dtype::Format;
use crate::error::Result;
use crate::graph::{Conv, OpKind};
use crate::weights::{Weights, fold_affine};

/// The shared code in front of both shaders.
pub(super) const SHARED: [Source; 2] = [WINDOW, wgsl!("shared/conv_depthwise")];

/// Channels of a block: eight channel blocks of four.
pub(super) const BLOCK: usize = 32;

/// Columns that an invocation computes.
const COLUMNS: usize = 4;

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams,
        grid_x: u32, len: u32,
        channel_blocks: u32, first_channel_block: u32,
        tiles_w: u32, tiles_h: u32, tiles_t: u32, tile_t: u32,
        position_blocks: u32,
        in_t: u32, in_h: u32, in_w: u32,
        out_t: u32, out_h: u32, out_w: u32,
        add_residual: u32, relu: u32,
    }
}

/// Depthwise convolution of any window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvDepthwise;

impl Permutation for ConvDepthwise {
    fn row(&self) -> Row {
        Row::new("conv_depthwise", wgsl!("conv_depthwise"), Params::LAYOUT, 5)
            .shared(&SHARED)
            .prelude(&[("BLOCK_VEC4S", BLOCK / 4), ("TILE_W", COLUMNS)])
            .in_f32(&[2])
    }
}

impl Family for ConvDepthwise {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        let Conv { dim_in, dim_out, groups, .. } = *conv;
        if (dim_in, dim_out) != (groups, groups) {
            return Err(format!("it computes channels by themselves, not {dim_in} to {dim_out} in {groups} groups"));
        }
        one_convolution(conv)
    }

    /// The number of blocks of channels. Weights and bias can be cut between them.
    fn blocks(&self, conv: &Conv) -> usize {
        conv.dim_out.div_ceil(BLOCK)
    }

    /// The weights have the format of the plan, the bias is f32.
    fn constant_format(&self, index: usize) -> Format {
        if index == 0 { Format::Plan } else { Format::F32 }
    }

    /// Weights and bias.
    fn constant_lens(&self, conv: &Conv, _channels: usize) -> Vec<usize> {
        let padded = self.blocks(conv) * BLOCK;
        vec![padded * conv.window.taps(), padded]
    }

    /// Weights as [block][tap][channel of the block] and bias as [block][channel of the block], with the affine channel
    /// folded in.
    fn constants(&self, conv: &Conv, _channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        let (dense, mut bias) = fold_affine(conv, weights)?;
        let padded = self.blocks(conv) * BLOCK;
        let taps = conv.window.taps();
        let mut packed = vec![0.0; padded * taps];
        for (channel, values) in dense.chunks_exact(taps).enumerate() {
            for (tap, &value) in values.iter().enumerate() {
                packed[(channel / BLOCK * taps + tap) * BLOCK + channel % BLOCK] = value as f32;
            }
        }
        bias.resize(padded, 0.0);
        Ok(vec![packed, bias])
    }

    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let kernel = Kernel::ConvDepthwise(*self);
        let macs = |params: &Params| u64::from(params.len) * params.window.taps() * (4 * COLUMNS) as u64;
        Ok(vec![launch(kernel, [1, 1, COLUMNS], conv, slice, max_groups, macs)?])
    }
}

/// The launch of `kernel`, whose invocations compute tiles of these extents (frames, rows, columns). `macs` counts the
/// multiply-adds.
pub(super) fn launch(
    kernel: Kernel,
    tile: [usize; 3],
    conv: &Conv,
    slice: &Slice,
    max_groups: u32,
    macs: impl Fn(&Params) -> u64,
) -> Result<Launch, String> {
    let (input, output) = (slice.inputs[0], slice.output);
    let position_blocks = output.c.div_ceil(4);
    let first_channel_block = slice.blocks.start * (BLOCK / 4);
    let channel_blocks = (slice.blocks.end * (BLOCK / 4)).min(position_blocks) - first_channel_block;
    let [tiles_t, tiles_h, tiles_w] = [0, 1, 2].map(|axis| output.thw()[axis].div_ceil(tile[axis]));
    let (len, grid) = invocations((output.n * tiles_t * tiles_h * tiles_w * channel_blocks) as u64, max_groups)?;
    let params = Params {
        window: slice.window(&conv.window),
        grid_x: grid.x,
        len,
        channel_blocks: channel_blocks as u32,
        first_channel_block: first_channel_block as u32,
        tiles_w: tiles_w as u32,
        tiles_h: tiles_h as u32,
        tiles_t: tiles_t as u32,
        tile_t: tile[0] as u32,
        position_blocks: position_blocks as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        add_residual: conv.epilogue.residual.into(),
        relu: conv.epilogue.relu.into(),
    };
    Ok(Launch::new(kernel, &params, grid, Operand::of_conv(conv)).with_macs(macs(&params)))
}
