//! Where the output of an operator is cut: into parts that one dispatch, or one for each kernel of a method, can compute.
//!
//! A part is a range of frames of a stripe, or where stripes of the output and of an input do not fit each other, and where a
//! dispatch would do too much, a range of rows of a single frame.

use super::slices::Slicer;
use super::storage::Frames;
use crate::error::{ErrorRepr, Result};
use crate::graph::{BlobId, Conv, Layout, OpKind, Operator};
use crate::kernels::{Method, Workspace};
use crate::shape::Shape;
use std::ops::Range;

/// A part of an output that a slice computes.
pub(super) struct Cut {
    pub frames: Range<usize>,
    pub rows: Range<usize>,
    /// The stripe that they are of.
    pub stripe: Range<usize>,
    /// Which piece of an output that is channels last.
    pub piece: usize,
}

/// A part of a blob: all rows of a stripe, or some of a single frame.
pub(super) struct Part {
    pub frames: Range<usize>,
    pub rows: Range<usize>,
    pub stripe: Range<usize>,
}

impl Slicer<'_> {
    /// The output of `op`, cut into parts that can each be bound with all that they need.
    pub(super) fn cuts(&self, op: &Operator, method: Method) -> Result<Vec<Cut>> {
        // Cut where the output is aligned, and what is addressed like it.
        let alike = op.inputs.iter().enumerate().filter(|(input, _)| !self.reach(op, *input).slides());
        let addressed: Vec<BlobId> = alike.map(|(_, &id)| id).chain([op.output]).collect();
        let mut cuts = Vec::new();
        for (piece, (all, stripe)) in self.output_pieces(op).into_iter().enumerate() {
            let step = addressed.iter().map(|&id| self.frames(id, stripe.len()).step).max().unwrap_or(1);
            let ranges = self.row_ranges(op, method, &stripe, step == 1 || all.len() == 1)?;
            let whole = ranges.len() == 1;
            let step = if whole { step } else { 1 };
            let mut start = all.start;
            while start < all.end {
                let cut = |end: usize, rows: &Range<usize>| Cut {
                    frames: start..end.min(all.end),
                    rows: rows.clone(),
                    stripe: stripe.clone(),
                    piece,
                };
                let mut end = (start + step).min(all.end);
                for rows in &ranges {
                    self.check(op, method, &cut(end, rows))?;
                }
                while whole && end < all.end {
                    let next = cut(end + step, &stripe);
                    let light = self.macs(op, next.frames.len(), stripe.len()) <= self.limits.max_macs;
                    let kept = self.affords(op, method, &next, least_rows(method));
                    if !light || !kept || self.check(op, method, &next).is_err() {
                        break;
                    }
                    end = next.frames.end;
                }
                cuts.extend(ranges.iter().map(|rows| cut(end, rows)));
                start = end;
            }
        }
        Ok(cuts)
    }

    /// The pieces of the output of `op`: frames and stripe.
    fn output_pieces(&self, op: &Operator) -> Vec<(Range<usize>, Range<usize>)> {
        let pieces = |id: BlobId| {
            let pieces = self.storages[id.index()].pieces().iter();
            pieces.map(|piece| (piece.frames.clone(), piece.rows.clone())).collect::<Vec<_>>()
        };
        if self.graph().blob(op.output).layout == Layout::ChannelsLast {
            return pieces(op.output);
        }
        // What its input has in pieces, each frame of a stripe once.
        let mut own = pieces(op.inputs[0]);
        for next in 1..own.len() {
            if own[next].1 == own[next - 1].1 {
                own[next - 1].0.end = own[next].0.start;
            }
        }
        own
    }

    /// The rows of a stripe of the output of `op`, cut so that what each range needs of an input is in one stripe of that,
    /// and for the work it is where bindings can begin between rows.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if a binding would have to begin where it cannot.
    fn row_ranges(
        &self,
        op: &Operator,
        method: Method,
        stripe: &Range<usize>,
        aligned: bool,
    ) -> Result<Vec<Range<usize>>> {
        let shape = self.shape(op.output);
        if shape.n > 1 {
            return Ok(Vec::from([stripe.clone()]));
        }
        let held = |rows: &Range<usize>| (0..op.inputs.len()).all(|input| self.stripe_with(op, input, rows).is_some());
        let light = |rows: &Range<usize>| !aligned || self.macs(op, 1, rows.len()) <= self.limits.max_macs;
        if held(stripe) && light(stripe) {
            return Ok(Vec::from([stripe.clone()]));
        }
        let grain = self.grain(shape).next_multiple_of(least_rows(method));
        let mut ranges = Vec::new();
        let mut start = stripe.start;
        while start < stripe.end {
            let mut end = (start + grain).min(stripe.end);
            while end < stripe.end {
                let next = start..(end + grain).min(stripe.end);
                if !held(&next) || !light(&next) {
                    break;
                }
                end = next.end;
            }
            if !aligned || !held(&(start..end)) {
                let Frames { count, bytes, .. } = self.frames(op.output, stripe.len());
                return Err(ErrorRepr::Limit {
                    what: format!("blob {} ({shape}), all frames of it at once,", self.graph().blob(op.output).name),
                    needed: count as u64 * bytes,
                    limit: self.limits.bindable(),
                    limit_name: "binding",
                }
                .into());
            }
            ranges.push(start..end);
            start = end;
        }
        Ok(ranges)
    }

    /// Multiply-adds of so many frames and rows of the output of `op`, as a direct convolution.
    fn macs(&self, op: &Operator, frames: usize, rows: usize) -> u64 {
        let OpKind::Conv(conv) = &op.kind else { return 0 };
        let pooled = conv.epilogue.pool.as_ref().map_or(1, |pool| pool.stride.iter().product());
        let output = Shape { t: frames, h: rows, ..self.shape(op.output) };
        let each: usize = conv.terms().map(Conv::macs_per_output).sum();
        (output.len() as u64).saturating_mul((each * pooled) as u64)
    }

    /// Whether one dispatch can have that part of the output of `op`.
    fn check(&self, op: &Operator, method: Method, cut: &Cut) -> Result<()> {
        for Workspace { memory, dtype, bytes } in self.workspaces(op, method, cut, least_rows(method)) {
            let what = || format!("a workspace of {}, {} frames at once,", op.name, cut.frames.len());
            self.limits.check_binding_in(memory, dtype, bytes, what)?;
        }
        // Of inputs of other widths, such as those that are joined, what is needed may begin where no binding can.
        let bindable = |id: BlobId, part: &Part| {
            let piece = self.piece_with(id, part);
            let planar = self.graph().blob(id).layout == Layout::Planar;
            planar || piece.is_none_or(|piece| self.offset(id, part, piece).is_multiple_of(self.limits.alignment()))
        };
        let inputs = op.inputs.iter().enumerate().map(|(input, &id)| {
            let part = self.read(op, input, cut);
            (id, part.filter(|part| bindable(id, part)))
        });
        for (id, part) in inputs.chain([(op.output, Some(cut.part()))]) {
            let blob = self.graph().blob(id);
            let together = |part: &Part| blob.layout == Layout::Planar || self.piece_with(id, part).is_some();
            let part = part.filter(together);
            let bytes = |part: &Part| (part.frames.len() * part.rows.len()) as u64 * self.row_bytes(id);
            let needed = part.as_ref().map_or(u64::MAX, bytes);
            self.limits.check_binding(needed, || {
                let count = part.map_or(cut.frames.len(), |part| part.frames.len());
                let plural = if count == 1 { "frame" } else { "frames" };
                format!("blob {} ({}), {count} {plural} of it at once,", blob.name, self.shape(id))
            })?;
        }
        Ok(())
    }

    /// The stripe that holds what the rows `out` of the output need of that input. A planar one is stored for whoever reads
    /// it: then that is just what they need, if so many rows for one frame of output can be bound.
    fn stripe_with(&self, op: &Operator, input: usize, out: &Range<usize>) -> Option<Range<usize>> {
        let (id, reach) = (op.inputs[input], self.reach(op, input));
        if !reach.slides() {
            return Some(out.clone());
        }
        let needed = reach.reads(1, out.clone(), self.shape(id).h);
        if self.graph().blob(id).layout == Layout::Planar {
            let frames = reach.span(0, 1).min(self.shape(id).t);
            let bytes = (frames * needed.len()) as u64 * self.row_bytes(id);
            return (bytes <= self.limits.bindable()).then_some(needed);
        }
        let holds = |stripe: &&Range<usize>| stripe.start <= needed.start && needed.end <= stripe.end;
        self.storages[id.index()].stripes().rev().find(holds).cloned()
    }

    /// What is bound of that input to compute `cut`: the frames needed, and a few before them where a binding could not begin
    /// otherwise, with all rows of their stripe; or what is addressed like the output. `None` if no piece holds it.
    pub(super) fn read(&self, op: &Operator, input: usize, cut: &Cut) -> Option<Part> {
        let (id, reach) = (op.inputs[input], self.reach(op, input));
        if !reach.slides() {
            return Some(cut.part());
        }
        let rows = self.stripe_with(op, input, &cut.rows)?;
        if self.graph().blob(id).layout == Layout::Planar {
            let frames = reach.reads(0, cut.frames.clone(), self.shape(id).t);
            return Some(Part { frames, stripe: rows.clone(), rows });
        }
        let Frames { count, step, .. } = self.frames(id, rows.len());
        if self.shape(id).n > 1 {
            return Some(Part { frames: 0..count, stripe: rows.clone(), rows });
        }
        let needed = reach.reads(0, cut.frames.clone(), count);
        let first = self.storages[id.index()].piece_with(&rows, &needed).map_or(0, |piece| piece.frames.start);
        let frames = first + (needed.start - first) / step * step..needed.end;
        Some(Part { frames, stripe: rows.clone(), rows })
    }
}

impl Cut {
    pub fn part(&self) -> Part {
        Part { frames: self.frames.clone(), rows: self.rows.clone(), stripe: self.stripe.clone() }
    }
}

/// The fewest rows of output that a method computes at once.
pub(super) fn least_rows(method: Method) -> usize {
    method.row_tiles().map_or(1, |tiles| tiles.side)
}
