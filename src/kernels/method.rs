//! How an operator is computed: by one kernel, or by several in a row.

use super::table::Kernel;
use super::winograd::{Winograd, WinogradTile};
use super::{Launch, OperandMemory, Slice, Target, candidates};
use crate::dtype::{DType, Format};
use crate::error::{Error, ErrorRepr, Result};
use crate::graph::{Conv, Epilogue, OpKind, Operator};
use crate::shape::Shape;
use crate::weights::Weights;

/// A way to compute an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// One dispatch of a kernel.
    Single(Kernel),
    /// Winograd's convolution in three dispatches: the transform of the input, a batch of products, and the transform
    /// of the output.
    Winograd(Winograd),
}

impl From<Kernel> for Method {
    fn from(kernel: Kernel) -> Self {
        Self::Single(kernel)
    }
}

/// The squares of output that a method computes as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTiles {
    /// Rows, and columns, of a square.
    pub side: usize,
    /// Squares that a workgroup computes. A dispatch is padded to a multiple of them.
    pub workgroup_tiles: usize,
}

/// Memory for values between two dispatches of a method. A method identifies its workspaces by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The kind of memory.
    pub memory: OperandMemory,
    /// The number format of its values.
    pub dtype: DType,
    /// Its size; 0 if the method does not use it.
    pub bytes: u64,
}

/// Implements one method for the kind of operator that it computes, [`Family::Operator`]. A kernel's file implements
/// this beside its row: `launches`, and for kernels with weights `blocks`, `constant_lens` and `constants`. All other
/// functions have defaults.
pub(super) trait Family {
    /// The description of an operator of that kind.
    type Operator: ?Sized;

    /// The description, if `kind` is of that kind.
    fn operator(kind: &OpKind) -> Option<&Self::Operator>;

    /// Whether the method can compute the operator, as far as that depends on no shape.
    ///
    /// # Errors
    /// The reason, if not.
    fn supports(&self, _operator: &Self::Operator) -> Result<(), String> {
        Ok(())
    }

    /// Whether the method can compute the operator on a whole input of that shape. It checks properties that a slice
    /// does not show.
    ///
    /// # Errors
    /// The reason, if not.
    fn supports_input(&self, _operator: &Self::Operator, _input: Shape) -> Result<(), String> {
        Ok(())
    }

    /// Whether it is expected to be faster, for one clip with that output, than the candidates after it.
    fn is_profitable(&self, _operator: &Self::Operator, _clip: Shape, _target: Target) -> bool {
        true
    }

    /// Whether a NaN or an infinity of the input reaches exactly the outputs that depend on it.
    fn keeps_floats(&self, _operator: &Self::Operator) -> bool {
        self.winograd_tile().is_none()
    }

    /// The tiles of Winograd's method, if it is that.
    fn winograd_tile(&self) -> Option<WinogradTile> {
        None
    }

    /// The squares of output that are computed as a whole, if the method has any.
    fn row_tiles(&self) -> Option<RowTiles> {
        None
    }

    /// The workspaces for `rows` rows of output and blobs of these shapes.
    fn workspaces(&self, _input: Shape, _output: Shape, _rows: usize) -> Vec<Workspace> {
        Vec::new()
    }

    /// The memory of the constant of that index.
    fn constant_memory(&self, _index: usize) -> OperandMemory {
        OperandMemory::Buffer
    }

    /// The number format of the constant of that index.
    fn constant_format(&self, _index: usize) -> Format {
        Format::F32
    }

    /// The number of blocks of output channels. Every constant can be cut between blocks.
    fn blocks(&self, _operator: &Self::Operator) -> usize {
        1
    }

    /// The lengths of the constant buffers of an operator with `channels` output channels, in values.
    fn constant_lens(&self, _operator: &Self::Operator, _channels: usize) -> Vec<usize> {
        Vec::new()
    }

    /// The values of the constants.
    ///
    /// # Errors
    /// The errors of [`Weights::get`].
    fn constants(&self, _operator: &Self::Operator, _channels: usize, _weights: &Weights) -> Result<Vec<Vec<f32>>> {
        Ok(Vec::new())
    }

    /// The dispatches for a slice of an operator that the method supports, in order.
    ///
    /// # Errors
    /// The reason, if there are none.
    fn launches(&self, operator: &Self::Operator, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String>;
}

/// A [`Family`] as [`Method`] uses it, for any kind of operator. For a kind that the method does not compute, there are
/// no constants, and launches are an error.
pub(super) trait Implementation {
    fn supports(&self, kind: &OpKind) -> Result<(), String>;
    fn supports_input(&self, kind: &OpKind, input: Shape) -> Result<(), String>;
    fn is_profitable(&self, kind: &OpKind, clip: Shape, target: Target) -> bool;
    fn keeps_floats(&self, kind: &OpKind) -> bool;
    fn winograd_tile(&self) -> Option<WinogradTile>;
    fn row_tiles(&self) -> Option<RowTiles>;
    fn workspaces(&self, input: Shape, output: Shape, rows: usize) -> Vec<Workspace>;
    fn constant_memory(&self, index: usize) -> OperandMemory;
    fn constant_format(&self, index: usize) -> Format;
    fn blocks(&self, kind: &OpKind) -> usize;
    fn constant_lens(&self, kind: &OpKind, channels: usize) -> Vec<usize>;
    fn constants(&self, kind: &OpKind, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>>;
    fn launches(&self, kind: &OpKind, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String>;
}

/// The reason why a method has no launches for `kind`.
fn not_computed(kind: &OpKind) -> String {
    format!("it does not compute {}", kind.label())
}

impl<F: Family> Implementation for F {
    fn supports(&self, kind: &OpKind) -> Result<(), String> {
        Family::supports(self, F::operator(kind).ok_or_else(|| not_computed(kind))?)
    }

    fn supports_input(&self, kind: &OpKind, input: Shape) -> Result<(), String> {
        F::operator(kind).map_or(Ok(()), |operator| Family::supports_input(self, operator, input))
    }

    fn is_profitable(&self, kind: &OpKind, clip: Shape, target: Target) -> bool {
        F::operator(kind).is_none_or(|operator| Family::is_profitable(self, operator, clip, target))
    }

    fn keeps_floats(&self, kind: &OpKind) -> bool {
        F::operator(kind).is_none_or(|operator| Family::keeps_floats(self, operator))
    }

    fn winograd_tile(&self) -> Option<WinogradTile> {
        Family::winograd_tile(self)
    }

    fn row_tiles(&self) -> Option<RowTiles> {
        Family::row_tiles(self)
    }

    fn workspaces(&self, input: Shape, output: Shape, rows: usize) -> Vec<Workspace> {
        Family::workspaces(self, input, output, rows)
    }

    fn constant_memory(&self, index: usize) -> OperandMemory {
        Family::constant_memory(self, index)
    }

    fn constant_format(&self, index: usize) -> Format {
        Family::constant_format(self, index)
    }

    fn blocks(&self, kind: &OpKind) -> usize {
        F::operator(kind).map_or(1, |operator| Family::blocks(self, operator))
    }

    fn constant_lens(&self, kind: &OpKind, channels: usize) -> Vec<usize> {
        F::operator(kind).map_or_else(Vec::new, |operator| Family::constant_lens(self, operator, channels))
    }

    fn constants(&self, kind: &OpKind, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        F::operator(kind)
            .map_or_else(|| Ok(Vec::new()), |operator| Family::constants(self, operator, channels, weights))
    }

    fn launches(&self, kind: &OpKind, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let operator = F::operator(kind).ok_or_else(|| not_computed(kind))?;
        Family::supports(self, operator)?;
        Family::launches(self, operator, slice, max_groups)
    }
}

/// The reason why a method cannot compute a convolution with the projection of another input.
pub(super) const NOT_A_SUM: &str = "it computes one convolution, not the sum of two";
/// The reason why a method cannot compute a convolution with the pooling after it.
pub(super) const NO_POOLING: &str = "it computes no pooling after the convolution";

/// Rejects convolutions with a projection or with pooling.
pub(super) fn one_convolution(conv: &Conv) -> Result<(), String> {
    match &conv.epilogue {
        Epilogue { projection: Some(_), .. } => Err(NOT_A_SUM.to_owned()),
        Epilogue { pool: Some(_), .. } => Err(NO_POOLING.to_owned()),
        Epilogue { projection: None, pool: None, .. } => Ok(()),
    }
}

/// The implementation for kernels that compute no operator by themselves.
pub(super) struct NotAMethod;

impl Family for NotAMethod {
    type Operator = ();

    fn operator(_kind: &OpKind) -> Option<&()> {
        None
    }

    fn launches(&self, (): &(), _slice: &Slice, _max_groups: u32) -> Result<Vec<Launch>, String> {
        Ok(Vec::new())
    }
}

impl Method {
    /// Every method there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let single = Kernel::all().filter(Kernel::is_method).map(Self::Single);
        single.chain(Winograd::all().map(Self::Winograd))
    }

    fn implementation(&self) -> &dyn Implementation {
        match self {
            Self::Single(kernel) => kernel.implementation(),
            Self::Winograd(winograd) => winograd,
        }
    }

    /// A unique name: the kernel's, or for example `winograd_4x4_gemm_tiled`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single(kernel) => kernel.name(),
            Self::Winograd(winograd) => winograd.name(),
        }
    }

    /// The method called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|method| method.name() == name)
    }

    /// The tiles of Winograd's method, if it is that.
    pub fn winograd_tile(self) -> Option<WinogradTile> {
        self.implementation().winograd_tile()
    }

    /// Whether it is Winograd's method.
    pub fn is_winograd(self) -> bool {
        self.winograd_tile().is_some()
    }

    /// Whether a NaN or an infinity of the input reaches exactly the outputs that depend on it. Winograd's method
    /// spreads it over squares of outputs. A block of channels that spans several groups spreads it over those groups.
    pub fn keeps_floats(self, kind: &OpKind) -> bool {
        self.implementation().keeps_floats(kind)
    }

    /// Whether devices like `target` can run it.
    pub fn runs_on(self, target: Target) -> bool {
        match self {
            Self::Single(kernel) => kernel.runs_on(target),
            Self::Winograd(winograd) => winograd.kernels().all(|kernel| kernel.runs_on(target)),
        }
    }

    /// The methods for `kind` on `target`, in order of preference: the default is the first that is profitable.
    pub fn candidates(kind: &OpKind, target: Target) -> Vec<Self> {
        let mut methods = candidates::in_order(kind, target);
        methods.retain(|method| method.runs_on(target) && method.supports(kind));
        methods
    }

    /// The plainest way to compute `kind`, with which others are compared; `None` if there is only one way.
    pub(crate) fn reference(kind: &OpKind) -> Option<Self> {
        candidates::reference(kind)
    }

    /// Whether it can compute operators of that kind.
    pub fn supports(self, kind: &OpKind) -> bool {
        self.implementation().supports(kind).is_ok()
    }

    /// Whether it is expected to be faster on `target` than the candidates after it.
    ///
    /// This is estimated for a single clip, so that a clip's features depend neither on the rest of its batch nor on
    /// how the batch is split.
    pub fn is_profitable(self, kind: &OpKind, output: Shape, target: Target) -> bool {
        self.implementation().is_profitable(kind, Shape { n: 1, ..output }, target)
    }

    /// Checks that this method computes `op` on a whole input of shape `input`, which a slice does not show.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel), with what it does not support.
    pub fn accepts(self, op: &Operator, input: Shape) -> Result<()> {
        self.implementation().supports_input(&op.kind, input).map_err(|reason| self.cannot(op, reason))
    }

    /// The dispatches for `slice` of `op`, in order. `max_groups` is the number of workgroups that the adapter takes
    /// along one axis.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) if this method cannot do that operator, or a grid is too large
    /// even folded.
    pub fn launches(self, op: &Operator, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>> {
        self.implementation().launches(&op.kind, slice, max_groups).map_err(|reason| self.cannot(op, reason))
    }

    fn cannot(self, op: &Operator, reason: String) -> Error {
        ErrorRepr::Kernel { operator: op.name.clone(), kernel: self.name().to_owned(), reason }.into()
    }

    /// The workspaces between the dispatches, for `rows` rows of output and blobs of these shapes.
    /// [`Operand::Scratch`](super::Operand::Scratch) is an index into them.
    pub fn workspaces(self, input: Shape, output: Shape, rows: usize) -> Vec<Workspace> {
        self.implementation().workspaces(input, output, rows)
    }

    /// The squares of output that are computed as a whole; `None` if there are none. Rows can be cut between squares to
    /// make workspaces smaller.
    pub fn row_tiles(self) -> Option<RowTiles> {
        self.implementation().row_tiles()
    }

    /// The number of blocks of equal length into which each constant buffer of `kind` can be cut. A dispatch may take a
    /// range of blocks and computes the output channels of these. 1 if there is nothing to cut.
    pub fn constant_blocks(self, kind: &OpKind) -> usize {
        self.implementation().blocks(kind)
    }

    /// The memory of the constant of that index.
    pub fn constant_memory(self, index: usize) -> OperandMemory {
        self.implementation().constant_memory(index)
    }

    /// The number format of the constant of that index.
    pub fn constant_format(self, index: usize) -> Format {
        self.implementation().constant_format(index)
    }

    /// The lengths, in values, of this method's constant buffers for `kind`.
    pub fn constant_lens(self, kind: &OpKind, channels: usize) -> Vec<usize> {
        self.implementation().constant_lens(kind, channels)
    }

    /// The same in bytes, in a plan whose values have the format `dtype`.
    pub fn constant_bytes(self, kind: &OpKind, channels: usize, dtype: DType) -> Vec<u64> {
        let lens = self.constant_lens(kind, channels).into_iter().enumerate();
        lens.map(|(index, len)| self.constant_format(index).of(dtype).bytes_of(len)).collect()
    }

    /// The values of this method's constant buffers for `kind`, to be converted to the number format of each.
    ///
    /// # Errors
    /// The errors of [`Weights::get`] for the parameters that the operator names.
    pub fn constants(self, kind: &OpKind, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        self.implementation().constants(kind, channels, weights)
    }
}
