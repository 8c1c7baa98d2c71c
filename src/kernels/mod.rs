//! The WGSL kernels and their host side. Each file in `shaders/` has a file of the same name here.
//!
//! A [`Kernel`] is a row of a table: a shader with its compile-time choices made, its bindings, and its requirements on
//! a device. A [`Method`] is a way to compute an operator with one kernel or several. Both sets are closed
//! ([`Kernel::all`], [`Method::all`]), so tests can visit every one. [`Method::launches`] turns an operator and its
//! shapes into the description of its dispatches, without a GPU: uniform parameters, grid, and the operands to bind.
//! Trained values reach the GPU as the *constants* that [`Method::constants`] lays out.

pub mod affine;
pub mod average_pool;
mod candidates;
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
mod table;
mod target;
pub mod winograd;
pub mod winograd_fused;
pub mod winograd_input;
pub mod winograd_output;

pub use conv_gemm::Gemm;
pub use launch::{FieldLayout, Grid, Launch, Operand, Slice, Tiles, WindowParams};
pub use method::{Method, RowTiles, Workspace};
pub use source::{Expanded, Misplaced};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use source::{Prelude, assemble};
pub(crate) use source::{Source, wgsl};
pub use table::Kernel;
pub use target::{AdapterClass, Compiler, RegisterBudget, Target, TextureSupport};

use crate::dtype::DType;

/// The name of the only entry point of every shader.
pub const ENTRY_POINT: &str = "main";

/// The number of vec4 in a row of a texture.
pub const TEXTURE_WIDTH: usize = 1024;

/// Bytes of a row of a texture whose values have that number format.
pub(crate) fn texture_row_bytes(dtype: DType) -> u64 {
    dtype.bytes_of(4 * TEXTURE_WIDTH)
}

/// The kind of memory of an operand of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperandMemory {
    /// A storage buffer.
    Buffer,
    /// A texture of four values a texel, [`TEXTURE_WIDTH`] texels in a row. On some software drivers, loads from
    /// textures are far cheaper than loads from buffers (`docs/experiments.md`).
    Texture,
}

impl OperandMemory {
    /// The part of a kernel's name that stands for it.
    fn suffix(self) -> &'static str {
        match self {
            Self::Buffer => "",
            Self::Texture => "_image",
        }
    }
}
