//! The parts that a backbone is made of: graphs, plans, kernels, the executor, and what checks and tunes them.
//!
//! **Nothing in here is stable.** Names, fields and meanings change with any version, and no entry of the change log need
//! mention it. The program `resnet3d`, the tests and the benchmarks use it; whoever else does pins the version exactly. What
//! is stable stands at the root of the crate.

/// Files that are written whole or not at all.
pub mod atomic_file {
    pub use crate::atomic_file::*;
}

/// What a file holds, told by its first bytes.
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

/// Plans: which kernels run in which order on which buffers. No device is needed to make one.
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
/// Finding the quickest methods for operators by trying.
pub mod tuning {
    pub use crate::tuning::*;
}

#[cfg(not(target_arch = "wasm32"))]
/// Comparing kernels and bodies on a device with the CPU reference.
pub mod verify {
    pub use crate::verify::*;
}

pub use crate::backbone::tap_names;
