//! Which rows of a blob are stored together.
//!
//! A frame is contiguous channels last, and so is any range of its rows. Where not even the few frames that a dispatch
//! needs at once fit into a binding, a blob is stored in *stripes*: ranges of rows, of all frames each, as if they were
//! frames of less height. Neighbouring stripes overlap by what windows reach beyond a row, so that whoever reads a few
//! rows finds them together in one stripe, and nothing is copied; the rows of the overlap are computed twice. Blobs of one
//! shape have the same stripes, so that what an operator reads like its output is cut where its output is.
//!
//! Stripes, and the ranges of rows in them that dispatches compute, begin at multiples of the *grain*: of the squares that
//! methods compute whole, which are then the same as without stripes, and of the rows at which a binding can begin.

use super::slices::Slicer;
use crate::error::{ErrorRepr, Result};
use crate::graph::{BlobId, Layout, Operator};
use crate::shape::Shape;
use std::ops::Range;

impl Slicer<'_> {
    /// The stripes of a blob, all rows where it needs none.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the rows that must lie together exceed a binding or a buffer.
    pub(super) fn stripes(&self, id: BlobId) -> Result<Vec<Range<usize>>> {
        let shape = self.shapes()[id.index()];
        let whole = 0..shape.h;
        if shape.n > 1 || self.graph().blob(id).layout == Layout::Planar {
            return Ok(Vec::from([whole]));
        }
        let mut most = self.segment_bytes.min(self.limits.bindable());
        let frames = self.frames(id, shape.h);
        // What single rows of all frames are aligned to, ranges of rows of single frames may be, and nothing else.
        let unaligned = shape.t > 1 && frames.step > 1;
        let fits = self.least_frames(shape, frames.step) as u64 * frames.bytes <= most;
        if fits && !unaligned {
            return Ok(Vec::from([whole]));
        }
        let grain = self.grain(shape);
        let overlap = self.row_overlap(shape).next_multiple_of(grain);
        let at_once = self.least_frames(shape, 1);
        let row = self.row_bytes(id) * at_once as u64;
        if self.streamed {
            most = most.max(row * (overlap + grain) as u64).min(self.limits.bindable());
        }
        let fit = usize::try_from(most / row).unwrap_or(usize::MAX).min(shape.h) / grain * grain;
        if fit <= overlap {
            let together = self.least_frames(shape, frames.step);
            let bindable = together as u64 * frames.bytes <= self.limits.bindable();
            if fits || self.streamed && bindable {
                return Ok(Vec::from([whole]));
            }
            let least = (overlap + grain).min(shape.h);
            // Of frames too low to be cut, as many are needed as lie between those where a binding can begin.
            let at_once = if least < shape.h { at_once } else { together };
            let row = self.row_bytes(id) * at_once as u64;
            let plural = if at_once == 1 { "frame" } else { "frames" };
            let widest = self.readers(shape).max_by_key(|(op, input)| self.reach(op, *input).span(1, grain));
            let read = widest.map_or(id, |(op, input)| op.inputs[input]);
            let name = &self.graph().blob(read).name;
            return Err(ErrorRepr::Limit {
                what: format!("blob {name} ({shape}), {least} rows of {at_once} {plural} of it at once,"),
                needed: row * least as u64,
                limit: most,
                limit_name: if most == self.limits.max_binding_bytes { "binding" } else { "buffer" },
            }
            .into());
        }
        Ok(self.overlapping_rows(id, fit, overlap))
    }

    /// Stripes of `length` rows, neighbours overlapping by `overlap`. The last has what is left, and begins earlier where
    /// that makes it as aligned as the others.
    fn overlapping_rows(&self, id: BlobId, length: usize, overlap: usize) -> Vec<Range<usize>> {
        let shape = self.shapes()[id.index()];
        let (side, step) = (self.side(shape), self.row_step(id));
        let mut stripes = Vec::new();
        let mut start = 0;
        while start + length < shape.h {
            stripes.push(start..start + length);
            start += length - overlap;
        }
        let earlier = (0..=start / side).map(|back| start - back * side);
        let mut earlier = earlier.take_while(|start| shape.h - start <= length);
        let aligned = earlier.find(|start| (shape.h - start).is_multiple_of(step));
        stripes.push(aligned.unwrap_or(start)..shape.h);
        stripes
    }

    /// How many frames of blobs of `shape` are needed at once for the fewest that somebody computes of another, where
    /// bindings can begin at the frames that are multiples of `step`.
    fn least_frames(&self, shape: Shape, step: usize) -> usize {
        let spans = self.readers(shape).map(|(op, input)| {
            let reach = self.reach(op, input);
            let outputs = if step == 1 { 1 } else { self.frames(op.output, self.shapes()[op.output.index()].h).step };
            if reach.slides() { reach.span(0, outputs) + step - 1 } else { step }
        });
        spans.max().unwrap_or(step).min(shape.t)
    }

    /// How many rows beyond one are read at once of blobs of `shape`.
    fn row_overlap(&self, shape: Shape) -> usize {
        let spans = self.readers(shape).map(|(op, input)| {
            let reach = self.reach(op, input);
            if reach.slides() { reach.span(1, self.grain(self.shapes()[op.output.index()])) } else { 1 }
        });
        spans.max().unwrap_or(1) - 1
    }

    /// The operators that read blobs of `shape`, each with the index of the input.
    pub(super) fn readers(&self, shape: Shape) -> impl Iterator<Item = (&Operator, usize)> {
        let operators = self.graph().operators().iter();
        let reads = operators.flat_map(|op| op.inputs.iter().enumerate().map(move |(input, &id)| (op, input, id)));
        reads.filter(move |(_, _, id)| self.shapes()[id.index()] == shape).map(|(op, input, _)| (op, input))
    }

    /// The rows of blobs of `shape` that ranges of rows begin at are multiples of this.
    pub(super) fn grain(&self, shape: Shape) -> usize {
        let blobs = self.graph().blobs().iter().zip(self.shapes()).enumerate();
        let own = blobs.filter(|(_, (blob, own))| **own == shape && blob.layout == Layout::ChannelsLast);
        own.map(|(index, _)| self.row_step(BlobId(index))).fold(self.side(shape), lcm)
    }

    /// The rows that methods compute whole of blobs of `shape`.
    fn side(&self, shape: Shape) -> usize {
        let operators = self.graph().operators().iter().zip(&self.outline.methods);
        let own = operators.filter(|(op, _)| self.shapes()[op.output.index()] == shape);
        let tiles = own.filter_map(|(_, method)| method.and_then(|method| method.row_tiles()));
        tiles.map(|tiles| tiles.side).fold(1, lcm)
    }

    /// A binding of a single frame can begin at the rows that are multiples of this.
    fn row_step(&self, id: BlobId) -> usize {
        let alignment = self.limits.alignment();
        (alignment / gcd(self.row_bytes(id), alignment)) as usize
    }
}

fn lcm(a: usize, b: usize) -> usize {
    a / gcd(a as u64, b as u64) as usize * b
}

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
