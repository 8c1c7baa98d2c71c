//! Cutting an operator into dispatches where one would bind more than the adapter allows.
//!
//! A dispatch computes a range of output frames, as long as fits, and binds the frames it needs of every blob; where the
//! weights are too large for one binding it computes a range of blocks of output channels besides. Bindings begin at
//! aligned offsets: ranges of output frames are cut where frames are aligned, and an input binding begins a few frames
//! early where it must. Where blobs are in stripes ([`super::stripes`]), a dispatch computes all rows of one where what it
//! needs is in one stripe too, and else a range of rows of a single frame. To a kernel each is just an operator on smaller
//! blobs ([`Slice`]).
//!
//! Workspaces have a budget besides. To keep to it a method's dispatches are for a range of rows of all those frames, which
//! costs next to nothing; frames are cut for its sake only where the least rows of all of them would exceed it. And no
//! dispatch does more than [`PlanLimits::max_macs`] if that can be helped. Where everything fits, the one range is everything.

use super::cuts::{Cut, Part};
use super::limits::PlanLimits;
use super::outline::{Outline, stored_in};
use super::reach::Reach;
use super::storage::{Frames, Piece, Storage};
use super::stripes::gcd;
use crate::error::Result;
use crate::graph::{BlobId, Graph, Layout, Operator};
use crate::kernels::{Launch, Method, Operand, RowTiles, Slice, Workspace};
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
        /// Which rows of them: all those of a stripe, or some of a single frame.
        rows: Range<usize>,
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

/// How blobs and workspaces are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutting {
    /// Bytes that a segment of a blob may have.
    pub segment_bytes: u64,
    /// What all workspaces may have together, unless the smallest slices have more.
    pub scratch_bytes: u64,
    /// Whether blobs are cut into stripes.
    pub stripes: bool,
    /// Whether segments are computed when they are needed, and not blob by blob.
    pub streamed: bool,
}

/// A graph with its shapes, and where its blobs lie as far as that is known.
pub(super) struct Slicer<'a> {
    pub outline: &'a Outline,
    pub limits: &'a PlanLimits,
    pub segment_bytes: u64,
    /// Whether segments are computed as they are needed: then each blob has the smallest that it can where it cannot have
    /// them so small.
    pub streamed: bool,
    /// What the dense volumes of planar blobs are packed into.
    packed_bytes: u64,
    /// By blob; empty for planar ones until an operator that they belong to has been cut.
    pub storages: Vec<Storage>,
    scratch_budget: u64,
    /// Bytes of every workspace, as far as operators have been cut.
    pub scratch: Vec<Workspace>,
}
impl<'a> Slicer<'a> {
    /// Decides where all blobs lie that are channels last.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if what must lie together exceeds a buffer.
    pub fn new(outline: &'a Outline, limits: &'a PlanLimits, cutting: Cutting) -> Result<Self> {
        let Cutting { segment_bytes, scratch_bytes, stripes, streamed } = cutting;
        let mut slicer = Self {
            outline,
            limits,
            segment_bytes,
            streamed,
            // What is in one buffer with something else lives as long as that.
            packed_bytes: if streamed { segment_bytes } else { limits.max_buffer_bytes },
            storages: vec![Storage::default(); outline.shapes.len()],
            scratch_budget: scratch_bytes,
            scratch: Vec::new(),
        };
        let inside = outline.graph.blobs().iter().enumerate().filter(|(_, blob)| blob.layout == Layout::ChannelsLast);
        let inside: Vec<BlobId> = inside.map(|(index, _)| BlobId(index)).collect();
        let whole = |id: BlobId| {
            let all = 0..slicer.shape(id).h;
            Vec::from([all])
        };
        let rows = |&id: &BlobId| if stripes { slicer.stripes(id) } else { Ok(whole(id)) };
        let rows = inside.iter().map(rows).collect::<Result<Vec<_>>>()?;
        let step = |id: BlobId| {
            let own = inside.iter().zip(&rows).find(|(own, _)| **own == id);
            own.map_or(1, |(&id, rows)| rows.iter().map(|rows| slicer.frames(id, rows.len()).step).max().unwrap_or(1))
        };
        let steps: Vec<usize> = (0..outline.shapes.len()).map(|index| step(BlobId(index))).collect();
        let stored = inside.iter().zip(&rows).map(|(&id, rows)| slicer.store(id, rows, &steps));
        let stored = stored.collect::<Result<Vec<_>>>()?;
        for (id, storage) in inside.into_iter().zip(stored) {
            slicer.storages[id.index()] = storage;
        }
        Ok(slicer)
    }

    pub(super) fn graph(&self) -> &'a Graph {
        &self.outline.graph
    }

    pub(super) fn shapes(&self) -> &'a [Shape] {
        &self.outline.shapes
    }

    pub(super) fn shape(&self, id: BlobId) -> Shape {
        self.shapes()[id.index()]
    }

    pub(super) fn reach(&self, op: &Operator, input: usize) -> Reach {
        Reach::of(op, input, self.shape(op.inputs[input]))
    }

    /// Where a blob lies that is channels last, in these stripes. `steps` are those of the frames of all blobs.
    fn store(&self, id: BlobId, stripes: &[Range<usize>], steps: &[usize]) -> Result<Storage> {
        let shape = self.shape(id);
        let overlap = self.overlap(id, steps);
        let name = format!("{} ({shape})", self.graph().blob(id).name);
        let mut storage = Storage::default();
        for rows in stripes {
            let frames = self.frames(id, rows.len());
            let most = (self.limits.bindable().min(self.packed_bytes) / frames.bytes).max(1) as usize;
            if shape.n == 1 && overlap == 0 && most < frames.step {
                // Not all frames from one aligned one to the next can be bound, but nobody needs two at once.
                for first in (0..frames.count).step_by(most) {
                    let own = first..(first + most).min(frames.count);
                    let bytes = own.len() as u64 * frames.bytes;
                    storage.add_dense(own, rows.clone(), bytes, self.packed_bytes, self.limits);
                }
            } else {
                let least = (overlap.next_multiple_of(frames.step) + frames.step) as u64 * frames.bytes;
                let least = if self.streamed { least.min(self.limits.bindable()) } else { 0 };
                storage.add_overlapping(rows, frames, overlap, self.segment_bytes.max(least), &name)?;
            }
        }
        Ok(storage)
    }

    /// The frames of a stripe of so many rows of a blob.
    pub(super) fn frames(&self, id: BlobId, rows: usize) -> Frames {
        let (blob, shape) = (self.graph().blob(id), self.shape(id));
        let bytes = rows as u64 * self.row_bytes(id);
        let step = match blob.layout {
            // Frames of several clips do not follow one another: all or none.
            _ if shape.n > 1 => shape.t,
            Layout::ChannelsLast => (self.limits.alignment() / gcd(bytes, self.limits.alignment())) as usize,
            Layout::Planar => 1,
        };
        Frames { count: shape.t, bytes, step }
    }

    /// Bytes of a row of a frame of a blob, of all clips.
    pub(super) fn row_bytes(&self, id: BlobId) -> u64 {
        self.graph().blob(id).bytes(Shape { t: 1, h: 1, ..self.shape(id) })
    }

    /// How many frames beyond one are read at once of a blob. Usually blobs of one shape have one answer, so that they are all
    /// stored alike, and what an operator reads like its output is not cut more often. In small segments frames that are
    /// computed twice count for more, and those of a blob that nobody reads over time are in one segment only. Blobs that an
    /// identity operator joins lie in the same place, so that readers of either count for both.
    fn overlap(&self, id: BlobId, steps: &[usize]) -> usize {
        let stored = |id| stored_in(self.graph(), id);
        let own = self
            .readers(self.shape(id))
            .filter(|(op, input)| !self.streamed || stored(op.inputs[*input]) == stored(id));
        let beyond = own.map(|(op, input)| {
            let reach = self.reach(op, input);
            if reach.slides() { reach.span(0, steps[op.output.index()]) - 1 } else { 0 }
        });
        beyond.max().unwrap_or(0).min(self.shape(id).t - 1)
    }

    /// The slices of `op`, whose constants are cut into `parts`, each with its dispatches. Decides where its planar blob lies
    /// if it has one: an input that several operators read lies there once for each.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the least range exceeds a binding;
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) from the method.
    pub fn slices(&mut self, op: &Operator, method: Method, parts: &[Range<usize>]) -> Result<Vec<Vec<Dispatch>>> {
        let cuts = self.cuts(op, method)?;
        let graph = self.graph();
        let inputs_of = |cut: &Cut| (0..op.inputs.len()).filter_map(|input| self.read(op, input, cut)).collect();
        let inputs: Vec<Vec<Part>> = cuts.iter().map(inputs_of).collect();
        let mut first_piece = 0;
        for (input, &id) in op.inputs.iter().chain([&op.output]).enumerate() {
            if graph.blob(id).layout == Layout::ChannelsLast {
                continue;
            }
            let row_bytes = self.row_bytes(id);
            let storage = &mut self.storages[id.index()];
            first_piece = storage.pieces().len();
            for (inputs, cut) in inputs.iter().zip(&cuts) {
                let (frames, rows) =
                    inputs.get(input).map_or((&cut.frames, &cut.rows), |part| (&part.frames, &part.rows));
                let bytes = (frames.len() * rows.len()) as u64 * row_bytes;
                storage.add_dense(frames.clone(), rows.clone(), bytes, self.packed_bytes, self.limits);
            }
        }
        let mut slices = Vec::new();
        for (index, (cut, inputs)) in cuts.iter().zip(&inputs).enumerate() {
            let planar_piece = first_piece + index;
            let mut dispatches = Vec::new();
            let rows = self.rows(op, method, cut);
            for (rows, part) in rows.iter().flat_map(|rows| (0..parts.len()).map(move |part| (rows, part))) {
                let scratch = self.workspaces(op, method, cut, rows.len());
                self.share(&scratch);
                let slice = self.slice(op, cut, inputs, rows.clone(), parts[part].clone());
                for launch in method.launches(op, &slice, self.limits.max_groups)? {
                    let bindings = launch.operands.iter().map(|operand| match *operand {
                        Operand::Input(input) => self.binding(op.inputs[input], &inputs[input], planar_piece, None),
                        Operand::Output => self.binding(op.output, &cut.part(), planar_piece, Some(cut.piece)),
                        Operand::Constant(index) => Binding::Constant(index),
                        Operand::Scratch(index) => Binding::Scratch { index, bytes: scratch[index].bytes },
                    });
                    let bindings = bindings.collect();
                    let rows = cut.rows.start + rows.start..cut.rows.start + rows.end;
                    dispatches.push(Dispatch { bindings, frames: cut.frames.clone(), rows, part, launch });
                }
            }
            slices.push(dispatches);
        }
        Ok(slices)
    }

    /// Makes the workspaces that all operators share large enough for these.
    fn share(&mut self, workspaces: &[Workspace]) {
        let first = self.scratch.len().min(workspaces.len());
        self.scratch.extend(&workspaces[first..]);
        for (shared, own) in self.scratch.iter_mut().zip(workspaces) {
            let (shared_as, own_as) = ((shared.memory, shared.dtype), (own.memory, own.dtype));
            debug_assert_eq!(shared_as, own_as, "a workspace of that number is the same for all methods");
            shared.bytes = shared.bytes.max(own.bytes);
        }
    }

    /// The workspaces of `op` for so many rows of a part of its output.
    pub(super) fn workspaces(&self, op: &Operator, method: Method, cut: &Cut, rows: usize) -> Vec<Workspace> {
        let bound = |id: BlobId, frames: usize| Shape { t: frames, ..self.shape(id) };
        let read = self.read(op, 0, cut).map_or(0, |part| part.frames.len());
        method.workspaces(bound(op.inputs[0], read), bound(op.output, cut.frames.len()), rows)
    }

    /// Whether workspaces for so many rows of a part of the output can be bound, and keep to the budget. They are shared:
    /// every one is as large as the operator needs it that needs most of it.
    pub(super) fn affords(&self, op: &Operator, method: Method, cut: &Cut, rows: usize) -> bool {
        let own = self.workspaces(op, method, cut, rows);
        let bindable = own.iter().all(|own| own.bytes <= self.limits.bindable_in(own.memory, own.dtype));
        let shared = |index: usize| self.scratch.get(index).map_or(0, |shared| shared.bytes);
        let shared = own.iter().enumerate().map(|(index, own)| own.bytes.max(shared(index)));
        bindable && (own.is_empty() || shared.sum::<u64>() <= self.scratch_budget)
    }

    /// The rows of a part of an output, counted from its first, cut where the workspaces for all of them would be too large:
    /// where that pads least, into as few ranges as possible.
    fn rows(&self, op: &Operator, method: Method, cut: &Cut) -> Vec<Range<usize>> {
        let (shape, height) = (self.shape(op.output), cut.rows.len());
        let whole = 0..height;
        let Some(RowTiles { side, workgroup_tiles }) = method.row_tiles() else { return Vec::from([whole]) };
        let ranges = |rows: usize| (0..height).step_by(rows).map(move |first| first..(first + rows).min(height));
        let padded = |rows: usize| -> usize {
            let tiles =
                |rows: Range<usize>| shape.n * cut.frames.len() * rows.len().div_ceil(side) * shape.w.div_ceil(side);
            ranges(rows).map(|rows| tiles(rows).next_multiple_of(workgroup_tiles)).sum()
        };
        let choices = (1..=height.div_ceil(side)).map(|tiles| tiles * side);
        let affordable = choices.filter(|&rows| rows == side || self.affords(op, method, cut, rows));
        let best = affordable.min_by_key(|&rows| (padded(rows), Reverse(rows)));
        ranges(best.unwrap_or(side)).collect()
    }

    /// What the kernel sees of `op` for `cut`, which needs the parts `inputs`, one of every input.
    fn slice(&self, op: &Operator, cut: &Cut, inputs: &[Part], rows: Range<usize>, blocks: Range<usize>) -> Slice {
        let bound = |id: BlobId, part: &Part| Shape { t: part.frames.len(), h: part.rows.len(), ..self.shape(id) };
        let reach = |input| self.reach(op, input);
        let inputs_of = || inputs.iter().enumerate();
        let pad_t = |(input, part): (usize, &Part)| reach(input).padding(0, cut.frames.start, part.frames.start);
        let pad_h = |(input, part): (usize, &Part)| reach(input).padding(1, cut.rows.start, part.rows.start);
        Slice {
            inputs: op.inputs.iter().zip(inputs).map(|(&id, part)| bound(id, part)).collect(),
            output: bound(op.output, &cut.part()),
            output_layout: self.graph().blob(op.output).layout,
            pads_t: inputs_of().map(pad_t).collect(),
            pads_h: inputs_of().map(pad_h).collect(),
            above: cut.rows.start,
            input_h: self.shape(op.inputs[0]).h,
            rows,
            blocks,
        }
    }

    /// The piece with a part of a blob.
    pub(super) fn piece_with(&self, blob: BlobId, part: &Part) -> Option<&Piece> {
        self.storages[blob.index()].piece_with(&part.stripe, &part.frames)
    }

    /// Where in its segment a part of a blob begins that is in `piece`, in bytes.
    pub(super) fn offset(&self, blob: BlobId, part: &Part, piece: &Piece) -> u64 {
        let before = (part.frames.start - piece.frames.start) * piece.rows.len() + part.rows.start - piece.rows.start;
        piece.offset + before as u64 * self.row_bytes(blob)
    }

    /// A part of a blob: of a planar one the piece `planar_piece`, of others `written` in that piece or read.
    fn binding(&self, blob: BlobId, part: &Part, planar_piece: usize, written: Option<usize>) -> Binding {
        let pieces = self.storages[blob.index()].pieces();
        let piece = match (self.graph().blob(blob).layout, written) {
            (Layout::Planar, _) => pieces.get(planar_piece),
            (Layout::ChannelsLast, Some(piece)) => pieces.get(piece),
            (Layout::ChannelsLast, None) => self.piece_with(blob, part),
        };
        let piece = piece.expect("operators are cut so that every part is in one piece");
        let row_bytes = self.row_bytes(blob);
        Binding::Frames {
            blob,
            frames: part.frames.clone(),
            rows: part.rows.clone(),
            segment: piece.segment,
            offset: self.offset(blob, part, piece),
            bytes: (part.frames.len() * part.rows.len()) as u64 * row_bytes,
        }
    }
}

/// The blocks of a constant, of `block_bytes` each, cut into as few equal parts as can be bound, `most_bytes` at a time.
///
/// # Errors
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if one block is too large.
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
