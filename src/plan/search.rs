//! Which candidates are tried, and which is taken. `Plan::candidate` makes one.

use super::batch::{Workload, batch};
use super::limits::Rejection;
use super::partition::Granularity;
use super::schedule::Order;
use super::select::Selection;
use super::{Plan, PlanOptions};
use crate::error::{ErrorRepr, Result};
use crate::graph::BlobId;

/// The plan of a selection, within the limit on memory if there is one.
///
/// # Errors
/// Those of [`Plan::new`] about limits and kernels.
pub(super) fn search(selection: &Selection, options: &PlanOptions) -> Result<Plan> {
    let plan = least_memory(&batch(selection, options, 1))?;
    match options.memory_limit {
        Some(limit) if plan.peak_bytes() > limit => within(selection, options, limit, &plan),
        _ => Ok(plan),
    }
}

/// The plan that needs the least memory for hardly more work, blob by blob.
fn least_memory(work: &Workload) -> Result<Plan> {
    let coarsest = work.coarsest();
    let plan = match Plan::candidate(work, coarsest) {
        Err(Rejection::Limit(_)) => Plan::candidate(work, Granularity { bands: true, ..coarsest })?,
        plan => plan?,
    };
    if plan.memory.is_tight() || work.has_several_clips() {
        return Ok(plan);
    }
    // Smaller chunks of a blob fit into buffers that other blobs need at other times. The overlaps of chunks, and the
    // padding of dispatches to whole tiles, are additional work: up to a hundredth more is worth it, and up to a
    // thirtieth if the plan needs more than 1.25 times the least memory.
    let macs = |plan: &Plan| plan.steps.iter().map(|step| plan.step_macs(step)).sum::<u64>();
    let (peak, least) = (plan.memory.peak_bytes(), plan.memory.lower_bound_bytes());
    let divisor = if peak > least + least / 4 { 30 } else { 100 };
    let most = macs(&plan) + macs(&plan) / divisor;
    let mut best = plan;
    for chunk_bytes in chunk_sizes(work) {
        let Some(finer) = accepted(Plan::candidate(work, Granularity { chunk_bytes, ..coarsest }))? else { continue };
        if macs(&finer) <= most && finer.memory.peak_bytes() < best.memory.peak_bytes() {
            best = finer;
        }
    }
    Ok(best)
}

/// A candidate; `None` if it exceeds a limit.
fn accepted(candidate: Result<Plan, Rejection>) -> Result<Option<Plan>> {
    match candidate {
        Ok(plan) => Ok(Some(plan)),
        Err(Rejection::Limit(_)) => Ok(None),
        Err(Rejection::Error(error)) => Err(error),
    }
}

/// Sizes of chunks worth trying: the second to fourth largest size of a blob, each as it is and with an eighth more,
/// for the overlap of two chunks.
fn chunk_sizes(work: &Workload) -> Vec<u64> {
    let mut sizes: Vec<u64> = (0..work.shapes.len()).map(|index| work.bytes(BlobId(index))).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.dedup();
    sizes.into_iter().skip(1).take(3).flat_map(|bytes| [bytes, bytes + bytes / 8]).collect()
}

/// How often chunks are halved without saving memory before the search gives up: if a window reads most of a frame,
/// smaller chunks only mean more chunks.
const PATIENCE: usize = 6;

/// More dispatches than anyone wants to wait for.
const MOST_DISPATCHES: usize = 200_000;

/// A plan whose activations and workspaces are within `limit`, which `plan` exceeds. More micro-batches of fewer clips
/// are tried first, then single clips with chunks that are computed on demand, the largest chunks first.
///
/// # Errors
/// [`ErrorKind::MemoryLimit`](crate::ErrorKind::MemoryLimit) if none is found.
fn within(selection: &Selection, options: &PlanOptions, limit: u64, plan: &Plan) -> Result<Plan> {
    let mut least = plan.peak_bytes();
    let mut work = batch(selection, options, plan.micro_batches);
    while work.has_several_clips() {
        let fewer = batch(selection, options, work.micro_batches + 1);
        if fewer.micro_batches == work.micro_batches {
            break;
        }
        work = fewer;
        let plan = least_memory(&work)?;
        if plan.peak_bytes() <= limit {
            return Ok(plan);
        }
        least = least.min(plan.peak_bytes());
    }
    let largest = (0..work.shapes.len()).map(|index| work.bytes(BlobId(index))).max().unwrap_or(0);
    // Workspaces as without a limit, or smaller, or as small as possible. The candidates do not depend on the limit, so
    // that there is a plan within the least limit that the error names.
    let budget = work.coarsest().workspace_bytes;
    let mut in_vain = 0;
    for chunk_bytes in (0..u64::BITS).map_while(|halvings| Some(largest >> halvings).filter(|&bytes| bytes > 0)) {
        in_vain += 1;
        for workspace_bytes in [budget, budget / 4, 0] {
            let granularity = Granularity { chunk_bytes, workspace_bytes, bands: true, order: Order::OnDemand };
            // Chunks of this size may have to be cut where no binding can begin.
            let Some(plan) = accepted(Plan::candidate(&work, granularity))? else { continue };
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
    let clips = &selection.graph.inputs()[..selection.graph.clips()];
    let clips = clips.iter().map(|id| selection.shapes[id.index()].to_string());
    let what = format!("a clip of {}", clips.collect::<Vec<_>>().join(" and "));
    Err(ErrorRepr::MemoryLimit { what, least, limit }.into())
}
