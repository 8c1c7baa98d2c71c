//! The parts of a backbone: graphs, plans, kernels, the executor, and the code that verifies and tunes them.
//!
//! **Nothing in this module is stable.** Names, fields and meanings may change with any version, without an entry in
//! the change log. The program `resnet3d`, the tests and the benchmarks use it. Other users have to pin the exact
//! version. The stable API is at the root of the crate.

/// Files that are written completely or not at all.
pub mod atomic_file {
    pub use crate::atomic_file::*;
}

/// The kind of a file, from its first bytes.
pub mod content {
    pub use crate::content::*;
}

/// Number formats of values on a device.
pub mod dtype {
    pub use crate::dtype::*;
}

/// Running plans on a device: adapters, pipelines, buffers, submission, timing.
pub mod gpu {
    pub use crate::gpu::*;
}

/// Networks as blobs and operators, and the fusion of operators.
pub mod graph {
    pub use crate::graph::*;
}

/// Kernels: WGSL shaders with their parameters and dispatch geometry.
pub mod kernels {
    pub use crate::kernels::*;
}

/// Plans: which kernels run in which order on which buffers. Planning needs no device.
pub mod plan {
    pub use crate::plan::*;
}

/// The CPU reference, which executes the same graphs.
pub mod reference {
    pub use crate::reference::*;
}

/// Files of tensors.
pub mod tensor_file {
    pub use crate::tensor_file::*;
}

#[cfg(not(target_arch = "wasm32"))]
/// Finding the quickest methods for operators by benchmarks.
pub mod tuning {
    pub use crate::tuning::*;
}

#[cfg(not(target_arch = "wasm32"))]
/// Comparing kernels and bodies on a device with the CPU reference.
pub mod verify {
    pub use crate::verify::*;
}

pub use crate::backbone::tap_names;
