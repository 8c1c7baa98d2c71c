//! The budgets of workspaces, which are decided before any operator is cut.
//!
//! All operators share the workspaces, so a workspace is as large as the largest need for it. The bytes that all
//! workspaces may have together are divided between them once, according to the needs of all operators. Each operator
//! is then cut to these budgets independently, so its slices do not depend on the order of the operators.

use super::Region;
use crate::graph::Operator;
use crate::kernels::{Method, Workspace};
use crate::plan::batch::Workload;
use crate::plan::partition::Partition;
use crate::shape::Shape;

/// The bytes that each workspace may have, at most `total` together. If the largest needs for the workspaces are within
/// `total`, they are the budgets, and no operator is cut for its workspaces. Otherwise `total` is divided in the
/// proportions of the needs that lead to the fewest slices of all operators.
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

/// Bytes of the workspaces of `op` for a region of its output.
fn wanted(work: &Workload, op: &Operator, method: Method, region: &Region) -> Vec<u64> {
    let read = work.access(op, 0).reads(0, region.frames.clone(), work.shape(op.inputs[0]).t);
    let workspaces = work.workspaces(op, method, region, read.len(), region.rows.len());
    workspaces.iter().map(|one| one.bytes).collect()
}

/// Divides `total` bytes between workspaces. Each entry of `wanted` has the bytes of the workspaces of one operator.
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
    /// The workspaces of `op` for `rows` rows of a region of its output, with `input_frames` frames of its first input
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_divided_so_that_operators_are_cut_least() {
        let bytes = |pairs: &[[u64; 2]]| pairs.iter().map(|pair| pair.to_vec()).collect::<Vec<_>>();
        assert_eq!(divide(&[], 100), [0; 0]);
        assert_eq!(divide(&bytes(&[[30, 20], [10, 70]]), 100), [30, 70], "what fits is not cut");
        assert_eq!(divide(&bytes(&[[300, 100]]), 100), [75, 25]);
        // Three operators that need as much of either workspace, and one that needs mostly the second.
        let mixed = bytes(&[[100, 100], [100, 100], [100, 100], [10, 120]]);
        assert_eq!(divide(&mixed, 100), [50, 50]);
        let mixed: Vec<_> = mixed.into_iter().rev().collect();
        assert_eq!(divide(&mixed, 100), [50, 50], "the order of operators decides nothing");
    }
}
