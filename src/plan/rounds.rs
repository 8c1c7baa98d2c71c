//! Cutting a batch into rounds.

use super::limits::PlanLimits;
use super::shapes::infer_shapes;
use crate::error::Result;
use crate::graph::{Graph, Operator};
use crate::shape::Shape;

/// The fewest rounds of equally many clips in which every blob of `graph`, and every workspace of its operators, can be
/// bound as a whole, and the shapes of one round. Rounds of single clips if even their blobs are too large.
///
/// `scratch` is the size of an operator's largest workspace for blobs of given shapes, if it has any.
///
/// # Errors
/// Those of [`infer_shapes`].
pub(super) fn rounds(
    graph: &Graph,
    inputs: &[Shape],
    limits: &PlanLimits,
    scratch: impl Fn(&Operator, &[Shape]) -> Option<u64>,
) -> Result<(usize, Vec<Shape>)> {
    let shapes = infer_shapes(graph, inputs)?;
    let batch = inputs.iter().map(|shape| shape.n).reduce(gcd).unwrap_or(1);
    let bytes = graph.blobs().iter().zip(&shapes).map(|(blob, &shape)| blob.bytes(shape));
    let workspaces = graph.operators().iter().filter_map(|op| scratch(op, &shapes));
    // Bytes are in proportion to the clips.
    let most = bytes.chain(workspaces).max().unwrap_or(0);
    let least = usize::try_from(most.div_ceil(limits.bindable().max(1))).unwrap_or(usize::MAX);
    let rounds = (least.clamp(1, batch)..=batch).find(|rounds| batch.is_multiple_of(*rounds)).unwrap_or(batch);
    let of_one = |shape: Shape| Shape { n: shape.n / rounds, ..shape };
    Ok((rounds, shapes.into_iter().map(of_one).collect()))
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
