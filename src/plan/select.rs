//! Stage one: a method for every operator.

use super::{PlanOptions, infer_shapes, signature};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Conv, Epilogue, Graph, OpKind, Operator, Window};
use crate::kernels::{Method, OperandMemory};
use crate::plan::Numerics;
use crate::shape::Shape;
use std::ops::Range;

/// A graph with the shapes of its blobs and a method for every operator that computes something.
pub(super) struct Selection<'a> {
    pub graph: &'a Graph,
    /// By blob, of the whole batch.
    pub shapes: Vec<Shape>,
    /// By operator; `None` for those that compute nothing.
    pub methods: Vec<Option<Selected>>,
}

/// How an operator is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub method: Method,
    /// The parts into which the blocks of output channels, and the constants with them, are divided so that each part
    /// can be bound.
    pub parts: Vec<Range<usize>>,
    /// Bytes of all its constants.
    pub constant_bytes: u64,
}

/// Infers the shapes of `graph` and selects its methods. The methods do not depend on the number of clips.
///
/// # Errors
/// Those of [`infer_shapes`]; [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) if the method for an operator cannot
/// compute it; [`ErrorKind::Limit`](crate::ErrorKind::Limit) if a block of its weights is too large to be bound.
pub(super) fn select<'a>(graph: &'a Graph, inputs: &[Shape], options: &PlanOptions) -> Result<Selection<'a>> {
    let shapes = infer_shapes(graph, inputs)?;
    let selected = |op: &Operator| -> Result<Option<Selected>> {
        let (input, output) = (shapes[op.inputs[0].index()], shapes[op.output.index()]);
        let Some(method) = choose(op, input, output, options) else { return Ok(None) };
        method.accepts(op, input)?;
        let constants = method.constant_bytes(&op.kind, output.c, options.dtype);
        let parts = constant_parts(op, method, output, options)?;
        Ok(Some(Selected { method, parts, constant_bytes: constants.iter().sum() }))
    };
    let methods = graph.operators().iter().map(selected).collect::<Result<_>>()?;
    Ok(Selection { graph, shapes, methods })
}

/// Whether the pooling after `conv` is to be fused into it: if a method for both is profitable and within limits, or is
/// forced.
pub(super) fn pools(conv: &Conv, pool: &Window, options: &PlanOptions) -> bool {
    let both = Conv { epilogue: Epilogue { pool: Some(Box::new(*pool)), ..conv.epilogue.clone() }, ..conv.clone() };
    let output = Shape::new(1, conv.dim_out, 1, 1, 1);
    let kind = OpKind::Conv(both);
    let candidates = Method::candidates(&kind, options.target);
    match options.forced {
        Some(forced) => candidates.contains(&forced),
        None => {
            let is_profitable = |method: &Method| {
                method.is_profitable(&kind, output, options.target) && fits(*method, &kind, output, options)
            };
            options.target.gains_by_pooling() && candidates.iter().any(is_profitable)
        }
    }
}

/// The method for an operator with this input and output; `None` if it computes nothing.
fn choose(op: &Operator, input: Shape, output: Shape, options: &PlanOptions) -> Option<Method> {
    let kind = &op.kind;
    let candidates = Method::candidates(kind, options.target);
    // Methods with weights in a buffer come last. Except Winograd's, they are allowed even if a block of weights is too
    // large: that becomes an error.
    let fits = |method: &Method| fits(*method, kind, output, options);
    let allowed = |method: &Method| {
        let may_overflow = !method.is_winograd() && method.constant_memory(0) == OperandMemory::Buffer;
        options.numerics.allow(*method, kind) && (may_overflow || fits(method))
    };
    let strict = |method: &Method| options.numerics != Numerics::Strict || method.keeps_floats(kind);
    let forced = options.forced.filter(|method| candidates.contains(method) && strict(method));
    let chosen = || {
        let method = options.choices.get(&signature(kind, input, output, options.dtype)?)?;
        (candidates.contains(&method) && allowed(&method) && method.accepts(op, input).is_ok()).then_some(method)
    };
    forced.or_else(chosen).or_else(|| {
        candidates.iter().copied().find(|method| allowed(method) && method.is_profitable(kind, output, options.target))
    })
}

/// Whether a block of the weights of an operator with this output fits into a binding, or into a texture.
fn fits(method: Method, kind: &OpKind, output: Shape, options: &PlanOptions) -> bool {
    block_bytes(method, kind, output, options.dtype) <= bindable(method, options)
}

/// The most bytes of weights of `method` that one dispatch can bind.
fn bindable(method: Method, options: &PlanOptions) -> u64 {
    let dtype = method.constant_format(0).of(options.dtype);
    options.limits.bindable_in(method.constant_memory(0), dtype)
}

/// Bytes of one block of the largest constant of an operator with this output.
fn block_bytes(method: Method, kind: &OpKind, output: Shape, dtype: DType) -> u64 {
    let blocks = method.constant_blocks(kind) as u64;
    let constants = method.constant_bytes(kind, output.c, dtype).into_iter();
    constants.map(|bytes| bytes / blocks).max().unwrap_or(0)
}

/// The blocks of the constants of `op`, divided into as few equal parts as can be bound.
///
/// # Errors
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if one block is too large.
fn constant_parts(op: &Operator, method: Method, output: Shape, options: &PlanOptions) -> Result<Vec<Range<usize>>> {
    let blocks = method.constant_blocks(&op.kind);
    let block_bytes = block_bytes(method, &op.kind, output, options.dtype);
    options.limits.check_binding(block_bytes, || match blocks {
        1 => format!("the weight of {}", op.name),
        _ => format!("the weight of {}, 1 / {blocks} of it at once,", op.name),
    })?;
    let most = usize::try_from(bindable(method, options) / block_bytes.max(1)).unwrap_or(usize::MAX).max(1);
    let parts = blocks.div_ceil(most);
    let length = blocks.div_ceil(parts);
    Ok((0..blocks).step_by(length).map(|first| first..(first + length).min(blocks)).collect())
}
