//! Cutting a batch into rounds.

use super::limits::PlanLimits;
use super::shapes::infer_shapes;
use super::work::operator_macs;
use crate::error::Result;
use crate::graph::{Graph, Operator};
use crate::kernels::Workspace;
use crate::shape::Shape;

/// The fewest rounds of equally many clips in which every blob of `graph`, and every workspace of its operators, can be
/// bound as a whole, an operator's workspaces are within `budget`, and it does no more than is submitted at once; at least
/// `fewest` of them; and the shapes of one round. Rounds of single clips if even they are too large.
///
/// `scratch` gives an operator's workspaces for blobs of given shapes.
///
/// # Errors
/// Those of [`infer_shapes`].
pub(super) fn rounds(
    graph: &Graph,
    inputs: &[Shape],
    limits: &PlanLimits,
    budget: u64,
    fewest: usize,
    scratch: impl Fn(&Operator, &[Shape]) -> Vec<Workspace>,
) -> Result<(usize, Vec<Shape>)> {
    let shapes = infer_shapes(graph, inputs)?;
    let batch = inputs.iter().map(|shape| shape.n).reduce(gcd).unwrap_or(1);
    let bytes = graph.blobs().iter().zip(&shapes).map(|(blob, &shape)| blob.bytes(shape));
    let workspaces: Vec<Vec<Workspace>> = graph.operators().iter().map(|op| scratch(op, &shapes)).collect();
    // Bytes are in proportion to the clips.
    let parts = |bytes: u64, fit: u64| usize::try_from(bytes.div_ceil(fit.max(1))).unwrap_or(usize::MAX);
    let blobs = bytes.map(|bytes| parts(bytes, limits.bindable()));
    let bound = workspaces.iter().flatten().map(|own| parts(own.bytes, limits.bindable_in(own.memory, own.dtype)));
    let kept = workspaces.iter().map(|own| parts(own.iter().map(|own| own.bytes).sum(), budget));
    let work = graph.operators().iter().map(|op| parts(operator_macs(op, &shapes), limits.max_macs));
    let least = blobs.chain(bound).chain(kept).chain(work).fold(fewest, usize::max);
    let rounds = (least.clamp(1, batch)..=batch).find(|rounds| batch.is_multiple_of(*rounds)).unwrap_or(batch);
    let of_one = |shape: Shape| Shape { n: shape.n / rounds, ..shape };
    Ok((rounds, shapes.into_iter().map(of_one).collect()))
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
