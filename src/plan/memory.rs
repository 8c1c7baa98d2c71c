//! Which blobs share a buffer.
//!
//! Blobs alive during one step never share: WebGPU tracks usage by buffer, so a dispatch's input and output must be
//! different buffers. Apart from that the fewest bytes win. The assignment is greedy by size, as in Pisarchyk and Lee,
//! *Efficient Memory Management for Deep Neural Net Inference* (2020): the largest blob first, each into the smallest
//! buffer that is free for its whole life. A blob in several segments counts as several blobs, which live alike unless
//! segments are computed when they are needed. Time is counted in stretches ([`super::Stretch`]), which are steps then.

use crate::graph::BlobId;

/// How long the segments of a blob are needed: from the stretch that first writes one to the last that reads it, both
/// included.
#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    /// Bytes of each segment, and when it is needed, once that is known.
    segments: Vec<(u64, Option<Span>)>,
    /// The blob that holds its values: itself, except behind an identity operator.
    stored_in: usize,
}

type Span = (usize, usize);

impl Lifetime {
    pub fn unused(segments: &[u64], stored_in: usize) -> Self {
        Self { segments: segments.iter().map(|&bytes| (bytes, None)).collect(), stored_in }
    }

    /// A segment is needed in a stretch.
    pub fn extend(&mut self, segment: usize, stretch: usize) {
        let span = &mut self.segments[segment].1;
        let (first, last) = span.unwrap_or((stretch, stretch));
        *span = Some((first.min(stretch), last.max(stretch)));
    }

    /// All segments are needed in a stretch.
    pub fn extend_all(&mut self, stretch: usize) {
        (0..self.segments.len()).for_each(|segment| self.extend(segment, stretch));
    }
}

fn overlap(a: Option<Span>, b: Option<Span>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}

/// Buffers for activations, and which blob lives in which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// By blob, then by segment.
    buffers_of: Vec<Vec<usize>>,
    spans: Vec<Vec<Option<Span>>>,
    buffers: Vec<u64>,
    lower_bound: u64,
    unshared: u64,
}

impl Memory {
    /// Assigns the blobs of a plan of so many stretches.
    pub(super) fn assign(lifetimes: &[Lifetime], stretches: usize) -> Self {
        let stored = |index: &usize| lifetimes[*index].stored_in == *index;
        let stored: Vec<usize> = (0..lifetimes.len()).filter(stored).collect();
        let segments = |&blob: &usize| {
            let own = lifetimes[blob].segments.iter().enumerate();
            own.map(move |(segment, &(bytes, span))| (blob, segment, bytes, span))
        };
        let all: Vec<(usize, usize, u64, Option<Span>)> = stored.iter().flat_map(segments).collect();
        let mut order = all.clone();
        order.sort_by_key(|&(_, _, bytes, span)| (std::cmp::Reverse(bytes), span));

        let mut buffers: Vec<u64> = Vec::new();
        let mut tenants: Vec<Vec<Option<Span>>> = Vec::new();
        let mut buffers_of: Vec<Vec<usize>> =
            lifetimes.iter().map(|own| vec![usize::MAX; own.segments.len()]).collect();
        for (blob, segment, bytes, span) in order {
            let free = |buffer: &usize| !tenants[*buffer].iter().any(|&other| overlap(span, other));
            // Buffers were opened from large to small, so the last free one is the tightest fit.
            let buffer = (0..buffers.len()).rev().find(free).unwrap_or_else(|| {
                buffers.push(bytes);
                tenants.push(Vec::new());
                buffers.len() - 1
            });
            tenants[buffer].push(span);
            buffers_of[blob][segment] = buffer;
        }
        let mut spans = Vec::new();
        for (blob, lifetime) in lifetimes.iter().enumerate() {
            buffers_of[blob] = buffers_of[lifetime.stored_in].clone();
            spans.push(lifetimes[lifetime.stored_in].segments.iter().map(|(_, span)| *span).collect());
        }

        // What begins to be needed in a stretch, and what no longer is.
        let mut changes = vec![0i128; stretches + 1];
        for &(_, _, bytes, span) in &all {
            let Some((first, last)) = span else { continue };
            changes[first] += i128::from(bytes);
            changes[last + 1] -= i128::from(bytes);
        }
        let alive = changes.iter().scan(0, |alive, change| {
            *alive += change;
            Some(*alive as u64)
        });
        Self {
            buffers_of,
            spans,
            buffers,
            lower_bound: alive.max().unwrap_or(0),
            unshared: all.iter().map(|(_, _, bytes, _)| bytes).sum(),
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

    /// The first and the last stretch during which a segment of a blob must be there, as indices into
    /// [`super::Plan::stretches`]. `None` for a segment that nothing uses. Blobs that an identity operator joins live as one.
    pub fn lifetime(&self, blob: BlobId, segment: usize) -> Option<(usize, usize)> {
        self.spans[blob.index()][segment]
    }

    /// Bytes of all buffers.
    pub fn peak_bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }

    /// Largest sum of the blobs alive during one stretch, clip and requested taps included: no assignment of whole
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
