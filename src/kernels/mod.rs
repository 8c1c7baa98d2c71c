//! The WGSL kernels and their host side: one file here for each file in `shaders/`, of the same name.
//!
//! A [`Kernel`] is a shader with its compile-time choices made. The set is closed ([`Kernel::ALL`]), so that tests can
//! visit every one. [`Kernel::launch`] turns an operator and its shapes into what one dispatch needs, without a GPU:
//! uniform parameters, grid, and the operands to bind. Trained values reach the GPU as the *constants* that
//! [`Kernel::constants`] lays out.

pub mod affine;
pub mod conv_direct;
pub mod conv_gemm;
pub mod conv_gemm_subgroup;
pub mod conv_gemm_tiled;
mod launch;
pub mod layout;
pub mod max_pool;
pub mod relu;
mod source;
pub mod sum;

pub use launch::{FieldLayout, Grid, Launch, Operand, Slice, WindowParams};

use crate::error::{Error, Result};
use crate::graph::{Conv, OpKind, Operator};
use crate::shape::Shape;
use crate::weights::Weights;

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

/// The device that kernels are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its class.
    pub class: AdapterClass,
    /// Lanes of a subgroup, where the device has subgroups of one size.
    pub subgroup_size: Option<u32>,
}

impl Target {
    /// What to plan for where no device of the class is at hand: lavapipe for `software`, subgroups of 32 for
    /// `gpu-subgroups`.
    pub fn typical(class: AdapterClass) -> Self {
        let subgroup_size = match class {
            AdapterClass::Software => Some(8),
            AdapterClass::Gpu => None,
            AdapterClass::GpuSubgroups => Some(32),
        };
        Self { class, subgroup_size }
    }
}

/// A shader with its compile-time choices made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Direct convolution with a register tile.
    ConvDirect(conv_direct::Tile),
    /// Implicit-GEMM convolution from registers.
    ConvGemm(conv_gemm::Tile),
    /// Implicit-GEMM convolution from registers, weights broadcast in subgroups of eight.
    ConvGemmSubgroup(conv_gemm::Tile),
    /// Implicit-GEMM convolution through workgroup memory.
    ConvGemmTiled,
    /// Max pooling.
    MaxPool,
    /// Affine channel.
    Affine,
    /// Rectifier.
    Relu,
    /// Residual sum.
    Sum,
    /// Layout conversion.
    Layout,
}

impl Kernel {
    const DIRECT_1X4: Self = Self::ConvDirect(conv_direct::Tile::ONE);
    const DIRECT_4X8: Self = Self::ConvDirect(conv_direct::Tile::WIDE);
    const GEMM_8X8: Self = Self::ConvGemm(conv_gemm::Tile::M8_N8);
    const GEMM_16X8: Self = Self::ConvGemm(conv_gemm::Tile::M16_N8);
    const GEMM_SUBGROUP_16X4: Self = Self::ConvGemmSubgroup(conv_gemm::Tile::M16_N4);
    const GEMM_SUBGROUP_32X4: Self = Self::ConvGemmSubgroup(conv_gemm::Tile::M32_N4);

    /// Every kernel there is.
    pub const ALL: [Self; 12] = [
        Self::DIRECT_1X4,
        Self::DIRECT_4X8,
        Self::GEMM_8X8,
        Self::GEMM_16X8,
        Self::GEMM_SUBGROUP_16X4,
        Self::GEMM_SUBGROUP_32X4,
        Self::ConvGemmTiled,
        Self::MaxPool,
        Self::Affine,
        Self::Relu,
        Self::Sum,
        Self::Layout,
    ];

    /// A unique name: the shader's, with its tile where it has several, for example `conv_direct_4x8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DIRECT_1X4 => "conv_direct_1x4",
            Self::DIRECT_4X8 => "conv_direct_4x8",
            Self::GEMM_8X8 => "conv_gemm_8x8",
            Self::GEMM_16X8 => "conv_gemm_16x8",
            Self::GEMM_SUBGROUP_16X4 => "conv_gemm_subgroup_16x4",
            Self::GEMM_SUBGROUP_32X4 => "conv_gemm_subgroup_32x4",
            Self::ConvGemmTiled => "conv_gemm_tiled",
            // Tiles beyond those of `ALL` have no name of their own.
            Self::ConvDirect(_) | Self::ConvGemm(_) | Self::ConvGemmSubgroup(_) => self.shader(),
            Self::MaxPool => "max_pool",
            Self::Affine => "affine",
            Self::Relu => "relu",
            Self::Sum => "sum",
            Self::Layout => "layout",
        }
    }

    /// The kernel called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kernel| kernel.name() == name)
    }

    /// Name of the shader's file, without directory or extension.
    pub fn shader(self) -> &'static str {
        match self {
            Self::ConvDirect(_) => "conv_direct",
            Self::ConvGemm(_) => "conv_gemm",
            Self::ConvGemmSubgroup(_) => "conv_gemm_subgroup",
            Self::ConvGemmTiled => "conv_gemm_tiled",
            Self::MaxPool => "max_pool",
            Self::Affine => "affine",
            Self::Relu => "relu",
            Self::Sum => "sum",
            Self::Layout => "layout",
        }
    }

    /// The whole shader: the prelude of constants, shared code, then the file.
    pub fn source(self) -> String {
        match self {
            Self::ConvDirect(tile) => conv_direct::source(tile),
            Self::ConvGemm(tile) => conv_gemm::source(tile),
            Self::ConvGemmSubgroup(tile) => conv_gemm_subgroup::source(tile),
            Self::ConvGemmTiled => conv_gemm_tiled::source(),
            Self::MaxPool => max_pool::source(),
            Self::Affine => affine::SOURCE.to_owned(),
            Self::Relu => relu::SOURCE.to_owned(),
            Self::Sum => sum::SOURCE.to_owned(),
            Self::Layout => layout::SOURCE.to_owned(),
        }
    }

    /// Lanes that a subgroup must have, for kernels that are written for one size.
    pub fn subgroup_size(self) -> Option<u32> {
        match self {
            Self::ConvGemmSubgroup(_) => Some(conv_gemm_subgroup::LANES as u32),
            _ => None,
        }
    }

    /// Whether devices like `target` can run it.
    pub fn runs_on(self, target: Target) -> bool {
        self.subgroup_size().is_none_or(|size| target.subgroup_size == Some(size))
    }

    /// The layout of the uniform parameters, to be checked against the shader's.
    pub fn params_layout(self) -> &'static [FieldLayout] {
        match self {
            Self::ConvDirect(_) => conv_direct::Params::LAYOUT,
            Self::ConvGemm(_) | Self::ConvGemmSubgroup(_) | Self::ConvGemmTiled => conv_gemm::Params::LAYOUT,
            Self::MaxPool => max_pool::Params::LAYOUT,
            Self::Affine => affine::Params::LAYOUT,
            Self::Relu => relu::Params::LAYOUT,
            Self::Sum => sum::Params::LAYOUT,
            Self::Layout => layout::Params::LAYOUT,
        }
    }

    /// How many buffers the shader binds after its parameters, the output last.
    pub fn operand_count(self) -> usize {
        match self {
            Self::ConvDirect(_) | Self::ConvGemm(_) | Self::ConvGemmSubgroup(_) | Self::ConvGemmTiled => 5,
            Self::MaxPool | Self::Relu | Self::Layout => 2,
            Self::Affine => 4,
            Self::Sum => 3,
        }
    }

    /// The kernels that can do `kind` on `target`, the default first.
    pub fn candidates(kind: &OpKind, target: Target) -> Vec<Self> {
        let mut kernels = match kind {
            OpKind::Conv(conv) => conv_candidates(conv, target.class),
            OpKind::MaxPool(_) => vec![Self::MaxPool],
            OpKind::Affine(_) => vec![Self::Affine],
            OpKind::Relu => vec![Self::Relu],
            OpKind::Sum => vec![Self::Sum],
            OpKind::Layout => vec![Self::Layout],
            OpKind::StopGradient => Vec::new(),
        };
        kernels.retain(|kernel| kernel.runs_on(target));
        kernels
    }

    /// Whether this kernel computes `op` on an input of shape `input` in full: what cannot be seen from a slice.
    ///
    /// # Errors
    /// [`Error::Kernel`], with what it does not support.
    pub fn accepts(self, op: &Operator, input: Shape) -> Result<()> {
        match (self, &op.kind) {
            (Self::MaxPool, OpKind::MaxPool(window)) => max_pool::accepts(window, input),
            _ => Ok(()),
        }
        .map_err(|reason| self.cannot(op, reason))
    }

    /// What one dispatch of this kernel for `slice` of `op` needs; `max_groups` is how many workgroups the adapter takes
    /// along one axis.
    ///
    /// # Errors
    /// [`Error::Kernel`] if this kernel cannot do that operator, or its grid is too large even folded.
    pub fn launch(self, op: &Operator, slice: &Slice, max_groups: u32) -> Result<Launch> {
        let output = slice.output;
        match (self, &op.kind) {
            (Self::ConvDirect(tile), OpKind::Conv(conv)) => conv_direct::launch(tile, conv, slice, max_groups),
            (Self::ConvGemm(tile), OpKind::Conv(conv)) => conv_gemm::launch(tile, conv, slice, max_groups),
            (Self::ConvGemmSubgroup(tile), OpKind::Conv(conv)) => {
                conv_gemm_subgroup::launch(tile, conv, slice, max_groups)
            }
            (Self::ConvGemmTiled, OpKind::Conv(conv)) => conv_gemm_tiled::launch(conv, slice, max_groups),
            (Self::MaxPool, OpKind::MaxPool(window)) => max_pool::launch(window, slice, max_groups),
            (Self::Affine, OpKind::Affine(_)) => affine::launch(output, max_groups),
            (Self::Relu, OpKind::Relu) => relu::launch(output, max_groups),
            (Self::Sum, OpKind::Sum) => sum::launch(output, max_groups),
            (Self::Layout, OpKind::Layout) => layout::launch(slice.output_layout, output, max_groups),
            _ => Err(format!("it does not compute {}", op.kind.label())),
        }
        .map_err(|reason| self.cannot(op, reason))
    }

    fn cannot(self, op: &Operator, reason: String) -> Error {
        Error::Kernel { operator: op.name.clone(), kernel: self.name().to_owned(), reason }
    }

    /// Into how many parts of equal length each constant buffer of `kind` can be cut: a dispatch may have a range of them
    /// and computes the output channels that belong to it. 1 where there is nothing to cut.
    pub fn constant_blocks(self, kind: &OpKind) -> usize {
        match (self, kind) {
            (Self::ConvDirect(tile), OpKind::Conv(conv)) => conv_direct::blocks(tile, conv),
            (Self::ConvGemm(tile) | Self::ConvGemmSubgroup(tile), OpKind::Conv(conv)) => tile.blocks(conv),
            (Self::ConvGemmTiled, OpKind::Conv(conv)) => conv_gemm_tiled::TILE.blocks(conv),
            _ => 1,
        }
    }

    /// Lengths, in f32 values, of the constant buffers of `kind` in this kernel's layout.
    pub fn constant_lens(self, kind: &OpKind, channels: usize) -> Vec<usize> {
        match (self, kind) {
            (Self::ConvDirect(tile), OpKind::Conv(conv)) => conv_direct::constant_lens(tile, conv),
            (Self::ConvGemm(tile) | Self::ConvGemmSubgroup(tile), OpKind::Conv(conv)) => {
                conv_gemm::constant_lens(tile, conv)
            }
            (Self::ConvGemmTiled, OpKind::Conv(conv)) => conv_gemm::constant_lens(conv_gemm_tiled::TILE, conv),
            (Self::Affine, OpKind::Affine(_)) => vec![channels.next_multiple_of(4); 2],
            _ => Vec::new(),
        }
    }

    /// The constant buffers of `kind` in this kernel's layout.
    ///
    /// # Errors
    /// Those of [`Weights::get`] for the parameters that the operator names.
    pub fn constants(self, kind: &OpKind, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        match (self, kind) {
            (Self::ConvDirect(tile), OpKind::Conv(conv)) => conv_direct::constants(tile, conv, weights),
            (Self::ConvGemm(tile) | Self::ConvGemmSubgroup(tile), OpKind::Conv(conv)) => {
                conv_gemm::constants(tile, conv, weights)
            }
            (Self::ConvGemmTiled, OpKind::Conv(conv)) => conv_gemm::constants(conv_gemm_tiled::TILE, conv, weights),
            (Self::Affine, OpKind::Affine(affine)) => affine::constants(affine, channels, weights),
            _ => Ok(Vec::new()),
        }
    }
}

/// The kernels for a convolution on an adapter of `class`, the default first.
fn conv_candidates(conv: &Conv, class: AdapterClass) -> Vec<Kernel> {
    let direct = vec![Kernel::DIRECT_4X8, Kernel::DIRECT_1X4];
    if conv.groups != 1 {
        return direct;
    }
    // The widest tile loads least for each product, unless most of it would be padding.
    let registers = if conv.dim_out > 16 {
        vec![Kernel::GEMM_SUBGROUP_32X4, Kernel::GEMM_SUBGROUP_16X4, Kernel::GEMM_16X8, Kernel::GEMM_8X8]
    } else {
        vec![Kernel::GEMM_SUBGROUP_16X4, Kernel::GEMM_SUBGROUP_32X4, Kernel::GEMM_8X8, Kernel::GEMM_16X8]
    };
    let tiled = vec![Kernel::ConvGemmTiled];
    match class {
        // To a CPU workgroup memory is memory like any other, and a barrier a switch between all its invocations.
        AdapterClass::Software => [registers, tiled, direct].concat(),
        AdapterClass::Gpu | AdapterClass::GpuSubgroups => [tiled, registers, direct].concat(),
    }
}
