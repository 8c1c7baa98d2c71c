//! How large the workspaces are, before any operator is cut.
//!
//! All operators share the workspaces, so each is as large as the operator needs it that needs most of it. What they
//! may have together is divided between them once, from what all operators would take, and each operator is cut to that
//! by itself: what becomes of one does not depend on the others' order.

use super::Region;
use crate::graph::Operator;
use crate::kernels::{Method, Workspace};
use crate::plan::batch::Workload;
use crate::plan::partition::Partition;
use crate::shape::Shape;

/// Bytes that each workspace may have, all of them together no more than `total`: what the operators take that are cut
/// for no workspace. Where that is more, in the proportions of the operator that leave all of them the fewest slices.
pub(super) fn budgets(work: &Workload, partition: &Partition, total: u64) -> Vec<u64> {
    let wanted: Vec<Vec<u64>> = work
        .computed()
        .flat_map(|(_, op, selected)| {
            let extents = partition.storages[op.output.index()].extents().iter();
            extents
                .map(move |extent| wanted(work, op, selected.method, &extent.region))
                .filter(|bytes| !bytes.is_empty())
        })
        .collect();
    divide(&wanted, total)
}

/// What the workspaces of `op` take for a region of its output.
fn wanted(work: &Workload, op: &Operator, method: Method, region: &Region) -> Vec<u64> {
    let read = work.access(op, 0).reads(0, region.frames.clone(), work.shape(op.inputs[0]).t);
    let workspaces = work.workspaces(op, method, region, read.len(), region.rows.len());
    workspaces.iter().map(|one| one.bytes).collect()
}

/// Divides `total` bytes between workspaces, of which several operators want so many.
fn divide(wanted: &[Vec<u64>], total: u64) -> Vec<u64> {
    let most = |index: usize| wanted.iter().filter_map(|bytes| bytes.get(index)).copied().max().unwrap_or(0);
    let largest: Vec<u64> = (0..wanted.iter().map(Vec::len).max().unwrap_or(0)).map(most).collect();
    if largest.iter().sum::<u64>() <= total {
        return largest;
    }
    let in_proportion = |bytes: &[u64]| -> Vec<u64> {
        let all = bytes.iter().sum::<u64>().max(1);
        let share =
            |index: usize| u128::from(total) * u128::from(bytes.get(index).copied().unwrap_or(0)) / u128::from(all);
        (0..largest.len()).map(|index| share(index) as u64).collect()
    };
    let slices = |budgets: &[u64]| -> u64 {
        let of_one =
            |bytes: &Vec<u64>| bytes.iter().zip(budgets).map(|(&bytes, &fit)| bytes.div_ceil(fit.max(1))).max();
        wanted.iter().filter_map(of_one).map(|slices| slices.max(1)).fold(0, u64::saturating_add)
    };
    let candidates = wanted.iter().chain([&largest]).map(|bytes| in_proportion(bytes));
    candidates.min_by_key(|budgets| slices(budgets)).unwrap_or_default()
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
    /// The workspaces of `op` for so many rows of a region of its output, for which it has so many frames of its first
    /// input bound.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_divided_so_that_operators_are_cut_least() {
        let bytes = |pairs: &[[u64; 2]]| pairs.iter().map(|pair| pair.to_vec()).collect::<Vec<_>>();
        assert_eq!(divide(&[], 100), [0; 0]);
        assert_eq!(divide(&bytes(&[[30, 20], [10, 70]]), 100), [30, 70], "what fits is not cut");
        assert_eq!(divide(&bytes(&[[300, 100]]), 100), [75, 25]);
        // Three that want as much of either, and one that wants the second.
        let mixed = bytes(&[[100, 100], [100, 100], [100, 100], [10, 120]]);
        assert_eq!(divide(&mixed, 100), [50, 50]);
        let mixed: Vec<_> = mixed.into_iter().rev().collect();
        assert_eq!(divide(&mixed, 100), [50, 50], "the order of operators decides nothing");
    }
}
