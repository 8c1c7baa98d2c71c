//! Winograd's minimal filtering: 3×3 convolutions of stride 1 with fewer multiplications.
//!
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (CVPR 2016). A square of outputs is computed at
//! once: the tile of input under it is transformed, multiplied value by value with the transformed filter, summed over
//! input channels *and over the taps in time*, and transformed back. The products of one value of the tile, over all
//! tiles, channels and taps, are a matrix product. [`conv_gemm`] computes these matrix products as a batch, one for
//! each value. F(2×2, 3×3) has 16 products for 4 outputs, for which the definition has 36. F(4×4, 3×3) has 36 for 16
//! outputs, for which the definition has 144.
//!
//! Both are Toom and Cook's multiplication of polynomials, evaluated at as many points as a tile is wide. Points far
//! from 1, larger or smaller, lose accuracy. ±5/8 and ±3/2 lose less than the textbook's ±1 and ±2: the relative L2
//! error on random layers of 384 products is 1.7e-6 instead of 3.9e-6. They were found by trying pairs of short binary
//! fractions, as Barabasz et al. suggest (*Error Analysis and Improving the Accuracy of Winograd Convolution*, 2018).
//!
//! A NaN or an infinity in a tile reaches all outputs of that tile.

use super::conv_gemm::{self, Batch, Gemm, Input};
use super::launch::{Launch, Operand, Slice};
use super::method::{Family, NO_POOLING};
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::winograd_input::WinogradInput;
use super::winograd_output::WinogradOutput;
use super::{AdapterClass, Kernel, OperandMemory, RowTiles, Source, Target, Workspace};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Conv, Epilogue, OpKind, Window};
use crate::shape::Shape;
use crate::weights::{Weights, fold_affine};
use std::sync::LazyLock;

/// The size of the squares of output that are computed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WinogradTile {
    /// F(2×2, 3×3).
    F2,
    /// F(4×4, 3×3).
    F4,
}

impl WinogradTile {
    /// Both sizes.
    pub const ALL: &'static [Self] = &[Self::F2, Self::F4];

    /// `2x2` or `4x4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F2 => "2x2",
            Self::F4 => "4x4",
        }
    }

    /// Outputs of a tile along an axis.
    pub fn outputs(self) -> usize {
        match self {
            Self::F2 => 2,
            Self::F4 => 4,
        }
    }

    /// Inputs, and products, of a tile along an axis.
    pub fn inputs(self) -> usize {
        self.outputs() + 2
    }

    /// Products of a tile, which are the batches of the matrix product.
    pub fn batches(self) -> usize {
        self.inputs() * self.inputs()
    }

    /// The transforms of `shaders/shared/`.
    pub(super) fn source(self) -> Source {
        match self {
            Self::F2 => wgsl!("shared/winograd_2x2"),
            Self::F4 => wgsl!("shared/winograd_4x4"),
        }
    }

    /// The finite points; infinity comes after them.
    fn points(self) -> &'static [f64] {
        match self {
            Self::F2 => &[0.0, 1.0, -1.0],
            Self::F4 => &[0.0, 0.625, -0.625, 1.5, -1.5],
        }
    }

    /// The transform of a three-tap filter, a row for each point: the value of the filter as a polynomial at that
    /// point, divided by the factor that the input's transform has in excess.
    fn filter_transform(self) -> Vec<[f64; 3]> {
        let points = self.points();
        let row = |(index, &at): (usize, &f64)| {
            let others = points.iter().enumerate().filter(|(other, _)| *other != index);
            let excess: f64 = others.map(|(_, &other)| at - other).product();
            [1.0, at, at * at].map(|power| power / excess)
        };
        points.iter().enumerate().map(row).chain([[0.0, 0.0, 1.0]]).collect()
    }

    /// The tiles over `rows` rows and `columns` columns of output.
    pub(super) fn grid(self, rows: usize, columns: usize) -> [usize; 2] {
        [rows.div_ceil(self.outputs()), columns.div_ceil(self.outputs())]
    }

    /// The shape of a blob of `shape` in the Winograd domain, for the tiles of `rows` rows of `output`: batches along
    /// N, the tiles of a frame in a row.
    pub(super) fn domain(self, shape: Shape, rows: usize, output: Shape) -> Shape {
        let [h, w] = self.grid(rows, output.w);
        Shape { n: self.batches() * shape.n, h: 1, w: h * w, ..shape }
    }
}

/// Checks that Winograd's method can compute a convolution with the window of `conv`.
///
/// # Errors
/// The reason, if not.
pub(super) fn supports_window(conv: &Conv) -> Result<(), String> {
    let Window { kernel: [_, kh, kw], stride: [_, sh, sw], dilation: [_, dh, dw], .. } = conv.window;
    if (kh, kw) != (3, 3) || (sh, sw) != (1, 1) || (dh, dw) != (1, 1) {
        return Err(format!("it is for 3x3 taps side by side with stride 1, the window is {:?}", conv.window));
    }
    match &conv.epilogue {
        Epilogue { projection: Some(_), .. } => Err("it has no sums that a projection could be added to".to_owned()),
        Epilogue { pool: Some(_), .. } => Err(NO_POOLING.to_owned()),
        Epilogue { projection: None, pool: None, .. } => Ok(()),
    }
}

/// The convolution over time that is computed for each value of a tile.
pub(super) fn product_of(conv: &Conv) -> Conv {
    let Window { kernel: [kt, ..], stride: [st, ..], pad: [pt, ..], dilation: [dt, ..] } = conv.window;
    let window = Window { kernel: [kt, 1, 1], stride: [st, 1, 1], pad: [pt, 0, 0], dilation: [dt, 1, 1] };
    Conv { window, epilogue: Default::default(), ..conv.clone() }
}

/// The cost of Winograd's method relative to the definition, if `product` computes the products of both. It counts the
/// products, with the padding to whole tiles and whole workgroups, and the loads and stores that move values into and
/// out of the Winograd domain.
pub(super) fn relative_cost(tile: WinogradTile, product: Gemm, conv: &Conv, output: Shape, class: AdapterClass) -> f64 {
    // The cost of a value that a transform loads or stores, in products.
    let moved_cost = match class {
        // On the adapters measured, a load costs as much as some thirty multiply-adds. The loads of the products are
        // shared by a register tile.
        AdapterClass::Software => 12.0,
        // Estimated by traffic count: GPUs do 20 to 40 FLOP or more in the time of a byte of memory traffic. At 32 FLOP
        // that is 64 multiply-adds for a value. Values that fit into caches cost less.
        AdapterClass::Gpu => 64.0,
    };
    let [tiles_h, tiles_w] = tile.grid(output.h, output.w);
    let tiles = output.t * tiles_h * tiles_w;
    let (channels_in, channels_out) = (conv.dim_in as f64, conv.dim_out as f64);
    let kernel_t = conv.window.kernel[0] as f64;
    // With groups, zeros between the groups are multiplied too. The wide blocks of `product` span more of them than the
    // narrowest kernel would.
    let per_position = match conv.groups {
        1 => [channels_in * channels_out; 2],
        _ => [product.cost(conv), product.least_cost(conv)].map(|cost| cost as f64),
    };
    let [of_product, of_direct] = per_position.map(|each| kernel_t * each);
    let padded = |positions: usize| positions.next_multiple_of(product.workgroup_positions()) as f64;
    let products = tile.batches() as f64 * padded(tiles) * of_product;
    let moved = 2.0 * tile.batches() as f64 * channels_in
        + (tile.batches() + tile.outputs() * tile.outputs()) as f64 * channels_out;
    let direct = 9.0 * padded(output.t * output.h * output.w) * of_direct;
    (products + moved_cost * moved * tiles as f64) / direct
}

/// The number of channels that an invocation of a transform processes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Width {
    /// Four: whole vec4 to load and to store.
    Four,
    /// Two, for GPUs with few registers: the 36 values of a tile of F(4×4) are 144 registers with four.
    Two,
}

impl Width {
    /// The width for devices that compute the products with `product`.
    fn of(tile: WinogradTile, product: Gemm) -> Self {
        if (tile, product) == (WinogradTile::F4, Gemm::TILED_COMPACT) { Self::Two } else { Self::Four }
    }

    /// The part of a kernel's name that stands for it.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Four => "",
            Self::Two => "_pairs",
        }
    }

    /// The file of `shaders/shared/` that declares the type.
    pub(super) fn source(self) -> Source {
        match self {
            Self::Four => wgsl!("shared/four_channels"),
            Self::Two => wgsl!("shared/two_channels"),
        }
    }

    /// The number of channel vectors of this width in `channel_blocks` channel blocks of four.
    pub(super) fn channel_vecs(self, channel_blocks: usize) -> u32 {
        match self {
            Self::Four => channel_blocks as u32,
            Self::Two => 2 * channel_blocks as u32,
        }
    }
}

/// The products of a Winograd domain in a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product(pub(super) Gemm);

impl Permutation for Product {
    fn row(&self) -> Row {
        self.0.row_of("winograd_product", Input::ChannelsLast(self.0.domain()))
    }
}

/// Winograd's convolution in three dispatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Winograd {
    /// The size of the tiles.
    pub(super) tile: WinogradTile,
    /// The GEMM that computes the products.
    pub(super) product: Gemm,
}

static NAMES: LazyLock<Vec<(Winograd, String)>> = LazyLock::new(|| {
    let name = |Winograd { tile, product }: Winograd| format!("winograd_{}_gemm{}", tile.name(), product.suffix());
    Winograd::all().map(|winograd| (winograd, name(winograd))).collect()
});

impl Winograd {
    /// The GEMMs that compute the products: those with tiles of many channels, since layers with few channels do not
    /// use this method.
    pub(super) const PRODUCTS: &[Gemm] = &[
        Gemm::REGISTERS_16X8,
        Gemm::REGISTERS_16X8_TEXTURE,
        Gemm::SUBGROUP_32X4,
        Gemm::SUBGROUP_64X4,
        Gemm::SUBGROUP_32X4_TEXTURE,
        Gemm::SUBGROUP_64X4_TEXTURE,
        Gemm::TILED,
        Gemm::TILED_COMPACT,
        Gemm::TILED_SLICED,
    ];

    /// All combinations of a tile and a product.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let products = |&tile: &WinogradTile| Self::PRODUCTS.iter().map(move |&product| Self { tile, product });
        WinogradTile::ALL.iter().flat_map(products)
    }

    /// A unique name.
    pub(super) fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(winograd, _)| *winograd == self);
        &named.expect("products are those of the list").1
    }

    fn input(self) -> WinogradInput {
        WinogradInput::new(self.tile, Width::of(self.tile, self.product), self.product.domain())
    }

    fn output(self) -> WinogradOutput {
        WinogradOutput::new(self.tile, Width::of(self.tile, self.product))
    }

    fn product_kernel(self) -> Kernel {
        match self.product.domain() {
            OperandMemory::Buffer => Kernel::ConvGemm(self.product),
            OperandMemory::Texture => Kernel::WinogradProduct(Product(self.product)),
        }
    }

    /// The kernels that it launches, in order.
    pub(super) fn kernels(self) -> impl Iterator<Item = Kernel> {
        let (input, output) = (Kernel::WinogradInput(self.input()), Kernel::WinogradOutput(self.output()));
        [input, self.product_kernel(), output].into_iter()
    }

    /// The shape of the products of a slice's channels.
    fn products(self, conv: &Conv, slice: &Slice) -> Shape {
        let channels = slice.blocks.len() * self.product.tile().channels();
        let left = conv.dim_out - 4 * self.first_channel_block(slice);
        Shape { c: channels.min(left), ..self.tile.domain(slice.output, slice.rows.len(), slice.output) }
    }

    fn first_channel_block(self, slice: &Slice) -> usize {
        slice.blocks.start * self.product.tile().channels() / 4
    }
}

/// The number format in the Winograd domain, and of the transformed weights, whatever the format of the plan. A format
/// of fewer digits is not accurate enough there.
const DOMAIN: DType = DType::F32;

/// The workspace of the products. The domain has a workspace for each kind of memory, so that a plan with both kinds
/// shares the workspaces of each.
pub(super) const PRODUCTS: usize = 1;

/// The workspace of the input in the Winograd domain.
pub(super) fn domain_operand(domain: OperandMemory) -> Operand {
    Operand::Scratch(match domain {
        OperandMemory::Buffer => 0,
        OperandMemory::Texture => 2,
    })
}

impl Family for Winograd {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        supports_window(conv)?;
        self.product.supports_alone(&product_of(conv))
    }

    /// Faster than the definition and than other tiles.
    fn is_profitable(&self, conv: &Conv, clip: Shape, target: Target) -> bool {
        let Self { tile, product } = *self;
        let cost = |tile| relative_cost(tile, product, conv, clip, target.class);
        let [tiles_h, tiles_w] = tile.grid(clip.h, clip.w);
        let batch = Batch { count: tile.batches(), conv: &product_of(conv), blocks_before: 0 };
        // Not with products from registers on a GPU. GEMMs from registers are used for nothing else there: the padding
        // of their workgroups makes every other method better.
        let usual = target.class == AdapterClass::Software || product.shares_loads();
        let fills = usual && product.is_profitable(&batch, clip.t * tiles_h * tiles_w);
        fills && cost(tile) < 1.0 && WinogradTile::ALL.iter().all(|&other| cost(tile) <= cost(other))
    }

    fn winograd_tile(&self) -> Option<WinogradTile> {
        Some(self.tile)
    }

    fn row_tiles(&self) -> Option<RowTiles> {
        Some(RowTiles { side: self.tile.outputs(), workgroup_tiles: self.product.workgroup_positions() })
    }

    /// The input in the Winograd domain as a buffer, its products, and the input in the domain as a texture. The domain
    /// is in one of the two.
    fn workspaces(&self, input: Shape, output: Shape, rows: usize) -> Vec<Workspace> {
        let bytes = |shape| {
            let domain = self.tile.domain(shape, rows, output);
            Shape { c: domain.c.next_multiple_of(4), ..domain }.bytes_as(DOMAIN)
        };
        let workspace = |memory, bytes| Workspace { memory, dtype: DOMAIN, bytes };
        let domain = |memory| workspace(memory, if self.product.domain() == memory { bytes(input) } else { 0 });
        let products = workspace(OperandMemory::Buffer, bytes(output));
        vec![domain(OperandMemory::Buffer), products, domain(OperandMemory::Texture)]
    }

    fn constant_memory(&self, index: usize) -> OperandMemory {
        Family::constant_memory(&self.product, index)
    }

    fn blocks(&self, conv: &Conv) -> usize {
        self.product.tile().blocks(conv)
    }

    /// Transformed weights, the bias of the products, which is zero, and the bias of the outputs, all three in blocks.
    /// The kernels of ordinary convolutions compute the products, and these kernels add a bias. Without a zero bias,
    /// separate kernels would have to be compiled.
    fn constant_lens(&self, conv: &Conv, _channels: usize) -> Vec<usize> {
        let batch = Batch { count: self.tile.batches(), conv: &product_of(conv), blocks_before: 0 };
        let [weights, bias] = conv_gemm::constant_lens(self.product, &batch);
        vec![weights, bias, bias]
    }

    /// The affine channel is folded and the filters are transformed in f64, and the result is rounded once.
    fn constants(&self, conv: &Conv, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        let Self { tile, product } = *self;
        let (folded, mut bias) = fold_affine(conv, weights)?;
        let (packing, product_conv) = (product.packing(), product_of(conv));
        let packed = match tile {
            WinogradTile::F2 => {
                let filters = transformed_filters::<4, 16>(tile, conv, &folded);
                conv_gemm::pack(packing, &product_conv, |_, out, channel, tap| filters(out, channel, tap))
            }
            WinogradTile::F4 => {
                let filters = transformed_filters::<6, 36>(tile, conv, &folded);
                conv_gemm::pack(packing, &product_conv, |_, out, channel, tap| filters(out, channel, tap))
            }
        };
        let [_, zeros, outputs] = self.constant_lens(conv, channels)[..] else { unreachable!("three constants") };
        bias.resize(outputs, 0.0);
        Ok(vec![packed, vec![0.0; zeros], bias])
    }

    /// The input transform, the products, and the output transform.
    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let Self { tile, product } = *self;
        let batch = Batch { count: tile.batches(), conv: &product_of(conv), blocks_before: slice.blocks.start };
        // The products of a range of blocks are stored side by side, as if there were no other blocks.
        let inside = Slice {
            inputs: vec![tile.domain(slice.inputs[0], slice.rows.len(), slice.output)],
            output: self.products(conv, slice),
            pads_h: vec![0],
            rows: 0..1,
            blocks: 0..slice.blocks.len(),
            ..slice.clone()
        };
        let mut middle = conv_gemm::launch(self.product_kernel(), product, &batch, &inside, max_groups)?.in_f32();
        middle.operands = vec![
            domain_operand(product.domain()),
            Operand::Constant(0),
            Operand::Constant(1),
            Operand::Constant(1),
            Operand::Scratch(PRODUCTS),
        ];
        let first_channel_block = self.first_channel_block(slice);
        Ok(vec![
            self.input().launch(conv, slice, max_groups)?,
            middle,
            self.output().launch(conv, inside.output, first_channel_block, slice, max_groups)?,
        ])
    }
}

/// The filters of `folded`, (out, in/groups, kt, 3, 3), transformed for tiles of `SIDE` inputs along an axis. The
/// arguments of the function are the output channel, the input channel of its group and the tap in time.
pub(super) fn transformed_filters<const SIDE: usize, const BATCHES: usize>(
    tile: WinogradTile,
    conv: &Conv,
    folded: &[f64],
) -> impl Fn(usize, usize, usize) -> [f32; BATCHES] {
    let rows = tile.filter_transform();
    let rows: [[f64; 3]; SIDE] = std::array::from_fn(|at| rows[at]);
    let [kernel_t, ..] = conv.window.kernel;
    let of_input = conv.dim_in / conv.groups;
    let (filters, _) = folded.as_chunks::<9>();
    move |out, channel, tap| {
        let filter = &filters[(out * of_input + channel) * kernel_t + tap];
        // Along the height, then along the width.
        let lines = rows.map(|[a, b, c]| [0, 1, 2].map(|x| a * filter[x] + b * filter[3 + x] + c * filter[6 + x]));
        std::array::from_fn(|at| {
            let ([x, y, z], [a, b, c]) = (lines[at / SIDE], rows[at % SIDE]);
            (a * x + b * y + c * z) as f32
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A convolution of `channels` to `channels` channels, with `kernel_t` taps in time, 3×3 in height and width.
    pub(in super::super) fn square(channels: usize, kernel_t: usize) -> Conv {
        Conv {
            weight: "w".to_owned(),
            dim_in: channels,
            dim_out: channels,
            groups: 1,
            window: Window { kernel: [kernel_t, 3, 3], pad: [kernel_t / 2, 1, 1], ..Window::POINTWISE },
            epilogue: Default::default(),
        }
    }

    /// The identity behind the method, for one axis: the outputs of a filter follow from its transform, by the matrices
    /// of the points.
    #[test]
    fn filters_transform_by_the_points() {
        for &tile in WinogradTile::ALL {
            let rows = tile.filter_transform();
            assert_eq!(rows.len(), tile.inputs());
            assert_eq!(rows.last(), Some(&[0.0, 0.0, 1.0]));
            // Lagrange: the leading coefficient of a polynomial of degree below the number of points is the sum of its
            // values, each divided by the differences between its point and the others. The polynomial here is a filter
            // times a power.
            let points = tile.points();
            for degree in 0..points.len() {
                let sum: f64 = rows.iter().zip(points).map(|(row, at)| row[0] * at.powi(degree as i32)).sum();
                let want = if degree + 1 == points.len() { 1.0 } else { 0.0 };
                assert!((sum - want).abs() < 1e-12, "{tile:?}: degree {degree}: {sum}");
            }
        }
    }

    #[test]
    fn small_outputs_and_few_channels_are_not_profitable() {
        let conv = |channels| square(channels, 1);
        let cost = |tile, channels, side| {
            let output = Shape::new(1, channels, 1, side, side);
            relative_cost(tile, Gemm::SUBGROUP_64X4, &conv(channels), output, AdapterClass::Software)
        };
        assert!(cost(WinogradTile::F4, 128, 28) < cost(WinogradTile::F2, 128, 28));
        assert!(cost(WinogradTile::F4, 128, 28) < 0.5);
        assert!(cost(WinogradTile::F4, 128, 1) > 1.0);
        assert!(cost(WinogradTile::F4, 4, 28) > 1.0);
        // A workgroup that spans 512 positions is mostly padding with the 16 tiles of a small frame.
        let small = Shape::new(1, 256, 4, 14, 14);
        let cost = |product| relative_cost(WinogradTile::F4, product, &conv(256), small, AdapterClass::Software);
        assert!(cost(Gemm::REGISTERS_16X8) > 1.0);
        assert!(cost(Gemm::SUBGROUP_64X4) < 0.5);
    }

    /// The layers of the flagship on a GPU, where memory costs more.
    #[test]
    fn gpus_want_more_channels_for_the_same_frames() {
        let profitable = |target, product, tile, conv: &Conv, side| {
            let output = Shape::new(1, conv.dim_out, 8, side, side);
            Family::is_profitable(&Winograd { tile, product }, conv, output, target)
        };
        let chosen = |target, channels, kernel_t, side| {
            let conv = square(channels, kernel_t);
            let mut tiles = WinogradTile::ALL.iter().copied();
            tiles.find(|&tile| profitable(target, Gemm::TILED, tile, &conv, side))
        };
        let software = Target::typical(AdapterClass::Software);
        assert_eq!(chosen(software, 64, 1, 56), Some(WinogradTile::F4));
        for gpu in [Target::typical(AdapterClass::Gpu), Target::large_gpu()] {
            assert_eq!(chosen(gpu, 64, 1, 56), None);
            assert_eq!(chosen(gpu, 64, 3, 56), Some(WinogradTile::F4));
            assert_eq!(chosen(gpu, 128, 3, 28), Some(WinogradTile::F4));
            assert_eq!(chosen(gpu, 256, 3, 14), Some(WinogradTile::F4));
            let registers = profitable(gpu, Gemm::REGISTERS_16X8, WinogradTile::F4, &square(256, 3), 28);
            assert!(!registers, "a GPU has better products");
        }
    }
}
