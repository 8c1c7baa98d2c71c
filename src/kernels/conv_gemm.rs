//! Host side of `shaders/conv_gemm.wgsl`, and of what the implicit-GEMM convolutions share: parameters, launch, packed
//! weights. `shaders/shared/conv_gemm.wgsl` says what a k index, an operand pair and a block are.

use super::conv_gemm_tiled::{self, Projected, WorkgroupTile};
use super::launch::{Grid, Launch, Operand, Slice, Tiles, WINDOW, WindowParams, params};
use super::method::{Family, NO_POOLING, NOT_A_SUM};
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::{Kernel, OperandMemory, Source, TEXTURE_WIDTH, Target, conv_gemm_subgroup};
use crate::dtype::Format;
use crate::error::Result;
use crate::graph::{Conv, OpKind};
use crate::shape::Shape;
use crate::weights::{Weights, fold_affine};
use bytemuck::Zeroable;
use rayon::prelude::*;

/// Invocations of a workgroup of `shaders/conv_gemm.wgsl`.
const INVOCATIONS: usize = 64;

/// The register tile of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterTile {
    /// Output channels, as a number of vec4.
    pub(super) channel_vec4s: usize,
    /// Output positions.
    pub(super) positions: usize,
}

impl RegisterTile {
    /// Output channels of a tile.
    pub fn channels(self) -> usize {
        4 * self.channel_vec4s
    }

    /// Blocks of output channels, each as wide as a tile. Weights and bias can be cut between them.
    pub(super) fn blocks(self, conv: &Conv) -> usize {
        conv.dim_out.div_ceil(self.channels())
    }

    /// Whether each block holds whole groups of `conv`, or each group whole blocks, and groups are whole channel blocks
    /// of four.
    ///
    /// # Errors
    /// The reason, if not.
    fn supports_groups(self, conv: &Conv) -> Result<(), String> {
        let (of_input, of_output) = (conv.dim_in / conv.groups, conv.dim_out / conv.groups);
        let (larger, smaller) = (self.channels().max(of_output), self.channels().min(of_output));
        let fits = of_input.is_multiple_of(4) && of_output.is_multiple_of(4) && larger.is_multiple_of(smaller);
        match conv.groups == 1 || fits && conv.dim_out.is_multiple_of(self.channels()) {
            true => Ok(()),
            false => Err(format!(
                "its blocks of {} channels do not fit groups of {of_input} to {of_output} of {}",
                self.channels(),
                conv.dim_out
            )),
        }
    }
}

/// The memory and the layout of the input of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Channels last, in blocks of four.
    ChannelsLast(OperandMemory),
    /// In a buffer of f32, a plane for each channel: an uploaded clip.
    Planes,
}

impl Input {
    fn memory(self) -> OperandMemory {
        match self {
            Self::ChannelsLast(memory) => memory,
            Self::Planes => OperandMemory::Buffer,
        }
    }

    fn source(self) -> Source {
        match self {
            Self::ChannelsLast(OperandMemory::Buffer) => wgsl!("shared/input_in_buffer"),
            Self::ChannelsLast(OperandMemory::Texture) => wgsl!("shared/input_in_texture"),
            Self::Planes => wgsl!("shared/input_in_planes"),
        }
    }
}

fn weights_source(memory: OperandMemory) -> Source {
    match memory {
        OperandMemory::Buffer => wgsl!("shared/weights_in_buffer"),
        OperandMemory::Texture => wgsl!("shared/weights_in_texture"),
    }
}

/// An implicit GEMM: the memory of its tiles, their size, and the memory of the weights. All kernels with a GEMM share
/// parameters, launch and constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gemm {
    /// From registers.
    Registers(RegisterTile, OperandMemory),
    /// From registers, weights broadcast in subgroups of eight.
    Subgroup(RegisterTile, OperandMemory),
    /// Through workgroup memory.
    Tiled(WorkgroupTile),
}

impl Gemm {
    pub(super) const REGISTERS_8X8: Self = Self::registers(2, OperandMemory::Buffer);
    pub(super) const REGISTERS_16X8: Self = Self::registers(4, OperandMemory::Buffer);
    pub(super) const REGISTERS_8X8_TEXTURE: Self = Self::registers(2, OperandMemory::Texture);
    pub(super) const REGISTERS_16X8_TEXTURE: Self = Self::registers(4, OperandMemory::Texture);
    pub(super) const SUBGROUP_16X4: Self = Self::subgroup(4, OperandMemory::Buffer);
    pub(super) const SUBGROUP_32X4: Self = Self::subgroup(8, OperandMemory::Buffer);
    pub(super) const SUBGROUP_64X4: Self = Self::subgroup(16, OperandMemory::Buffer);
    pub(super) const SUBGROUP_16X4_TEXTURE: Self = Self::subgroup(4, OperandMemory::Texture);
    pub(super) const SUBGROUP_32X4_TEXTURE: Self = Self::subgroup(8, OperandMemory::Texture);
    pub(super) const SUBGROUP_64X4_TEXTURE: Self = Self::subgroup(16, OperandMemory::Texture);
    pub(super) const TILED: Self = Self::Tiled(WorkgroupTile::Narrow);
    pub(super) const TILED_WIDE: Self = Self::Tiled(WorkgroupTile::Wide);
    pub(super) const TILED_COMPACT: Self = Self::Tiled(WorkgroupTile::Compact);
    pub(super) const TILED_SLICED: Self = Self::Tiled(WorkgroupTile::Sliced);

    const fn registers(channel_vec4s: usize, weights: OperandMemory) -> Self {
        Self::Registers(RegisterTile { channel_vec4s, positions: 8 }, weights)
    }

    const fn subgroup(channel_vec4s: usize, weights: OperandMemory) -> Self {
        Self::Subgroup(RegisterTile { channel_vec4s, positions: 4 }, weights)
    }

    /// All GEMMs that are kernels.
    fn all() -> impl Iterator<Item = Self> {
        Kernel::all().filter_map(|kernel| if let Kernel::ConvGemm(gemm) = kernel { Some(gemm) } else { None })
    }

    /// The part of the name of a kernel or a method that derives from the axes.
    pub(super) fn suffix(self) -> String {
        match self {
            Self::Registers(tile, weights) => format!("_{}x{}{}", tile.channels(), tile.positions, weights.suffix()),
            Self::Subgroup(tile, weights) => {
                format!("_subgroup_{}x{}{}", tile.channels(), tile.positions, weights.suffix())
            }
            Self::Tiled(tile) => format!("_tiled{}", tile.suffix()),
        }
    }

    /// The tile of an invocation, or for [`Gemm::Tiled`] of a column of invocations.
    pub(super) fn tile(self) -> RegisterTile {
        match self {
            Self::Registers(tile, _) | Self::Subgroup(tile, _) => tile,
            Self::Tiled(tile) => tile.column(),
        }
    }

    /// Whether its invocations share what they load through workgroup memory.
    pub(super) fn shares_loads(self) -> bool {
        match self {
            Self::Tiled(_) => true,
            Self::Registers(..) | Self::Subgroup(..) => false,
        }
    }

    /// The memory of its weights.
    pub(super) fn weights(self) -> OperandMemory {
        match self {
            Self::Registers(_, weights) | Self::Subgroup(_, weights) => weights,
            Self::Tiled(_) => OperandMemory::Buffer,
        }
    }

    /// The memory of the input of Winograd's products, which the input transform writes. It is the memory of the
    /// weights, since loads from textures are cheaper for both or for neither.
    pub(super) fn domain(self) -> OperandMemory {
        self.weights()
    }

    /// Invocations along the positions of a workgroup.
    fn columns(self) -> usize {
        match self {
            Self::Registers(..) => INVOCATIONS,
            Self::Subgroup(..) => conv_gemm_subgroup::LANES,
            Self::Tiled(tile) => tile.columns(),
        }
    }

    /// Whether it is meant for the number of workgroups that `batch` needs, at `positions` positions for each
    /// convolution.
    pub(super) fn is_profitable(self, batch: &Batch, positions: usize) -> bool {
        match self {
            Self::Tiled(tile) => {
                let position_tiles = positions.div_ceil(self.workgroup_positions());
                let workgroups = batch.count * position_tiles * self.tile().blocks(batch.conv);
                tile.is_profitable(workgroups, batch.conv.terms().map(|conv| k_len(self.tile().channels(), conv)).sum())
            }
            Self::Registers(..) | Self::Subgroup(..) => true,
        }
    }

    /// Whether a block multiplies the input of one group by zeros for the outputs of another.
    pub(super) fn mixes_groups(self, conv: &Conv) -> bool {
        conv.groups > 1 && input_channel_blocks(self.tile().channels(), conv) * 4 > conv.dim_in / conv.groups
    }

    /// The cost of a position of `conv`. The product of an output channel and an input channel counts as one. The
    /// padding to whole blocks and the zeros between groups are included, and so is a fixed overhead for each channel
    /// block of four. That overhead is worth some twenty output channels, whatever the tile (`docs/performance.md`).
    pub(super) fn cost(self, conv: &Conv) -> usize {
        let channels = self.tile().channels();
        conv.dim_out.div_ceil(channels) * (channels + 20) * 4 * input_channel_blocks(channels, conv)
    }

    /// The lowest [`Self::cost`] of `conv` among the GEMMs of the same kind with tiles no wider: the cost of the kernel
    /// that a convolution without Winograd's method would get.
    pub(super) fn least_cost(self, conv: &Conv) -> usize {
        let same_kind = |other: Self| match (self, other) {
            (Self::Registers(widest, weights), Self::Registers(tile, memory))
            | (Self::Subgroup(widest, weights), Self::Subgroup(tile, memory)) => {
                weights == memory && tile.channel_vec4s <= widest.channel_vec4s
            }
            (Self::Tiled(tile), Self::Tiled(other)) => tile == other,
            (Self::Registers(..), Self::Subgroup(..) | Self::Tiled(_))
            | (Self::Subgroup(..), Self::Registers(..) | Self::Tiled(_))
            | (Self::Tiled(_), Self::Registers(..) | Self::Subgroup(..)) => false,
        };
        let candidates = Self::all().filter(|&other| same_kind(other) && Family::supports(&other, conv).is_ok());
        candidates.map(|other| other.cost(conv)).fold(usize::MAX, usize::min)
    }

    /// Output positions of a workgroup.
    pub(super) fn workgroup_positions(self) -> usize {
        self.columns() * self.tile().positions
    }

    /// The row of the kernel called `stem` with this GEMM, for that input and one operand pair.
    pub(super) fn row_of(self, stem: &str, input: Input) -> Row {
        let name = format!("{stem}{}", self.suffix());
        let weights = self.weights();
        match self {
            Self::Registers(tile, _) => {
                let prelude =
                    [("TILE_M", tile.channel_vec4s), ("TILE_N", tile.positions), ("INVOCATIONS", INVOCATIONS)];
                gemm_row(name, wgsl!("conv_gemm"), &prelude, input, weights).invocations(INVOCATIONS)
            }
            Self::Subgroup(tile, _) => conv_gemm_subgroup::row(name, tile, input, weights),
            Self::Tiled(tile) => conv_gemm_tiled::row(name, tile, input, 1, false),
        }
    }

    pub(super) fn packing(self) -> Packing {
        let order = match self {
            Self::Registers(..) | Self::Tiled(_) => Order::OutputsInner,
            Self::Subgroup(..) => Order::InputsInner,
        };
        Packing { channels: self.tile().channels(), order, batches_inside: false }
    }

    /// Multiply-adds of a launch with these parameters.
    fn macs(self, params: &Params) -> u64 {
        let k_len = self.k_len(&params.window, params.group_channel_blocks)
            + self.k_len(&params.second_window, params.second_channel_blocks);
        u64::from(params.workgroups) * (self.workgroup_positions() * self.tile().channels()) as u64 * 4 * k_len
    }

    /// How a launch with these parameters is divided.
    fn tiles(self, params: &Params) -> Tiles {
        let stage = match self {
            Self::Tiled(tile) => tile.stage() as u64,
            Self::Registers(..) | Self::Subgroup(..) => 1,
        };
        let pairs =
            [(&params.window, params.group_channel_blocks), (&params.second_window, params.second_channel_blocks)];
        let [first, second] = pairs.map(|(window, channel_blocks)| self.k_len(window, channel_blocks) / stage);
        Tiles { channels: params.blocks, positions: params.position_tiles, stages: first.max(second) }
    }

    /// The number of k indices of an operand pair (channel blocks of four under taps), padded to whole stages.
    pub(super) fn k_len(self, window: &WindowParams, channel_blocks: u32) -> u64 {
        let k_len = window.taps() * u64::from(channel_blocks);
        match self {
            Self::Tiled(tile) => k_len.next_multiple_of(tile.stage() as u64),
            Self::Registers(..) | Self::Subgroup(..) => k_len,
        }
    }
}

/// The row of an implicit-GEMM shader that reads `input` and `weights`, with `constants` in its prelude.
pub(super) fn gemm_row(
    name: String,
    shader: Source,
    constants: &[(&'static str, usize)],
    input: Input,
    weights: OperandMemory,
) -> Row {
    let mut prelude = constants.to_vec();
    if [input.memory(), weights].contains(&OperandMemory::Texture) {
        prelude.push(("TEXTURE_WIDTH", TEXTURE_WIDTH));
    }
    let in_f32: &[usize] = if input == Input::Planes { &[0, 2] } else { &[2] };
    Row::new(name, shader, Params::LAYOUT, 5)
        .shared(&[WINDOW, input.source(), weights_source(weights), wgsl!("shared/conv_gemm")])
        .prelude(&prelude)
        .operand(0, input.memory())
        .operand(1, weights)
        .in_f32(in_f32)
}

impl Permutation for Gemm {
    fn row(&self) -> Row {
        self.row_of("conv_gemm", Input::ChannelsLast(OperandMemory::Buffer))
    }
}

impl Family for Gemm {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        if conv.epilogue.pool.is_some() {
            return Err(NO_POOLING.to_owned());
        }
        self.supports_alone(conv)
    }

    fn is_profitable(&self, conv: &Conv, clip: Shape, _target: Target) -> bool {
        Self::is_profitable(*self, &Batch::single(conv), clip.t * clip.h * clip.w)
    }

    fn keeps_floats(&self, conv: &Conv) -> bool {
        !self.mixes_groups(conv)
    }

    fn constant_memory(&self, index: usize) -> OperandMemory {
        if index == 0 { self.weights() } else { OperandMemory::Buffer }
    }

    /// The weights have the format of the plan, the bias is f32.
    fn constant_format(&self, index: usize) -> Format {
        if index == 0 { Format::Plan } else { Format::F32 }
    }

    fn blocks(&self, conv: &Conv) -> usize {
        self.tile().blocks(conv)
    }

    fn constant_lens(&self, conv: &Conv, _channels: usize) -> Vec<usize> {
        constant_lens(*self, &Batch::single(conv)).to_vec()
    }

    fn constants(&self, conv: &Conv, _channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        constants(*self, conv, weights)
    }

    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let kernel = match (self, &conv.epilogue.projection) {
            (_, None) => Kernel::ConvGemm(*self),
            (Self::Tiled(tile), Some(_)) => Kernel::ProjectedGemm(Projected(*tile)),
            (Self::Registers(..) | Self::Subgroup(..), Some(_)) => return Err(NOT_A_SUM.to_owned()),
        };
        Ok(vec![launch(kernel, *self, &Batch::single(conv), slice, max_groups)?])
    }
}

impl Gemm {
    /// Whether it can compute `conv`, apart from the pooling after it.
    ///
    /// # Errors
    /// The reason, if not.
    pub(super) fn supports_alone(self, conv: &Conv) -> Result<(), String> {
        match self {
            Self::Tiled(_) => match conv.terms().find(|conv| conv.groups != 1) {
                Some(grouped) => Err(format!("it has no groups, the convolution has {}", grouped.groups)),
                None => Ok(()),
            },
            Self::Registers(tile, _) | Self::Subgroup(tile, _) => {
                if conv.epilogue.projection.is_some() {
                    return Err(NOT_A_SUM.to_owned());
                }
                tile.supports_groups(conv)?;
                // Drivers with subgroups of eight end a loop after some 65,535 iterations, without an error. The
                // subgroup kernel has one loop over the taps of a frame and all channel blocks.
                let iterations = k_len(self.tile().channels(), conv) / conv.window.kernel[0];
                match self {
                    Self::Subgroup(..) if iterations >= 65_000 => {
                        Err(format!("its loop over {iterations} taps and channel blocks would be cut off"))
                    }
                    Self::Registers(..) | Self::Subgroup(..) | Self::Tiled(_) => Ok(()),
                }
            }
        }
    }
}

/// The order of the weights of one block, batch and k index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// [input channel of the block][output channel]: a vec4 is four output channels.
    OutputsInner,
    /// [output channel][input channel of the block]: a vec4 is a channel block.
    InputsInner,
}

/// How weights are packed: [block][batch][operand pair][tap][input channel block], or with all batches of an input
/// channel block together. The weights of an input channel block are in the order `order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    /// Output channels of a block.
    pub channels: usize,
    pub order: Order,
    /// [block][operand pair][tap][input channel block][batch].
    pub batches_inside: bool,
}

impl Packing {
    /// The number of values, with the padding to whole blocks.
    pub fn len(self, conv: &Conv, batches: usize) -> usize {
        let padded_out = conv.dim_out.next_multiple_of(self.channels);
        batches * padded_out * conv.terms().map(|conv| k_len(self.channels, conv)).sum::<usize>() * 4
    }
}

/// The number of input channel blocks of four of `conv` that a block of `channels` output channels reads: all, or those
/// of the groups of its channels. For an output channel, the inputs of the block's other groups are multiplied by
/// zeros.
pub(super) fn input_channel_blocks(channels: usize, conv: &Conv) -> usize {
    match conv.groups {
        1 => conv.dim_in.div_ceil(4),
        groups => conv.dim_in / groups / 4 * (channels / (conv.dim_out / groups)).max(1),
    }
}

/// How many neighbouring blocks of `channels` output channels read the same input channel blocks.
fn blocks_sharing_input(channels: usize, conv: &Conv) -> usize {
    match conv.groups {
        1 => conv.dim_out.div_ceil(channels),
        groups => (conv.dim_out / groups / channels).max(1),
    }
}

/// The number of k indices of `conv` for a block of `channels` output channels: input channel blocks of four under each
/// tap.
fn k_len(channels: usize, conv: &Conv) -> usize {
    conv.window.taps() * input_channel_blocks(channels, conv)
}

/// Convolutions with the same window and the same numbers of channels, each with its weights: Winograd's products, or a
/// single convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub count: usize,
    pub conv: &'a Conv,
    /// Blocks of output channels in front of the first block of a slice.
    pub blocks_before: usize,
}

impl<'a> Batch<'a> {
    /// A single convolution.
    pub fn single(conv: &'a Conv) -> Self {
        Self { count: 1, conv, blocks_before: 0 }
    }
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams, second_window: WindowParams,
        grid_x: u32, workgroups: u32, batches: u32, position_tiles: u32, blocks: u32, positions: u32,
        in_channel_blocks: u32, group_channel_blocks: u32, blocks_sharing_input: u32, first_block: u32,
        in_t: u32, in_h: u32, in_w: u32, in_frames: u32, second_plane: u32, third_plane: u32,
        second_channel_blocks: u32, second_t: u32, second_h: u32, second_w: u32,
        out_channel_blocks: u32, out_t: u32, out_h: u32, out_w: u32, first_channel_block: u32,
        add_residual: u32, relu: u32,
        pool_h: u32, pool_w: u32, pool_rows: u32, pool_above: u32, lowest: f32,
    }
}

/// The launch of `kernel`, which has this GEMM, for a slice of a batch of convolutions. The blobs of the slice are
/// those of the whole batch.
pub(super) fn launch(
    kernel: Kernel,
    gemm: Gemm,
    batch: &Batch<'_>,
    slice: &Slice,
    max_groups: u32,
) -> Result<Launch, String> {
    let output = slice.output;
    let positions = output.n / batch.count * output.t * output.h * output.w;
    let params = parameters(gemm, batch, slice, output, positions.div_ceil(gemm.workgroup_positions()));
    launched(kernel, gemm, params, batch.conv, max_groups, |params| gemm.macs(params))
}

/// The dispatch of `kernel`, which has this GEMM. The grid of `params` is not set yet. `macs` counts the multiply-adds
/// once it is set.
pub(super) fn launched(
    kernel: Kernel,
    gemm: Gemm,
    mut params: Params,
    conv: &Conv,
    max_groups: u32,
    macs: impl Fn(&Params) -> u64,
) -> Result<Launch, String> {
    let workgroups = u64::from(params.batches) * u64::from(params.position_tiles) * u64::from(params.blocks);
    let grid = Grid::fold(workgroups, max_groups)?;
    (params.grid_x, params.workgroups) = (grid.x, workgroups as u32);
    let launch = Launch::new(kernel, &params, grid, Operand::of_conv(conv)).with_macs(macs(&params));
    Ok(launch.with_tiles(gemm.tiles(&params)))
}

/// Parameters of a slice of a batch. `output` is the shape of the convolutions' output, before pooling; each
/// convolution of the batch computes it in `position_tiles` position tiles.
pub(super) fn parameters(gemm: Gemm, batch: &Batch<'_>, slice: &Slice, output: Shape, position_tiles: usize) -> Params {
    let Batch { count, conv, blocks_before } = *batch;
    let input = slice.inputs[0];
    let second = conv.epilogue.projection.as_ref().map(|second| (slice.window_of(1, &second.window), slice.inputs[1]));
    let (second_window, second) = second.unwrap_or((WindowParams::zeroed(), Shape::new(0, 0, 0, 0, 0)));
    Params {
        window: slice.window(&conv.window),
        second_window,
        grid_x: 0,
        workgroups: 0,
        batches: count as u32,
        position_tiles: position_tiles as u32,
        blocks: slice.blocks.len() as u32,
        positions: (output.n / count * output.t * output.h * output.w) as u32,
        in_channel_blocks: input.c.div_ceil(4) as u32,
        group_channel_blocks: input_channel_blocks(gemm.tile().channels(), conv) as u32,
        blocks_sharing_input: blocks_sharing_input(gemm.tile().channels(), conv) as u32,
        first_block: (blocks_before + slice.blocks.start) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        in_frames: input.t as u32,
        second_plane: 0,
        third_plane: 0,
        second_channel_blocks: second.c.div_ceil(4) as u32,
        second_t: second.t as u32,
        second_h: second.h as u32,
        second_w: second.w as u32,
        out_channel_blocks: output.c.div_ceil(4) as u32,
        out_t: output.t as u32,
        out_h: output.h as u32,
        out_w: output.w as u32,
        first_channel_block: (slice.blocks.start * gemm.tile().channel_vec4s) as u32,
        add_residual: (conv.epilogue.residual && conv.epilogue.projection.is_none()).into(),
        relu: conv.epilogue.relu.into(),
        pool_h: 0,
        pool_w: 0,
        pool_rows: 0,
        pool_above: 0,
        lowest: f32::NEG_INFINITY,
    }
}

/// The lengths of the weights of a batch, and of its bias.
pub(super) fn constant_lens(gemm: Gemm, batch: &Batch<'_>) -> [usize; 2] {
    let (packing, conv) = (gemm.packing(), batch.conv);
    [packing.len(conv, batch.count), conv.dim_out.next_multiple_of(packing.channels)]
}

/// Weights and bias of a convolution, with the affine channel folded in.
pub(super) fn constants(gemm: Gemm, conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let folded = conv.terms().map(|conv| fold_affine(conv, weights)).collect::<Result<Vec<_>>>()?;
    let pairs: Vec<_> = conv.terms().zip(&folded).map(|(conv, (weight, _))| (conv, weight)).collect();
    let packed = pack(gemm.packing(), conv, |pair, out, channel, tap| {
        let (conv, weight) = pairs[pair];
        [weight[out * conv.macs_per_output() + channel * conv.window.taps() + tap] as f32]
    });
    let [_, bias_len] = constant_lens(gemm, &Batch::single(conv));
    let sum = |out: usize| folded.iter().map(|(_, bias)| f64::from(bias[out])).sum::<f64>() as f32;
    let mut bias: Vec<f32> = (0..conv.dim_out).map(sum).collect();
    bias.resize(bias_len, 0.0);
    Ok(vec![packed, bias])
}

/// The weights of every block in their order. `value` gives the values of an operand pair, an output channel, an input
/// channel of its group and a tap, one for each batch.
pub(super) fn pack<const BATCHES: usize>(
    packing: Packing,
    conv: &Conv,
    value: impl Fn(usize, usize, usize, usize) -> [f32; BATCHES] + Sync,
) -> Vec<f32> {
    let Packing { channels, order, batches_inside } = packing;
    let k_indices = |(pair, conv): (usize, &Conv)| {
        let (channel_blocks, of_input) = (input_channel_blocks(channels, conv), conv.dim_in / conv.groups);
        (0..k_len(channels, conv)).map(move |k| (pair, k / channel_blocks, k % channel_blocks * 4, of_input))
    };
    let k_indices: Vec<_> = conv.terms().enumerate().flat_map(k_indices).collect();
    let of_output = conv.dim_out / conv.groups;
    let mut packed = vec![0.0; packing.len(conv, BATCHES)];
    let k_values = 4 * channels;
    packed.par_chunks_exact_mut(BATCHES * k_indices.len() * k_values).enumerate().for_each(|(block, packed)| {
        let first = block * channels;
        // All batches of a k index are computed first and then written one after the other. Their addresses are powers
        // of two apart, so interleaved writes would evict each other's lines from the processor's caches.
        let mut values = vec![[0.0; BATCHES]; k_values];
        for (k_index, &(pair, tap, channel, of_input)) in k_indices.iter().enumerate() {
            values.fill([0.0; BATCHES]);
            // Channels count from the first channel that the block reads, in whole groups.
            let group = channel / of_input;
            let channel = channel % of_input;
            for out in 0..channels.min(conv.dim_out - first) {
                if out / of_output != group && channels > of_output {
                    continue;
                }
                for k in 0..4.min(of_input - channel) {
                    let at = match order {
                        Order::OutputsInner => k * channels + out,
                        Order::InputsInner => out * 4 + k,
                    };
                    values[at] = value(pair, first + out, channel + k, tap);
                }
            }
            for batch in 0..BATCHES {
                let place = if batches_inside { k_index * BATCHES + batch } else { batch * k_indices.len() + k_index };
                for (slot, value) in packed[place * k_values..].iter_mut().zip(&values) {
                    *slot = value[batch];
                }
            }
        }
    });
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Window;

    #[test]
    fn loops_stay_shorter_than_drivers_cut_them_off() {
        let conv = |dim_in, kernel| Conv {
            weight: "w".to_owned(),
            dim_in,
            dim_out: 64,
            groups: 1,
            window: Window { kernel, ..Window::POINTWISE },
            epilogue: Default::default(),
        };
        assert!(Gemm::SUBGROUP_64X4.supports_alone(&conv(2048, [3, 3, 3])).is_ok());
        assert!(Gemm::SUBGROUP_64X4.supports_alone(&conv(30_000, [1, 3, 3])).is_err());
        assert!(Gemm::REGISTERS_16X8.supports_alone(&conv(30_000, [1, 3, 3])).is_ok());
    }

    #[test]
    fn blocks_have_whole_groups_or_groups_whole_blocks() {
        let conv = |dim_in, dim_out, groups| Conv {
            weight: "w".to_owned(),
            dim_in,
            dim_out,
            groups,
            window: Window { kernel: [3, 3, 3], ..Window::POINTWISE },
            epilogue: Default::default(),
        };
        // ResNeXt-101 in 32 groups: input channel blocks of four that a block reads, and blocks that share them.
        for (width, gemm, channel_blocks, sharing) in [
            (128, Gemm::SUBGROUP_16X4, 4, 1),
            (256, Gemm::SUBGROUP_16X4, 4, 1),
            (512, Gemm::SUBGROUP_32X4, 8, 1),
            (1024, Gemm::SUBGROUP_32X4, 8, 1),
            (1024, Gemm::SUBGROUP_16X4, 8, 2),
        ] {
            let conv = conv(width, width, 32);
            assert!(gemm.supports_alone(&conv).is_ok(), "{width}");
            let channels = gemm.tile().channels();
            assert_eq!(
                (input_channel_blocks(channels, &conv), blocks_sharing_input(channels, &conv)),
                (channel_blocks, sharing),
                "{width}"
            );
        }
        assert!(Gemm::SUBGROUP_16X4.supports_alone(&conv(64, 96, 2)).is_ok(), "48 channels are three blocks");
        assert!(Gemm::SUBGROUP_32X4.supports_alone(&conv(64, 96, 2)).is_err());
        assert!(Gemm::SUBGROUP_16X4.supports_alone(&conv(6, 64, 2)).is_err(), "three channels are no block");
        assert!(
            Gemm::REGISTERS_16X8.supports_alone(&conv(24, 24, 3)).is_err(),
            "the last block has half of its groups"
        );
        assert!(Gemm::TILED.supports_alone(&conv(256, 256, 2)).is_err());
    }
}
