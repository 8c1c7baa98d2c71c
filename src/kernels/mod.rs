//! The WGSL kernels and their host side: one file here for each file in `shaders/`, of the same name.
//!
//! A [`Kernel`] is a shader with its compile-time choices made, a [`Method`] a way to compute an operator with one kernel
//! or several. Both sets are closed ([`Kernel::ALL`], [`Method::all`]), so that tests can visit every one.
//! [`Method::launches`] turns an operator and its shapes into what its dispatches need, without a GPU: uniform parameters,
//! grid, and the operands to bind. Trained values reach the GPU as the *constants* that [`Method::constants`] lays out.

pub mod affine;
pub mod average_pool;
pub mod concat;
pub mod conv_depthwise;
pub mod conv_depthwise_walk;
pub mod conv_direct;
pub mod conv_gemm;
pub mod conv_gemm_subgroup;
pub mod conv_gemm_tiled;
pub mod conv_pool;
pub mod conv_pool_subgroup;
mod launch;
pub mod layout;
pub mod max_pool;
mod method;
pub mod relu;
mod source;
pub mod subsample;
pub mod sum;
pub mod winograd;
pub mod winograd_fused;
pub mod winograd_input;
pub mod winograd_output;
mod work;

pub use conv_gemm::{Gemm, Home, IMAGE_WIDTH};
pub use launch::{FieldLayout, Grid, Launch, Operand, Slice, WindowParams};
pub use method::{Method, RowTiles};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use source::assemble;
pub(crate) use winograd::scratch_home;

/// Every shader is one entry point of this name.
pub const ENTRY_POINT: &str = "main";

/// What kind of adapter kernels are chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A CPU that poses as a GPU (lavapipe, llvmpipe, SwiftShader, WARP): loads and barriers are dear.
    #[default]
    Software,
    /// A GPU without usable subgroups.
    Gpu,
    /// A GPU with subgroups of one known size.
    GpuSubgroups,
}

impl AdapterClass {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Software, Self::Gpu, Self::GpuSubgroups];

    /// `software`, `gpu` or `gpu-subgroups`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Gpu => "gpu",
            Self::GpuSubgroups => "gpu-subgroups",
        }
    }

    /// Whether the choice of kernels for this class rests on timings of a real adapter of the class
    /// (`docs/performance.md`). Results are verified for every class alike.
    pub fn is_measured(self) -> bool {
        match self {
            Self::Software => true,
            Self::Gpu | Self::GpuSubgroups => false,
        }
    }
}

/// Whether kernels can read from images and write into them, see [`Home::Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Images {
    /// They cannot.
    Unavailable,
    /// They can; buffers are thought to be as quick.
    Available,
    /// They can, and loads from images are cheaper.
    Quicker,
}

/// How much an invocation may keep in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Registers {
    /// Some 100 values: beyond that drivers spill them to memory, or too few invocations are left to wait for loads beside
    /// each other. Intel's GPUs have 128 registers for each lane, Apple's and those of phones no more, AMD's GCN 256 for
    /// all subgroups of a SIMD together.
    Few,
    /// 170 values and more: NVIDIA's GPUs, AMD's RDNA.
    Many,
}

/// What compiles the shaders of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compiler {
    /// The driver's own: milliseconds to a few hundred of them for a kernel.
    Driver,
    /// Microsoft's DXC, on Direct3D 12: as quick, and it knows subgroups.
    Dxc,
    /// Microsoft's FXC, on Direct3D 12 where DXC is not at hand: shader model 5.1, which has no subgroups, and seconds for
    /// each of the larger kernels (`docs/performance.md`).
    Fxc,
}

impl Compiler {
    /// `driver`, `dxc` or `fxc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Dxc => "dxc",
            Self::Fxc => "fxc",
        }
    }
}

/// The device that kernels are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its class.
    pub class: AdapterClass,
    /// Lanes of a subgroup, where the device has subgroups of one size.
    pub subgroup_size: Option<u32>,
    /// What it thinks of images.
    pub images: Images,
    /// What its invocations have room for.
    pub registers: Registers,
    /// Invocations of a workgroup, at most.
    pub invocations: u32,
    /// What compiles its shaders.
    pub compiler: Compiler,
}

impl Target {
    /// What to plan for where no device of the class is at hand: lavapipe for `software`, Intel's for `gpu`, NVIDIA's for
    /// `gpu-subgroups`.
    pub fn typical(class: AdapterClass) -> Self {
        let (subgroup_size, images, registers) = match class {
            AdapterClass::Software => (Some(8), Images::Quicker, Registers::Few),
            AdapterClass::Gpu => (None, Images::Available, Registers::Few),
            AdapterClass::GpuSubgroups => (Some(32), Images::Available, Registers::Many),
        };
        // What WebGPU promises.
        let invocations = 256;
        Self { class, subgroup_size, images, registers, invocations, compiler: Compiler::Driver }
    }

    /// Whether to compute a block's last convolution and the projection of its input in one dispatch
    /// ([`crate::graph::fuse::project`]). A GPU is spared a blob that it would write and read, which is most of what such
    /// convolutions cost by count. A software adapter is spared 1 or 2 % of a run, and compiles the kernel for two terms
    /// for 1.7 s before its first one. FXC compiles it for 1.4 s and more.
    pub fn gains_by_projections(self) -> bool {
        self.class != AdapterClass::Software && self.compiler != Compiler::Fxc
    }

    /// Whether the kernels through workgroup memory are to have the smaller register tiles: where invocations have room
    /// for no others, and where FXC compiles, which takes half the time for them.
    pub(crate) fn prefers_compact(self) -> bool {
        self.registers == Registers::Few || self.compiler == Compiler::Fxc
    }

    /// Whether to compute a convolution and the max pooling behind it in one dispatch
    /// ([`crate::graph::fuse::fuse_pools`]). A software adapter without subgroups of eight has nothing to pass columns on
    /// with.
    pub fn gains_by_pooling(self) -> bool {
        self.class != AdapterClass::Software || self.subgroup_size == Some(conv_gemm_subgroup::LANES as u32)
    }

    /// Bytes that the workspaces of a plan may have together, if cutting operators makes them so small; `blobs` are those of
    /// the blobs that an operator of the plan has at once, at most. To a software adapter with subgroups of eight ranges of
    /// rows cost next to nothing, and workspaces are kept to a quarter of that. Without, a workgroup spans so many
    /// positions that small ranges would mostly be padding; and a GPU wants many workgroups at once: half of 64 MiB are
    /// the products of 2,048.
    pub fn scratch_budget(self, blobs: u64) -> u64 {
        let broadcasts = self.subgroup_size == Some(conv_gemm_subgroup::LANES as u32);
        match self.class {
            AdapterClass::Software if broadcasts => (blobs / 4).clamp(4 << 20, 32 << 20),
            AdapterClass::Software => 32 << 20,
            AdapterClass::Gpu | AdapterClass::GpuSubgroups => 64 << 20,
        }
    }
}

/// A shader with its compile-time choices made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Direct convolution with a register tile.
    ConvDirect(conv_direct::Tile),
    /// Depthwise convolution.
    ConvDepthwise,
    /// Depthwise 3×3×3 convolution, walking through time.
    ConvDepthwiseWalk(conv_depthwise_walk::Stride),
    /// Implicit-GEMM convolution.
    ConvGemm(Gemm),
    /// Implicit-GEMM convolution with the max pooling behind it.
    ConvPool(Gemm),
    /// The same for two convolutions whose results are added: the last of a block, and the projection of its input.
    ProjectedGemm(Gemm),
    /// Tiles of the input into the Winograd domain, which lies there.
    WinogradInput(winograd::Tile, winograd::Width, Home),
    /// The products of that domain where it is an image; of a buffer they are [`Kernel::ConvGemm`]'s.
    WinogradProduct(Gemm),
    /// Out of the Winograd domain.
    WinogradOutput(winograd::Tile, winograd::Width),
    /// Winograd's convolution in one dispatch.
    WinogradFused(winograd_fused::Spread),
    /// Max pooling.
    MaxPool,
    /// Average pooling over whole axes.
    AveragePool,
    /// Strided copies with more channels.
    Subsample,
    /// Affine channel.
    Affine,
    /// Rectifier.
    Relu,
    /// Residual sum.
    Sum,
    /// Channels behind channels.
    Concat,
    /// Layout conversion.
    Layout,
}

/// The names of the kernels of two terms.
const PROJECTED: [(Gemm, &str); 14] = [
    (Gemm::REGISTERS_8X8, "conv_gemm_8x8_projected"),
    (Gemm::REGISTERS_16X8, "conv_gemm_16x8_projected"),
    (Gemm::REGISTERS_8X8_IMAGE, "conv_gemm_8x8_image_projected"),
    (Gemm::REGISTERS_16X8_IMAGE, "conv_gemm_16x8_image_projected"),
    (Gemm::SUBGROUP_16X4, "conv_gemm_subgroup_16x4_projected"),
    (Gemm::SUBGROUP_32X4, "conv_gemm_subgroup_32x4_projected"),
    (Gemm::SUBGROUP_64X4, "conv_gemm_subgroup_64x4_projected"),
    (Gemm::SUBGROUP_16X4_IMAGE, "conv_gemm_subgroup_16x4_image_projected"),
    (Gemm::SUBGROUP_32X4_IMAGE, "conv_gemm_subgroup_32x4_image_projected"),
    (Gemm::SUBGROUP_64X4_IMAGE, "conv_gemm_subgroup_64x4_image_projected"),
    (Gemm::TILED, "conv_gemm_tiled_projected"),
    (Gemm::TILED_WIDE, "conv_gemm_tiled_wide_projected"),
    (Gemm::TILED_COMPACT, "conv_gemm_tiled_compact_projected"),
    (Gemm::TILED_SLICED, "conv_gemm_tiled_sliced_projected"),
];

impl Kernel {
    const DIRECT_1X4: Self = Self::ConvDirect(conv_direct::Tile::ONE);
    const DIRECT_4X8: Self = Self::ConvDirect(conv_direct::Tile::WIDE);
    const DEPTHWISE_WALK: Self = Self::ConvDepthwiseWalk(conv_depthwise_walk::Stride::One);
    const DEPTHWISE_WALK_STRIDE_2: Self = Self::ConvDepthwiseWalk(conv_depthwise_walk::Stride::Two);
    const GEMM_8X8: Self = Self::ConvGemm(Gemm::REGISTERS_8X8);
    const GEMM_16X8: Self = Self::ConvGemm(Gemm::REGISTERS_16X8);
    const GEMM_8X8_IMAGE: Self = Self::ConvGemm(Gemm::REGISTERS_8X8_IMAGE);
    const GEMM_16X8_IMAGE: Self = Self::ConvGemm(Gemm::REGISTERS_16X8_IMAGE);
    const GEMM_SUBGROUP_16X4: Self = Self::ConvGemm(Gemm::SUBGROUP_16X4);
    const GEMM_SUBGROUP_32X4: Self = Self::ConvGemm(Gemm::SUBGROUP_32X4);
    const GEMM_SUBGROUP_64X4: Self = Self::ConvGemm(Gemm::SUBGROUP_64X4);
    const GEMM_SUBGROUP_16X4_IMAGE: Self = Self::ConvGemm(Gemm::SUBGROUP_16X4_IMAGE);
    const GEMM_SUBGROUP_32X4_IMAGE: Self = Self::ConvGemm(Gemm::SUBGROUP_32X4_IMAGE);
    const GEMM_SUBGROUP_64X4_IMAGE: Self = Self::ConvGemm(Gemm::SUBGROUP_64X4_IMAGE);
    const GEMM_TILED: Self = Self::ConvGemm(Gemm::TILED);
    const GEMM_TILED_WIDE: Self = Self::ConvGemm(Gemm::TILED_WIDE);
    const GEMM_TILED_COMPACT: Self = Self::ConvGemm(Gemm::TILED_COMPACT);
    const GEMM_TILED_SLICED: Self = Self::ConvGemm(Gemm::TILED_SLICED);

    const POOL_SUBGROUP: Self = Self::ConvPool(Gemm::SUBGROUP_64X4);
    const POOL_SUBGROUP_IMAGE: Self = Self::ConvPool(Gemm::SUBGROUP_64X4_IMAGE);
    const POOL_TILED: Self = Self::ConvPool(Gemm::TILED);
    const POOL_TILED_COMPACT: Self = Self::ConvPool(Gemm::TILED_COMPACT);

    const FUSED: Self = Self::WinogradFused(winograd_fused::Spread::NARROW);
    const FUSED_COMPACT: Self = Self::WinogradFused(winograd_fused::Spread::COMPACT);

    /// Every kernel there is.
    pub const ALL: [Self; 58] = [
        Self::DIRECT_1X4,
        Self::DIRECT_4X8,
        Self::ConvDepthwise,
        Self::DEPTHWISE_WALK,
        Self::DEPTHWISE_WALK_STRIDE_2,
        Self::GEMM_8X8,
        Self::GEMM_16X8,
        Self::GEMM_8X8_IMAGE,
        Self::GEMM_16X8_IMAGE,
        Self::GEMM_SUBGROUP_16X4,
        Self::GEMM_SUBGROUP_32X4,
        Self::GEMM_SUBGROUP_64X4,
        Self::GEMM_SUBGROUP_16X4_IMAGE,
        Self::GEMM_SUBGROUP_32X4_IMAGE,
        Self::GEMM_SUBGROUP_64X4_IMAGE,
        Self::GEMM_TILED,
        Self::GEMM_TILED_WIDE,
        Self::GEMM_TILED_COMPACT,
        Self::GEMM_TILED_SLICED,
        Self::ProjectedGemm(Gemm::REGISTERS_8X8),
        Self::ProjectedGemm(Gemm::REGISTERS_16X8),
        Self::ProjectedGemm(Gemm::REGISTERS_8X8_IMAGE),
        Self::ProjectedGemm(Gemm::REGISTERS_16X8_IMAGE),
        Self::ProjectedGemm(Gemm::SUBGROUP_16X4),
        Self::ProjectedGemm(Gemm::SUBGROUP_32X4),
        Self::ProjectedGemm(Gemm::SUBGROUP_64X4),
        Self::ProjectedGemm(Gemm::SUBGROUP_16X4_IMAGE),
        Self::ProjectedGemm(Gemm::SUBGROUP_32X4_IMAGE),
        Self::ProjectedGemm(Gemm::SUBGROUP_64X4_IMAGE),
        Self::ProjectedGemm(Gemm::TILED),
        Self::ProjectedGemm(Gemm::TILED_WIDE),
        Self::ProjectedGemm(Gemm::TILED_COMPACT),
        Self::ProjectedGemm(Gemm::TILED_SLICED),
        Self::POOL_SUBGROUP,
        Self::POOL_SUBGROUP_IMAGE,
        Self::POOL_TILED,
        Self::POOL_TILED_COMPACT,
        Self::WinogradInput(winograd::Tile::F2, winograd::Width::Quads, Home::Buffer),
        Self::WinogradInput(winograd::Tile::F4, winograd::Width::Quads, Home::Buffer),
        Self::WinogradInput(winograd::Tile::F4, winograd::Width::Pairs, Home::Buffer),
        Self::WinogradInput(winograd::Tile::F2, winograd::Width::Quads, Home::Image),
        Self::WinogradInput(winograd::Tile::F4, winograd::Width::Quads, Home::Image),
        Self::WinogradProduct(Gemm::REGISTERS_16X8_IMAGE),
        Self::WinogradProduct(Gemm::SUBGROUP_32X4_IMAGE),
        Self::WinogradProduct(Gemm::SUBGROUP_64X4_IMAGE),
        Self::WinogradOutput(winograd::Tile::F2, winograd::Width::Quads),
        Self::WinogradOutput(winograd::Tile::F4, winograd::Width::Quads),
        Self::WinogradOutput(winograd::Tile::F4, winograd::Width::Pairs),
        Self::FUSED,
        Self::FUSED_COMPACT,
        Self::MaxPool,
        Self::AveragePool,
        Self::Subsample,
        Self::Affine,
        Self::Relu,
        Self::Sum,
        Self::Concat,
        Self::Layout,
    ];

    /// A unique name: the shader's, with its tile where it has several, for example `conv_direct_4x8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DIRECT_1X4 => "conv_direct_1x4",
            Self::DIRECT_4X8 => "conv_direct_4x8",
            Self::ConvDepthwise => "conv_depthwise",
            Self::DEPTHWISE_WALK => "conv_depthwise_walk",
            Self::DEPTHWISE_WALK_STRIDE_2 => "conv_depthwise_walk_stride_2",
            Self::GEMM_8X8 => "conv_gemm_8x8",
            Self::GEMM_16X8 => "conv_gemm_16x8",
            Self::GEMM_8X8_IMAGE => "conv_gemm_8x8_image",
            Self::GEMM_16X8_IMAGE => "conv_gemm_16x8_image",
            Self::GEMM_SUBGROUP_16X4 => "conv_gemm_subgroup_16x4",
            Self::GEMM_SUBGROUP_32X4 => "conv_gemm_subgroup_32x4",
            Self::GEMM_SUBGROUP_64X4 => "conv_gemm_subgroup_64x4",
            Self::GEMM_SUBGROUP_16X4_IMAGE => "conv_gemm_subgroup_16x4_image",
            Self::GEMM_SUBGROUP_32X4_IMAGE => "conv_gemm_subgroup_32x4_image",
            Self::GEMM_SUBGROUP_64X4_IMAGE => "conv_gemm_subgroup_64x4_image",
            Self::GEMM_TILED_WIDE => "conv_gemm_tiled_wide",
            Self::GEMM_TILED_COMPACT => "conv_gemm_tiled_compact",
            Self::GEMM_TILED_SLICED => "conv_gemm_tiled_sliced",
            Self::POOL_SUBGROUP_IMAGE => "conv_pool_subgroup_image",
            Self::POOL_TILED => "conv_pool_tiled",
            Self::POOL_TILED_COMPACT => "conv_pool_tiled_compact",
            Self::WinogradInput(winograd::Tile::F2, _, Home::Buffer) => "winograd_input_2x2",
            Self::WinogradInput(winograd::Tile::F4, winograd::Width::Quads, Home::Buffer) => "winograd_input_4x4",
            Self::WinogradInput(winograd::Tile::F4, winograd::Width::Pairs, Home::Buffer) => "winograd_input_4x4_pairs",
            Self::WinogradInput(winograd::Tile::F2, _, Home::Image) => "winograd_input_2x2_image",
            Self::WinogradInput(winograd::Tile::F4, _, Home::Image) => "winograd_input_4x4_image",
            Self::WinogradProduct(Gemm::REGISTERS_16X8_IMAGE) => "winograd_product_16x8_image",
            Self::WinogradProduct(Gemm::SUBGROUP_32X4_IMAGE) => "winograd_product_subgroup_32x4_image",
            Self::WinogradProduct(Gemm::SUBGROUP_64X4_IMAGE) => "winograd_product_subgroup_64x4_image",
            Self::WinogradOutput(winograd::Tile::F2, _) => "winograd_output_2x2",
            Self::WinogradOutput(winograd::Tile::F4, winograd::Width::Quads) => "winograd_output_4x4",
            Self::WinogradOutput(winograd::Tile::F4, winograd::Width::Pairs) => "winograd_output_4x4_pairs",
            Self::FUSED => "winograd_2x2_fused",
            Self::FUSED_COMPACT => "winograd_2x2_fused_compact",
            Self::ProjectedGemm(gemm) => {
                PROJECTED.iter().find(|(own, _)| *own == gemm).map_or(self.shader(), |(_, name)| *name)
            }
            // Tiles beyond those of `ALL` have no name of their own.
            _ => self.shader(),
        }
    }

    /// Name of the shader's file, without directory or extension.
    pub fn shader(self) -> &'static str {
        match self {
            Self::ConvDirect(_) => "conv_direct",
            Self::ConvDepthwise => "conv_depthwise",
            Self::ConvDepthwiseWalk(_) => "conv_depthwise_walk",
            Self::ConvGemm(gemm) | Self::ProjectedGemm(gemm) | Self::WinogradProduct(gemm) => match gemm {
                Gemm::Registers(..) => "conv_gemm",
                Gemm::Subgroup(..) => "conv_gemm_subgroup",
                Gemm::Tiled(_) => "conv_gemm_tiled",
            },
            Self::ConvPool(Gemm::Tiled(_)) => "conv_gemm_tiled",
            Self::ConvPool(_) => "conv_pool_subgroup",
            Self::WinogradInput(..) => "winograd_input",
            Self::WinogradOutput(..) => "winograd_output",
            Self::WinogradFused(_) => "winograd_fused",
            Self::MaxPool => "max_pool",
            Self::AveragePool => "average_pool",
            Self::Subsample => "subsample",
            Self::Affine => "affine",
            Self::Relu => "relu",
            Self::Sum => "sum",
            Self::Concat => "concat",
            Self::Layout => "layout",
        }
    }

    /// The whole shader: the prelude of constants, shared code, then the file.
    pub fn source(self) -> String {
        match self {
            Self::ConvDirect(tile) => conv_direct::source(tile),
            Self::ConvDepthwise => conv_depthwise::source(),
            Self::ConvDepthwiseWalk(stride) => conv_depthwise_walk::source(stride),
            Self::ConvGemm(gemm) => gemm.source(1),
            Self::ProjectedGemm(gemm) => gemm.source(2),
            Self::ConvPool(gemm) => conv_pool::source(gemm),
            Self::WinogradInput(tile, width, domain) => winograd_input::source(tile, width, domain),
            Self::WinogradProduct(gemm) => gemm.product_source(),
            Self::WinogradOutput(tile, width) => winograd_output::source(tile, width),
            Self::WinogradFused(spread) => winograd_fused::source(spread),
            Self::MaxPool => max_pool::source(),
            Self::AveragePool => average_pool::SOURCE.to_owned(),
            Self::Subsample => subsample::source(),
            Self::Affine => affine::SOURCE.to_owned(),
            Self::Relu => relu::SOURCE.to_owned(),
            Self::Sum => sum::SOURCE.to_owned(),
            Self::Concat => concat::SOURCE.to_owned(),
            Self::Layout => layout::source(),
        }
    }

    /// Lanes that a subgroup must have, for kernels that are written for one size.
    pub fn subgroup_size(self) -> Option<u32> {
        match self {
            Self::ConvGemm(Gemm::Subgroup(..))
            | Self::ProjectedGemm(Gemm::Subgroup(..))
            | Self::WinogradProduct(Gemm::Subgroup(..))
            | Self::ConvPool(Gemm::Subgroup(..)) => Some(conv_gemm_subgroup::LANES as u32),
            _ => None,
        }
    }

    /// Invocations of a workgroup, all along x.
    pub fn invocations(self) -> u32 {
        match self {
            Self::ConvGemm(gemm) | Self::ProjectedGemm(gemm) | Self::ConvPool(gemm) | Self::WinogradProduct(gemm) => {
                gemm.invocations() as u32
            }
            Self::WinogradFused(_) => winograd_fused::LANES as u32,
            _ => 64,
        }
    }

    /// Whether devices like `target` can run it.
    pub fn runs_on(self, target: Target) -> bool {
        let images = self.image_bindings().is_empty() || target.images != Images::Unavailable;
        images
            && self.invocations() <= target.invocations
            && self.subgroup_size().is_none_or(|size| target.subgroup_size == Some(size))
    }

    /// The bindings that are images; all others after the parameters are storage buffers.
    pub fn image_bindings(self) -> &'static [u32] {
        match self {
            Self::ConvGemm(gemm) | Self::ProjectedGemm(gemm) | Self::ConvPool(gemm) => match gemm.weights() {
                Home::Image => &[2],
                Home::Buffer => &[],
            },
            Self::WinogradInput(_, _, Home::Image) => &[2],
            Self::WinogradProduct(_) => &[1, 2],
            _ => &[],
        }
    }

    /// The layout of the uniform parameters, to be checked against the shader's.
    pub fn params_layout(self) -> &'static [FieldLayout] {
        match self {
            Self::ConvDirect(_) => conv_direct::Params::LAYOUT,
            Self::ConvDepthwise | Self::ConvDepthwiseWalk(_) => conv_depthwise::Params::LAYOUT,
            Self::ConvGemm(_) | Self::ProjectedGemm(_) | Self::ConvPool(_) | Self::WinogradProduct(_) => {
                conv_gemm::Params::LAYOUT
            }
            Self::WinogradInput(..) => winograd_input::Params::LAYOUT,
            Self::WinogradOutput(..) => winograd_output::Params::LAYOUT,
            Self::WinogradFused(_) => winograd_fused::Params::LAYOUT,
            Self::MaxPool => max_pool::Params::LAYOUT,
            Self::AveragePool => average_pool::Params::LAYOUT,
            Self::Subsample => subsample::Params::LAYOUT,
            Self::Affine => affine::Params::LAYOUT,
            Self::Relu => relu::Params::LAYOUT,
            Self::Sum => sum::Params::LAYOUT,
            Self::Concat => concat::Params::LAYOUT,
            Self::Layout => layout::Params::LAYOUT,
        }
    }

    /// How many buffers and images the shader binds after its parameters, what it writes last.
    pub fn operand_count(self) -> usize {
        match self {
            Self::ConvDirect(_) | Self::ConvGemm(_) | Self::ProjectedGemm(_) | Self::ConvPool(_) => 5,
            Self::WinogradProduct(_) | Self::WinogradFused(_) => 5,
            Self::ConvDepthwise | Self::ConvDepthwiseWalk(_) => 5,
            Self::WinogradOutput(..) | Self::Affine => 4,
            Self::Sum | Self::Concat => 3,
            Self::WinogradInput(..) | Self::MaxPool | Self::AveragePool => 2,
            Self::Subsample | Self::Relu | Self::Layout => 2,
        }
    }
}
