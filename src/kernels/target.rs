//! The device that kernels are chosen for: its class and its capabilities.

use super::conv_gemm_subgroup;
use super::table::Needs;

/// The kind of adapter that kernels are chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A software implementation on the CPU (lavapipe, llvmpipe, SwiftShader, WARP): loads and barriers are expensive.
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

    /// Whether the choice of kernels for this class is based on timings of an adapter of the class
    /// (`docs/performance.md`). Results are verified for every class.
    pub fn is_measured(self) -> bool {
        match self {
            Self::Software => true,
            Self::Gpu => false,
        }
    }
}

/// Texture support: whether kernels can read and write textures, see [`super::OperandMemory::Texture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextureSupport {
    /// They cannot.
    Unavailable,
    /// They can; buffers are expected to be as fast.
    Available,
    /// They can, and loads from textures are cheaper.
    Faster,
}

/// The number of values that an invocation may keep in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterBudget {
    /// Some 100 values. With more, drivers spill them to memory, or too few invocations run at once to hide the latency
    /// of loads. Intel's GPUs have 128 registers for each lane, Apple's and phones' GPUs no more, and AMD's GCN 256 for
    /// all subgroups of a SIMD together.
    Few,
    /// 170 values and more: NVIDIA's GPUs, AMD's RDNA.
    Many,
}

/// The compiler of a device's shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compiler {
    /// The driver's compiler: from milliseconds to a few hundred milliseconds for a kernel.
    Driver,
    /// Microsoft's DXC, on Direct3D 12: as fast as drivers' compilers, and with subgroups.
    Dxc,
    /// Microsoft's FXC, on Direct3D 12 without DXC: shader model 5.1, which has no subgroups, and seconds for each of
    /// the larger kernels (`docs/performance.md`).
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

/// A device that kernels are chosen for: its class, and its capabilities. A kernel's row in the table says which
/// capabilities it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The class.
    pub class: AdapterClass,
    /// Lanes of a subgroup, if the device has subgroups of one size.
    pub subgroup_size: Option<u32>,
    /// Texture support.
    pub textures: TextureSupport,
    /// The register budget of an invocation.
    pub registers: RegisterBudget,
    /// The most invocations of a workgroup.
    pub max_invocations: u32,
    /// The compiler of its shaders.
    pub compiler: Compiler,
}

impl Target {
    /// The target to plan for without a device of the class: lavapipe for `software`, Intel's GPUs for `gpu`.
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
            // The least that WebGPU guarantees.
            max_invocations: 256,
            compiler: Compiler::Driver,
        }
    }

    /// A GPU with many registers and subgroups of 32, such as NVIDIA's.
    pub fn large_gpu() -> Self {
        Self { subgroup_size: Some(32), registers: RegisterBudget::Many, ..Self::typical(AdapterClass::Gpu) }
    }

    /// A target of every kind that the fixed choice of kernels distinguishes, apart from missing capabilities: the
    /// typical target of every class, and [`Self::large_gpu`].
    pub fn all_typical() -> impl Iterator<Item = Self> {
        AdapterClass::ALL.iter().map(|&class| Self::typical(class)).chain([Self::large_gpu()])
    }

    /// Whether the device meets the needs of a kernel.
    pub(super) fn provides(self, needs: Needs) -> bool {
        let Needs { subgroup_size, textures, invocations } = needs;
        (!textures || self.textures != TextureSupport::Unavailable)
            && invocations <= self.max_invocations
            && subgroup_size.is_none_or(|size| self.subgroup_size == Some(size))
    }

    /// Whether to compute a block's last convolution and the projection of its input in one dispatch
    /// ([`crate::graph::fuse::project`]). On a GPU this saves writing and reading a blob, which by traffic count is
    /// most of the cost of such convolutions. On a software adapter it saves 1 or 2 % of a run, but compiling the
    /// kernel for two operand pairs takes 1.7 s before the first run. FXC takes 1.4 s and more to compile it.
    pub fn gains_by_projections(self) -> bool {
        self.class != AdapterClass::Software && self.compiler != Compiler::Fxc
    }

    /// Whether the kernels through workgroup memory get the smaller register tiles: if the register budget allows no
    /// others, and with FXC, which compiles them in half the time.
    pub(super) fn prefers_compact(self) -> bool {
        self.registers == RegisterBudget::Few || self.compiler == Compiler::Fxc
    }

    /// Whether to compute a convolution and the max pooling after it in one dispatch
    /// ([`crate::graph::fuse::fuse_pools`]). A software adapter without subgroups of eight cannot shuffle columns
    /// between lanes.
    pub fn gains_by_pooling(self) -> bool {
        self.class != AdapterClass::Software || self.subgroup_size == Some(conv_gemm_subgroup::LANES as u32)
    }

    /// The budget in bytes for all workspaces of a plan; operators are cut to stay within it. `blobs` is the largest
    /// total size in bytes of the blobs of one operator of the plan. On a software adapter with subgroups of eight,
    /// cutting into ranges of rows costs next to nothing, and workspaces are kept to a quarter of `blobs`. Without such
    /// subgroups, a workgroup spans so many positions that small ranges would mostly be padding. A GPU needs many
    /// workgroups at once: half of 64 MiB holds the products of 2,048 workgroups.
    pub fn scratch_budget(self, blobs: u64) -> u64 {
        let has_broadcasts = self.subgroup_size == Some(conv_gemm_subgroup::LANES as u32);
        match self.class {
            AdapterClass::Software if has_broadcasts => (blobs / 4).clamp(4 << 20, 32 << 20),
            AdapterClass::Software => 32 << 20,
            AdapterClass::Gpu => 64 << 20,
        }
    }
}
