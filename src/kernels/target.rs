//! What kernels are chosen for: the class of a device and its capabilities.

use super::conv_gemm_subgroup;
use super::table::Needs;

/// What kind of adapter kernels are chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A CPU that poses as a GPU (lavapipe, llvmpipe, SwiftShader, WARP): loads and barriers are expensive.
    #[default]
    Software,
    /// A GPU.
    Gpu,
}

impl AdapterClass {
    /// All classes.
    pub const ALL: &'static [Self] = &[Self::Software, Self::Gpu];

    /// `software` or `gpu`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Gpu => "gpu",
        }
    }

    /// Whether the choice of kernels for this class rests on timings of a real adapter of the class
    /// (`docs/performance.md`). Results are verified for every class alike.
    pub fn is_measured(self) -> bool {
        match self {
            Self::Software => true,
            Self::Gpu => false,
        }
    }
}

/// Whether kernels can read from textures and write into them, see [`super::OperandMemory::Texture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextureSupport {
    /// They cannot.
    Unavailable,
    /// They can; buffers are expected to be as fast.
    Available,
    /// They can, and loads from textures are cheaper.
    Faster,
}

/// How much an invocation may keep in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterBudget {
    /// Some 100 values: beyond that drivers spill them to memory, or too few invocations are left to wait for loads
    /// beside each other. Intel's GPUs have 128 registers for each lane, Apple's and those of phones no more, AMD's GCN
    /// 256 for all subgroups of a SIMD together.
    Few,
    /// 170 values and more: NVIDIA's GPUs, AMD's RDNA.
    Many,
}

/// What compiles the shaders of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compiler {
    /// The driver's own: milliseconds to a few hundred of them for a kernel.
    Driver,
    /// Microsoft's DXC, on Direct3D 12: as fast, and it supports subgroups.
    Dxc,
    /// Microsoft's FXC, on Direct3D 12 where DXC is not at hand: shader model 5.1, which has no subgroups, and seconds
    /// for each of the larger kernels (`docs/performance.md`).
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

/// The device that kernels are chosen for: its class, and the set of its capabilities. A kernel's row in the table says
/// which of them it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its class.
    pub class: AdapterClass,
    /// Lanes of a subgroup, where the device has subgroups of one size.
    pub subgroup_size: Option<u32>,
    /// What it can do with textures.
    pub textures: TextureSupport,
    /// What its invocations have room for.
    pub registers: RegisterBudget,
    /// Invocations of a workgroup, at most.
    pub max_invocations: u32,
    /// What compiles its shaders.
    pub compiler: Compiler,
}

impl Target {
    /// What to plan for where no device of the class is at hand: lavapipe for `software`, Intel's GPUs for `gpu`.
    pub fn typical(class: AdapterClass) -> Self {
        let (subgroup_size, textures) = match class {
            AdapterClass::Software => (Some(conv_gemm_subgroup::LANES as u32), TextureSupport::Faster),
            AdapterClass::Gpu => (None, TextureSupport::Available),
        };
        Self {
            class,
            subgroup_size,
            textures,
            registers: RegisterBudget::Few,
            // What WebGPU promises.
            max_invocations: 256,
            compiler: Compiler::Driver,
        }
    }

    /// A GPU with many registers and subgroups of 32, as NVIDIA's are.
    pub fn large_gpu() -> Self {
        Self { subgroup_size: Some(32), registers: RegisterBudget::Many, ..Self::typical(AdapterClass::Gpu) }
    }

    /// A target of every kind that the fixed choice of kernels tells apart by more than a missing capability: the
    /// typical one of every class, and [`Self::large_gpu`].
    pub fn all_typical() -> impl Iterator<Item = Self> {
        AdapterClass::ALL.iter().map(|&class| Self::typical(class)).chain([Self::large_gpu()])
    }

    /// Whether the device has what a kernel needs.
    pub(super) fn provides(self, needs: Needs) -> bool {
        let Needs { subgroup_size, textures, invocations } = needs;
        (!textures || self.textures != TextureSupport::Unavailable)
            && invocations <= self.max_invocations
            && subgroup_size.is_none_or(|size| self.subgroup_size == Some(size))
    }

    /// Whether to compute a block's last convolution and the projection of its input in one dispatch
    /// ([`crate::graph::fuse::project`]). A GPU is spared a blob that it would write and read, which by traffic count
    /// is most of what such convolutions cost. A software adapter is spared 1 or 2 % of a run, and compiles the kernel
    /// for two terms for 1.7 s before its first one. FXC compiles it for 1.4 s and more.
    pub fn gains_by_projections(self) -> bool {
        self.class != AdapterClass::Software && self.compiler != Compiler::Fxc
    }

    /// Whether the kernels through workgroup memory are to have the smaller register tiles: where invocations have room
    /// for no others, and where FXC compiles, which takes half the time for them.
    pub(super) fn prefers_compact(self) -> bool {
        self.registers == RegisterBudget::Few || self.compiler == Compiler::Fxc
    }

    /// Whether to compute a convolution and the max pooling behind it in one dispatch
    /// ([`crate::graph::fuse::fuse_pools`]). A software adapter without subgroups of eight cannot pass columns on.
    pub fn gains_by_pooling(self) -> bool {
        self.class != AdapterClass::Software || self.subgroup_size == Some(conv_gemm_subgroup::LANES as u32)
    }

    /// Bytes that the workspaces of a plan may have together, if cutting operators makes them so small; `blobs` are
    /// those of the blobs that an operator of the plan has at once, at most. To a software adapter with subgroups of
    /// eight ranges of rows cost next to nothing, and workspaces are kept to a quarter of that. Without, a workgroup
    /// spans so many positions that small ranges would mostly be padding; and a GPU wants many workgroups at once: half
    /// of 64 MiB are the products of 2,048.
    pub fn scratch_budget(self, blobs: u64) -> u64 {
        let broadcasts = self.subgroup_size == Some(conv_gemm_subgroup::LANES as u32);
        match self.class {
            AdapterClass::Software if broadcasts => (blobs / 4).clamp(4 << 20, 32 << 20),
            AdapterClass::Software => 32 << 20,
            AdapterClass::Gpu => 64 << 20,
        }
    }
}
