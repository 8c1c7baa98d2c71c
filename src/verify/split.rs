//! Drawing limits under which a case has to be split.

use super::{Case, Variant, plan};
use crate::error::{Error, Result};
use crate::gpu::GpuContext;
use crate::plan::{Plan, PlanLimits};
use fastrand::Rng;

/// `variant` of `case` under limits drawn so small that its plan has more dispatches, or more buffers for a blob; `None`
/// where it has nothing to split.
///
/// # Errors
/// Errors of planning, other than limits that are too small.
pub fn split(gpu: &GpuContext, case: &Case, variant: &Variant, rng: &mut Rng) -> Result<Option<Variant>> {
    let whole = plan(gpu, case, variant)?;
    let blobs = whole.storages().map(|(_, storage)| storage.bytes());
    let constants = whole.steps().iter().flat_map(|step| {
        let op = &whole.graph().operators()[step.operator];
        step.method.constant_lens(&op.kind, whole.shape(op.output).c).into_iter().map(|len| len as u64 * 4)
    });
    let largest = blobs.chain(constants).chain(whole.scratch().iter().copied());
    let mut limits = PlanLimits {
        max_binding_bytes: largest.max().unwrap_or(0).max(1),
        offset_alignment: [32, 256][rng.usize(..2)],
        ..PlanLimits::default()
    };
    // Downwards until it cannot be done any more, or chance has it: from half of everything to single frames.
    let mut found = None;
    for _ in 0..rng.usize(1..=24) {
        let smaller = PlanLimits { max_binding_bytes: part(limits.max_binding_bytes, rng), ..limits };
        if let Some(plan) = attempt(gpu, case, variant, smaller)? {
            (limits, found) = (smaller, Some(plan));
        }
    }
    // Buffers not much larger than bindings: blobs in several of them.
    limits.max_buffer_bytes = limits.max_binding_bytes.saturating_mul(8);
    for _ in 0..rng.usize(0..=12) {
        let smaller = part(limits.max_buffer_bytes, rng).max(limits.max_binding_bytes);
        let smaller = PlanLimits { max_buffer_bytes: smaller, ..limits };
        if let Some(plan) = attempt(gpu, case, variant, smaller)? {
            (limits, found) = (smaller, Some(plan));
        }
    }
    let segments = |plan: &Plan| plan.storages().map(|(_, storage)| storage.segments().len()).sum::<usize>();
    let split = found.filter(|plan| plan.dispatches() > whole.dispatches() || segments(plan) > segments(&whole));
    Ok(split.map(|_| Variant { limits: Some(limits), ..*variant }))
}

/// Three to nine tenths of `bytes`.
fn part(bytes: u64, rng: &mut Rng) -> u64 {
    bytes * rng.u64(3..=9) / 10
}

/// The plan under `limits`; `None` where they are too small.
fn attempt(gpu: &GpuContext, case: &Case, variant: &Variant, limits: PlanLimits) -> Result<Option<Plan>> {
    match plan(gpu, case, &Variant { limits: Some(limits), ..*variant }) {
        Ok(plan) => Ok(Some(plan)),
        Err(Error::Limit { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
