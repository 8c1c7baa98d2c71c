//! Cutting an operator into dispatches where one would bind more than the adapter allows.
//!
//! A dispatch computes a range of output frames, as long as fits, and binds the frames it needs of every blob; where the
//! weights are too large for one binding it computes a range of blocks of output channels besides. Bindings begin at
//! aligned offsets: ranges of output frames are cut where frames are aligned, and an input binding begins a few frames
//! early where it must. To a kernel each is just an operator on shorter blobs ([`Slice`]).
//!
//! Workspaces have a budget besides. To keep to it a method's dispatches are for a range of rows of all those frames, which
//! costs next to nothing; frames are cut for its sake only where the least rows of all of them would exceed it. Where
//! everything fits, the one range is everything.

use super::limits::PlanLimits;
use super::storage::{Frames, Piece, Storage};
use crate::error::Result;
use crate::graph::{BlobId, Conv, Epilogue, Graph, Layout, OpKind, Operator, Window};
use crate::kernels::{Launch, Method, Operand, RowTiles, Slice, scratch_home};
use crate::shape::Shape;
use std::cmp::Reverse;
use std::ops::Range;

/// What a dispatch binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Frames of a blob.
    Frames {
        /// The blob.
        blob: BlobId,
        /// Which frames.
        frames: Range<usize>,
        /// Which segment of the blob, see [`Storage`].
        segment: usize,
        /// Where in the segment, in bytes.
        offset: u64,
        /// Bytes.
        bytes: u64,
    },
    /// The blocks of one of the operator's constants that belong to [`Dispatch::part`].
    Constant(usize),
    /// A workspace, from its beginning.
    Scratch {
        /// Which, an index into [`super::Plan::scratch`].
        index: usize,
        /// Bytes.
        bytes: u64,
    },
}

/// One dispatch of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The output frames that it computes, or helps to.
    pub frames: Range<usize>,
    /// The rows of them.
    pub rows: Range<usize>,
    /// Whose blocks of output channels, an index into [`super::Step::parts`].
    pub part: usize,
    /// Parameters, grid and operands.
    pub launch: Launch,
    /// What is bound, in the order of the launch's operands.
    pub bindings: Vec<Binding>,
}

/// A graph with its shapes, and where its blobs lie as far as that is known.
pub(super) struct Slicer<'a> {
    pub graph: &'a Graph,
    /// Of one round.
    pub shapes: &'a [Shape],
    pub limits: &'a PlanLimits,
    /// Bytes that a segment of a blob may have.
    segment_bytes: u64,
    /// By blob; empty for planar ones until the conversion that they belong to has been cut.
    pub storages: Vec<Storage>,
    /// What all workspaces may have together, unless the smallest slices have more.
    pub scratch_budget: u64,
    /// Bytes of every workspace, as far as operators have been cut.
    pub scratch: Vec<u64>,
}

/// A range of output frames.
struct Cut {
    frames: Range<usize>,
    /// Which piece of an output that is channels last.
    piece: usize,
}

/// How an operator reads one of its inputs.
enum Reach<'a> {
    /// Output frame t reads input frame t, which the kernel addresses alike.
    Alike,
    /// A window slides over the input.
    Slides(&'a Window),
}

impl<'a> Slicer<'a> {
    /// Decides where all blobs lie that are channels last.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the frames that must lie together exceed a buffer.
    pub fn new(
        graph: &'a Graph,
        shapes: &'a [Shape],
        limits: &'a PlanLimits,
        segment_bytes: u64,
        scratch_budget: u64,
    ) -> Result<Self> {
        let storages = vec![Storage::default(); shapes.len()];
        let mut slicer = Self { graph, shapes, limits, segment_bytes, storages, scratch_budget, scratch: Vec::new() };
        for (index, blob) in graph.blobs().iter().enumerate() {
            if blob.layout == Layout::ChannelsLast {
                slicer.storages[index] = slicer.store(BlobId(index))?;
            }
        }
        Ok(slicer)
    }

    /// Where a blob lies that is channels last.
    fn store(&self, id: BlobId) -> Result<Storage> {
        let shape = self.shapes[id.index()];
        let (frames, overlap) = (self.frames(id), self.overlap(shape));
        let most = (self.limits.bindable() / frames.bytes).max(1) as usize;
        if shape.n == 1 && overlap == 0 && most < frames.step {
            // Not all frames from one aligned one to the next can be bound, but nobody needs two at once.
            let first = (0..frames.count).step_by(most);
            let pieces: Vec<_> = first.map(|first| first..(first + most).min(frames.count)).collect();
            return Ok(Storage::dense(&pieces, frames.bytes, self.limits));
        }
        let name = format!("{} ({shape})", self.graph.blob(id).name);
        Storage::overlapping(frames, overlap, self.segment_bytes, &name)
    }

    /// The frames of a blob.
    fn frames(&self, id: BlobId) -> Frames {
        let (blob, shape) = (self.graph.blob(id), self.shapes[id.index()]);
        let bytes = blob.bytes(Shape { t: 1, ..shape });
        let step = match blob.layout {
            // Frames of several clips do not follow one another: all or none.
            _ if shape.n > 1 => shape.t,
            Layout::ChannelsLast => (self.limits.alignment() / gcd(bytes, self.limits.alignment())) as usize,
            Layout::Planar => 1,
        };
        Frames { count: shape.t, bytes, step }
    }

    /// How many frames beyond one are read at once of blobs of `shape`. Blobs of one shape have one answer, so that they
    /// are all stored alike: what an operator reads like its output is cut where its output is.
    fn overlap(&self, shape: Shape) -> usize {
        let operators = self.graph.operators().iter();
        let reads = operators.flat_map(|op| op.inputs.iter().enumerate().map(move |(input, &id)| (op, input, id)));
        let own = reads.filter(|(_, _, id)| self.shapes[id.index()] == shape);
        let beyond = own.map(|(op, input, _)| match reach(op, input) {
            Reach::Alike => 0,
            Reach::Slides(window) => {
                (self.frames(op.output).step - 1) * window.stride[0] + window.dilation[0] * (window.kernel[0] - 1)
            }
        });
        beyond.max().unwrap_or(0).min(shape.t - 1)
    }

    /// The dispatches of `op`, whose constants are cut into `parts`. Decides where its planar blob lies if it has one.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the least range of frames exceeds a binding; [`crate::Error::Kernel`] from the method.
    pub fn dispatches(&mut self, op: &Operator, method: Method, parts: &[Range<usize>]) -> Result<Vec<Dispatch>> {
        let cuts = self.cuts(op, method)?;
        let ranges: Vec<_> = cuts.iter().map(|cut| cut.frames.clone()).collect();
        for &id in op.inputs.iter().chain([&op.output]) {
            if self.graph.blob(id).layout == Layout::Planar {
                self.storages[id.index()] = Storage::dense(&ranges, self.frames(id).bytes, self.limits);
            }
        }
        let mut dispatches = Vec::new();
        for (index, cut) in cuts.iter().enumerate() {
            let inputs: Vec<Range<usize>> =
                (0..op.inputs.len()).map(|input| self.read(op, input, &cut.frames)).collect();
            let rows = self.rows(op, method, &cut.frames);
            for (rows, part) in rows.iter().flat_map(|rows| (0..parts.len()).map(move |part| (rows, part))) {
                let scratch = self.scratch_bytes(op, method, &cut.frames, rows.len());
                self.scratch.resize(self.scratch.len().max(scratch.len()), 0);
                for (own, bytes) in self.scratch.iter_mut().zip(&scratch) {
                    *own = (*own).max(*bytes);
                }
                let slice = self.slice(op, cut, &inputs, rows.clone(), parts[part].clone());
                for launch in method.launches(op, &slice, self.limits.max_groups)? {
                    let bindings = launch.operands.iter().map(|operand| match *operand {
                        Operand::Input(input) => self.binding(op.inputs[input], &inputs[input], index, None),
                        Operand::Output => self.binding(op.output, &cut.frames, index, Some(cut.piece)),
                        Operand::Constant(index) => Binding::Constant(index),
                        Operand::Scratch(index) => Binding::Scratch { index, bytes: scratch[index] },
                    });
                    let bindings = bindings.collect();
                    let (frames, rows) = (cut.frames.clone(), rows.clone());
                    dispatches.push(Dispatch { bindings, frames, rows, part, launch });
                }
            }
        }
        Ok(dispatches)
    }

    /// Sizes of the workspaces of `op` for so many rows of a range of output frames.
    fn scratch_bytes(&self, op: &Operator, method: Method, frames: &Range<usize>, rows: usize) -> Vec<u64> {
        let bound = |id: BlobId, frames: Range<usize>| Shape { t: frames.len(), ..self.shapes[id.index()] };
        method.scratch_bytes(bound(op.inputs[0], self.read(op, 0, frames)), bound(op.output, frames.clone()), rows)
    }

    /// Whether workspaces for so many rows of a range of output frames can be bound, and keep to the budget. They are
    /// shared: every one is as large as the operator needs it that needs most of it.
    fn affords(&self, op: &Operator, method: Method, frames: &Range<usize>, rows: usize) -> bool {
        let own = self.scratch_bytes(op, method, frames, rows);
        let bindable = own.iter().enumerate().all(|(index, &b)| b <= self.limits.bindable_in(scratch_home(index)));
        let shared = own.iter().enumerate().map(|(index, &own)| own.max(*self.scratch.get(index).unwrap_or(&0)));
        bindable && (own.is_empty() || shared.sum::<u64>() <= self.scratch_budget)
    }

    /// The rows of a range of output frames, cut where the workspaces for all of them would be too large: where that pads
    /// least, into as few ranges as possible.
    fn rows(&self, op: &Operator, method: Method, frames: &Range<usize>) -> Vec<Range<usize>> {
        let shape = self.shapes[op.output.index()];
        let whole = 0..shape.h;
        let Some(RowTiles { side, run_len }) = method.row_tiles() else { return Vec::from([whole]) };
        let cut = |rows: usize| (0..shape.h).step_by(rows).map(move |first| first..(first + rows).min(shape.h));
        let padded = |rows: usize| -> usize {
            let tiles =
                |rows: Range<usize>| shape.n * frames.len() * rows.len().div_ceil(side) * shape.w.div_ceil(side);
            cut(rows).map(|rows| tiles(rows).next_multiple_of(run_len)).sum()
        };
        let choices = (1..=shape.h.div_ceil(side)).map(|tiles| tiles * side);
        let affordable = choices.filter(|&rows| rows == side || self.affords(op, method, frames, rows));
        let best = affordable.min_by_key(|&rows| (padded(rows), Reverse(rows)));
        cut(best.unwrap_or(side)).collect()
    }

    /// What the kernel sees of `op` for the output frames of `cut`, which need the frames `inputs` of every input.
    fn slice(
        &self,
        op: &Operator,
        cut: &Cut,
        inputs: &[Range<usize>],
        rows: Range<usize>,
        blocks: Range<usize>,
    ) -> Slice {
        let bound = |id: BlobId, frames: &Range<usize>| Shape { t: frames.len(), ..self.shapes[id.index()] };
        let pad_t = |(input, frames): (usize, &Range<usize>)| match reach(op, input) {
            Reach::Alike => 0,
            Reach::Slides(window) => {
                window.pad[0] as isize + frames.start as isize - (cut.frames.start * window.stride[0]) as isize
            }
        };
        Slice {
            inputs: op.inputs.iter().zip(inputs).map(|(&id, frames)| bound(id, frames)).collect(),
            output: bound(op.output, &cut.frames),
            output_layout: self.graph.blob(op.output).layout,
            pads_t: inputs.iter().enumerate().map(pad_t).collect(),
            rows,
            blocks,
        }
    }

    fn piece_with(&self, blob: BlobId, frames: &Range<usize>) -> Option<&Piece> {
        self.storages[blob.index()].piece_with(frames)
    }

    /// Frames of a blob for the cut of an operator of index `cut`, `written` in that piece or read.
    fn binding(&self, blob: BlobId, frames: &Range<usize>, cut: usize, written: Option<usize>) -> Binding {
        let pieces = self.storages[blob.index()].pieces();
        let piece = match (self.graph.blob(blob).layout, written) {
            (Layout::Planar, _) => pieces.get(cut),
            (Layout::ChannelsLast, Some(piece)) => pieces.get(piece),
            (Layout::ChannelsLast, None) => self.piece_with(blob, frames),
        };
        let piece = piece.expect("operators are cut so that every range of frames is in one piece");
        let bytes = self.frames(blob).bytes;
        Binding::Frames {
            blob,
            frames: frames.clone(),
            segment: piece.segment,
            offset: piece.offset + (frames.start - piece.frames.start) as u64 * bytes,
            bytes: frames.len() as u64 * bytes,
        }
    }

    /// The output frames of `op`, cut into ranges that can each be bound with all that they need.
    fn cuts(&self, op: &Operator, method: Method) -> Result<Vec<Cut>> {
        let output = &self.storages[op.output.index()];
        let pieces: Vec<Range<usize>> = match self.graph.blob(op.output).layout {
            Layout::ChannelsLast => output.pieces().iter().map(|piece| piece.frames.clone()).collect(),
            // What its input has in pieces, each frame once.
            Layout::Planar => {
                let starts = self.storages[op.inputs[0].index()].pieces().iter().map(|piece| piece.frames.start);
                let ends = starts.clone().skip(1).chain([self.shapes[op.output.index()].t]);
                starts.zip(ends).map(|(start, end)| start..end).collect()
            }
        };
        // Cut where the output is aligned, and what is addressed like it.
        let alike = op.inputs.iter().enumerate().filter(|(input, _)| matches!(reach(op, *input), Reach::Alike));
        let addressed = alike.map(|(_, &id)| id).chain([op.output]);
        let step = addressed.map(|id| self.frames(id).step).max().unwrap_or(1);
        let least_rows = method.row_tiles().map_or(1, |tiles| tiles.side);
        let mut cuts = Vec::new();
        for (piece, all) in pieces.into_iter().enumerate() {
            let mut start = all.start;
            while start < all.end {
                let mut end = (start + step).min(all.end);
                self.check(op, method, &(start..end))?;
                while end < all.end {
                    let next = (end + step).min(all.end);
                    let next_frames = start..next;
                    let kept = self.affords(op, method, &next_frames, least_rows);
                    if !kept || self.check(op, method, &next_frames).is_err() {
                        break;
                    }
                    end = next;
                }
                cuts.push(Cut { frames: start..end, piece });
                start = end;
            }
        }
        Ok(cuts)
    }

    /// Whether one dispatch can have the output frames `frames` of `op`.
    fn check(&self, op: &Operator, method: Method, frames: &Range<usize>) -> Result<()> {
        let least_rows = method.row_tiles().map_or(1, |tiles| tiles.side);
        for (index, bytes) in self.scratch_bytes(op, method, frames, least_rows).into_iter().enumerate() {
            let what = || format!("a workspace of {}, {} frames at once,", op.name, frames.len());
            self.limits.check_binding_in(scratch_home(index), bytes, what)?;
        }
        let inputs = op.inputs.iter().enumerate().map(|(input, &id)| (id, self.read(op, input, frames)));
        for (id, frames) in inputs.chain([(op.output, frames.clone())]) {
            let blob = self.graph.blob(id);
            let together = blob.layout == Layout::Planar || self.piece_with(id, &frames).is_some();
            let bytes = if together { frames.len() as u64 * self.frames(id).bytes } else { u64::MAX };
            self.limits.check_binding(bytes, || {
                let count = frames.len();
                let plural = if count == 1 { "frame" } else { "frames" };
                format!("blob {} ({}), {count} {plural} of it at once,", blob.name, self.shapes[id.index()])
            })?;
        }
        Ok(())
    }

    /// The frames of that input that are bound to compute the output frames `out`: those needed, and a few before them
    /// where a binding could not begin otherwise.
    fn read(&self, op: &Operator, input: usize, out: &Range<usize>) -> Range<usize> {
        let id = op.inputs[input];
        let Frames { count, step, .. } = self.frames(id);
        match reach(op, input) {
            Reach::Alike => out.clone(),
            Reach::Slides(_) if self.shapes[id.index()].n > 1 => 0..count,
            Reach::Slides(window) => {
                let needed = window.input_frames(out.clone(), count);
                let first = self.piece_with(id, &needed).map_or(0, |piece| piece.frames.start);
                first + (needed.start - first) / step * step..needed.end
            }
        }
    }
}

/// How `op` reads its input of that index.
fn reach(op: &Operator, input: usize) -> Reach<'_> {
    match &op.kind {
        OpKind::Conv(conv) if input == 0 => Reach::Slides(&conv.window),
        OpKind::Conv(Conv { epilogue: Epilogue { projection: Some(own), .. }, .. }) => Reach::Slides(&own.window),
        OpKind::MaxPool(window) => Reach::Slides(window),
        _ => Reach::Alike,
    }
}

/// The blocks of a constant, of `block_bytes` each, cut into as few equal parts as can be bound, `most_bytes` at a time.
///
/// # Errors
/// [`crate::Error::Limit`] if one block is too large.
pub(super) fn constant_parts(
    blocks: usize,
    block_bytes: u64,
    most_bytes: u64,
    limits: &PlanLimits,
    what: impl FnOnce() -> String,
) -> Result<Vec<Range<usize>>> {
    limits.check_binding(block_bytes, what)?;
    let most = usize::try_from(most_bytes / block_bytes.max(1)).unwrap_or(usize::MAX).max(1);
    let parts = blocks.div_ceil(most);
    let length = blocks.div_ceil(parts);
    Ok((0..blocks).step_by(length).map(|first| first..(first + length).min(blocks)).collect())
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
