//! How an operator is computed: by one kernel, or by several one after the other.

use super::conv_gemm::{self, Batch, Gemm};
use super::winograd::{self, Tile};
use super::{AdapterClass, Home, Images, Kernel, Launch, Slice, Target};
use super::{
    affine, average_pool, concat, conv_depthwise, conv_depthwise_walk, conv_direct, conv_pool, layout, max_pool,
};
use super::{relu, subsample, sum, winograd_fused};
use crate::error::{Error, ErrorRepr, Result};
use crate::graph::{Conv, OpKind, Operator};
use crate::shape::Shape;
use crate::weights::Weights;
use std::cmp::Reverse;

/// A way to compute an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// One dispatch of a kernel.
    Single(Kernel),
    /// Winograd's convolution in three dispatches: tiles of the input transformed, a batch of products, their results
    /// transformed back.
    Winograd {
        /// How large the tiles are.
        tile: Tile,
        /// What computes the products.
        product: Gemm,
    },
}

impl From<Kernel> for Method {
    fn from(kernel: Kernel) -> Self {
        Self::Single(kernel)
    }
}

/// Squares of output that a method computes whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTiles {
    /// Rows, and columns, of a square.
    pub side: usize,
    /// Squares that a workgroup computes, of all frames: others are padding.
    pub run_len: usize,
}

/// What computes Winograd's products, the names of the methods beside it.
const PRODUCTS: [(Gemm, &str, &str); 9] = [
    (Gemm::REGISTERS_16X8, "winograd_2x2_gemm_16x8", "winograd_4x4_gemm_16x8"),
    (Gemm::REGISTERS_16X8_IMAGE, "winograd_2x2_gemm_16x8_image", "winograd_4x4_gemm_16x8_image"),
    (Gemm::SUBGROUP_32X4, "winograd_2x2_gemm_subgroup_32x4", "winograd_4x4_gemm_subgroup_32x4"),
    (Gemm::SUBGROUP_64X4, "winograd_2x2_gemm_subgroup_64x4", "winograd_4x4_gemm_subgroup_64x4"),
    (Gemm::SUBGROUP_32X4_IMAGE, "winograd_2x2_gemm_subgroup_32x4_image", "winograd_4x4_gemm_subgroup_32x4_image"),
    (Gemm::SUBGROUP_64X4_IMAGE, "winograd_2x2_gemm_subgroup_64x4_image", "winograd_4x4_gemm_subgroup_64x4_image"),
    (Gemm::TILED, "winograd_2x2_gemm_tiled", "winograd_4x4_gemm_tiled"),
    (Gemm::TILED_COMPACT, "winograd_2x2_gemm_tiled_compact", "winograd_4x4_gemm_tiled_compact"),
    (Gemm::TILED_SLICED, "winograd_2x2_gemm_tiled_sliced", "winograd_4x4_gemm_tiled_sliced"),
];

impl Method {
    /// Every method there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = |kernel: &Kernel| match kernel {
            Kernel::WinogradInput(..) | Kernel::WinogradProduct(_) | Kernel::WinogradOutput(..) => false,
            kernel => !matches!(kernel, Kernel::ProjectedGemm(_)),
        };
        let single = Kernel::ALL.into_iter().filter(own).map(Self::Single);
        let winograd = Tile::ALL
            .into_iter()
            .flat_map(|tile| PRODUCTS.iter().map(move |&(product, ..)| Self::Winograd { tile, product }));
        single.chain(winograd)
    }

    /// A unique name: the kernel's, or for example `winograd_4x4_gemm_tiled`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single(kernel) => kernel.name(),
            Self::Winograd { tile, product } => {
                let names = PRODUCTS.iter().find(|(own, ..)| *own == product);
                names.map_or("winograd", |(_, small, large)| match tile {
                    Tile::F2 => small,
                    Tile::F4 => large,
                })
            }
        }
    }

    /// The method called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|method| method.name() == name)
    }

    /// The tiles of Winograd's method, if it is that.
    pub fn winograd_tile(self) -> Option<Tile> {
        match self {
            Self::Winograd { tile, .. } => Some(tile),
            Self::Single(Kernel::WinogradFused(_)) => Some(Tile::F2),
            Self::Single(_) => None,
        }
    }

    /// Whether it is Winograd's.
    pub fn is_winograd(self) -> bool {
        self.winograd_tile().is_some()
    }

    /// Whether a NaN or an infinity of the input of `kind` reaches the outputs that depend on it and no others. Winograd's
    /// method spreads them over squares of outputs, blocks of channels over the groups that they have together.
    pub fn keeps_floats(self, kind: &OpKind) -> bool {
        match (self, kind) {
            (Self::Single(Kernel::ConvGemm(gemm)), OpKind::Conv(conv)) => !gemm.mixes_groups(conv),
            (Self::Single(_) | Self::Winograd { .. }, _) => !self.is_winograd(),
        }
    }

    /// Whether devices like `target` can run it.
    pub fn runs_on(self, target: Target) -> bool {
        match self {
            Self::Single(kernel) => kernel.runs_on(target),
            Self::Winograd { product, .. } => Kernel::ConvGemm(product).runs_on(target),
        }
    }

    /// The methods for `kind` on `target`, the default first where it pays.
    pub fn candidates(kind: &OpKind, target: Target) -> Vec<Self> {
        let mut methods = match kind {
            OpKind::Conv(conv) => conv_candidates(conv, target),
            OpKind::MaxPool(_) => vec![Kernel::MaxPool.into()],
            OpKind::Subsample(_) => vec![Kernel::Subsample.into()],
            OpKind::AveragePool(_) => vec![Kernel::AveragePool.into()],
            OpKind::Affine(_) => vec![Kernel::Affine.into()],
            OpKind::Relu => vec![Kernel::Relu.into()],
            OpKind::Sum => vec![Kernel::Sum.into()],
            OpKind::Concat => vec![Kernel::Concat.into()],
            OpKind::Layout => vec![Kernel::Layout.into()],
            OpKind::StopGradient => Vec::new(),
        };
        methods.retain(|method| method.runs_on(target));
        methods
    }

    /// The plainest way to compute `kind`, which others are compared with; `None` where there is only one.
    pub(crate) fn reference(kind: &OpKind) -> Option<Self> {
        match kind {
            OpKind::Conv(conv) if conv.epilogue.pool.is_some() => None,
            OpKind::Conv(conv) if conv_direct::accepts(conv).is_ok() => Some(Kernel::DIRECT_4X8.into()),
            OpKind::Conv(_) => Some(Kernel::GEMM_8X8.into()),
            _ => None,
        }
    }

    /// Whether it is expected to be quicker on `target` than what comes behind it among the candidates.
    ///
    /// Counted for a single clip of the batch: its features do not depend on what else is in it, nor on how that is split.
    pub fn pays(self, kind: &OpKind, output: Shape, target: Target) -> bool {
        let clip = Shape { n: 1, ..output };
        match (self, kind) {
            (Self::Winograd { tile, product }, OpKind::Conv(conv)) => {
                winograd::pays(tile, product, conv, clip, target.class)
            }
            (Self::Single(Kernel::WinogradFused(spread)), OpKind::Conv(conv)) => {
                winograd_fused::pays(spread, conv, clip, target.class)
            }
            (Self::Single(Kernel::ConvGemm(gemm)), OpKind::Conv(conv)) => {
                gemm.suits(&Batch::single(conv), clip.t * clip.h * clip.w)
            }
            (Self::Single(Kernel::ConvPool(gemm)), OpKind::Conv(conv)) => conv_pool::pays(gemm, conv),
            _ => true,
        }
    }

    /// Whether this computes `op` on an input of shape `input` in full: what cannot be seen from a slice.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel), with what it does not support.
    pub fn accepts(self, op: &Operator, input: Shape) -> Result<()> {
        match (self, &op.kind) {
            (Self::Single(Kernel::MaxPool), OpKind::MaxPool(window)) => max_pool::accepts(window, input),
            (Self::Single(Kernel::AveragePool), OpKind::AveragePool(axes)) => average_pool::accepts(*axes, input),
            _ => Ok(()),
        }
        .map_err(|reason| self.cannot(op, reason))
    }

    /// What the dispatches for `slice` of `op` need, in order; `max_groups` is how many workgroups the adapter takes along
    /// one axis.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) if this method cannot do that operator, or a grid is too large
    /// even folded.
    pub fn launches(self, op: &Operator, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>> {
        let output = slice.output;
        let single = |kernel: Kernel| match (kernel, &op.kind) {
            (Kernel::ConvDirect(tile), OpKind::Conv(conv)) => conv_direct::launch(tile, conv, slice, max_groups),
            (Kernel::ConvDepthwise, OpKind::Conv(conv)) => {
                conv_depthwise::launch(kernel, [1, 1, conv_depthwise::COLUMNS], conv, slice, max_groups)
            }
            (Kernel::ConvDepthwiseWalk(stride), OpKind::Conv(conv)) => {
                conv_depthwise_walk::launch(stride, conv, slice, max_groups)
            }
            (Kernel::ConvGemm(gemm), OpKind::Conv(conv)) => {
                conv_gemm::launch(gemm, &Batch::single(conv), slice, max_groups)
            }
            (Kernel::ConvPool(gemm), OpKind::Conv(conv)) => conv_pool::launch(gemm, conv, slice, max_groups),
            (Kernel::WinogradFused(spread), OpKind::Conv(conv)) => {
                winograd_fused::launch(spread, conv, slice, max_groups)
            }
            (Kernel::MaxPool, OpKind::MaxPool(window)) => max_pool::launch(window, slice, max_groups),
            (Kernel::AveragePool, OpKind::AveragePool(axes)) => average_pool::launch(*axes, slice, max_groups),
            (Kernel::Subsample, OpKind::Subsample(window)) => subsample::launch(window, slice, max_groups),
            (Kernel::Affine, OpKind::Affine(_)) => affine::launch(output, max_groups),
            (Kernel::Relu, OpKind::Relu) => relu::launch(output, max_groups),
            (Kernel::Sum, OpKind::Sum) => sum::launch(output, max_groups),
            (Kernel::Concat, OpKind::Concat) => concat::launch(slice, max_groups),
            (Kernel::Layout, OpKind::Layout) => layout::launch(slice.output_layout, output, max_groups),
            (_, kind) => Err(format!("it does not compute {}", kind.label())),
        };
        match (self, &op.kind) {
            (Self::Single(kernel), _) => single(kernel).map(|launch| vec![launch]),
            (Self::Winograd { tile, product }, OpKind::Conv(conv)) => {
                winograd::launches(tile, product, conv, slice, max_groups)
            }
            (Self::Winograd { .. }, kind) => Err(format!("it does not compute {}", kind.label())),
        }
        .map_err(|reason| self.cannot(op, reason))
    }

    fn cannot(self, op: &Operator, reason: String) -> Error {
        ErrorRepr::Kernel { operator: op.name.clone(), kernel: self.name().to_owned(), reason }.into()
    }

    /// Sizes of the workspaces between the dispatches, in bytes, for that many rows of output and blobs of these shapes:
    /// what [`Operand::Scratch`](super::Operand::Scratch) counts.
    pub fn scratch_bytes(self, input: Shape, output: Shape, rows: usize) -> Vec<u64> {
        match self {
            Self::Single(_) => Vec::new(),
            Self::Winograd { tile, product } => winograd::scratch_bytes(tile, product, input, output, rows).to_vec(),
        }
    }

    /// The squares of rows and columns of output that are computed whole, between which rows can be cut to make workspaces
    /// smaller; `None` where there are none.
    pub fn row_tiles(self) -> Option<RowTiles> {
        match self {
            Self::Single(Kernel::WinogradFused(spread)) => Some(spread.row_tiles()),
            Self::Single(_) => None,
            Self::Winograd { tile, product } => Some(RowTiles { side: tile.outputs(), run_len: product.run_len() }),
        }
    }

    /// The implicit GEMM whose constants this method has, if it has one's.
    fn gemm(self) -> Option<Gemm> {
        match self {
            Self::Single(Kernel::ConvGemm(gemm) | Kernel::ConvPool(gemm)) => Some(gemm),
            Self::Winograd { product, .. } => Some(product),
            Self::Single(_) => None,
        }
    }

    /// Into how many parts of equal length each constant buffer of `kind` can be cut: a dispatch may have a range of them
    /// and computes the output channels that belong to it. 1 where there is nothing to cut.
    pub fn constant_blocks(self, kind: &OpKind) -> usize {
        match (self, kind) {
            (Self::Single(Kernel::ConvDirect(tile)), OpKind::Conv(conv)) => conv_direct::blocks(tile, conv),
            (Self::Single(Kernel::ConvDepthwise | Kernel::ConvDepthwiseWalk(_)), OpKind::Conv(conv)) => {
                conv_depthwise::blocks(conv)
            }
            (Self::Single(Kernel::WinogradFused(_)), OpKind::Conv(conv)) => winograd_fused::blocks(conv),
            (_, OpKind::Conv(conv)) => self.gemm().map_or(1, |gemm| gemm.tile().blocks(conv)),
            _ => 1,
        }
    }

    /// Where the constant of that index lies.
    pub fn constant_home(self, index: usize) -> Home {
        match self.gemm() {
            Some(gemm) if index == 0 => gemm.weights(),
            _ => Home::Buffer,
        }
    }

    /// Lengths, in f32 values, of the constant buffers of `kind` as this method has them.
    pub fn constant_lens(self, kind: &OpKind, channels: usize) -> Vec<usize> {
        match (self, kind) {
            (Self::Single(Kernel::ConvDirect(tile)), OpKind::Conv(conv)) => conv_direct::constant_lens(tile, conv),
            (Self::Single(Kernel::ConvDepthwise | Kernel::ConvDepthwiseWalk(_)), OpKind::Conv(conv)) => {
                conv_depthwise::constant_lens(conv).to_vec()
            }
            (Self::Winograd { tile, product }, OpKind::Conv(conv)) => winograd::constant_lens(tile, product, conv),
            (Self::Single(Kernel::WinogradFused(_)), OpKind::Conv(conv)) => {
                winograd_fused::constant_lens(conv).to_vec()
            }
            (_, OpKind::Conv(conv)) => {
                self.gemm().map_or_else(Vec::new, |gemm| conv_gemm::constant_lens(gemm, &Batch::single(conv)).to_vec())
            }
            (Self::Single(Kernel::Affine), OpKind::Affine(_)) => vec![channels.next_multiple_of(4); 2],
            _ => Vec::new(),
        }
    }

    /// The constant buffers of `kind` as this method has them.
    ///
    /// # Errors
    /// Those of [`Weights::get`] for the parameters that the operator names.
    pub fn constants(self, kind: &OpKind, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        match (self, kind) {
            (Self::Single(Kernel::ConvDirect(tile)), OpKind::Conv(conv)) => conv_direct::constants(tile, conv, weights),
            (Self::Single(Kernel::ConvDepthwise | Kernel::ConvDepthwiseWalk(_)), OpKind::Conv(conv)) => {
                conv_depthwise::constants(conv, weights)
            }
            (Self::Winograd { tile, product }, OpKind::Conv(conv)) => winograd::constants(tile, product, conv, weights),
            (Self::Single(Kernel::WinogradFused(_)), OpKind::Conv(conv)) => winograd_fused::constants(conv, weights),
            (_, OpKind::Conv(conv)) => {
                self.gemm().map_or_else(|| Ok(Vec::new()), |gemm| conv_gemm::constants(gemm, conv, weights))
            }
            (Self::Single(Kernel::Affine), OpKind::Affine(affine)) => affine::constants(affine, channels, weights),
            _ => Ok(Vec::new()),
        }
    }
}

/// The methods for a convolution on `target`, the default first.
fn conv_candidates(conv: &Conv, target: Target) -> Vec<Method> {
    if conv.epilogue.pool.is_some() {
        return pool_candidates(conv, target);
    }
    let single = |gemm: Gemm| gemm.accepts(conv).is_ok().then_some(Method::Single(Kernel::ConvGemm(gemm)));
    let winograd = |(product, tile): (Gemm, Tile)| {
        winograd::accepts(product, conv).is_ok().then_some(Method::Winograd { tile, product })
    };
    let registers = by_padding(conv, target.images);
    let tiled = tiled(target).to_vec();
    let gemms = match target.class {
        // To a CPU workgroup memory is memory like any other, and a barrier a switch between all its invocations.
        AdapterClass::Software => [registers, tiled].concat(),
        AdapterClass::Gpu | AdapterClass::GpuSubgroups => [tiled, registers].concat(),
    };
    let products = gemms.iter().filter(|&gemm| PRODUCTS.iter().any(|(product, ..)| product == gemm));
    let pairs = products.flat_map(|&product| Tile::ALL.map(|tile| (product, tile)));
    let winograd: Vec<Method> = pairs.filter_map(winograd).collect();
    let gemms: Vec<Method> = gemms.into_iter().filter_map(single).collect();
    let fused = match target.prefers_compact() {
        true => [winograd_fused::Spread::COMPACT, winograd_fused::Spread::NARROW],
        false => [winograd_fused::Spread::NARROW, winograd_fused::Spread::COMPACT],
    };
    let mut fused = fused.map(|spread| Kernel::WinogradFused(spread).into()).to_vec();
    fused.retain(|_| winograd_fused::accepts(conv).is_ok());
    let mut direct = [Kernel::DIRECT_4X8, Kernel::DIRECT_1X4].map(Method::Single).to_vec();
    direct.retain(|_| conv_direct::accepts(conv).is_ok());
    let depthwise = depthwise_candidates(conv, target);
    match target.class {
        // No GPU has timed groups by the kernels from registers, whose tiles are large and partly zeros then.
        AdapterClass::Gpu | AdapterClass::GpuSubgroups if conv.groups > 1 => {
            [depthwise, direct, fused, winograd, gemms].concat()
        }
        AdapterClass::Software | AdapterClass::Gpu | AdapterClass::GpuSubgroups => {
            [depthwise, fused, winograd, gemms, direct].concat()
        }
    }
}

/// The methods for a convolution of every channel by itself: on software adapters the one that loads least, on others the one
/// of many small invocations, whose neighbours share what they load through caches.
fn depthwise_candidates(conv: &Conv, target: Target) -> Vec<Method> {
    let walks = conv_depthwise_walk::Stride::ALL.into_iter();
    let walks = walks.filter(|&stride| conv_depthwise_walk::accepts(stride, conv).is_ok());
    let walks = walks.map(|stride| Kernel::ConvDepthwiseWalk(stride).into());
    let plain = conv_depthwise::accepts(conv).is_ok().then_some(Method::Single(Kernel::ConvDepthwise));
    match target.class {
        AdapterClass::Software => walks.chain(plain).collect(),
        AdapterClass::Gpu | AdapterClass::GpuSubgroups => plain.into_iter().chain(walks).collect(),
    }
}

/// The methods for a convolution with the pooling behind it.
fn pool_candidates(conv: &Conv, target: Target) -> Vec<Method> {
    let mut gemms: Vec<Gemm> =
        conv_pool::GEMMS.into_iter().filter(|gemm| conv_pool::accepts(*gemm, conv).is_ok()).collect();
    let software = target.class == AdapterClass::Software;
    let tiled = tiled(target);
    gemms.sort_by_key(|&gemm| {
        let place = tiled.iter().position(|own| *own == gemm);
        (place.is_some() == software, place, dear(gemm.weights(), target.images))
    });
    gemms.into_iter().map(|gemm| Kernel::ConvPool(gemm).into()).collect()
}

/// The kernels through workgroup memory, in the order of preference.
fn tiled(target: Target) -> [Gemm; 4] {
    match target.prefers_compact() {
        true => [Gemm::TILED_COMPACT, Gemm::TILED, Gemm::TILED_WIDE, Gemm::TILED_SLICED],
        false => [Gemm::TILED_SLICED, Gemm::TILED, Gemm::TILED_WIDE, Gemm::TILED_COMPACT],
    }
}

/// Whether weights are loaded less cheaply from there than from the other home.
fn dear(home: Home, images: Images) -> bool {
    (home == Home::Image) != (images == Images::Quicker)
}

/// The kernels from registers, in the order of preference: the widest tile loads least for each product, unless it pads much
/// more, or spans more groups, between which there are zeros. Each with its weights where they are loaded more cheaply, then
/// where they are not.
fn by_padding(conv: &Conv, images: Images) -> Vec<Gemm> {
    let sorted = |mut gemms: Vec<Gemm>| {
        gemms.sort_by_key(|gemm| (gemm.cost(conv), Reverse(gemm.tile().channels()), dear(gemm.weights(), images)));
        gemms
    };
    let subgroup = sorted(vec![
        Gemm::SUBGROUP_64X4,
        Gemm::SUBGROUP_32X4,
        Gemm::SUBGROUP_16X4,
        Gemm::SUBGROUP_64X4_IMAGE,
        Gemm::SUBGROUP_32X4_IMAGE,
        Gemm::SUBGROUP_16X4_IMAGE,
    ]);
    let registers =
        sorted(vec![Gemm::REGISTERS_16X8, Gemm::REGISTERS_8X8, Gemm::REGISTERS_16X8_IMAGE, Gemm::REGISTERS_8X8_IMAGE]);
    [subgroup, registers].concat()
}
