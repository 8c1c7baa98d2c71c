//! Host side of `shaders/conv_gemm.wgsl`, and of what it shares with the other implicit-GEMM convolutions: parameters,
//! launch, packed weights.

use super::conv_gemm_tiled::{self, Spread};
use super::launch::{Grid, Launch, Operand, Slice, WINDOW_SOURCE, WindowParams, params};
use super::source::{Prelude, assemble};
use super::{Kernel, conv_gemm_subgroup};
use crate::error::Result;
use crate::graph::Conv;
use crate::shape::Shape;
use crate::weights::{Weights, fold_affine};
use bytemuck::Zeroable;
use rayon::prelude::*;

const SOURCE: &str = include_str!("../../shaders/conv_gemm.wgsl");

/// Shared code, in front of all these shaders.
const SHARED_SOURCE: &str = include_str!("../../shaders/shared/conv_gemm.wgsl");
const INPUT_IN_BUFFER: &str = include_str!("../../shaders/shared/input_in_buffer.wgsl");
const INPUT_IN_IMAGE: &str = include_str!("../../shaders/shared/input_in_image.wgsl");
const INPUT_IN_PLANES: &str = include_str!("../../shaders/shared/input_in_planes.wgsl");
const WEIGHTS_IN_BUFFER: &str = include_str!("../../shaders/shared/weights_in_buffer.wgsl");
const WEIGHTS_IN_IMAGE: &str = include_str!("../../shaders/shared/weights_in_image.wgsl");

/// The vec4 in a row of an image.
pub const IMAGE_WIDTH: usize = 1024;

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
    /// Output channels of a tile.
    pub fn channels(self) -> usize {
        4 * self.channel_vec4s
    }

    /// Blocks of output channels, tiles side by side: weights and bias are cut between them.
    pub(super) fn blocks(self, conv: &Conv) -> usize {
        conv.dim_out.div_ceil(self.channels())
    }

    /// Whether groups of `term` and blocks lie so that each block has whole groups, or each group whole blocks, of whole
    /// quads of channels.
    ///
    /// # Errors
    /// Why not.
    fn accepts_groups(self, term: &Conv) -> Result<(), String> {
        let (of_input, of_output) = (term.dim_in / term.groups, term.dim_out / term.groups);
        let (larger, smaller) = (self.channels().max(of_output), self.channels().min(of_output));
        let fits = of_input.is_multiple_of(4) && of_output.is_multiple_of(4) && larger.is_multiple_of(smaller);
        match term.groups == 1 || fits && term.dim_out.is_multiple_of(self.channels()) {
            true => Ok(()),
            false => Err(format!(
                "its blocks of {} channels do not fit groups of {of_input} to {of_output} of {}",
                self.channels(),
                term.dim_out
            )),
        }
    }
}

/// Where what a kernel reads or writes lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Home {
    /// In a storage buffer.
    Buffer,
    /// In an image of four floats a texel, [`IMAGE_WIDTH`] in a row. To some software drivers loads from images are far
    /// cheaper than from buffers (`docs/performance.md`).
    Image,
}

/// Where the input of a product lies, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Channels last, in quads.
    Quads(Home),
    /// In a buffer, a plane for each channel: a clip as it comes.
    Planes,
}

/// Where the operands of a product lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Homes {
    pub input: Input,
    pub weights: Home,
}

impl Homes {
    fn sources(self) -> [&'static str; 2] {
        let input = match self.input {
            Input::Quads(Home::Buffer) => INPUT_IN_BUFFER,
            Input::Quads(Home::Image) => INPUT_IN_IMAGE,
            Input::Planes => INPUT_IN_PLANES,
        };
        let weights = match self.weights {
            Home::Buffer => WEIGHTS_IN_BUFFER,
            Home::Image => WEIGHTS_IN_IMAGE,
        };
        [input, weights]
    }
}

/// One of the kernels that share parameters, launch and constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gemm {
    /// From registers.
    Registers(Tile, Home),
    /// From registers, weights broadcast in subgroups of eight.
    Subgroup(Tile, Home),
    /// Through workgroup memory.
    Tiled(Spread),
}

impl Gemm {
    pub(super) const REGISTERS_8X8: Self = Self::registers(2, Home::Buffer);
    pub(super) const REGISTERS_16X8: Self = Self::registers(4, Home::Buffer);
    pub(super) const REGISTERS_8X8_IMAGE: Self = Self::registers(2, Home::Image);
    pub(super) const REGISTERS_16X8_IMAGE: Self = Self::registers(4, Home::Image);
    pub(super) const SUBGROUP_16X4: Self = Self::subgroup(4, Home::Buffer);
    pub(super) const SUBGROUP_32X4: Self = Self::subgroup(8, Home::Buffer);
    pub(super) const SUBGROUP_64X4: Self = Self::subgroup(16, Home::Buffer);
    pub(super) const SUBGROUP_16X4_IMAGE: Self = Self::subgroup(4, Home::Image);
    pub(super) const SUBGROUP_32X4_IMAGE: Self = Self::subgroup(8, Home::Image);
    pub(super) const SUBGROUP_64X4_IMAGE: Self = Self::subgroup(16, Home::Image);
    pub(super) const TILED: Self = Self::Tiled(Spread::NARROW);
    pub(super) const TILED_WIDE: Self = Self::Tiled(Spread::WIDE);
    pub(super) const TILED_COMPACT: Self = Self::Tiled(Spread::COMPACT);
    pub(super) const TILED_SLICED: Self = Self::Tiled(Spread::SLICED);

    const fn registers(channel_vec4s: usize, weights: Home) -> Self {
        Self::Registers(Tile { channel_vec4s, positions: 8 }, weights)
    }

    const fn subgroup(channel_vec4s: usize, weights: Home) -> Self {
        Self::Subgroup(Tile { channel_vec4s, positions: 4 }, weights)
    }

    /// What an invocation computes, or for [`Gemm::Tiled`] a column of invocations.
    pub(super) fn tile(self) -> Tile {
        match self {
            Self::Registers(tile, _) | Self::Subgroup(tile, _) => tile,
            Self::Tiled(spread) => spread.tile(),
        }
    }

    /// Where its weights lie.
    pub(super) fn weights(self) -> Home {
        match self {
            Self::Registers(_, weights) | Self::Subgroup(_, weights) => weights,
            Self::Tiled(_) => Home::Buffer,
        }
    }

    /// Where the input of Winograd's products lies, which its transform writes: with the weights, since what makes loads
    /// from images cheaper for one does so for the other.
    pub(super) fn domain(self) -> Home {
        self.weights()
    }

    /// Invocations along the positions of a workgroup.
    fn lanes(self) -> usize {
        match self {
            Self::Registers(..) => LANES,
            Self::Subgroup(..) => conv_gemm_subgroup::LANES,
            Self::Tiled(spread) => spread.columns,
        }
    }

    /// Invocations of a workgroup.
    pub(super) fn invocations(self) -> usize {
        match self {
            Self::Tiled(spread) => spread.lanes(),
            Self::Registers(..) | Self::Subgroup(..) => self.lanes(),
        }
    }

    /// Whether it can compute `conv`.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn accepts(self, conv: &Conv) -> Result<(), String> {
        for term in conv.terms().filter(|term| term.groups != 1) {
            match self {
                Self::Registers(tile, _) | Self::Subgroup(tile, _) if conv.epilogue.projection.is_none() => {
                    tile.accepts_groups(term)?;
                }
                Self::Registers(..) | Self::Subgroup(..) => {
                    return Err(format!("it adds no projection to a convolution in {} groups", term.groups));
                }
                Self::Tiled(_) => return Err(format!("it has no groups, the convolution has {}", term.groups)),
            }
        }
        // The drivers that have subgroups of eight cut a loop off after some 65,535 rounds, without a word; the subgroup
        // kernel has one loop over the taps of a frame and all quads of channels.
        let rounds =
            conv.terms().map(|term| entries(self.tile().channels(), term) / term.window.kernel[0]).max().unwrap_or(0);
        if matches!(self, Self::Subgroup(..)) && rounds >= 65_000 {
            return Err(format!("its loop over {rounds} taps and quads would be cut off"));
        }
        Ok(())
    }

    /// Whether it is meant for as many workgroups as `batch` of so many positions each needs.
    pub(super) fn suits(self, batch: &Batch, positions: usize) -> bool {
        match self {
            Self::Tiled(spread) => {
                let workgroups = batch.count * positions.div_ceil(self.run_len()) * self.tile().blocks(batch.conv);
                spread.suits(workgroups, batch.conv.terms().map(|term| entries(self.tile().channels(), term)).sum())
            }
            Self::Registers(..) | Self::Subgroup(..) => true,
        }
    }

    /// Whether a block multiplies the input of one group by zeros for the outputs of another.
    pub(super) fn mixes_groups(self, conv: &Conv) -> bool {
        conv.groups > 1 && input_quads(self.tile().channels(), conv) * 4 > conv.dim_in / conv.groups
    }

    /// What it costs for a position of `conv`, one of its tile's output channels and one input channel counting as one: with
    /// the padding to whole blocks, the zeros between groups, and what is loaded and computed besides for each quad, which is
    /// worth some twenty channels whatever the tile (`docs/performance.md`).
    pub(super) fn cost(self, conv: &Conv) -> usize {
        let channels = self.tile().channels();
        conv.dim_out.div_ceil(channels) * (channels + 20) * 4 * input_quads(channels, conv)
    }

    /// Those of its kind that can compute `conv`, with tiles no wider: what a convolution by itself would be computed with.
    pub(super) fn narrower(self, conv: &Conv) -> impl Iterator<Item = Self> {
        let tile = self.tile();
        let narrowed = move |channel_vec4s: usize| match self {
            Self::Registers(_, home) => Self::Registers(Tile { channel_vec4s, ..tile }, home),
            Self::Subgroup(_, home) => Self::Subgroup(Tile { channel_vec4s, ..tile }, home),
            Self::Tiled(_) => self,
        };
        let widths = [2, 4, 8, 16].into_iter().filter(move |&width| width <= tile.channel_vec4s).map(narrowed);
        widths.filter(move |gemm| Kernel::ALL.contains(&Kernel::ConvGemm(*gemm)) && gemm.accepts(conv).is_ok())
    }

    /// Output positions of a workgroup.
    pub(super) fn run_len(self) -> usize {
        self.lanes() * self.tile().positions
    }

    /// The shader for so many terms, the input in a buffer.
    pub(super) fn source(self, terms: usize) -> String {
        self.source_from(Home::Buffer, terms)
    }

    /// The shader for Winograd's products, the input where [`Self::domain`] says.
    pub(super) fn product_source(self) -> String {
        self.source_from(self.domain(), 1)
    }

    fn source_from(self, input: Home, terms: usize) -> String {
        let homes = Homes { input: Input::Quads(input), weights: self.weights() };
        match self {
            Self::Registers(tile, _) => source(tile, homes, terms),
            Self::Subgroup(tile, _) => conv_gemm_subgroup::source(tile, homes, terms),
            Self::Tiled(spread) => conv_gemm_tiled::source(spread, terms, false),
        }
    }

    pub(super) fn packing(self) -> Packing {
        let order = match self {
            Self::Registers(..) | Self::Tiled(_) => Order::OutputsInner,
            Self::Subgroup(..) => Order::QuadsInner,
        };
        Packing { channels: self.tile().channels(), order, batches_inside: false }
    }
}

/// The order of the weights of one block, batch, tap and quad of input channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// [channel of the quad][output channel]: a vec4 is four output channels.
    OutputsInner,
    /// [output channel][channel of the quad]: a vec4 is a quad.
    QuadsInner,
}

/// How weights are packed: [block][batch][term][tap][input quad], or with all batches of an input quad together, and then in
/// that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    /// Output channels of a block.
    pub channels: usize,
    pub order: Order,
    /// [block][term][tap][input quad][batch].
    pub batches_inside: bool,
}

impl Packing {
    /// How many values there are, with the padding to whole blocks and quads.
    pub fn len(self, conv: &Conv, batches: usize) -> usize {
        let padded_out = conv.dim_out.next_multiple_of(self.channels);
        batches * padded_out * conv.terms().map(|term| entries(self.channels, term)).sum::<usize>() * 4
    }
}

/// The quads of input channels that a block of so many output channels reads of `term`: all, or those of the groups that it
/// has channels of, and then what an output channel does not read itself is multiplied by zeros.
pub(super) fn input_quads(channels: usize, term: &Conv) -> usize {
    match term.groups {
        1 => term.dim_in.div_ceil(4),
        groups => term.dim_in / groups / 4 * (channels / (term.dim_out / groups)).max(1),
    }
}

/// How many blocks of so many output channels side by side read the same of these.
fn blocks_alike(channels: usize, conv: &Conv) -> usize {
    match conv.groups {
        1 => conv.dim_out.div_ceil(channels),
        groups => (conv.dim_out / groups / channels).max(1),
    }
}

/// Entries of a term for such a block: quads of input channels under each tap.
fn entries(channels: usize, term: &Conv) -> usize {
    term.window.taps() * input_quads(channels, term)
}

/// Convolutions of one window over channels of the same numbers, each with weights of its own: those of Winograd's
/// products, or a single one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub count: usize,
    pub conv: &'a Conv,
    /// Blocks of output channels before those that a slice calls its first.
    pub blocks_before: usize,
}

impl<'a> Batch<'a> {
    /// A single convolution.
    pub fn single(conv: &'a Conv) -> Self {
        Self { count: 1, conv, blocks_before: 0 }
    }
}

fn source(tile: Tile, homes: Homes, terms: usize) -> String {
    assemble_gemm(&[("TILE_M", tile.channel_vec4s), ("TILE_N", tile.positions)], homes, terms, SOURCE)
}

/// The text of one of these shaders for so many terms, `kernel` being its own part.
pub(super) fn assemble_gemm(own: &Prelude, homes: Homes, terms: usize, kernel: &str) -> String {
    let mut prelude = [own, &[("TERMS", terms)]].concat();
    if homes.input == Input::Quads(Home::Image) || homes.weights == Home::Image {
        prelude.push(("IMAGE_WIDTH", IMAGE_WIDTH));
    }
    let [input, weights] = homes.sources();
    assemble(&prelude, &[WINDOW_SOURCE, input, weights, SHARED_SOURCE], kernel)
}

params! {
    /// Uniform parameters.
    Params {
        window: WindowParams, second_window: WindowParams,
        grid_x: u32, workgroups: u32, batches: u32, runs: u32, blocks: u32, positions: u32,
        in_quads: u32, group_quads: u32, blocks_alike: u32, first_block: u32,
        in_t: u32, in_h: u32, in_w: u32, in_frames: u32, second_plane: u32, third_plane: u32,
        second_quads: u32, second_t: u32, second_h: u32, second_w: u32,
        out_quads: u32, out_t: u32, out_h: u32, out_w: u32, first_quad: u32,
        add_residual: u32, relu: u32,
        pool_h: u32, pool_w: u32, pool_rows: u32, pool_above: u32, lowest: f32,
    }
}

/// The launch of any of these kernels for a slice of a batch of convolutions, its blobs being those of all of it.
pub(super) fn launch(gemm: Gemm, batch: &Batch<'_>, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    gemm.accepts(batch.conv)?;
    let output = slice.output;
    let positions = output.n / batch.count * output.t * output.h * output.w;
    let params = parameters(gemm, batch, slice, output, positions.div_ceil(gemm.run_len()));
    let kernel = match batch.conv.epilogue.projection {
        None => Kernel::ConvGemm(gemm),
        Some(_) => Kernel::ProjectedGemm(gemm),
    };
    launched(kernel, params, batch.conv, max_groups)
}

/// The dispatch of `kernel` with these parameters, all but for its grid.
pub(super) fn launched(kernel: Kernel, mut params: Params, conv: &Conv, max_groups: u32) -> Result<Launch, String> {
    let workgroups = u64::from(params.batches) * u64::from(params.runs) * u64::from(params.blocks);
    let grid = Grid::fold(workgroups, max_groups)?;
    (params.grid_x, params.workgroups) = (grid.x, workgroups as u32);
    let params = bytemuck::bytes_of(&params).to_vec();
    Ok(Launch { kernel, params, grid, operands: Operand::of_conv(conv) })
}

/// Parameters of a slice of a batch, whose convolution itself has an output of shape `own`, computed in so many `runs` of
/// positions for each of the batch.
pub(super) fn parameters(gemm: Gemm, batch: &Batch<'_>, slice: &Slice, own: Shape, runs: usize) -> Params {
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
        runs: runs as u32,
        blocks: slice.blocks.len() as u32,
        positions: (own.n / count * own.t * own.h * own.w) as u32,
        in_quads: input.c.div_ceil(4) as u32,
        group_quads: input_quads(gemm.tile().channels(), conv) as u32,
        blocks_alike: blocks_alike(gemm.tile().channels(), conv) as u32,
        first_block: (blocks_before + slice.blocks.start) as u32,
        in_t: input.t as u32,
        in_h: input.h as u32,
        in_w: input.w as u32,
        in_frames: input.t as u32,
        second_plane: 0,
        third_plane: 0,
        second_quads: second.c.div_ceil(4) as u32,
        second_t: second.t as u32,
        second_h: second.h as u32,
        second_w: second.w as u32,
        out_quads: own.c.div_ceil(4) as u32,
        out_t: own.t as u32,
        out_h: own.h as u32,
        out_w: own.w as u32,
        first_quad: (slice.blocks.start * gemm.tile().channel_vec4s) as u32,
        add_residual: (conv.epilogue.residual && conv.epilogue.projection.is_none()).into(),
        relu: conv.epilogue.relu.into(),
        pool_h: 0,
        pool_w: 0,
        pool_rows: 0,
        pool_above: 0,
        lowest: f32::NEG_INFINITY,
    }
}

/// Weights of a batch, and its bias.
pub(super) fn constant_lens(gemm: Gemm, batch: &Batch<'_>) -> [usize; 2] {
    let (packing, conv) = (gemm.packing(), batch.conv);
    [packing.len(conv, batch.count), conv.dim_out.next_multiple_of(packing.channels)]
}

/// Weights and bias of a convolution, with the affine channel folded in.
pub(super) fn constants(gemm: Gemm, conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let folded = conv.terms().map(|term| fold_affine(term, weights)).collect::<Result<Vec<_>>>()?;
    let terms: Vec<_> = conv.terms().zip(&folded).map(|(term, (weight, _))| (term, weight)).collect();
    let packed = pack(gemm.packing(), conv, |term, out, channel, tap| {
        let (conv, weight) = terms[term];
        [weight[out * conv.macs_per_output() + channel * conv.window.taps() + tap] as f32]
    });
    let [_, bias_len] = constant_lens(gemm, &Batch::single(conv));
    let sum = |out: usize| folded.iter().map(|(_, bias)| f64::from(bias[out])).sum::<f64>() as f32;
    let mut bias: Vec<f32> = (0..conv.dim_out).map(sum).collect();
    bias.resize(bias_len, 0.0);
    Ok(vec![packed, bias])
}

/// The weights of every block in their order; `value` is that of a term, an output channel, an input channel of its group and
/// a tap, for every batch.
pub(super) fn pack<const BATCHES: usize>(
    packing: Packing,
    conv: &Conv,
    value: impl Fn(usize, usize, usize, usize) -> [f32; BATCHES] + Sync,
) -> Vec<f32> {
    let Packing { channels, order, batches_inside } = packing;
    let places = |(term, conv): (usize, &Conv)| {
        let (quads, of_input) = (input_quads(channels, conv), conv.dim_in / conv.groups);
        (0..entries(channels, conv)).map(move |entry| (term, entry / quads, entry % quads * 4, of_input))
    };
    let places: Vec<_> = conv.terms().enumerate().flat_map(places).collect();
    let of_output = conv.dim_out / conv.groups;
    let mut packed = vec![0.0; packing.len(conv, BATCHES)];
    let entry_len = 4 * channels;
    packed.par_chunks_exact_mut(BATCHES * places.len() * entry_len).enumerate().for_each(|(block, packed)| {
        let first = block * channels;
        // All batches of an entry first, then one after the other: their places in memory are powers of two apart, and
        // would push each other out of the processor's caches.
        let mut values = vec![[0.0; BATCHES]; entry_len];
        for (entry, &(term, tap, channel, of_input)) in places.iter().enumerate() {
            values.fill([0.0; BATCHES]);
            // Channels count from the first that the block reads, in whole groups.
            let group = channel / of_input;
            let channel = channel % of_input;
            for out in 0..channels.min(conv.dim_out - first) {
                if out / of_output != group && channels > of_output {
                    continue;
                }
                for k in 0..4.min(of_input - channel) {
                    let at = match order {
                        Order::OutputsInner => k * channels + out,
                        Order::QuadsInner => out * 4 + k,
                    };
                    values[at] = value(term, first + out, channel + k, tap);
                }
            }
            for batch in 0..BATCHES {
                let place = if batches_inside { entry * BATCHES + batch } else { batch * places.len() + entry };
                for (slot, value) in packed[place * entry_len..].iter_mut().zip(&values) {
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
        assert!(Gemm::SUBGROUP_64X4.accepts(&conv(2048, [3, 3, 3])).is_ok());
        assert!(Gemm::SUBGROUP_64X4.accepts(&conv(30_000, [1, 3, 3])).is_err());
        assert!(Gemm::REGISTERS_16X8.accepts(&conv(30_000, [1, 3, 3])).is_ok());
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
        // ResNeXt-101's, in 32 groups: quads of input channels that a block reads, and blocks that read the same.
        for (width, gemm, quads, alike) in [
            (128, Gemm::SUBGROUP_16X4, 4, 1),
            (256, Gemm::SUBGROUP_16X4, 4, 1),
            (512, Gemm::SUBGROUP_32X4, 8, 1),
            (1024, Gemm::SUBGROUP_32X4, 8, 1),
            (1024, Gemm::SUBGROUP_16X4, 8, 2),
        ] {
            let conv = conv(width, width, 32);
            assert!(gemm.accepts(&conv).is_ok(), "{width}");
            let channels = gemm.tile().channels();
            assert_eq!((input_quads(channels, &conv), blocks_alike(channels, &conv)), (quads, alike), "{width}");
        }
        assert!(Gemm::SUBGROUP_16X4.accepts(&conv(64, 96, 2)).is_ok(), "48 channels are three blocks");
        assert!(Gemm::SUBGROUP_32X4.accepts(&conv(64, 96, 2)).is_err());
        assert!(Gemm::SUBGROUP_16X4.accepts(&conv(6, 64, 2)).is_err(), "three channels are no quads");
        assert!(Gemm::REGISTERS_16X8.accepts(&conv(24, 24, 3)).is_err(), "the last block has half of its groups");
        assert!(Gemm::TILED.accepts(&conv(256, 256, 2)).is_err());
    }
}
