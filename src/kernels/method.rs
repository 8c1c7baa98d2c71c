//! How an operator is computed: by one kernel, or by several one after the other.

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
    /// Winograd's convolution in three dispatches: tiles of the input transformed, a batch of products, their results
    /// transformed back.
    Winograd(Winograd),
}

impl From<Kernel> for Method {
    fn from(kernel: Kernel) -> Self {
        Self::Single(kernel)
    }
}

/// Squares of output that a method computes whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTiles {
    /// Rows, and columns, of a square.
    pub side: usize,
    /// Squares that a workgroup computes. A dispatch is padded to a multiple of them.
    pub workgroup_tiles: usize,
}

/// A place for values between two dispatches of a method. Methods tell theirs apart by their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// What it is.
    pub memory: OperandMemory,
    /// The number format of its values.
    pub dtype: DType,
    /// How large; 0 where it is not needed.
    pub bytes: u64,
}

/// Implements one method for the one kind of operator that it computes, which is [`Family::Operator`]. A kernel's file
/// has this beside its row: `launches`, and for weights `blocks`, `constant_lens` and `constants`. All else has a
/// default.
pub(super) trait Family {
    /// What an operator of that kind is described by.
    type Operator: ?Sized;

    /// The description, if `kind` is of that kind.
    fn operator(kind: &OpKind) -> Option<&Self::Operator>;

    /// Whether the method can compute the operator, as far as that can be said without shapes.
    ///
    /// # Errors
    /// Why not.
    fn supports(&self, _operator: &Self::Operator) -> Result<(), String> {
        Ok(())
    }

    /// Whether it can on an input of that shape in full: what cannot be seen from a slice.
    ///
    /// # Errors
    /// Why not.
    fn supports_input(&self, _operator: &Self::Operator, _input: Shape) -> Result<(), String> {
        Ok(())
    }

    /// Whether it is expected to be faster for one clip with that output than what comes behind it among the
    /// candidates.
    fn is_profitable(&self, _operator: &Self::Operator, _clip: Shape, _target: Target) -> bool {
        true
    }

    /// Whether a NaN or an infinity of the input reaches the outputs that depend on it and no others.
    fn keeps_floats(&self, _operator: &Self::Operator) -> bool {
        self.winograd_tile().is_none()
    }

    /// The tiles of Winograd's method, if it is that.
    fn winograd_tile(&self) -> Option<WinogradTile> {
        None
    }

    /// The squares of output that are computed whole, where there are such.
    fn row_tiles(&self) -> Option<RowTiles> {
        None
    }

    /// Workspaces for that many rows of output and blobs of these shapes.
    fn workspaces(&self, _input: Shape, _output: Shape, _rows: usize) -> Vec<Workspace> {
        Vec::new()
    }

    /// Where the constant of that index lies.
    fn constant_memory(&self, _index: usize) -> OperandMemory {
        OperandMemory::Buffer
    }

    /// The number format of the constant of that index.
    fn constant_format(&self, _index: usize) -> Format {
        Format::F32
    }

    /// Blocks of output channels, between which every constant can be cut.
    fn blocks(&self, _operator: &Self::Operator) -> usize {
        1
    }

    /// Lengths of the constant buffers of an operator with that many output channels, in values.
    fn constant_lens(&self, _operator: &Self::Operator, _channels: usize) -> Vec<usize> {
        Vec::new()
    }

    /// The values of these.
    ///
    /// # Errors
    /// Those of [`Weights::get`].
    fn constants(&self, _operator: &Self::Operator, _channels: usize, _weights: &Weights) -> Result<Vec<Vec<f32>>> {
        Ok(Vec::new())
    }

    /// The dispatches for a slice of an operator that the method supports, in order.
    ///
    /// # Errors
    /// Why there are none.
    fn launches(&self, operator: &Self::Operator, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String>;
}

/// A [`Family`] as [`Method`] sees it: whatever the kind of operator. Of a kind that the method does not compute it has
/// no constants, and its launches are an error.
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

/// Why a method has no launches for `kind`.
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

/// Why a method cannot compute a convolution with the projection of another input.
pub(super) const NOT_A_SUM: &str = "it computes one convolution, not the sum of two";
/// Why a method cannot compute a convolution with the pooling behind it.
pub(super) const NO_POOLING: &str = "it computes no pooling behind the convolution";

/// Refuses convolutions with another, or with a pooling.
pub(super) fn one_convolution(conv: &Conv) -> Result<(), String> {
    match &conv.epilogue {
        Epilogue { projection: Some(_), .. } => Err(NOT_A_SUM.to_owned()),
        Epilogue { pool: Some(_), .. } => Err(NO_POOLING.to_owned()),
        Epilogue { projection: None, pool: None, .. } => Ok(()),
    }
}

/// Stands for kernels that compute no operator by themselves.
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

    /// Whether it is Winograd's.
    pub fn is_winograd(self) -> bool {
        self.winograd_tile().is_some()
    }

    /// Whether a NaN or an infinity of the input of `kind` reaches the outputs that depend on it and no others.
    /// Winograd's method spreads them over squares of outputs, blocks of channels over the groups that they have
    /// together.
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

    /// The methods for `kind` on `target`, the default first where it is profitable.
    pub fn candidates(kind: &OpKind, target: Target) -> Vec<Self> {
        let mut methods = candidates::in_order(kind, target);
        methods.retain(|method| method.runs_on(target) && method.supports(kind));
        methods
    }

    /// The plainest way to compute `kind`, which others are compared with; `None` where there is only one.
    pub(crate) fn reference(kind: &OpKind) -> Option<Self> {
        candidates::reference(kind)
    }

    /// Whether it can compute operators of that kind at all.
    pub fn supports(self, kind: &OpKind) -> bool {
        self.implementation().supports(kind).is_ok()
    }

    /// Whether it is expected to be faster on `target` than what comes behind it among the candidates.
    ///
    /// Counted for a single clip of the batch: its features do not depend on what else is in it, nor on how that is
    /// split.
    pub fn is_profitable(self, kind: &OpKind, output: Shape, target: Target) -> bool {
        self.implementation().is_profitable(kind, Shape { n: 1, ..output }, target)
    }

    /// Whether this computes `op` on an input of shape `input` in full: what cannot be seen from a slice.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel), with what it does not support.
    pub fn accepts(self, op: &Operator, input: Shape) -> Result<()> {
        self.implementation().supports_input(&op.kind, input).map_err(|reason| self.cannot(op, reason))
    }

    /// What the dispatches for `slice` of `op` need, in order; `max_groups` is how many workgroups the adapter takes
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

    /// The workspaces between the dispatches, for that many rows of output and blobs of these shapes: what
    /// [`Operand::Scratch`](super::Operand::Scratch) counts.
    pub fn workspaces(self, input: Shape, output: Shape, rows: usize) -> Vec<Workspace> {
        self.implementation().workspaces(input, output, rows)
    }

    /// The squares of rows and columns of output that are computed whole, between which rows can be cut to make
    /// workspaces smaller; `None` where there are none.
    pub fn row_tiles(self) -> Option<RowTiles> {
        self.implementation().row_tiles()
    }

    /// Into how many parts of equal length each constant buffer of `kind` can be cut: a dispatch may have a range of
    /// them and computes the output channels that belong to it. 1 where there is nothing to cut.
    pub fn constant_blocks(self, kind: &OpKind) -> usize {
        self.implementation().blocks(kind)
    }

    /// Where the constant of that index lies.
    pub fn constant_memory(self, index: usize) -> OperandMemory {
        self.implementation().constant_memory(index)
    }

    /// The number format of the constant of that index.
    pub fn constant_format(self, index: usize) -> Format {
        self.implementation().constant_format(index)
    }

    /// Lengths, in values, of the constant buffers of `kind` as this method has them.
    pub fn constant_lens(self, kind: &OpKind, channels: usize) -> Vec<usize> {
        self.implementation().constant_lens(kind, channels)
    }

    /// The same in bytes, in a plan whose values have the format `dtype`.
    pub fn constant_bytes(self, kind: &OpKind, channels: usize, dtype: DType) -> Vec<u64> {
        let lens = self.constant_lens(kind, channels).into_iter().enumerate();
        lens.map(|(index, len)| self.constant_format(index).of(dtype).bytes_of(len)).collect()
    }

    /// The values of the constant buffers of `kind` as this method has them, each to be put into its number format.
    ///
    /// # Errors
    /// Those of [`Weights::get`] for the parameters that the operator names.
    pub fn constants(self, kind: &OpKind, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        self.implementation().constants(kind, channels, weights)
    }
}
