//! Which rows of a blob are stored together.
//!
//! Channels last, a frame is contiguous, and so is any range of its rows. If even the few frames that a dispatch needs
//! at once do not fit into a binding, a blob is stored in *bands*: a band is a range of rows of all frames, stored like
//! a blob of smaller height. Neighbouring bands overlap by the rows that a window reads beyond the first, so that a
//! reader of a few rows finds them together in one band, and nothing is copied; the rows of the overlap are computed
//! twice. Blobs of one shape have the same bands, so that an input that is addressed like the output is cut at the same
//! rows.
//!
//! Bands, and the ranges of rows in them that dispatches compute, begin at multiples of the *row unit*. It is a
//! multiple of the height of the tiles that methods compute whole, so that tiles are the same as without bands, and of
//! the row step at which bindings can begin.

use super::{Granularity, Order};
use crate::error::ErrorRepr;
use crate::graph::{BlobId, Layout};
use crate::plan::access::Access;
use crate::plan::batch::Workload;
use crate::plan::limits::Rejection;
use crate::shape::Shape;
use std::ops::Range;

impl Workload<'_> {
    /// The bands of a channels-last blob; one band of all rows if it needs no division.
    ///
    /// # Errors
    /// [`Rejection::Limit`] if the rows that must lie together exceed a binding or a buffer.
    pub(super) fn bands(&self, id: BlobId, granularity: &Granularity) -> Result<Vec<Range<usize>>, Rejection> {
        let (shape, limits) = (self.shape(id), &self.options.limits);
        let whole = 0..shape.h;
        if !granularity.bands || shape.n > 1 {
            return Ok(Vec::from([whole]));
        }
        let on_demand = granularity.order == Order::OnDemand;
        let mut most = granularity.chunk_bytes.min(limits.bindable());
        let frame_step = self.frame_step(id, shape.h);
        // Bands help here: the height of a band is a multiple of the row unit, so that each of its frames is aligned.
        let unaligned = shape.t > 1 && frame_step > 1;
        let together = self.least_frames(shape, frame_step);
        let together_bytes = (together * shape.h) as u64 * self.row_bytes(id);
        let fits = together_bytes <= most;
        if fits && !unaligned {
            return Ok(Vec::from([whole]));
        }
        let unit = self.row_unit(shape);
        let overlap = self.row_overlap(shape).next_multiple_of(unit);
        let at_once = self.least_frames(shape, 1);
        let row = self.row_bytes(id) * at_once as u64;
        if on_demand {
            most = most.max(row * (overlap + unit) as u64).min(limits.bindable());
        }
        let length = usize::try_from(most / row).unwrap_or(usize::MAX).min(shape.h) / unit * unit;
        if length > overlap {
            return Ok(self.overlapping_bands(id, length, overlap));
        }
        if fits || on_demand && together_bytes <= limits.bindable() {
            return Ok(Vec::from([whole]));
        }
        let least = (overlap + unit).min(shape.h);
        // Frames too low to be cut are needed together, from one at which a binding can begin to the next.
        let at_once = if least < shape.h { at_once } else { together };
        let frames = if at_once == 1 { "frame" } else { "frames" };
        let widest = self.readers(shape).max_by_key(|(op, input)| self.access(op, *input).span(1, unit));
        let read = widest.map_or(id, |(op, input)| op.inputs[input]);
        let name = &self.graph.blob(read).name;
        Err(Rejection::Limit(
            ErrorRepr::Limit {
                what: format!("blob {name} ({shape}), {least} rows of {at_once} {frames} of it at once,"),
                needed: self.row_bytes(id) * (at_once * least) as u64,
                limit: most,
                limit_name: if most == limits.max_binding_bytes { "binding" } else { "buffer" },
            }
            .into(),
        ))
    }

    /// Bands of `length` rows; neighbours overlap by `overlap`. The last band has the remaining rows, and begins
    /// earlier if that aligns its frames.
    fn overlapping_bands(&self, id: BlobId, length: usize, overlap: usize) -> Vec<Range<usize>> {
        let shape = self.shape(id);
        let (tile, step) = (self.tile_rows(shape), self.row_step(id));
        let mut bands = Vec::new();
        let mut start = 0;
        while start + length < shape.h {
            bands.push(start..start + length);
            start += length - overlap;
        }
        let earlier = (0..=start / tile).map(|back| start - back * tile);
        let mut earlier = earlier.take_while(|start| shape.h - start <= length);
        let aligned = earlier.find(|start| (shape.h - start).is_multiple_of(step));
        bands.push(aligned.unwrap_or(start)..shape.h);
        bands
    }

    /// The number of frames of a blob of `shape` that a dispatch reads at once if it computes as few frames as
    /// possible. Bindings can begin at frames that are multiples of `step`.
    fn least_frames(&self, shape: Shape, step: usize) -> usize {
        let spans = self.readers(shape).map(|(op, input)| match self.access(op, input) {
            Access::Same => step,
            access => {
                let outputs = if step == 1 { 1 } else { self.frame_step(op.output, self.shape(op.output).h) };
                access.span(0, outputs) + step - 1
            }
        });
        spans.max().unwrap_or(step).min(shape.t)
    }

    /// The number of rows of a blob of `shape`, beyond the first, that a dispatch reads at once if it computes as few
    /// rows as possible.
    fn row_overlap(&self, shape: Shape) -> usize {
        let spans = self.readers(shape).map(|(op, input)| match self.access(op, input) {
            Access::Same => 1,
            access => access.span(1, self.row_unit(self.shape(op.output))),
        });
        spans.max().unwrap_or(1) - 1
    }

    /// Ranges of rows of blobs of `shape` begin at multiples of this.
    pub(in crate::plan) fn row_unit(&self, shape: Shape) -> usize {
        let blobs = (0..self.shapes.len()).map(BlobId);
        let inside = blobs.filter(|&id| self.shape(id) == shape && self.graph.blob(id).layout == Layout::ChannelsLast);
        inside.map(|id| self.row_step(id)).fold(self.tile_rows(shape), lcm)
    }

    /// The height of the tiles of blobs of `shape` that methods compute whole.
    fn tile_rows(&self, shape: Shape) -> usize {
        let writers = self.computed().filter(|(_, op, _)| self.shape(op.output) == shape);
        let tiles = writers.filter_map(|(_, _, selected)| selected.method.row_tiles());
        tiles.map(|tiles| tiles.side).fold(1, lcm)
    }

    /// A binding of a single frame can begin at rows that are multiples of this.
    fn row_step(&self, id: BlobId) -> usize {
        self.options.limits.aligned_step(self.row_bytes(id))
    }
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut gcd, mut rest) = (a, b);
    while rest > 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    a / gcd * b
}
