//! Which blobs share a buffer.
//!
//! Blobs alive during one step never share: WebGPU tracks usage by buffer, so a dispatch's input and output must be
//! different buffers. Apart from that the fewest bytes win. The assignment is greedy by size, as in Pisarchyk and Lee,
//! *Efficient Memory Management for Deep Neural Net Inference* (2020): the largest blob first, each into the smallest
//! buffer that is free for its whole life. A blob in several segments counts as several blobs that live alike.

use crate::graph::BlobId;

/// From the step that writes a blob to the last that reads it, both included.
#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    /// Bytes of its segments.
    segments: Vec<u64>,
    /// The blob that holds its values: itself, except behind an identity operator.
    stored_in: usize,
    /// First and last step, once any is known.
    span: Option<(usize, usize)>,
}

impl Lifetime {
    pub fn unused(segments: &[u64], stored_in: usize) -> Self {
        Self { segments: segments.to_vec(), stored_in, span: None }
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().sum()
    }

    pub fn extend_to(&mut self, step: usize) {
        let (first, last) = self.span.unwrap_or((step, step));
        self.span = Some((first.min(step), last.max(step)));
    }

    fn alive_at(&self, step: usize) -> bool {
        self.span.is_some_and(|(first, last)| (first..=last).contains(&step))
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self.span, other.span) {
            (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
            _ => false,
        }
    }
}

/// Buffers for activations, and which blob lives in which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// By blob, then by segment.
    buffers_of: Vec<Vec<usize>>,
    spans: Vec<Option<(usize, usize)>>,
    buffers: Vec<u64>,
    lower_bound: u64,
    unshared: u64,
}

impl Memory {
    /// Assigns the blobs of a plan of `steps` steps.
    pub(super) fn assign(lifetimes: &[Lifetime], steps: usize) -> Self {
        let stored = |index: &usize| lifetimes[*index].stored_in == *index;
        let stored: Vec<usize> = (0..lifetimes.len()).filter(stored).collect();
        let segments =
            |&blob: &usize| lifetimes[blob].segments.iter().enumerate().map(move |(s, &bytes)| (blob, s, bytes));
        let mut order: Vec<(usize, usize, u64)> = stored.iter().flat_map(segments).collect();
        order.sort_by_key(|&(blob, _, bytes)| (std::cmp::Reverse(bytes), lifetimes[blob].span));

        let mut buffers: Vec<u64> = Vec::new();
        let mut tenants: Vec<Vec<usize>> = Vec::new();
        let mut buffers_of: Vec<Vec<usize>> =
            lifetimes.iter().map(|own| vec![usize::MAX; own.segments.len()]).collect();
        for (blob, segment, bytes) in order {
            let own = &lifetimes[blob];
            let free = |buffer: &usize| !tenants[*buffer].iter().any(|&other| own.overlaps(&lifetimes[other]));
            // Buffers were opened from large to small, so the last free one is the tightest fit.
            let buffer = (0..buffers.len()).rev().find(free).unwrap_or_else(|| {
                buffers.push(bytes);
                tenants.push(Vec::new());
                buffers.len() - 1
            });
            tenants[buffer].push(blob);
            buffers_of[blob][segment] = buffer;
        }
        let mut spans = vec![None; lifetimes.len()];
        for (blob, lifetime) in lifetimes.iter().enumerate() {
            buffers_of[blob] = buffers_of[lifetime.stored_in].clone();
            spans[blob] = lifetimes[lifetime.stored_in].span;
        }

        let alive = |step: usize| {
            let alive = stored.iter().filter(|&&index| lifetimes[index].alive_at(step));
            alive.map(|&index| lifetimes[index].bytes()).sum::<u64>()
        };
        Self {
            buffers_of,
            spans,
            buffers,
            lower_bound: (0..steps).map(alive).max().unwrap_or(0),
            unshared: stored.iter().map(|&index| lifetimes[index].bytes()).sum(),
        }
    }

    /// Sizes of the buffers, in bytes.
    pub fn buffers(&self) -> &[u64] {
        &self.buffers
    }

    /// The buffers of a blob, one for each of its segments, as indices into [`Memory::buffers`].
    pub fn buffers_of(&self, blob: BlobId) -> &[usize] {
        &self.buffers_of[blob.index()]
    }

    /// The first and the last step during which a blob must be there, as indices into the plan's steps. `None` for a
    /// blob that nothing uses. Blobs that an identity operator joins live as one.
    pub fn lifetime(&self, blob: BlobId) -> Option<(usize, usize)> {
        self.spans[blob.index()]
    }

    /// Bytes of all buffers.
    pub fn peak_bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }

    /// Largest sum of the blobs alive during one step, clip and requested taps included: no assignment of whole
    /// blobs to buffers can need less.
    pub fn lower_bound_bytes(&self) -> u64 {
        self.lower_bound
    }

    /// Whether there is nothing worth saving: no more than a tenth above the least, or a few MiB.
    pub(super) fn is_tight(&self) -> bool {
        const SMALL: u64 = 4 << 20;
        let (peak, least) = (self.peak_bytes(), self.lower_bound);
        peak <= least + least / 10 || peak <= least + SMALL
    }

    /// Bytes if every blob had a buffer of its own.
    pub fn unshared_bytes(&self) -> u64 {
        self.unshared
    }
}
