//! Keeping a plan within a limit on its memory.

use super::outline::Outline;
use super::slices::Cutting;
use super::{Plan, PlanOptions};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::shape::Shape;

/// How often segments are halved before the limit is given up.
const HALVINGS: u32 = 20;

/// How often a plan may be the same again until nothing can be cut any more.
const SAME: usize = 3;

/// More dispatches than anyone wants to wait for.
const MOST_DISPATCHES: usize = 200_000;

/// A plan of `graph` whose activations and workspaces are within `limit`, which those of `plan` are not: with more rounds of
/// fewer clips, and if that does not help single clips with segments computed as they are needed, the largest that do.
///
/// # Errors
/// [`Error::MemoryLimit`] if there is none.
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
    let scratch_bytes = outline.scratch_budget(options).min(limit / 4);
    // How many dispatches the last plan had, and how often in succession.
    let mut same = (0, 0);
    for halvings in 0..HALVINGS {
        let segment_bytes = (largest >> halvings).max(1);
        let cutting = Cutting { segment_bytes, scratch_bytes, stripes: true, streamed: true };
        let plan = outline.plan(options, cutting)?;
        if plan.peak_bytes() <= limit {
            return Ok(plan);
        }
        least = least.min(plan.peak_bytes());
        let dispatches = plan.dispatches();
        same = (dispatches, if same.0 == dispatches { same.1 + 1 } else { 0 });
        if dispatches > MOST_DISPATCHES || same.1 == SAME {
            break;
        }
    }
    let clips = inputs.iter().map(Shape::to_string).collect::<Vec<_>>().join(" and ");
    Err(Error::MemoryLimit { what: format!("a clip of {clips}"), least, limit })
}
