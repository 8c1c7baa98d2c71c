//! The table of kernels: one row for each kernel.
//!
//! A kernel is a shader file with its axes fixed: the register or workgroup tile, the memory of operands, the number of
//! operand pairs, and so on. Its [`Row`] holds everything that the rest of the crate has to know about it. Its name
//! derives from the axes. The set is closed: every kernel is in the table in this file.

use super::method::{Implementation, NotAMethod};
use super::source::{Expanded, Prelude, Source, assemble, values};
use super::{FieldLayout, OperandMemory, Target};
use super::{affine, average_pool, concat, conv_depthwise, conv_depthwise_walk, conv_direct, conv_gemm, conv_pool};
use super::{
    conv_gemm_tiled, layout, max_pool, relu, subsample, sum, winograd, winograd_fused, winograd_input, winograd_output,
};
use crate::dtype::{DType, Format};
use conv_gemm::Gemm;
use conv_gemm_tiled::{Projected, WorkgroupTile};
use std::sync::LazyLock;

/// The description of one kernel.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// A unique name: the shader's name and the values of the axes.
    pub name: String,
    /// The shader's file.
    pub shader: Source,
    /// Files that are put in front of it.
    pub shared: Vec<Source>,
    /// Constants in front of these files. The types of values are added for each number format.
    pub prelude: Vec<(&'static str, usize)>,
    /// The memory of the operands after the uniform parameters, in order. The last operand is written, the others are
    /// read.
    pub bindings: Vec<OperandMemory>,
    /// The number formats of the operands.
    pub formats: Vec<Format>,
    /// Names and offsets of the uniform parameters.
    pub params: &'static [FieldLayout],
    /// What a device must have in addition to what every device has.
    pub needs: Needs,
}

/// The requirements of a kernel on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The number of lanes of a subgroup, for kernels that are written for one size.
    pub subgroup_size: Option<u32>,
    /// Whether it reads or writes textures.
    pub textures: bool,
    /// Invocations of a workgroup, all along x.
    pub invocations: u32,
}

impl Row {
    /// The row of a kernel with workgroups of 64 invocations, no constants, no shared files, and `operands` buffers in
    /// the number format of the plan.
    pub fn new(name: impl Into<String>, shader: Source, params: &'static [FieldLayout], operands: usize) -> Self {
        Self {
            name: name.into(),
            shader,
            shared: Vec::new(),
            prelude: Vec::new(),
            bindings: vec![OperandMemory::Buffer; operands],
            formats: vec![Format::Plan; operands],
            params,
            needs: Needs { subgroup_size: None, textures: false, invocations: 64 },
        }
    }

    /// The same with these files in front of the shader.
    pub fn shared(self, shared: &[Source]) -> Self {
        Self { shared: shared.to_vec(), ..self }
    }

    /// The same with these constants in front of all files.
    pub fn prelude(self, prelude: &[(&'static str, usize)]) -> Self {
        Self { prelude: prelude.to_vec(), ..self }
    }

    /// The same with workgroups of `invocations` invocations.
    pub fn invocations(self, invocations: usize) -> Self {
        Self { needs: Needs { invocations: invocations as u32, ..self.needs }, ..self }
    }

    /// The same for subgroups of exactly `lanes` lanes.
    pub fn subgroups_of(self, lanes: usize) -> Self {
        Self { needs: Needs { subgroup_size: Some(lanes as u32), ..self.needs }, ..self }
    }

    /// The same with these operands in f32, whatever the number format of the plan.
    pub fn in_f32(mut self, operands: &[usize]) -> Self {
        operands.iter().for_each(|&index| self.formats[index] = Format::F32);
        self
    }

    /// The same with operand `index` in `memory`.
    pub fn operand(mut self, index: usize, memory: OperandMemory) -> Self {
        self.bindings[index] = memory;
        self.needs.textures = self.bindings.contains(&OperandMemory::Texture);
        self
    }
}

/// The values of the axes of a kernel: one permutation of its shader.
pub(super) trait Permutation {
    /// The kernel's row of the table.
    fn row(&self) -> Row;
}

/// Declares [`Kernel`] and the table from lines of the form `Variant(Axes), role: [axes of a kernel, …];`. A `method`
/// computes an operator by itself. A `step` is one of several dispatches for an operator, or is launched in place of a
/// method.
macro_rules! kernels {
    ($($(#[$doc:meta])* $variant:ident($axes:ty), $role:ident: [$($value:expr),+ $(,)?];)+) => {
        /// A shader with its compile-time choices made: a row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kernel { $($(#[$doc])* $variant($axes)),+ }

        /// Every kernel there is.
        const ALL: &[Kernel] = &[$($(Kernel::$variant($value)),+),+];

        impl Kernel {
            fn permutation(&self) -> &dyn Permutation {
                match self { $(Self::$variant(axes) => axes),+ }
            }

            /// Whether it is a method.
            pub(super) fn is_method(&self) -> bool {
                match self { $(Self::$variant(_) => kernels!(@is_method $role)),+ }
            }

            /// The implementation of the method that consists of this kernel.
            pub(super) fn implementation(&self) -> &dyn Implementation {
                match self { $(Self::$variant(axes) => kernels!(@implementation $role axes)),+ }
            }
        }
    };
    (@is_method method) => { true };
    (@is_method step) => { false };
    (@implementation method $axes:ident) => { $axes };
    (@implementation step $axes:ident) => {{ let _ = $axes; &NotAMethod }};
}

kernels! {
    /// Direct convolution with a register tile.
    ConvDirect(conv_direct::ConvDirect), method: [conv_direct::ConvDirect];
    /// Depthwise convolution.
    ConvDepthwise(conv_depthwise::ConvDepthwise), method: [conv_depthwise::ConvDepthwise];
    /// Depthwise 3×3×3 convolution, walking through time.
    ConvDepthwiseWalk(conv_depthwise_walk::Stride), method: [
        conv_depthwise_walk::Stride::One,
        conv_depthwise_walk::Stride::Two,
    ];
    /// Implicit-GEMM convolution.
    ConvGemm(Gemm), method: [
        Gemm::REGISTERS_8X8,
        Gemm::REGISTERS_16X8,
        Gemm::REGISTERS_8X8_TEXTURE,
        Gemm::REGISTERS_16X8_TEXTURE,
        Gemm::SUBGROUP_16X4,
        Gemm::SUBGROUP_32X4,
        Gemm::SUBGROUP_64X4,
        Gemm::SUBGROUP_16X4_TEXTURE,
        Gemm::SUBGROUP_32X4_TEXTURE,
        Gemm::SUBGROUP_64X4_TEXTURE,
        Gemm::TILED,
        Gemm::TILED_WIDE,
        Gemm::TILED_COMPACT,
        Gemm::TILED_SLICED,
    ];
    /// The same for two convolutions whose results are added: the last convolution of a block, and the projection of
    /// the block's input.
    ProjectedGemm(conv_gemm_tiled::Projected), step: [
        Projected(WorkgroupTile::Narrow),
        Projected(WorkgroupTile::Wide),
        Projected(WorkgroupTile::Compact),
        Projected(WorkgroupTile::Sliced),
    ];
    /// Implicit-GEMM convolution with the max pooling after it.
    ConvPool(conv_pool::ConvPool), method: [
        conv_pool::ConvPool::SUBGROUP,
        conv_pool::ConvPool::SUBGROUP_TEXTURE,
        conv_pool::ConvPool::Tiled,
        conv_pool::ConvPool::TiledCompact,
    ];
    /// Tiles of the input into the Winograd domain.
    WinogradInput(winograd_input::WinogradInput), step: [
        winograd_input::WinogradInput::F2,
        winograd_input::WinogradInput::F4,
        winograd_input::WinogradInput::F4_PAIRS,
        winograd_input::WinogradInput::F2_TEXTURE,
        winograd_input::WinogradInput::F4_TEXTURE,
    ];
    /// The products of a domain in a texture. Those of a domain in a buffer are computed by [`Kernel::ConvGemm`].
    WinogradProduct(winograd::Product), step: [
        winograd::Product(Gemm::REGISTERS_16X8_TEXTURE),
        winograd::Product(Gemm::SUBGROUP_32X4_TEXTURE),
        winograd::Product(Gemm::SUBGROUP_64X4_TEXTURE),
    ];
    /// Out of the Winograd domain.
    WinogradOutput(winograd_output::WinogradOutput), step: [
        winograd_output::WinogradOutput::F2,
        winograd_output::WinogradOutput::F4,
        winograd_output::WinogradOutput::F4_PAIRS,
    ];
    /// Winograd's convolution in one dispatch.
    WinogradFused(winograd_fused::WorkgroupTile), method: [
        winograd_fused::WorkgroupTile::Narrow,
        winograd_fused::WorkgroupTile::Compact,
    ];
    /// Max pooling.
    MaxPool(max_pool::MaxPool), method: [max_pool::MaxPool];
    /// Average pooling over whole axes.
    AveragePool(average_pool::AveragePool), method: [average_pool::AveragePool];
    /// Strided copies with more channels.
    Subsample(subsample::Subsample), method: [subsample::Subsample];
    /// Affine channel.
    Affine(affine::AffineChannel), method: [affine::AffineChannel];
    /// Rectifier.
    Relu(relu::Relu), method: [relu::Relu];
    /// Residual sum.
    Sum(sum::Sum), method: [sum::Sum];
    /// Concatenation of channels.
    Concat(concat::Concat), method: [concat::Concat];
    /// Layout conversion.
    Layout(layout::Conversion), method: [layout::Conversion];
}

/// The rows of the kernels of [`ALL`], in the same order.
static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| ALL.iter().map(|kernel| kernel.permutation().row()).collect());

impl Kernel {
    /// The direct convolution, which computes every convolution without a projection and without pooling.
    pub(crate) const DIRECT: Self = Self::ConvDirect(conv_direct::ConvDirect);
    /// The layout conversion.
    pub const LAYOUT: Self = Self::Layout(layout::Conversion);

    /// Every kernel there is.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        ALL.iter().copied()
    }

    /// All that can be compiled: every kernel for every number format.
    pub fn forms() -> impl Iterator<Item = (Self, DType)> {
        Self::all().flat_map(|kernel| DType::ALL.iter().map(move |&dtype| (kernel, dtype)))
    }

    fn row(self) -> &'static Row {
        let place = ALL.iter().position(|&kernel| kernel == self);
        &TABLE[place.expect("axes have no values but those of the table")]
    }

    /// A unique name: the shader's, with the axes that distinguish it from the others, for example `conv_direct_4x8`.
    pub fn name(self) -> &'static str {
        &self.row().name
    }

    /// Name of the shader's file, without directory or extension.
    pub fn shader(self) -> &'static str {
        self.row().shader.name
    }

    /// The name of the kernel as it is compiled for that number format.
    pub fn name_in(self, dtype: DType) -> String {
        format!("{}{}", self.name(), dtype.suffix())
    }

    /// The whole shader for that number format: the prelude, the shared code, then the file.
    pub fn source(self, dtype: DType) -> String {
        self.expanded(dtype).text
    }

    /// The whole shader, with the unroll markers that could not be followed.
    pub fn expanded(self, dtype: DType) -> Expanded {
        let Row { prelude, shared, shader, bindings, .. } = self.row();
        let (_, read) = bindings.split_last().expect("a kernel writes something");
        let shared = [&[values(dtype)], &shared[..]].concat();
        assemble(&Prelude::of(dtype, read.contains(&OperandMemory::Texture), prelude), &shared, *shader)
    }

    /// Lanes that a subgroup must have, for kernels that are written for one size.
    pub fn subgroup_size(self) -> Option<u32> {
        self.row().needs.subgroup_size
    }

    /// Invocations of a workgroup, all along x.
    pub fn invocations(self) -> u32 {
        self.row().needs.invocations
    }

    /// Whether devices like `target` can run it.
    pub fn runs_on(self, target: Target) -> bool {
        target.provides(self.row().needs)
    }

    /// The memory of the operands after the uniform parameters, in order; binding 1 is the first. The last operand is
    /// written, the others are read.
    pub fn bindings(self) -> &'static [OperandMemory] {
        &self.row().bindings
    }

    /// The number formats of the operands, in the same order.
    pub fn formats(self) -> &'static [Format] {
        &self.row().formats
    }

    /// The layout of the uniform parameters, which a test compares with the shader's.
    pub fn params_layout(self) -> &'static [FieldLayout] {
        self.row().params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels that methods launch and that are not methods themselves.
    #[test]
    fn every_kernel_that_is_launched_has_a_row() {
        let steps = winograd::Winograd::all().flat_map(winograd::Winograd::kernels);
        let tiled = |kernel| if let Kernel::ConvGemm(Gemm::Tiled(tile)) = kernel { Some(tile) } else { None };
        let projected = Kernel::all().filter_map(tiled).map(|tile| Kernel::ProjectedGemm(Projected(tile)));
        for kernel in steps.chain(projected) {
            assert!(ALL.contains(&kernel), "{kernel:?}");
        }
        let unused = Kernel::all().filter(|kernel| !kernel.is_method());
        for kernel in unused {
            let product = winograd::Winograd::all().any(|winograd| winograd.kernels().any(|step| step == kernel));
            assert!(product || kernel.name().ends_with("_projected"), "{} is launched by nothing", kernel.name());
        }
    }
}
