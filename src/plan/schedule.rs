//! In which order slices are computed.
//!
//! *Step by step* every blob is computed as a whole before anything that reads it. *Streamed*, a slice of the last operator
//! asks for the segments it reads, those for theirs, and so on, so that a segment is computed just before it is needed first,
//! and its memory is free as soon as it has been needed last. Both compute the same slices, from the same values.

use super::slices::Binding;
use super::{Output, Step, Storage};
use crate::graph::{BlobId, Graph};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Dispatches of one step that run one after the other, with what is copied in front of them and behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The step, an index into [`super::Plan::steps`].
    pub step: usize,
    /// Which of its dispatches.
    pub dispatches: Range<usize>,
    /// What is uploaded: inputs by number, each with a piece of it.
    pub uploads: Vec<(usize, usize)>,
    /// What is read back: outputs by number, each with a piece of it.
    pub readbacks: Vec<(usize, usize)>,
}

/// What is to be put in order.
pub(super) struct Slices<'a> {
    pub graph: &'a Graph,
    pub storages: &'a [Storage],
    pub steps: &'a [Step],
    /// By step, the dispatches of each slice.
    pub slices: &'a [Vec<Range<usize>>],
    pub outputs: &'a [Output],
}

/// A segment of a blob: the blob that holds it, and its number there.
type Segment = (usize, usize);

/// A part of a segment: frames and rows.
type Part = (Range<usize>, Range<usize>);

/// A slice on its way into an order.
struct Node {
    stretch: Stretch,
    reads: Vec<(Segment, Part)>,
    writes: (Segment, Part),
}

impl Slices<'_> {
    /// Every step as one stretch; inputs are uploaded in front of all.
    pub fn step_by_step(&self) -> Vec<Stretch> {
        let stretch = |(step, own): (usize, &Step)| Stretch {
            step,
            dispatches: 0..own.dispatches.len(),
            uploads: Vec::new(),
            readbacks: Vec::new(),
        };
        let mut stretches: Vec<Stretch> = self.steps.iter().enumerate().map(stretch).collect();
        let pieces = |id: BlobId| 0..self.storages[id.index()].pieces().len();
        if let Some(first) = stretches.first_mut() {
            let inputs = self.graph.inputs().iter().enumerate();
            first.uploads = inputs.flat_map(|(port, &id)| pieces(id).map(move |piece| (port, piece))).collect();
        }
        for (port, output) in self.outputs.iter().enumerate() {
            if let Some(stretch) = stretches.get_mut(output.written_by.unwrap_or(0)) {
                stretch.readbacks.extend(pieces(output.blob).map(|piece| (port, piece)));
            }
        }
        stretches
    }

    /// Every slice as a stretch, as late as it can be for the slices of the last operator in their order; what is read back
    /// besides as soon as it can be.
    pub fn streamed(&self, stored_in: &impl Fn(BlobId) -> BlobId) -> Vec<Stretch> {
        let nodes = self.nodes(stored_in);
        let mut writers: BTreeMap<Segment, Vec<usize>> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            writers.entry(node.writes.0).or_default().push(index);
        }
        let needs: Vec<BTreeSet<usize>> = nodes
            .iter()
            .map(|node| {
                let of = |(segment, part): &(Segment, Part)| {
                    let own = writers.get(segment).into_iter().flatten().copied();
                    let part = part.clone();
                    own.filter(|&writer| meet(&nodes[writer].writes.1, &part)).collect::<Vec<_>>()
                };
                node.reads.iter().flat_map(of).collect()
            })
            .collect();
        // What ends in an output, and whom it waits for.
        let mut ends: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, _) in nodes.iter().enumerate().filter(|(_, node)| !node.stretch.readbacks.is_empty()) {
            for &needed in &needs[index] {
                ends.entry(needed).or_default().push(index);
            }
        }

        let mut order = Vec::new();
        let mut done = vec![false; nodes.len()];
        let last = nodes.last().map_or(0, |node| node.stretch.step);
        let (wanted, others): (Vec<usize>, Vec<usize>) =
            (0..nodes.len()).partition(|&index| nodes[index].stretch.step == last);
        for root in wanted.into_iter().chain(others) {
            // What is to be done, on top what is needed for what is below it.
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
        let mut stretches: Vec<Option<Stretch>> = nodes.into_iter().map(|node| Some(node.stretch)).collect();
        order.into_iter().filter_map(|index| stretches[index].take()).collect()
    }

    fn nodes(&self, stored_in: &impl Fn(BlobId) -> BlobId) -> Vec<Node> {
        let mut nodes = Vec::new();
        // By input, the pieces of it that the steps so far read.
        let mut uploaded = vec![0; self.graph.inputs().len()];
        for (step, (own, slices)) in self.steps.iter().zip(self.slices).enumerate() {
            let op = &self.graph.operators()[own.operator];
            // The pieces of a planar blob are the slices of its conversion, or of those that read it, one after the other.
            let input = self.graph.inputs().iter().position(|id| op.inputs.contains(id));
            let output = self.outputs.iter().position(|output| output.blob == op.output);
            let first = input.map_or(0, |port| uploaded[port]);
            if let Some(port) = input {
                uploaded[port] += slices.len();
            }
            for (piece, dispatches) in slices.iter().enumerate() {
                let bound: Vec<(BlobId, Segment, Part)> = segments(&own.dispatches[dispatches.clone()], stored_in);
                let (written, read): (Vec<_>, Vec<_>) = bound.into_iter().partition(|(id, ..)| *id == op.output);
                let Some((_, segment, part)) = written.into_iter().next() else { continue };
                let stretch = Stretch {
                    step,
                    dispatches: dispatches.clone(),
                    uploads: input.map(|port| (port, first + piece)).into_iter().collect(),
                    readbacks: output.map(|port| (port, piece)).into_iter().collect(),
                };
                let reads = read.into_iter().map(|(_, segment, part)| (segment, part)).collect();
                nodes.push(Node { stretch, reads, writes: (segment, part) });
            }
        }
        nodes
    }
}

/// What dispatches bind of blobs: each with the segment it is in and the part of that, without repetition.
pub(super) fn segments(
    dispatches: &[super::Dispatch],
    stored_in: &impl Fn(BlobId) -> BlobId,
) -> Vec<(BlobId, Segment, Part)> {
    let mut bound = Vec::new();
    for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
        let Binding::Frames { blob, frames, rows, segment, .. } = binding else { continue };
        let own = (*blob, (stored_in(*blob).index(), *segment), (frames.clone(), rows.clone()));
        if !bound.contains(&own) {
            bound.push(own);
        }
    }
    bound
}

/// Whether two parts of a segment have something in common.
fn meet(a: &Part, b: &Part) -> bool {
    let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    meet(&a.0, &b.0) && meet(&a.1, &b.1)
}
