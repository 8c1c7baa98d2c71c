//! The WGSL kernels and their host side: one file here for each file in `shaders/`, of the same name.
//!
//! A [`Kernel`] is a shader with its compile-time choices made. The set is closed ([`Kernel::ALL`]), so that tests can
//! visit every one. [`Kernel::launch`] turns an operator and its shapes into what one dispatch needs, without a GPU:
//! uniform parameters, grid, and the operands to bind. Trained values reach the GPU as the *constants* that
//! [`Kernel::constants`] lays out.

pub mod affine;
pub mod conv_direct;
mod launch;
pub mod max_pool;
pub mod relu;
pub mod sum;

pub use launch::{FieldLayout, Grid, Launch, Operand};

use crate::error::{Error, Result};
use crate::graph::{OpKind, Operator};
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
}

/// A shader with its compile-time choices made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Direct convolution with a register tile.
    ConvDirect(conv_direct::Tile),
    /// Max pooling.
    MaxPool,
    /// Affine channel.
    Affine,
    /// Rectifier.
    Relu,
    /// Residual sum.
    Sum,
}

impl Kernel {
    /// Every kernel there is.
    pub const ALL: [Self; 6] = [
        Self::ConvDirect(conv_direct::Tile::ONE),
        Self::ConvDirect(conv_direct::Tile::WIDE),
        Self::MaxPool,
        Self::Affine,
        Self::Relu,
        Self::Sum,
    ];

    /// A unique name: the shader's, with its tile where it has several, for example `conv_direct_4x8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConvDirect(tile) => tile.kernel_name(),
            Self::MaxPool => "max_pool",
            Self::Affine => "affine",
            Self::Relu => "relu",
            Self::Sum => "sum",
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
            Self::MaxPool => "max_pool",
            Self::Affine => "affine",
            Self::Relu => "relu",
            Self::Sum => "sum",
        }
    }

    /// The whole shader: the prelude of constants, then the file.
    pub fn source(self) -> String {
        match self {
            Self::ConvDirect(tile) => tile.prelude() + conv_direct::SOURCE,
            Self::MaxPool => max_pool::SOURCE.to_owned(),
            Self::Affine => affine::SOURCE.to_owned(),
            Self::Relu => relu::SOURCE.to_owned(),
            Self::Sum => sum::SOURCE.to_owned(),
        }
    }

    /// The layout of the uniform parameters, to be checked against the shader's.
    pub fn params_layout(self) -> &'static [FieldLayout] {
        match self {
            Self::ConvDirect(_) => conv_direct::Params::LAYOUT,
            Self::MaxPool => max_pool::Params::LAYOUT,
            Self::Affine => affine::Params::LAYOUT,
            Self::Relu => relu::Params::LAYOUT,
            Self::Sum => sum::Params::LAYOUT,
        }
    }

    /// How many buffers the shader binds after its parameters, the output last.
    pub fn operand_count(self) -> usize {
        match self {
            Self::ConvDirect(_) => 5,
            Self::MaxPool | Self::Relu => 2,
            Self::Affine => 4,
            Self::Sum => 3,
        }
    }

    /// The kernels that can do `kind`, the default for `class` first.
    pub fn candidates(kind: &OpKind, class: AdapterClass) -> Vec<Self> {
        match kind {
            OpKind::Conv(_) => {
                // One table for all classes so far: the wide tile loads least for each product.
                let (AdapterClass::Software | AdapterClass::Gpu | AdapterClass::GpuSubgroups) = class;
                vec![Self::ConvDirect(conv_direct::Tile::WIDE), Self::ConvDirect(conv_direct::Tile::ONE)]
            }
            OpKind::MaxPool(_) => vec![Self::MaxPool],
            OpKind::Affine(_) => vec![Self::Affine],
            OpKind::Relu => vec![Self::Relu],
            OpKind::Sum => vec![Self::Sum],
            OpKind::StopGradient => Vec::new(),
        }
    }

    /// What one dispatch of this kernel for `op` needs.
    ///
    /// `inputs` and `output` are the shapes of the operator's blobs; `max_groups` is how many workgroups the adapter
    /// takes along one axis.
    ///
    /// # Errors
    /// [`Error::Kernel`] if this kernel cannot do that operator; [`Error::Size`] if the grid is too large even folded.
    pub fn launch(self, op: &Operator, inputs: &[Shape], output: Shape, max_groups: u32) -> Result<Launch> {
        match (self, &op.kind) {
            (Self::ConvDirect(tile), OpKind::Conv(conv)) => {
                conv_direct::launch(tile, conv, inputs[0], output, max_groups)
            }
            (Self::MaxPool, OpKind::MaxPool(window)) => max_pool::launch(window, inputs[0], output, max_groups),
            (Self::Affine, OpKind::Affine(_)) => affine::launch(output, max_groups),
            (Self::Relu, OpKind::Relu) => relu::launch(output, max_groups),
            (Self::Sum, OpKind::Sum) => sum::launch(output, max_groups),
            _ => Err(format!("it does not compute {}", op.kind.label())),
        }
        .map_err(|reason| Error::Kernel { operator: op.name.clone(), kernel: self.name().to_owned(), reason })
    }

    /// Lengths, in f32 values, of the constant buffers of `kind` in this kernel's layout.
    pub fn constant_lens(self, kind: &OpKind, channels: usize) -> Vec<usize> {
        match (self, kind) {
            (Self::ConvDirect(tile), OpKind::Conv(conv)) => conv_direct::constant_lens(tile, conv),
            (Self::Affine, OpKind::Affine(_)) => vec![channels; 2],
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
            (Self::Affine, OpKind::Affine(affine)) => Ok(vec![
                weights.get(&affine.scale, &[channels])?.to_vec(),
                weights.get(&affine.bias, &[channels])?.to_vec(),
            ]),
            _ => Ok(Vec::new()),
        }
    }
}
