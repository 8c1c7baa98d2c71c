//! Winograd's minimal filtering: 3×3 convolutions of stride 1 with fewer multiplications.
//!
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (CVPR 2016). Squares of the output are computed
//! together: the tile of input below one is transformed, multiplied value by value with the transformed filter, summed
//! over input channels *and over the taps in time*, and transformed back. The products of one value of the tile over all
//! tiles, channels and taps are a matrix product, which is what [`conv_gemm`] computes, in a batch of
//! one for each value. F(2×2, 3×3) has 16 products for 4 outputs where the definition has 36, F(4×4, 3×3) has 36 for 16
//! where it has 144.
//!
//! Both are Toom and Cook's multiplication of polynomials, evaluated at as many points as a tile is wide. Points that
//! are far from 1 in either direction lose accuracy. ±5/8 and ±3/2 lose less than the textbook's ±1 and ±2: 1.7e-6
//! instead of 3.9e-6 relative L2 on random layers of 384 products, found by trying pairs of short binary fractions
//! (as Barabasz et al., *Error Analysis and Improving the Accuracy of Winograd Convolution*, 2018, suggest).
//!
//! A NaN or an infinity in a tile reaches all of that tile's outputs.

use super::conv_gemm::{self, Batch, Gemm};
use super::launch::{Launch, Operand, Slice};
use super::{AdapterClass, Home, Kernel, winograd_input, winograd_output};
use crate::error::Result;
use crate::graph::{Conv, Window};
use crate::shape::Shape;
use crate::weights::{Weights, fold_affine};

/// How large the squares of output are that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// F(2×2, 3×3).
    F2,
    /// F(4×4, 3×3).
    F4,
}

impl Tile {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F2, Self::F4];

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

    /// Products of a tile: the batches of the product.
    pub fn batches(self) -> usize {
        self.inputs() * self.inputs()
    }

    /// The transforms of `shaders/shared/`.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::F2 => include_str!("../../shaders/shared/winograd_2x2.wgsl"),
            Self::F4 => include_str!("../../shaders/shared/winograd_4x4.wgsl"),
        }
    }

    /// The finite points; infinity comes after them.
    fn points(self) -> &'static [f64] {
        match self {
            Self::F2 => &[0.0, 1.0, -1.0],
            Self::F4 => &[0.0, 0.625, -0.625, 1.5, -1.5],
        }
    }

    /// The transform of a three-tap filter, a row for each point: its value as a polynomial, over what the input's
    /// transform has too much.
    fn filter_transform(self) -> Vec<[f64; 3]> {
        let points = self.points();
        let row = |(index, &at): (usize, &f64)| {
            let others = points.iter().enumerate().filter(|(other, _)| *other != index);
            let excess: f64 = others.map(|(_, &other)| at - other).product();
            [1.0, at, at * at].map(|power| power / excess)
        };
        points.iter().enumerate().map(row).chain([[0.0, 0.0, 1.0]]).collect()
    }

    /// Tiles over so many rows and columns of output.
    pub(super) fn grid(self, rows: usize, columns: usize) -> [usize; 2] {
        [rows.div_ceil(self.outputs()), columns.div_ceil(self.outputs())]
    }

    /// A blob of `shape`, over the tiles of that many rows of `output`, in the Winograd domain: batches along N, the tiles
    /// of a frame in a row.
    pub(super) fn domain(self, shape: Shape, rows: usize, output: Shape) -> Shape {
        let [h, w] = self.grid(rows, output.w);
        Shape { n: self.batches() * shape.n, h: 1, w: h * w, ..shape }
    }
}

/// Whether Winograd's convolution can do `conv`, with the products by `product`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(product: Gemm, conv: &Conv) -> Result<(), String> {
    accepts_window(conv)?;
    product.accepts(&product_of(conv))
}

/// Whether any form of it can do a convolution of that window.
///
/// # Errors
/// Why not.
pub(super) fn accepts_window(conv: &Conv) -> Result<(), String> {
    let Window { kernel: [_, kh, kw], stride: [_, sh, sw], dilation: [_, dh, dw], .. } = conv.window;
    if (kh, kw) != (3, 3) || (sh, sw) != (1, 1) || (dh, dw) != (1, 1) {
        return Err(format!("it is for 3x3 taps side by side with stride 1, the window is {:?}", conv.window));
    }
    if conv.epilogue.projection.is_some() {
        return Err("it has no sums that a projection could be added to".to_owned());
    }
    Ok(())
}

/// The convolution over time that remains for each value of a tile.
pub(super) fn product_of(conv: &Conv) -> Conv {
    let Window { kernel: [kt, ..], stride: [st, ..], pad: [pt, ..], dilation: [dt, ..] } = conv.window;
    let window = Window { kernel: [kt, 1, 1], stride: [st, 1, 1], pad: [pt, 0, 0], dilation: [dt, 1, 1] };
    Conv { window, epilogue: Default::default(), ..conv.clone() }
}

/// Whether this is expected to be quicker than the definition for a clip with that output, and than other tiles.
pub(super) fn pays(tile: Tile, product: Gemm, conv: &Conv, output: Shape, class: AdapterClass) -> bool {
    let cost = |tile| relative_cost(tile, product, conv, output, class);
    let [tiles_h, tiles_w] = tile.grid(output.h, output.w);
    let batch = Batch { count: tile.batches(), conv: &product_of(conv), blocks_before: 0 };
    // Not where a workgroup that a GPU is not given otherwise pads so much that anything is better.
    let own = class == AdapterClass::Software || matches!(product, Gemm::Tiled(_));
    let suits = own && product.suits(&batch, output.t * tiles_h * tiles_w);
    suits && cost(tile) < 1.0 && Tile::ALL.into_iter().all(|other| cost(tile) <= cost(other))
}

/// What this costs against the definition, `product` computing the products of either: how many they are, with the
/// padding to whole tiles and whole workgroups, and what moving values in and out of the Winograd domain costs besides.
pub(super) fn relative_cost(tile: Tile, product: Gemm, conv: &Conv, output: Shape, class: AdapterClass) -> f64 {
    // What one value costs that is loaded or stored in a transform, in products.
    let moved_cost = match class {
        // On the adapters measured a load costs as much as some thirty multiply-adds, and a product's own loads are shared
        // by a register tile.
        AdapterClass::Software => 12.0,
        // By count: GPUs do 20 to 40 FLOP, and more, in the time that they take for a byte of memory, which is 64
        // multiply-adds for a value at 32. What fits into their caches costs less.
        AdapterClass::Gpu | AdapterClass::GpuSubgroups => 64.0,
    };
    let [tiles_h, tiles_w] = tile.grid(output.h, output.w);
    let tiles = output.t * tiles_h * tiles_w;
    let (channels_in, channels_out) = (conv.dim_in as f64, conv.dim_out as f64);
    let kernel_t = conv.window.kernel[0] as f64;
    // With groups, zeros between them are multiplied by, and by the products' wide blocks more of them than otherwise.
    let per_position = match conv.groups {
        1 => [channels_in * channels_out; 2],
        _ => [product.cost(conv), product.narrower(conv).map(|gemm| gemm.cost(conv)).fold(usize::MAX, usize::min)]
            .map(|cost| cost as f64),
    };
    let [of_product, of_direct] = per_position.map(|each| kernel_t * each);
    let padded = |positions: usize| positions.next_multiple_of(product.run_len()) as f64;
    let products = tile.batches() as f64 * padded(tiles) * of_product;
    let moved = 2.0 * tile.batches() as f64 * channels_in
        + (tile.batches() + tile.outputs() * tile.outputs()) as f64 * channels_out;
    let direct = 9.0 * padded(output.t * output.h * output.w) * of_direct;
    (products + moved_cost * moved * tiles as f64) / direct
}

/// How many channels an invocation of a transform has at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// Four: whole vec4 to load and to store.
    Quads,
    /// Two, for GPUs with few registers: the 36 values of a tile of F(4×4) are 144 registers with four.
    Pairs,
}

impl Width {
    /// What suits devices that compute the products so.
    fn of(tile: Tile, product: Gemm) -> Self {
        match (tile, product) {
            (Tile::F4, Gemm::TILED_COMPACT) => Self::Pairs,
            _ => Self::Quads,
        }
    }

    /// The type of `shaders/shared/`.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Quads => include_str!("../../shaders/shared/quads.wgsl"),
            Self::Pairs => include_str!("../../shaders/shared/pairs.wgsl"),
        }
    }

    /// So many quads, in parts of this width.
    pub(super) fn parts(self, quads: usize) -> u32 {
        match self {
            Self::Quads => quads as u32,
            Self::Pairs => 2 * quads as u32,
        }
    }
}

/// The three dispatches for a slice: into the Winograd domain, the products, and out of it.
pub(super) fn launches(
    tile: Tile,
    product: Gemm,
    conv: &Conv,
    slice: &Slice,
    max_groups: u32,
) -> Result<Vec<Launch>, String> {
    accepts(product, conv)?;
    let batch = Batch { count: tile.batches(), conv: &product_of(conv), blocks_before: slice.blocks.start };
    // The products of a range of blocks lie side by side, as if there were no others.
    let inside = Slice {
        inputs: vec![tile.domain(slice.inputs[0], slice.rows.len(), slice.output)],
        output: products(tile, product, conv, slice),
        pads_h: vec![0],
        rows: 0..1,
        blocks: 0..slice.blocks.len(),
        ..slice.clone()
    };
    let domain = product.domain();
    let mut middle = conv_gemm::launch(product, &batch, &inside, max_groups)?;
    if domain == Home::Image {
        middle.kernel = Kernel::WinogradProduct(product);
    }
    middle.operands = vec![
        domain_operand(domain),
        Operand::Constant(0),
        Operand::Constant(1),
        Operand::Constant(1),
        Operand::Scratch(1),
    ];
    let width = Width::of(tile, product);
    Ok(vec![
        winograd_input::launch(tile, width, domain, conv, slice, max_groups)?,
        middle,
        winograd_output::launch(tile, width, conv, inside.output, first_quad(product, slice), slice, max_groups)?,
    ])
}

/// The products of the channels of a slice.
fn products(tile: Tile, product: Gemm, conv: &Conv, slice: &Slice) -> Shape {
    let channels = slice.blocks.len() * product.tile().channels();
    let left = conv.dim_out - 4 * first_quad(product, slice);
    Shape { c: channels.min(left), ..tile.domain(slice.output, slice.rows.len(), slice.output) }
}

fn first_quad(product: Gemm, slice: &Slice) -> usize {
    slice.blocks.start * product.tile().channels() / 4
}

/// Bytes of the workspaces for that many rows of output: the input in the Winograd domain as a buffer, its products, and
/// the input as an image. There is one of the input.
pub(super) fn scratch_bytes(tile: Tile, product: Gemm, input: Shape, output: Shape, rows: usize) -> [u64; 3] {
    let [input, products] = [input, output].map(|shape| {
        let domain = tile.domain(shape, rows, output);
        Shape { c: domain.c.next_multiple_of(4), ..domain }.bytes()
    });
    match product.domain() {
        Home::Buffer => [input, products, 0],
        Home::Image => [0, products, input],
    }
}

/// The workspace of the input in the Winograd domain, an index into [`scratch_bytes`].
pub(super) fn domain_operand(domain: Home) -> Operand {
    Operand::Scratch(match domain {
        Home::Buffer => 0,
        Home::Image => 2,
    })
}

/// Where the workspace of that index lies.
pub(crate) fn scratch_home(index: usize) -> Home {
    if index == 2 { Home::Image } else { Home::Buffer }
}

/// Transformed weights, the bias of the products, which is zero, and the bias of the outputs, in blocks all three.
pub(super) fn constant_lens(tile: Tile, product: Gemm, conv: &Conv) -> Vec<usize> {
    let batch = Batch { count: tile.batches(), conv: &product_of(conv), blocks_before: 0 };
    let [weights, bias] = conv_gemm::constant_lens(product, &batch);
    vec![weights, bias, bias]
}

/// The values of these. The affine channel is folded and the filters are transformed in f64, and rounded once.
pub(super) fn constants(tile: Tile, product: Gemm, conv: &Conv, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let (folded, mut bias) = fold_affine(conv, weights)?;
    let (packing, product_conv) = (product.packing(), product_of(conv));
    let packed = match tile {
        Tile::F2 => {
            let filters = transformed_filters::<4, 16>(tile, conv, &folded);
            conv_gemm::pack(packing, &product_conv, |_, out, channel, tap| filters(out, channel, tap))
        }
        Tile::F4 => {
            let filters = transformed_filters::<6, 36>(tile, conv, &folded);
            conv_gemm::pack(packing, &product_conv, |_, out, channel, tap| filters(out, channel, tap))
        }
    };
    let [_, zeros, outputs] = constant_lens(tile, product, conv)[..] else { unreachable!("three constants") };
    bias.resize(outputs, 0.0);
    Ok(vec![packed, vec![0.0; zeros], bias])
}

/// The filters of `folded`, (out, in/groups, kt, 3, 3), transformed for tiles of `SIDE` inputs along an axis: by output channel,
/// input channel of its group and tap in time.
pub(super) fn transformed_filters<const SIDE: usize, const BATCHES: usize>(
    tile: Tile,
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

    /// A convolution of as many channels to as many, of that time kernel, 3×3 in height and width.
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

    /// The identity that everything rests on, for one axis: outputs of a filter from its transform, by the matrices that
    /// belong to the points.
    #[test]
    fn filters_transform_by_the_points() {
        for tile in Tile::ALL {
            let rows = tile.filter_transform();
            assert_eq!(rows.len(), tile.inputs());
            assert_eq!(rows.last(), Some(&[0.0, 0.0, 1.0]));
            // Lagrange: the leading coefficient of a polynomial of degree below the number of points is the sum of its
            // values over the differences of the points, here that of a filter times a power.
            let points = tile.points();
            for degree in 0..points.len() {
                let sum: f64 = rows.iter().zip(points).map(|(row, at)| row[0] * at.powi(degree as i32)).sum();
                let want = if degree + 1 == points.len() { 1.0 } else { 0.0 };
                assert!((sum - want).abs() < 1e-12, "{tile:?}: degree {degree}: {sum}");
            }
        }
    }

    #[test]
    fn small_outputs_and_few_channels_do_not_pay() {
        let conv = |channels| square(channels, 1);
        let cost = |tile, channels, side| {
            let output = Shape::new(1, channels, 1, side, side);
            relative_cost(tile, Gemm::SUBGROUP_64X4, &conv(channels), output, AdapterClass::Software)
        };
        assert!(cost(Tile::F4, 128, 28) < cost(Tile::F2, 128, 28));
        assert!(cost(Tile::F4, 128, 28) < 0.5);
        assert!(cost(Tile::F4, 128, 1) > 1.0);
        assert!(cost(Tile::F4, 4, 28) > 1.0);
        // A workgroup that spans 512 positions has little to do with the 16 tiles of a small frame.
        let small = Shape::new(1, 256, 4, 14, 14);
        let cost = |product| relative_cost(Tile::F4, product, &conv(256), small, AdapterClass::Software);
        assert!(cost(Gemm::REGISTERS_16X8) > 1.0);
        assert!(cost(Gemm::SUBGROUP_64X4) < 0.5);
    }

    /// The layers of the flagship on a GPU, to which memory is dearer.
    #[test]
    fn gpus_want_more_channels_for_the_same_frames() {
        let paying = |class, channels, kernel_t, side| {
            let output = Shape::new(1, channels, 8, side, side);
            let pays = |&tile: &Tile| pays(tile, Gemm::TILED, &square(channels, kernel_t), output, class);
            Tile::ALL.into_iter().find(pays)
        };
        assert_eq!(paying(AdapterClass::Software, 64, 1, 56), Some(Tile::F4));
        for class in [AdapterClass::Gpu, AdapterClass::GpuSubgroups] {
            assert_eq!(paying(class, 64, 1, 56), None);
            assert_eq!(paying(class, 64, 3, 56), Some(Tile::F4));
            assert_eq!(paying(class, 128, 3, 28), Some(Tile::F4));
            assert_eq!(paying(class, 256, 3, 14), Some(Tile::F4));
        }
        let registers =
            pays(Tile::F4, Gemm::REGISTERS_16X8, &square(256, 3), Shape::new(1, 256, 8, 28, 28), AdapterClass::Gpu);
        assert!(!registers, "a GPU has better products");
    }
}
