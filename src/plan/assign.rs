//! Stage six: which blobs share a buffer.
//!
//! Blobs that are alive during one step never share a buffer: WebGPU tracks usage by buffer, so a dispatch's input and
//! output must be different buffers. The assignment is greedy by size, as in Pisarchyk and Lee, *Efficient Memory
//! Management for Deep Neural Net Inference* (2020): the largest blob first, each into the smallest buffer that is free
//! for its whole lifetime. If that needs more than the lower bound, variants are tried: another order of blobs of one
//! size, and the buffer that is free for the shortest time instead of the smallest. The result with the fewest bytes is
//! taken. A blob in several chunks counts as several blobs, which have the same lifetime unless chunks are computed on
//! demand. Time is counted in schedule items ([`super::ScheduleItem`]).

use super::batch::Workload;
use super::lower::Lowered;
use super::schedule::{Order, ScheduleItem};
use super::{Binding, Storage};
use crate::graph::BlobId;
use std::cmp::Reverse;

/// Gives every chunk of every blob a buffer.
pub(super) fn assign(work: &Workload, lowered: &Lowered, schedule: &[ScheduleItem], order: Order) -> Memory {
    Memory::assign(&lifetimes(work, lowered, schedule, order), schedule.len())
}

/// The lifetimes of all blobs. Blob by blob, a step keeps all chunks of its blobs alive; on demand, a dispatch keeps
/// the chunks alive that it binds.
fn lifetimes(work: &Workload, lowered: &Lowered, schedule: &[ScheduleItem], order: Order) -> Vec<Lifetime> {
    let stored = |blob: BlobId| work.stored_in(blob).index();
    let unused = |(index, storage): (usize, &Storage)| Lifetime::unused(storage.chunks(), stored(BlobId(index)));
    let mut lifetimes: Vec<Lifetime> = lowered.storages.iter().enumerate().map(unused).collect();
    for (index, item) in schedule.iter().enumerate() {
        let step = &lowered.steps[item.step];
        match order {
            Order::BlobByBlob => {
                let op = &work.graph.operators()[step.operator];
                let uploaded = item.uploads.iter().map(|&(port, _)| &work.graph.inputs()[port]);
                for &id in op.inputs.iter().chain([&op.output]).chain(uploaded) {
                    lifetimes[stored(id)].extend_all(index);
                }
            }
            Order::OnDemand => {
                let dispatches = &step.dispatches[item.dispatches.clone()];
                for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
                    if let Binding::Blob { blob, chunk, .. } = binding {
                        lifetimes[stored(*blob)].extend(*chunk, index);
                    }
                }
            }
        }
    }
    lifetimes
}

/// The lifetimes of a blob's chunks: from the item that first writes a chunk to the last that reads it, both included.
#[derive(Clone, Debug)]
struct Lifetime {
    /// Bytes of each chunk, and its lifetime once it is known.
    chunks: Vec<(u64, Option<Span>)>,
    /// The blob that holds its values: itself, except behind an identity operator.
    stored_in: usize,
}

/// The first and the last item of a lifetime.
type Span = (usize, usize);

impl Lifetime {
    fn unused(chunks: &[u64], stored_in: usize) -> Self {
        Self { chunks: chunks.iter().map(|&bytes| (bytes, None)).collect(), stored_in }
    }

    /// Extends the lifetime of a chunk to an item.
    fn extend(&mut self, chunk: usize, item: usize) {
        let span = &mut self.chunks[chunk].1;
        let (first, last) = span.unwrap_or((item, item));
        *span = Some((first.min(item), last.max(item)));
    }

    /// Extends the lifetimes of all chunks to an item.
    fn extend_all(&mut self, item: usize) {
        (0..self.chunks.len()).for_each(|chunk| self.extend(chunk, item));
    }
}

/// A chunk that needs a buffer.
#[derive(Clone, Copy, Debug)]
struct Tenant {
    blob: usize,
    chunk: usize,
    bytes: u64,
    span: Option<Span>,
}

/// Buffers, and which chunk is in which.
struct Packing {
    buffers: Vec<u64>,
    /// By tenant.
    buffer_of: Vec<usize>,
}

/// Which of several chunks of one size gets its buffer first.
#[derive(Clone, Copy)]
enum Ties {
    Earliest,
    LongestLived,
}

/// Which buffer a chunk gets, of those that are free for its whole lifetime.
#[derive(Clone, Copy)]
enum Fit {
    /// The smallest.
    Bytes,
    /// The one that is free for the shortest time; of several, the smallest.
    Time,
}

/// More chunks than this are packed in one way only: each chunk is compared with all that were packed before it.
const FEW: usize = 2048;

impl Packing {
    /// The best of a few greedy packings, none of which is always the best.
    fn best(tenants: &[Tenant], least: u64) -> Self {
        let ways = [
            (Ties::Earliest, Fit::Bytes),
            (Ties::Earliest, Fit::Time),
            (Ties::LongestLived, Fit::Time),
            (Ties::LongestLived, Fit::Bytes),
        ];
        let mut best = Self::greedy(tenants, ways[0].0, ways[0].1);
        for (ties, fit) in ways.into_iter().skip(1).take_while(|_| tenants.len() <= FEW) {
            if best.bytes() <= least {
                break;
            }
            let other = Self::greedy(tenants, ties, fit);
            if other.bytes() < best.bytes() {
                best = other;
            }
        }
        best
    }

    /// The largest chunk first, each into a buffer that is free for its whole lifetime.
    fn greedy(tenants: &[Tenant], ties: Ties, fit: Fit) -> Self {
        let mut order: Vec<usize> = (0..tenants.len()).collect();
        let life = |index: &usize| tenants[*index].span.map_or(0, |(first, last)| last - first);
        order.sort_by_key(|index| {
            let longest = match ties {
                Ties::Earliest => 0,
                Ties::LongestLived => life(index),
            };
            (Reverse(tenants[*index].bytes), Reverse(longest), tenants[*index].span)
        });
        let mut packing = Self { buffers: Vec::new(), buffer_of: vec![usize::MAX; tenants.len()] };
        let mut spans: Vec<Vec<Option<Span>>> = Vec::new();
        for index in order {
            let Tenant { bytes, span, .. } = tenants[index];
            let free = |buffer: &usize| !spans[*buffer].iter().any(|&other| overlap(span, other));
            // Buffers were opened from large to small.
            let mut smallest_first = (0..spans.len()).rev().filter(free);
            let found = match fit {
                Fit::Bytes => smallest_first.next(),
                Fit::Time => smallest_first.min_by_key(|&buffer| gap(span, &spans[buffer])),
            };
            let buffer = found.unwrap_or_else(|| {
                packing.buffers.push(bytes);
                spans.push(Vec::new());
                spans.len() - 1
            });
            spans[buffer].push(span);
            packing.buffer_of[index] = buffer;
        }
        packing
    }

    fn bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }
}

/// How long a buffer is free around the lifetime `span`, if its other tenants have the lifetimes `others`.
fn gap(span: Option<Span>, others: &[Option<Span>]) -> usize {
    let Some((first, last)) = span else { return 0 };
    let others = || others.iter().flatten();
    let before = others().map(|other| other.1 + 1).filter(|&free| free <= first).max().unwrap_or(0);
    let after = others().map(|other| other.0).filter(|&taken| taken > last).min().unwrap_or(usize::MAX);
    after - before
}

fn overlap(a: Option<Span>, b: Option<Span>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}

/// Buffers for activations, and which blob lives in which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// By blob, then by chunk.
    buffers_of: Vec<Vec<usize>>,
    spans: Vec<Vec<Option<Span>>>,
    buffers: Vec<u64>,
    lower_bound: u64,
    unshared: u64,
}

impl Memory {
    /// Assigns the blobs of a plan with `items` schedule items.
    fn assign(lifetimes: &[Lifetime], items: usize) -> Self {
        let stored = lifetimes.iter().enumerate().filter(|(blob, lifetime)| lifetime.stored_in == *blob);
        let tenants: Vec<Tenant> = stored
            .flat_map(|(blob, lifetime)| {
                let chunks = lifetime.chunks.iter().enumerate();
                chunks.map(move |(chunk, &(bytes, span))| Tenant { blob, chunk, bytes, span })
            })
            .collect();
        let lower_bound = most_alive(&tenants, items);
        let packing = Packing::best(&tenants, lower_bound);
        let mut buffers_of: Vec<Vec<usize>> =
            lifetimes.iter().map(|lifetime| vec![usize::MAX; lifetime.chunks.len()]).collect();
        for (tenant, &buffer) in tenants.iter().zip(&packing.buffer_of) {
            buffers_of[tenant.blob][tenant.chunk] = buffer;
        }
        let mut spans = Vec::new();
        for (blob, lifetime) in lifetimes.iter().enumerate() {
            buffers_of[blob] = buffers_of[lifetime.stored_in].clone();
            spans.push(lifetimes[lifetime.stored_in].chunks.iter().map(|(_, span)| *span).collect());
        }
        let unshared = tenants.iter().map(|tenant| tenant.bytes).sum();
        Self { buffers_of, spans, buffers: packing.buffers, lower_bound, unshared }
    }

    /// Sizes of the buffers, in bytes.
    pub fn buffers(&self) -> &[u64] {
        &self.buffers
    }

    /// The buffers of a blob, one for each of its chunks, as indices into [`Memory::buffers`].
    pub fn buffers_of(&self, blob: BlobId) -> &[usize] {
        &self.buffers_of[blob.index()]
    }

    /// The first and the last item that use a chunk of a blob, as indices into [`super::Plan::schedule`]. `None` for a
    /// chunk that nothing uses. The input and the output of an identity operator have one lifetime.
    pub fn lifetime(&self, blob: BlobId, chunk: usize) -> Option<(usize, usize)> {
        self.spans[blob.index()][chunk]
    }

    /// Bytes of all buffers.
    pub fn peak_bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }

    /// Largest sum of the blobs alive during one item, clip and requested taps included: no assignment of whole
    /// blobs to buffers can need less.
    pub fn lower_bound_bytes(&self) -> u64 {
        self.lower_bound
    }

    /// Whether the peak exceeds the lower bound by at most a tenth, or by at most a few MiB: nothing worth saving.
    pub(super) fn is_tight(&self) -> bool {
        const SMALL: u64 = 4 << 20;
        let (peak, least) = (self.peak_bytes(), self.lower_bound);
        peak <= least + least / 10 || peak <= least + SMALL
    }

    /// Bytes if no blobs shared a buffer.
    pub fn unshared_bytes(&self) -> u64 {
        self.unshared
    }
}

/// The most bytes that are alive during one of `items` items.
fn most_alive(tenants: &[Tenant], items: usize) -> u64 {
    // By item, the bytes that become alive less the bytes that no longer are.
    let mut changes = vec![0i128; items + 1];
    for &Tenant { bytes, span, .. } in tenants {
        let Some((first, last)) = span else { continue };
        changes[first] += i128::from(bytes);
        changes[last + 1] -= i128::from(bytes);
    }
    let alive = changes.iter().scan(0, |alive, change| {
        *alive += change;
        Some(*alive as u64)
    });
    alive.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(blobs: &[(u64, Span)], items: usize) -> Memory {
        let lifetime = |(index, &(bytes, span)): (usize, &(u64, Span))| Lifetime {
            chunks: Vec::from([(bytes, Some(span))]),
            stored_in: index,
        };
        Memory::assign(&blobs.iter().enumerate().map(lifetime).collect::<Vec<_>>(), items)
    }

    #[test]
    fn blobs_share_where_their_lives_do_not_overlap() {
        let memory = memory(&[(100, (0, 1)), (80, (1, 2)), (90, (2, 3)), (10, (3, 3))], 4);
        assert_eq!((memory.buffers(), memory.lower_bound_bytes()), (&[100, 80][..], 180));
        let buffers: Vec<_> = (0..4).map(|blob| memory.buffers_of(BlobId(blob))[0]).collect();
        assert_eq!(buffers, [0, 1, 0, 1]);
        assert_eq!(memory.unshared_bytes(), 280);
    }

    /// A bottleneck block with a projected shortcut, and one without: in the smallest buffers, narrow blobs take each
    /// other's place while a large buffer stands empty.
    #[test]
    fn bottlenecks_need_no_more_than_the_least() {
        let (narrow, wide) = (10, 40);
        let blobs = [
            (narrow, (0, 3)), // the block's input
            (narrow, (1, 2)), // branch2a
            (narrow, (2, 4)), // branch2b
            (wide, (3, 4)),   // branch1
            (wide, (4, 7)),   // branch2c and the sum
            (narrow, (5, 6)),
            (narrow, (6, 7)),
            (wide, (7, 8)),
        ];
        let memory = memory(&blobs, 9);
        assert_eq!((memory.peak_bytes(), memory.lower_bound_bytes()), (90, 90));
    }
}
