//! Keeping a plan within a limit on its memory.

use super::outline::Outline;
use super::slices::Cutting;
use super::{Plan, PlanOptions};
use crate::error::{ErrorRepr, Result};
use crate::graph::Graph;
use crate::shape::Shape;

/// How often segments are halved without needing less memory before the limit is given up: where a window reaches over most
/// of a frame, smaller segments are only more of them.
const PATIENCE: usize = 6;

/// More dispatches than anyone wants to wait for.
const MOST_DISPATCHES: usize = 200_000;

/// A plan of `graph` whose activations and workspaces are within `limit`, which those of `plan` are not: with more rounds of
/// fewer clips, and if that does not help single clips with segments computed as they are needed, the largest that do.
///
/// # Errors
/// [`ErrorKind::MemoryLimit`](crate::ErrorKind::MemoryLimit) if there is none.
pub(super) fn within(graph: &Graph, inputs: &[Shape], options: &PlanOptions, limit: u64, plan: &Plan) -> Result<Plan> {
    let mut least = plan.peak_bytes();
    let mut outline = Outline::new(graph, inputs, options, plan.rounds())?;
    while outline.shapes.iter().any(|shape| shape.n > 1) {
        let fewer = Outline::new(graph, inputs, options, outline.rounds + 1)?;
        if fewer.rounds == outline.rounds {
            break;
        }
        outline = fewer;
        let plan = outline.best(options)?;
        if plan.peak_bytes() <= limit {
            return Ok(plan);
        }
        least = least.min(plan.peak_bytes());
    }
    let largest = outline.blob_bytes().max().unwrap_or(0);
    // Workspaces as without a limit, or smaller, or as small as can be. What is tried does not depend on the limit, so that
    // the least that is named is one that can be kept to.
    let budget = outline.scratch_budget(options);
    let workspaces = [budget, budget / 4, 0];
    let mut in_vain = 0;
    for segment_bytes in (0..u64::BITS).map_while(|halvings| Some(largest >> halvings).filter(|&bytes| bytes > 0)) {
        in_vain += 1;
        for scratch_bytes in workspaces {
            let cutting = Cutting { segment_bytes, scratch_bytes, stripes: true, streamed: true };
            // Bindings may not be able to begin where such small segments would be cut.
            let Ok(plan) = outline.plan(options, cutting) else { continue };
            if plan.peak_bytes() <= limit {
                return Ok(plan);
            }
            if plan.dispatches() > MOST_DISPATCHES {
                in_vain = PATIENCE;
            }
            if plan.peak_bytes() < least {
                (least, in_vain) = (plan.peak_bytes(), 0);
            }
        }
        if in_vain >= PATIENCE {
            break;
        }
    }
    let clips = inputs.iter().map(Shape::to_string).collect::<Vec<_>>().join(" and ");
    Err(ErrorRepr::MemoryLimit { what: format!("a clip of {clips}"), least, limit }.into())
}
