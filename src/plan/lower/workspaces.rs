//! How large the workspaces are, before any operator is cut.
//!
//! All operators share the workspaces, so each is as large as the operator needs it that needs most of it. What they may have
//! together is divided between them once, from what all operators would take, and each operator is cut to that by itself:
//! what becomes of one does not depend on the others' order.

use super::Region;
use crate::graph::Operator;
use crate::kernels::{Method, Workspace};
use crate::plan::batch::Workload;
use crate::plan::partition::Partition;
use crate::shape::Shape;

/// Bytes that each workspace may have, all of them together no more than `total`: what the operators take that are cut for no
/// workspace, and where that is more, in the same proportions.
pub(super) fn budgets(work: &Workload, partition: &Partition, total: u64) -> Vec<u64> {
    let mut wanted: Vec<u64> = Vec::new();
    for (_, op, selected) in work.computed() {
        for extent in partition.storages[op.output.index()].extents() {
            let region = &extent.region;
            let read = work.access(op, 0).reads(0, region.frames.clone(), work.shape(op.inputs[0]).t);
            for (index, one) in
                work.workspaces(op, selected.method, region, read.len(), region.rows.len()).iter().enumerate()
            {
                wanted.resize(wanted.len().max(index + 1), 0);
                let bindable = work.options.limits.bindable_in(one.memory, one.dtype);
                wanted[index] = wanted[index].max(one.bytes.min(bindable));
            }
        }
    }
    let all: u64 = wanted.iter().sum();
    if all <= total {
        return wanted;
    }
    wanted.iter().map(|&bytes| (u128::from(total) * u128::from(bytes) / u128::from(all)) as u64).collect()
}

/// Makes the workspaces that all operators share large enough for these.
pub(super) fn share(shared: &mut Vec<Workspace>, workspaces: &[Workspace]) {
    shared.extend(workspaces.iter().skip(shared.len()));
    for (shared, one) in shared.iter_mut().zip(workspaces) {
        let same = (shared.memory, shared.dtype) == (one.memory, one.dtype);
        debug_assert!(same, "a workspace of that number is the same for all methods");
        shared.bytes = shared.bytes.max(one.bytes);
    }
}

impl Workload<'_> {
    /// The workspaces of `op` for so many rows of a region of its output, for which it has so many frames of its first input
    /// bound.
    pub(super) fn workspaces(
        &self,
        op: &Operator,
        method: Method,
        region: &Region,
        input_frames: usize,
        rows: usize,
    ) -> Vec<Workspace> {
        let input = Shape { t: input_frames, ..self.shape(op.inputs[0]) };
        let output = Shape { t: region.frames.len(), ..self.shape(op.output) };
        method.workspaces(input, output, rows)
    }
}
