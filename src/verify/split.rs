//! Draws limits under which a case has to be split.

use super::{Case, Variant, plan};
use crate::error::{ErrorKind, Result};
use crate::gpu::GpuContext;
use crate::plan::{Plan, PlanLimits};
use fastrand::Rng;

/// `variant` of `case` under random limits so small that its plan has more dispatches, or more buffers for a blob;
/// `None` if nothing can be split.
///
/// # Errors
/// Errors of planning, other than limits that are too small.
pub fn split(gpu: &GpuContext, case: &Case, variant: &Variant, rng: &mut Rng) -> Result<Option<Variant>> {
    let whole = plan(gpu, case, variant)?;
    let blobs = whole.storages().map(|(_, storage)| storage.bytes());
    let constants = whole.steps().iter().flat_map(|step| {
        let op = &whole.graph().operators()[step.operator];
        step.method.constant_bytes(&op.kind, whole.shape(op.output).c, whole.dtype())
    });
    let largest = blobs.chain(constants).chain(whole.scratch().iter().map(|workspace| workspace.bytes));
    let mut limits = PlanLimits {
        max_binding_bytes: largest.max().unwrap_or(0).max(1),
        offset_alignment: [32, 256][rng.usize(..2)],
        max_macs: [PlanLimits::default().max_macs, 1 << 20, 1 << 18][rng.usize(..3)],
        ..PlanLimits::default()
    };
    // Reduces the limits a random number of times, as long as a plan is possible: down to half of a blob or to a few
    // rows.
    let mut found = None;
    for _ in 0..rng.usize(1..=8) {
        let smaller = PlanLimits { max_binding_bytes: part(limits.max_binding_bytes, rng), ..limits };
        if let Some(plan) = attempt(gpu, case, variant, smaller, variant.memory_limit)? {
            (limits, found) = (smaller, Some(plan));
        }
    }
    // Sometimes a limit on memory.
    let mut memory_limit = variant.memory_limit;
    if rng.u32(..8) == 0 {
        let smaller = part(found.as_ref().unwrap_or(&whole).peak_bytes(), rng);
        if let Some(plan) = attempt(gpu, case, variant, limits, Some(smaller))? {
            (memory_limit, found) = (Some(smaller), Some(plan));
        }
    }
    // Buffers that are not much larger than bindings, so that a blob needs several.
    let mut buffer = limits.max_binding_bytes.saturating_mul(8);
    for _ in 0..rng.usize(0..=4) {
        let smaller = PlanLimits { max_buffer_bytes: buffer, ..limits };
        buffer = part(buffer, rng).max(limits.max_binding_bytes);
        if let Some(plan) = attempt(gpu, case, variant, smaller, memory_limit)? {
            (limits, found) = (smaller, Some(plan));
        }
    }
    let chunks = |plan: &Plan| plan.storages().map(|(_, storage)| storage.chunks().len()).sum::<usize>();
    let split = found.filter(|plan| plan.dispatches() > whole.dispatches() || chunks(plan) > chunks(&whole));
    Ok(split.map(|_| Variant { limits: Some(limits), memory_limit, ..*variant }))
}

/// The maximum number of dispatches of a split plan: more would only take time.
const MOST_DISPATCHES: usize = 120;

/// Two to eight tenths of `bytes`.
fn part(bytes: u64, rng: &mut Rng) -> u64 {
    bytes * rng.u64(2..=8) / 10
}

/// The plan under `limits`; `None` if they are too small or the plan has too many dispatches.
fn attempt(
    gpu: &GpuContext,
    case: &Case,
    variant: &Variant,
    limits: PlanLimits,
    memory_limit: Option<u64>,
) -> Result<Option<Plan>> {
    match plan(gpu, case, &Variant { limits: Some(limits), memory_limit, ..*variant }) {
        Ok(plan) => Ok(Some(plan).filter(|plan| plan.dispatches() <= MOST_DISPATCHES)),
        Err(error) if matches!(error.kind(), ErrorKind::Limit | ErrorKind::MemoryLimit) => Ok(None),
        Err(error) => Err(error),
    }
}
