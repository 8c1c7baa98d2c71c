//! Stage five: in which order slices are computed.
//!
//! *Blob by blob*, every blob is computed as a whole before anything that reads it. *Demand-driven*, a slice of the
//! last operator asks for the chunks that it reads, their slices ask for the chunks that they read, and so on: a chunk
//! is computed just before its first read, and its memory is free after its last. Both orders compute the same slices,
//! from the same values.

use super::batch::Workload;
use super::lower::{Located, Lowered, LoweredSlice};
use super::region::Region;
use super::{Output, Step, Storage};
use crate::graph::BlobId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Dispatches of one step that run one after the other, with what is copied before and after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleItem {
    /// The step, an index into [`super::Plan::steps`].
    pub step: usize,
    /// Which of its dispatches.
    pub dispatches: Range<usize>,
    /// The uploads before the dispatches: pairs of an input, by number, and one of its extents.
    pub uploads: Vec<(usize, usize)>,
    /// The readbacks after the dispatches: pairs of an output, by number, and one of its extents.
    pub readbacks: Vec<(usize, usize)>,
}

/// The order of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Every blob as a whole before anything that reads it.
    BlobByBlob,
    /// Every chunk when it is needed.
    OnDemand,
}

/// Puts the slices of a workload in order, with the copies between them.
pub(super) fn schedule(work: &Workload, lowered: &Lowered, outputs: &[Output], order: Order) -> Vec<ScheduleItem> {
    match order {
        Order::BlobByBlob => blob_by_blob(work, lowered, outputs),
        Order::OnDemand => on_demand(slices(work, lowered, outputs)),
    }
}

/// Every step as one item; inputs are uploaded before the first.
fn blob_by_blob(work: &Workload, lowered: &Lowered, outputs: &[Output]) -> Vec<ScheduleItem> {
    let item = |(step, Step { dispatches, .. }): (usize, &Step)| ScheduleItem {
        step,
        dispatches: 0..dispatches.len(),
        uploads: Vec::new(),
        readbacks: Vec::new(),
    };
    let mut items: Vec<ScheduleItem> = lowered.steps.iter().enumerate().map(item).collect();
    let extents = |id: BlobId| 0..lowered.storages[id.index()].extents().len();
    if let Some(first) = items.first_mut() {
        let inputs = work.graph.inputs().iter().enumerate();
        first.uploads = inputs.flat_map(|(port, &id)| extents(id).map(move |extent| (port, extent))).collect();
    }
    for (port, output) in outputs.iter().enumerate() {
        if let Some(item) = items.get_mut(output.written_by.unwrap_or(0)) {
            item.readbacks.extend(extents(output.blob).map(|extent| (port, extent)));
        }
    }
    items
}

/// A chunk of a blob: the blob that holds the values, and the chunk's number there.
pub(super) type Chunk = (usize, usize);

/// A slice that is to be put in order, with the regions that it reads and writes.
struct Node {
    item: ScheduleItem,
    reads: Vec<(Chunk, Region)>,
    writes: (Chunk, Region),
}

/// Every slice as an item.
fn slices(work: &Workload, lowered: &Lowered, outputs: &[Output]) -> Vec<Node> {
    let Lowered { steps, slices, storages, .. } = lowered;
    let mut nodes = Vec::new();
    for (step, slices) in slices.iter().enumerate() {
        let op = &work.graph.operators()[steps[step].operator];
        let input = op.inputs.iter().enumerate().find_map(|(index, id)| {
            let port = work.graph.inputs().iter().position(|input| input == id)?;
            Some((port, index))
        });
        let output = outputs.iter().position(|output| output.blob == op.output);
        for LoweredSlice { regions, dispatches } in slices {
            let item = ScheduleItem {
                step,
                dispatches: dispatches.clone(),
                uploads: input
                    .and_then(|(port, index)| Some((port, regions.inputs[index].extent?)))
                    .into_iter()
                    .collect(),
                readbacks: output.and_then(|port| Some((port, regions.output.extent?))).into_iter().collect(),
            };
            let bound = |id: BlobId, located: &Located| (chunk_of(work, storages, id, located), located.region.clone());
            let reads = op.inputs.iter().zip(&regions.inputs).map(|(&id, located)| bound(id, located)).collect();
            nodes.push(Node { item, reads, writes: bound(op.output, &regions.output) });
        }
    }
    nodes
}

/// The slices of the last operator stay in their order. Every other slice comes just before the first one that needs
/// it, but a slice of an output comes as soon as all slices that it needs are done.
fn on_demand(nodes: Vec<Node>) -> Vec<ScheduleItem> {
    let mut writers: BTreeMap<Chunk, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        writers.entry(node.writes.0).or_default().push(index);
    }
    let needs = |node: &Node| -> BTreeSet<usize> {
        let writers_of = |(chunk, region): &(Chunk, Region)| {
            let all = writers.get(chunk).into_iter().flatten().copied();
            all.filter(|&writer| nodes[writer].writes.1.overlaps(region)).collect::<Vec<_>>()
        };
        node.reads.iter().flat_map(writers_of).collect()
    };
    let needs: Vec<BTreeSet<usize>> = nodes.iter().map(needs).collect();
    // By slice, the slices of outputs that need it.
    let mut ends: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, _) in nodes.iter().enumerate().filter(|(_, node)| !node.item.readbacks.is_empty()) {
        for &needed in &needs[index] {
            ends.entry(needed).or_default().push(index);
        }
    }

    let mut order = Vec::new();
    let mut done = vec![false; nodes.len()];
    let last = nodes.last().map_or(0, |node| node.item.step);
    let (wanted, others): (Vec<usize>, Vec<usize>) =
        (0..nodes.len()).partition(|&index| nodes[index].item.step == last);
    for root in wanted.into_iter().chain(others) {
        // The slices to compute. What a slice needs is above it.
        let mut stack = vec![root];
        while let Some(&index) = stack.last() {
            let missing = needs[index].iter().copied().find(|&needed| !done[needed]);
            if let Some(missing) = missing.filter(|_| !done[index]) {
                stack.push(missing);
                continue;
            }
            stack.pop();
            if done[index] {
                continue;
            }
            done[index] = true;
            order.push(index);
            let waiting = ends.get(&index).into_iter().flatten().copied();
            stack.extend(waiting.filter(|&end| needs[end].iter().all(|&needed| done[needed])));
        }
    }
    let mut items: Vec<Option<ScheduleItem>> = nodes.into_iter().map(|node| Some(node.item)).collect();
    order.into_iter().filter_map(|index| items[index].take()).collect()
}

/// The chunk that holds a region of a blob.
pub(super) fn chunk_of(work: &Workload, storages: &[Storage], blob: BlobId, located: &Located) -> Chunk {
    let extent = located.extent.expect("every region has an extent once it is lowered");
    (work.stored_in(blob).index(), storages[blob.index()].extents()[extent].chunk)
}
