//! Replays plans without a GPU: everything is in its place in time, within limits, and computed once.

use resnet3d_wgpu::Shape;
use resnet3d_wgpu::low_level::graph::{BlobId, Layout, OpKind, Window};
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::plan::{
    Binding, Command, Copy, Dispatch, Extent, Plan, PlanLimits, Region, Step, Storage, Transfer,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// The bytes of one row of one frame of a blob.
fn row_bytes(plan: &Plan, blob: BlobId) -> u64 {
    plan.graph().blob(blob).bytes(Shape { t: 1, h: 1, ..plan.micro_batch_shape(blob) })
}

/// The windows that slide over an input of an operator, the one over the input first.
fn windows(kind: &OpKind, input: usize) -> Vec<Window> {
    match kind {
        OpKind::Conv(conv) if input == 0 => {
            [conv.window].into_iter().chain(conv.epilogue.pool.as_deref().copied()).collect()
        }
        OpKind::Conv(conv) => conv.epilogue.projection.iter().map(|projection| projection.window).collect(),
        OpKind::MaxPool(window) | OpKind::Subsample(window) => vec![*window],
        _ => Vec::new(),
    }
}

/// The range of an input's axis of `extent` elements that the taps of the outputs `out` touch, found tap by tap: `None`
/// if all taps are in the padding, and `out` if there are no windows.
fn touched(windows: &[Window], axis: usize, out: &Range<usize>, extent: usize) -> Option<Range<usize>> {
    let Some((window, further)) = windows.split_first() else { return Some(out.clone()) };
    let outputs = window.output([extent; 3]).map_or(0, |extents| extents[axis]);
    let out = touched(further, axis, out, outputs)?;
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

/// How often each row of each frame is met.
#[derive(Clone, Debug, Default, PartialEq)]
struct Grid {
    height: usize,
    counts: Vec<u8>,
}

impl Grid {
    fn new(shape: Shape) -> Self {
        Self { height: shape.h, counts: vec![0; shape.t * shape.h] }
    }

    fn meet(&mut self, Region { frames, rows }: &Region) {
        for frame in frames.clone() {
            self.counts[frame * self.height..][rows.clone()].iter_mut().for_each(|count| *count += 1);
        }
    }

    fn has(&self, frames: &Range<usize>, rows: &Range<usize>) -> bool {
        frames.clone().all(|frame| self.counts[frame * self.height..][rows.clone()].iter().all(|&count| count > 0))
    }
}

/// The contents of the buffers while a plan is replayed: the chunk in each, and the frames and rows of it that are
/// there.
struct Replay<'a> {
    plan: &'a Plan,
    holds: Vec<Option<(BlobId, usize)>>,
    there: Vec<Grid>,
}

impl Replay<'_> {
    fn buffer(&self, blob: BlobId, chunk: usize) -> usize {
        self.plan.memory().buffers_of(blob)[chunk]
    }

    fn write(&mut self, blob: BlobId, chunk: usize, region: &Region) {
        let (buffer, held) = (self.buffer(blob, chunk), Some((holder(self.plan, blob), chunk)));
        if self.holds[buffer] != held {
            self.holds[buffer] = held;
            self.there[buffer] = Grid::new(self.plan.shape(blob));
        }
        self.there[buffer].meet(region);
    }

    fn read(&self, blob: BlobId, chunk: usize, frames: &Range<usize>, rows: &Range<usize>) {
        let (buffer, name) = (self.buffer(blob, chunk), &self.plan.graph().blob(blob).name);
        assert_eq!(self.holds[buffer], Some((holder(self.plan, blob), chunk)), "{name} is not there any more");
        assert!(self.there[buffer].has(frames, rows), "{name}: of {frames:?}, {rows:?} something is not computed");
    }
}

/// Replays a plan. Nothing exceeds `limits`. Every range of frames and rows is where it should be and no larger than it
/// must be, is computed before it is read, and is still there then. Every row of every chunk is computed exactly once.
pub fn replay(plan: &Plan, limits: &PlanLimits) {
    for &bytes in plan.memory().buffers().iter().chain(plan.uploads().buffers()).chain(plan.readbacks().buffers()) {
        assert!(bytes <= limits.max_buffer_bytes, "a buffer of {bytes} bytes");
    }
    for (blob, storage) in plan.storages() {
        for (chunk, (&bytes, &buffer)) in storage.chunks().iter().zip(plan.memory().buffers_of(blob)).enumerate() {
            assert!(bytes <= plan.memory().buffers()[buffer]);
            let extents = storage.extents().iter().filter(|extent| extent.chunk == chunk);
            assert!(extents.clone().all(|extent| extent.offset + extent.bytes <= bytes));
            assert!(extents.is_sorted_by(|a, b| a.offset + a.bytes <= b.offset), "extents do not overlap in memory");
        }
        let mut there = Grid::new(plan.shape(blob));
        storage.extents().iter().for_each(|extent| there.meet(&extent.region));
        assert!(there.counts.iter().all(|&count| count > 0), "every row has a place");
    }
    let commands = plan.commands();
    let mut replayed = Replayed::default();
    for micro_batch in 0..plan.micro_batches() {
        replayed = replay_micro_batch(plan, &commands, micro_batch, limits);
        let Replayed { order, .. } = &replayed;
        for (index, step) in plan.steps().iter().enumerate() {
            let mut dispatched = order.get(&index).cloned().unwrap_or_default();
            dispatched.sort_unstable();
            assert!(dispatched.into_iter().eq(0..step.dispatches.len()), "every dispatch runs once");
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
        let extents = |(port, &blob): (usize, &BlobId)| (0..plan.storage(blob).extents().len()).map(move |e| (port, e));
        let wanted: Vec<(usize, usize)> = ports.iter().enumerate().flat_map(extents).collect();
        assert_eq!(copied, wanted, "every extent is copied once");
        let micro_batches = 0..plan.micro_batches();
        for (micro_batch, (port, extent)) in micro_batches.flat_map(|index| wanted.iter().map(move |&one| (index, one)))
        {
            let transfer = staging.transfer(micro_batch, port, extent).unwrap();
            assert_eq!((transfer.micro_batch, transfer.port, transfer.extent), (micro_batch, port, extent));
            assert_eq!(transfer.bytes, plan.storage(ports[port]).extents()[extent].bytes);
        }
        for (index, &bytes) in staging.buffers().iter().enumerate() {
            let transfers = staging.transfers().iter().filter(|transfer| transfer.buffer == index);
            assert!(transfers.clone().all(|transfer| transfer.offset + transfer.bytes <= bytes));
            assert!(transfers.is_sorted_by(|a, b| a.offset + a.bytes <= b.offset), "transfers do not overlap");
        }
    }
}

/// What the commands of a micro-batch did: the dispatches of each step, and the extents of inputs and outputs that were
/// copied.
#[derive(Default)]
struct Replayed {
    order: BTreeMap<usize, Vec<usize>>,
    uploaded: Vec<(usize, usize)>,
    read_back: Vec<(usize, usize)>,
}

/// Replays the commands of one micro-batch, with empty buffers at first.
fn replay_micro_batch(plan: &Plan, commands: &[Command], wanted: usize, limits: &PlanLimits) -> Replayed {
    let buffers = plan.memory().buffers().len();
    let mut replay = Replay { plan, holds: vec![None; buffers], there: vec![Grid::default(); buffers] };
    let mut replayed = Replayed::default();
    // The dispatches so far of a slice that has several.
    let mut slice: Vec<Dispatch> = Vec::new();
    for command in commands {
        match *command {
            Command::CopyIn(copy) => {
                let Transfer { micro_batch, port, extent, .. } = plan.uploads().transfers()[copy.transfer];
                if micro_batch == wanted {
                    let blob = plan.graph().inputs()[port];
                    let extent = copied(plan, blob, extent, copy, &mut replayed.uploaded, port);
                    replay.write(blob, extent.chunk, &extent.region);
                }
            }
            Command::Dispatch { micro_batch, step: index, dispatch } if micro_batch == wanted => {
                let step = &plan.steps()[index];
                replayed.order.entry(index).or_default().push(dispatch);
                slice.push(step.dispatches[dispatch].clone());
                if slice.len() == dispatches_of_a_slice(step) {
                    replay_slice(&mut replay, step, &slice, limits);
                    slice.clear();
                }
            }
            Command::CopyOut(copy) => {
                let Transfer { micro_batch, port, extent, .. } = plan.readbacks().transfers()[copy.transfer];
                if micro_batch == wanted {
                    let blob = plan.outputs()[port].blob;
                    let extent = copied(plan, blob, extent, copy, &mut replayed.read_back, port);
                    replay.read(blob, extent.chunk, &extent.region.frames, &extent.region.rows);
                }
            }
            Command::Dispatch { .. } | Command::Submit => {}
        }
    }
    assert!(slice.is_empty(), "half a slice");
    replayed
}

/// The extent of a blob that a command copies. Fails unless the command has the place of the extent.
fn copied(plan: &Plan, blob: BlobId, index: usize, copy: Copy, done: &mut Vec<(usize, usize)>, port: usize) -> Extent {
    let extent = plan.storage(blob).extents()[index].clone();
    let place = (plan.memory().buffers_of(blob)[extent.chunk], extent.offset);
    assert_eq!((copy.buffer, copy.offset), place);
    done.push((port, index));
    extent
}

/// Winograd's method has three dispatches for a slice.
fn dispatches_of_a_slice(step: &Step) -> usize {
    if matches!(step.method, Method::Winograd(_)) { 3 } else { 1 }
}

/// A blob bound by a dispatch.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    blob: BlobId,
    chunk: usize,
    region: Region,
}

/// The blobs that dispatches bind, the output last.
fn bound(plan: &Plan, dispatches: &[Dispatch], limits: &PlanLimits) -> Vec<Bound> {
    let most = limits.max_binding_bytes.min(limits.max_buffer_bytes);
    let mut bound = Vec::new();
    for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
        if let Binding::Scratch { index, bytes } = binding {
            assert!(*bytes <= most && *bytes <= plan.scratch()[*index].bytes, "{bytes} bytes of scratch");
        }
        let Binding::Blob { blob, region, chunk, offset, bytes } = binding else { continue };
        let Region { frames, rows } = region;
        let (name, row) = (&plan.graph().blob(*blob).name, row_bytes(plan, *blob));
        assert!(*bytes <= most, "{bytes} bytes of {name}");
        assert!(offset.is_multiple_of(limits.offset_alignment), "{name} from {offset}");
        assert_eq!(*bytes, (frames.len() * rows.len()) as u64 * row);
        let extent = plan.storage(*blob).extents().iter().find(|extent| {
            let Region { frames: all_frames, rows: all_rows } = &extent.region;
            let within =
                |outer: &Range<usize>, inner: &Range<usize>| outer.start <= inner.start && inner.end <= outer.end;
            let inside = within(all_frames, frames) && within(all_rows, rows);
            let before = || (frames.start - all_frames.start) * all_rows.len() + rows.start - all_rows.start;
            extent.chunk == *chunk && inside && extent.offset + before() as u64 * row == *offset
        });
        let extent = extent.unwrap_or_else(|| panic!("frames {frames:?}, rows {rows:?} of {name} are not there"));
        assert!(*rows == extent.region.rows || frames.len() == 1, "{name}: what is bound follows one another");
        if plan.graph().blob(*blob).layout == Layout::Planar {
            assert_eq!(extent.region, *region, "planar extents are bound as a whole");
        }
        bound.push(Bound { blob: *blob, chunk: *chunk, region: region.clone() });
    }
    bound
}

fn replay_slice(replay: &mut Replay<'_>, step: &Step, slice: &[Dispatch], limits: &PlanLimits) {
    let plan = replay.plan;
    let op = &plan.graph().operators()[step.operator];
    // Winograd's method has three dispatches for a slice; the one in the middle slides over time, the first over rows.
    let winograd = matches!(step.method, Method::Winograd(_));
    let bound = bound(plan, slice, limits);
    for dispatch in slice {
        assert_eq!(dispatch.bindings.len(), dispatch.launch.operands.len());
        assert_eq!((&dispatch.region, dispatch.part), (&slice[0].region, slice[0].part));
    }
    let (output, inputs) = bound.split_last().unwrap();
    let Region { frames, rows } = &slice[0].region;
    assert_eq!((output.blob, &output.region.frames), (op.output, frames));
    let output_rows = &output.region.rows;
    assert!(output_rows.start <= rows.start && rows.end <= output_rows.end && (winograd || output_rows == rows));
    let buffer = |bound: &Bound| replay.buffer(bound.blob, bound.chunk);
    assert!(inputs.iter().all(|input| buffer(input) != buffer(output)), "{} writes what it reads", op.name);
    if let Some(tile) = step.method.winograd_tile() {
        let side = tile.outputs();
        assert!(rows.start.is_multiple_of(side), "{}: rows from {} on, tiles of {side}", op.name, rows.start);
        assert!(rows.end.is_multiple_of(side) || rows.end == plan.shape(op.output).h, "{}: half a tile", op.name);
    }
    assert_eq!(inputs.len(), op.inputs.len());
    for (index, (read, &blob)) in inputs.iter().zip(&op.inputs).enumerate() {
        assert_eq!(read.blob, blob);
        let (shape, windows) = (plan.micro_batch_shape(blob), windows(&op.kind, index));
        let Some(window) = windows.first() else {
            assert_eq!(read.region, output.region, "{}: read like the output", op.name);
            replay.read(blob, read.chunk, frames, rows);
            continue;
        };
        let Region { frames: read_frames, rows: read_rows } = &read.region;
        let step_of =
            |unit: u64| (1..).find(|&n: &u64| (n * unit).is_multiple_of(limits.offset_alignment)).unwrap() as usize;
        let needed = [touched(&windows, 0, frames, shape.t), touched(&windows, 1, rows, shape.h)];
        if let [Some(times), Some(lines)] = &needed {
            let (first, last) = (&read_rows.start, &read_rows.end);
            assert!(*first <= lines.start && lines.end <= *last, "{}: rows {lines:?} of {read_rows:?}", op.name);
            replay.read(blob, read.chunk, times, lines);
            if shape.n == 1 {
                assert_eq!(read_frames.end, times.end, "{}: no frame beyond the halo", op.name);
                let step = step_of(read_rows.len() as u64 * row_bytes(plan, blob));
                assert!(times.start - read_frames.start < step, "{}: no more early frames than needed", op.name);
            }
        }
        if shape.n > 1 {
            assert_eq!(*read_frames, 0..shape.t, "clips follow one another: all frames of them");
        }
        // The shader's parameters say the same: tap 0 of the first output lies `pad` frames and rows before the first
        // bound.
        let param =
            |of: &Dispatch, at: usize| i64::from(i32::from_le_bytes(of.launch.params[at..at + 4].try_into().unwrap()));
        // In the parameters, the second term's window follows the first one's.
        let base = if index == 0 { 0 } else { 48 };
        let (pad_t, pad_h) = match winograd {
            true => (param(&slice[1], 24), param(&slice[0], 32)),
            false => (param(&slice[0], base + 24), param(&slice[0], base + 28)),
        };
        let strides = |axis: usize| windows.iter().map(|window| window.stride[axis]).product::<usize>();
        let first = |axis: usize, out: usize| (out * strides(axis)) as i64 - window.pad[axis] as i64;
        assert_eq!(read_frames.start as i64 - pad_t, first(0, frames.start), "{}: frames", op.name);
        assert_eq!(read_rows.start as i64 - pad_h, first(1, rows.start), "{}: rows", op.name);
    }
    replay.write(op.output, output.chunk, &slice[0].region);
}

/// Every row of every chunk is computed exactly once with every part of the weights.
fn everything_once(plan: &Plan, step: &Step) {
    let op = &plan.graph().operators()[step.operator];
    let mut written: BTreeMap<(usize, usize), Grid> = BTreeMap::new();
    let mut wanted = written.clone();
    let grid = || Grid::new(plan.shape(op.output));
    for dispatch in &step.dispatches {
        for binding in &dispatch.bindings {
            let Binding::Blob { blob, chunk, .. } = binding else { continue };
            if *blob == op.output {
                written.entry((*chunk, dispatch.part)).or_insert_with(grid).meet(&dispatch.region);
            }
        }
    }
    for extent in plan.storage(op.output).extents() {
        for part in 0..step.parts.len() {
            wanted.entry((extent.chunk, part)).or_insert_with(grid).meet(&extent.region);
        }
    }
    assert_eq!(written, wanted, "{}", op.name);
    assert!(step.parts.iter().cloned().flatten().eq(0..step.method.constant_blocks(&op.kind)), "every channel once");
}

/// How often a plan was split in each way.
#[derive(Debug, Default)]
pub struct Met {
    pub micro_batches: usize,
    pub frames: usize,
    pub rows: usize,
    pub channels: usize,
    pub chunks: usize,
    pub early: usize,
    pub bands: usize,
    pub on_demand: usize,
}

impl Met {
    /// Counts what is split in a plan.
    pub fn count(&mut self, plan: &Plan) {
        self.micro_batches += usize::from(plan.micro_batches() > 1);
        for step in plan.steps() {
            self.frames += usize::from(step.is_cut_over_frames());
            self.rows += usize::from(step.dispatches.iter().any(|dispatch| dispatch.region.rows.start > 0));
            self.channels += usize::from(step.parts.len() > 1);
            let pads = step.dispatches.iter().map(|dispatch| dispatch.launch.params.get(24..28));
            let slides = !windows(&plan.graph().operators()[step.operator].kind, 0).is_empty();
            let negative = |pad: Option<&[u8]>| pad.is_some_and(|pad| i32::from_le_bytes(pad.try_into().unwrap()) < 0);
            self.early += usize::from(slides && pads.into_iter().any(negative));
        }
        let banded = |(_, storage): &(BlobId, &Storage)| storage.bands().count() > 1;
        self.bands += plan.storages().filter(banded).count();
        self.on_demand += usize::from(plan.schedule().len() > plan.steps().len());
        self.chunks += plan.storages().filter(|(_, storage)| storage.chunks().len() > 1).count();
    }
}
