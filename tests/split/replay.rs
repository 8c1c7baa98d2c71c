//! Replaying plans without a GPU: everything is where it is read, in time, within limits, and computed once.

use resnet3d_wgpu::Shape;
use resnet3d_wgpu::low_level::graph::{BlobId, Layout, OpKind, Window};
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::plan::{
    Binding, Command, Copy, Dispatch, Piece, Plan, PlanLimits, Step, Storage, Transfer,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a row of a frame of a blob.
fn row_bytes(plan: &Plan, blob: BlobId) -> u64 {
    plan.graph().blob(blob).bytes(Shape { t: 1, h: 1, ..plan.round_shape(blob) })
}

/// The windows that slide over an input of an operator, the one over the input first.
fn windows(kind: &OpKind, input: usize) -> Vec<Window> {
    match kind {
        OpKind::Conv(conv) if input == 0 => {
            [conv.window].into_iter().chain(conv.epilogue.pool.as_deref().copied()).collect()
        }
        OpKind::Conv(conv) => conv.epilogue.projection.iter().map(|own| own.window).collect(),
        OpKind::MaxPool(window) | OpKind::Subsample(window) => vec![*window],
        _ => Vec::new(),
    }
}

/// What of an axis of an input of `extent` is under the taps of the outputs `out`, tap by tap: first and last, `None` if
/// all are padding. Without windows it is the output's own place.
fn touched(windows: &[Window], axis: usize, out: &Range<usize>, extent: usize) -> Option<Range<usize>> {
    let Some((window, further)) = windows.split_first() else { return Some(out.clone()) };
    let own = window.output([extent; 3]).map_or(0, |own| own[axis]);
    let out = touched(further, axis, out, own)?;
    let taps = out.flat_map(|at| (0..window.kernel[axis]).map(move |tap| (at, tap)));
    let padded = taps.map(|(at, tap)| at * window.stride[axis] + tap * window.dilation[axis]);
    let inside = padded.filter_map(|at| at.checked_sub(window.pad[axis])).filter(|&at| at < extent);
    let (first, last) = inside.fold((usize::MAX, 0), |(first, last), at| (first.min(at), last.max(at)));
    (first <= last).then(|| first..last + 1)
}

/// The blob that holds the values of another: an identity's output is its input.
fn holder(plan: &Plan, mut blob: BlobId) -> BlobId {
    let operators = plan.graph().operators();
    while let Some(op) = operators.iter().find(|op| op.output == blob && op.kind == OpKind::StopGradient) {
        blob = op.inputs[0];
    }
    blob
}

/// How often each row of each frame has been met.
#[derive(Clone, Debug, Default, PartialEq)]
struct Grid {
    height: usize,
    counts: Vec<u8>,
}

impl Grid {
    fn new(shape: Shape) -> Self {
        Self { height: shape.h, counts: vec![0; shape.t * shape.h] }
    }

    fn meet(&mut self, frames: &Range<usize>, rows: &Range<usize>) {
        for frame in frames.clone() {
            self.counts[frame * self.height..][rows.clone()].iter_mut().for_each(|count| *count += 1);
        }
    }

    fn has(&self, frames: &Range<usize>, rows: &Range<usize>) -> bool {
        frames.clone().all(|frame| self.counts[frame * self.height..][rows.clone()].iter().all(|&count| count > 0))
    }
}

/// What the buffers hold while a plan is replayed: whose segment, and which frames and rows of it are there.
struct Replay<'a> {
    plan: &'a Plan,
    holds: Vec<Option<(BlobId, usize)>>,
    there: Vec<Grid>,
}

impl Replay<'_> {
    fn buffer(&self, blob: BlobId, segment: usize) -> usize {
        self.plan.memory().buffers_of(blob)[segment]
    }

    fn write(&mut self, blob: BlobId, segment: usize, frames: &Range<usize>, rows: &Range<usize>) {
        let (buffer, own) = (self.buffer(blob, segment), Some((holder(self.plan, blob), segment)));
        if self.holds[buffer] != own {
            self.holds[buffer] = own;
            self.there[buffer] = Grid::new(self.plan.shape(blob));
        }
        self.there[buffer].meet(frames, rows);
    }

    fn read(&self, blob: BlobId, segment: usize, frames: &Range<usize>, rows: &Range<usize>) {
        let (buffer, name) = (self.buffer(blob, segment), &self.plan.graph().blob(blob).name);
        assert_eq!(self.holds[buffer], Some((holder(self.plan, blob), segment)), "{name} is not there any more");
        assert!(self.there[buffer].has(frames, rows), "{name}: of {frames:?}, {rows:?} something is not computed");
    }
}

/// Replays a plan: nothing exceeds `limits`, every range of frames and rows is where it should be and no larger than it must
/// be, is computed before it is read and there until then, and every row of every segment is computed exactly once.
pub fn replay(plan: &Plan, limits: &PlanLimits) {
    for &bytes in plan.memory().buffers().iter().chain(plan.uploads().buffers()).chain(plan.readbacks().buffers()) {
        assert!(bytes <= limits.max_buffer_bytes, "a buffer of {bytes} bytes");
    }
    for (blob, storage) in plan.storages() {
        for (segment, (&bytes, &buffer)) in storage.segments().iter().zip(plan.memory().buffers_of(blob)).enumerate() {
            assert!(bytes <= plan.memory().buffers()[buffer]);
            let pieces = storage.pieces().iter().filter(|piece| piece.segment == segment);
            assert!(pieces.clone().all(|piece| piece.offset + piece.bytes <= bytes));
            assert!(pieces.is_sorted_by(|a, b| a.offset + a.bytes <= b.offset), "pieces do not overlap in memory");
        }
        let mut there = Grid::new(plan.shape(blob));
        storage.pieces().iter().for_each(|piece| there.meet(&piece.frames, &piece.rows));
        assert!(there.counts.iter().all(|&count| count > 0), "every row has a place");
    }
    let commands = plan.commands();
    let mut replayed = Replayed::default();
    for round in 0..plan.rounds() {
        replayed = replay_round(plan, &commands, round, limits);
        let Replayed { order, .. } = &replayed;
        for (index, step) in plan.steps().iter().enumerate() {
            let mut own = order.get(&index).cloned().unwrap_or_default();
            own.sort_unstable();
            assert!(own.into_iter().eq(0..step.dispatches.len()), "every dispatch runs once");
        }
    }
    plan.steps().iter().for_each(|step| everything_once(plan, step));
    let (mut dispatched, mut submissions) = (0, Vec::new());
    for command in &commands {
        match command {
            Command::Dispatch { .. } => dispatched += 1,
            Command::Submit => submissions.push(dispatched),
            Command::CopyIn(_) | Command::CopyOut(_) => {}
        }
    }
    assert_eq!(commands.last(), Some(&Command::Submit), "nothing is left unsubmitted");
    assert!(dispatched == plan.dispatches() && submissions.is_sorted_by(|a, b| a < b), "{submissions:?}");
    assert_eq!(submissions, plan.submissions());
    let Replayed { uploaded, read_back, .. } = replayed;
    for (staging, ports, mut copied) in [
        (plan.uploads(), plan.graph().inputs().to_vec(), uploaded),
        (plan.readbacks(), plan.outputs().iter().map(|output| output.blob).collect(), read_back),
    ] {
        copied.sort_unstable();
        let pieces = |(port, &blob): (usize, &BlobId)| (0..plan.storage(blob).pieces().len()).map(move |p| (port, p));
        let wanted: Vec<(usize, usize)> = ports.iter().enumerate().flat_map(pieces).collect();
        assert_eq!(copied, wanted, "every piece is copied once");
        for (round, (port, piece)) in (0..plan.rounds()).flat_map(|round| wanted.iter().map(move |&own| (round, own))) {
            let own = staging.transfer(round, port, piece).unwrap();
            assert_eq!((own.round, own.port, own.piece), (round, port, piece));
            assert_eq!(own.bytes, plan.storage(ports[port]).pieces()[piece].bytes);
        }
        for (index, &bytes) in staging.buffers().iter().enumerate() {
            let own = staging.transfers().iter().filter(|transfer| transfer.buffer == index);
            assert!(own.clone().all(|transfer| transfer.offset + transfer.bytes <= bytes));
            assert!(own.is_sorted_by(|a, b| a.offset + a.bytes <= b.offset), "transfers do not overlap");
        }
    }
}

/// What a round of commands did: the dispatches of each step, and the pieces of inputs and outputs that were copied.
#[derive(Default)]
struct Replayed {
    order: BTreeMap<usize, Vec<usize>>,
    uploaded: Vec<(usize, usize)>,
    read_back: Vec<(usize, usize)>,
}

/// Replays the commands of one round, from buffers that hold nothing.
fn replay_round(plan: &Plan, commands: &[Command], wanted: usize, limits: &PlanLimits) -> Replayed {
    let buffers = plan.memory().buffers().len();
    let mut replay = Replay { plan, holds: vec![None; buffers], there: vec![Grid::default(); buffers] };
    let mut replayed = Replayed::default();
    // Dispatches of a slice that has more of them.
    let mut slice: Vec<Dispatch> = Vec::new();
    for command in commands {
        match *command {
            Command::CopyIn(own) => {
                let Transfer { round, port, piece, .. } = plan.uploads().transfers()[own.transfer];
                if round == wanted {
                    let piece = copied(plan, plan.graph().inputs()[port], piece, own, &mut replayed.uploaded, port);
                    replay.write(plan.graph().inputs()[port], piece.segment, &piece.frames, &piece.rows);
                }
            }
            Command::Dispatch { round, step: index, dispatch } if round == wanted => {
                let step = &plan.steps()[index];
                replayed.order.entry(index).or_default().push(dispatch);
                slice.push(step.dispatches[dispatch].clone());
                if slice.len() == dispatches_of_a_slice(step) {
                    replay_slice(&mut replay, step, &slice, limits);
                    slice.clear();
                }
            }
            Command::CopyOut(own) => {
                let Transfer { round, port, piece, .. } = plan.readbacks().transfers()[own.transfer];
                if round == wanted {
                    let blob = plan.outputs()[port].blob;
                    let piece = copied(plan, blob, piece, own, &mut replayed.read_back, port);
                    replay.read(blob, piece.segment, &piece.frames, &piece.rows);
                }
            }
            Command::Dispatch { .. } | Command::Submit => {}
        }
    }
    assert!(slice.is_empty(), "half a slice");
    replayed
}

/// The piece of a blob that a command copies, from or to where it lies.
fn copied(plan: &Plan, blob: BlobId, index: usize, copy: Copy, done: &mut Vec<(usize, usize)>, port: usize) -> Piece {
    let piece = plan.storage(blob).pieces()[index].clone();
    let place = (plan.memory().buffers_of(blob)[piece.segment], piece.offset);
    assert_eq!((copy.buffer, copy.offset), place);
    done.push((port, index));
    piece
}

/// Winograd's method has three dispatches for a slice.
fn dispatches_of_a_slice(step: &Step) -> usize {
    if matches!(step.method, Method::Winograd(_)) { 3 } else { 1 }
}

/// A blob bound by a dispatch.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    blob: BlobId,
    segment: usize,
    frames: Range<usize>,
    rows: Range<usize>,
}

/// The blobs that dispatches bind, the output last.
fn bound(plan: &Plan, dispatches: &[Dispatch], limits: &PlanLimits) -> Vec<Bound> {
    let most = limits.max_binding_bytes.min(limits.max_buffer_bytes);
    let mut bound = Vec::new();
    for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
        if let Binding::Scratch { index, bytes } = binding {
            assert!(*bytes <= most && *bytes <= plan.scratch()[*index].bytes, "{bytes} bytes of scratch");
        }
        let Binding::Frames { blob, frames, rows, segment, offset, bytes } = binding else { continue };
        let (name, row) = (&plan.graph().blob(*blob).name, row_bytes(plan, *blob));
        assert!(*bytes <= most, "{bytes} bytes of {name}");
        assert!(offset.is_multiple_of(limits.offset_alignment), "{name} from {offset}");
        assert_eq!(*bytes, (frames.len() * rows.len()) as u64 * row);
        let piece = plan.storage(*blob).pieces().iter().find(|piece| {
            let within =
                |outer: &Range<usize>, inner: &Range<usize>| outer.start <= inner.start && inner.end <= outer.end;
            let inside = within(&piece.frames, frames) && within(&piece.rows, rows);
            let before = || (frames.start - piece.frames.start) * piece.rows.len() + rows.start - piece.rows.start;
            piece.segment == *segment && inside && piece.offset + before() as u64 * row == *offset
        });
        let piece = piece.unwrap_or_else(|| panic!("frames {frames:?}, rows {rows:?} of {name} are not there"));
        assert!(*rows == piece.rows || frames.len() == 1, "{name}: what is bound follows one another");
        if plan.graph().blob(*blob).layout == Layout::Planar {
            assert_eq!((&piece.frames, &piece.rows), (frames, rows), "planar pieces are bound as a whole");
        }
        bound.push(Bound { blob: *blob, segment: *segment, frames: frames.clone(), rows: rows.clone() });
    }
    bound
}

fn replay_slice(replay: &mut Replay<'_>, step: &Step, slice: &[Dispatch], limits: &PlanLimits) {
    let plan = replay.plan;
    let op = &plan.graph().operators()[step.operator];
    // Winograd's method has three dispatches for a slice; the one in the middle slides over time, the first over rows.
    let winograd = matches!(step.method, Method::Winograd(_));
    let bound = bound(plan, slice, limits);
    for own in slice {
        assert_eq!(own.bindings.len(), own.launch.operands.len());
        assert_eq!((&own.frames, &own.rows, own.part), (&slice[0].frames, &slice[0].rows, slice[0].part));
    }
    let (output, inputs) = bound.split_last().unwrap();
    let (frames, rows) = (&slice[0].frames, &slice[0].rows);
    assert_eq!((output.blob, &output.frames), (op.output, frames));
    assert!(output.rows.start <= rows.start && rows.end <= output.rows.end && (winograd || output.rows == *rows));
    let buffer = |own: &Bound| replay.buffer(own.blob, own.segment);
    assert!(inputs.iter().all(|input| buffer(input) != buffer(output)), "{} writes what it reads", op.name);
    if let Some(tile) = step.method.winograd_tile() {
        let side = tile.outputs();
        assert!(rows.start.is_multiple_of(side), "{}: rows from {} on, tiles of {side}", op.name, rows.start);
        assert!(rows.end.is_multiple_of(side) || rows.end == plan.shape(op.output).h, "{}: half a tile", op.name);
    }
    assert_eq!(inputs.len(), op.inputs.len());
    for (index, (read, &blob)) in inputs.iter().zip(&op.inputs).enumerate() {
        assert_eq!(read.blob, blob);
        let (shape, windows) = (plan.round_shape(blob), windows(&op.kind, index));
        let Some(window) = windows.first() else {
            assert_eq!((&read.frames, &read.rows), (frames, &output.rows), "{}: read like the output", op.name);
            replay.read(blob, read.segment, frames, rows);
            continue;
        };
        let step_of =
            |unit: u64| (1..).find(|&n: &u64| (n * unit).is_multiple_of(limits.offset_alignment)).unwrap() as usize;
        let needed = [touched(&windows, 0, frames, shape.t), touched(&windows, 1, rows, shape.h)];
        if let [Some(times), Some(lines)] = &needed {
            let (first, last) = (&read.rows.start, &read.rows.end);
            assert!(*first <= lines.start && lines.end <= *last, "{}: rows {lines:?} of {:?}", op.name, read.rows);
            replay.read(blob, read.segment, times, lines);
            if shape.n == 1 {
                assert_eq!(read.frames.end, times.end, "{}: no frame beyond the halo", op.name);
                let step = step_of(read.rows.len() as u64 * row_bytes(plan, blob));
                assert!(times.start - read.frames.start < step, "{}: no more early frames than needed", op.name);
            }
        }
        if shape.n > 1 {
            assert_eq!(read.frames, 0..shape.t, "clips follow one another: all frames of them");
        }
        // What the shader makes of it: tap 0 of the first output lies `pad` frames and rows before the first bound.
        let param =
            |of: &Dispatch, at: usize| i64::from(i32::from_le_bytes(of.launch.params[at..at + 4].try_into().unwrap()));
        // The second term's window is behind the first one's.
        let base = if index == 0 { 0 } else { 48 };
        let (pad_t, pad_h) = match winograd {
            true => (param(&slice[1], 24), param(&slice[0], 32)),
            false => (param(&slice[0], base + 24), param(&slice[0], base + 28)),
        };
        let strides = |axis: usize| windows.iter().map(|window| window.stride[axis]).product::<usize>();
        let first = |axis: usize, out: usize| (out * strides(axis)) as i64 - window.pad[axis] as i64;
        assert_eq!(read.frames.start as i64 - pad_t, first(0, frames.start), "{}: frames", op.name);
        assert_eq!(read.rows.start as i64 - pad_h, first(1, rows.start), "{}: rows", op.name);
    }
    replay.write(op.output, output.segment, frames, rows);
}

/// Every row of every segment is computed exactly once, by every part of the weights.
fn everything_once(plan: &Plan, step: &Step) {
    let op = &plan.graph().operators()[step.operator];
    let mut written: BTreeMap<(usize, usize), Grid> = BTreeMap::new();
    let mut wanted = written.clone();
    let grid = || Grid::new(plan.shape(op.output));
    for dispatch in &step.dispatches {
        for binding in &dispatch.bindings {
            let Binding::Frames { blob, segment, .. } = binding else { continue };
            if *blob == op.output {
                let own = written.entry((*segment, dispatch.part)).or_insert_with(grid);
                own.meet(&dispatch.frames, &dispatch.rows);
            }
        }
    }
    for piece in plan.storage(op.output).pieces() {
        for part in 0..step.parts.len() {
            wanted.entry((piece.segment, part)).or_insert_with(grid).meet(&piece.frames, &piece.rows);
        }
    }
    assert_eq!(written, wanted, "{}", op.name);
    assert!(step.parts.iter().cloned().flatten().eq(0..step.method.constant_blocks(&op.kind)), "every channel once");
}

/// How often a plan was split in each way.
#[derive(Debug, Default)]
pub struct Met {
    pub rounds: usize,
    pub frames: usize,
    pub rows: usize,
    pub channels: usize,
    pub segments: usize,
    pub early: usize,
    pub stripes: usize,
    pub streamed: usize,
}

impl Met {
    /// Counts what is split in a plan.
    pub fn count(&mut self, plan: &Plan) {
        self.rounds += usize::from(plan.rounds() > 1);
        for step in plan.steps() {
            self.frames += usize::from(step.is_cut_over_frames());
            self.rows += usize::from(step.dispatches.iter().any(|dispatch| dispatch.rows.start > 0));
            self.channels += usize::from(step.parts.len() > 1);
            let pads = step.dispatches.iter().map(|dispatch| dispatch.launch.params.get(24..28));
            let slides = !windows(&plan.graph().operators()[step.operator].kind, 0).is_empty();
            let negative = |pad: Option<&[u8]>| pad.is_some_and(|pad| i32::from_le_bytes(pad.try_into().unwrap()) < 0);
            self.early += usize::from(slides && pads.into_iter().any(negative));
        }
        let striped = |(_, storage): &(BlobId, &Storage)| storage.stripes().count() > 1;
        self.stripes += plan.storages().filter(striped).count();
        self.streamed += usize::from(plan.stretches().len() > plan.steps().len());
        self.segments += plan.storages().filter(|(_, storage)| storage.segments().len() > 1).count();
    }
}
