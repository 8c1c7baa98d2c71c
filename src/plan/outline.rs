//! A plan under one way to cut blobs into segments, and which ways are worth trying.

use super::memory::{Lifetime, Memory};
use super::rounds::rounds;
use super::schedule::{Slices, Stretch, segments};
use super::slices::{Cutting, Slicer, constant_parts};
use super::{Output, Plan, PlanOptions, Staging, Step, Storage, block_bytes, choose};
use crate::error::{ErrorKind, Result};
use crate::graph::{BlobId, Graph, OpKind, Operator};
use crate::kernels::Method;
use crate::shape::Shape;

/// A plan as far as it does not depend on how blobs are cut.
pub(super) struct Outline {
    pub graph: Graph,
    /// Of one round.
    pub shapes: Vec<Shape>,
    pub rounds: usize,
    /// By operator.
    pub methods: Vec<Option<Method>>,
}

impl Outline {
    /// Of `graph`, in at least `fewest` rounds.
    ///
    /// # Errors
    /// Those of [`rounds`].
    pub fn new(graph: &Graph, inputs: &[Shape], options: &PlanOptions, fewest: usize) -> Result<Self> {
        let method = |op: &Operator, shapes: &[Shape]| {
            choose(op, shapes[op.inputs[0].index()], shapes[op.output.index()], options)
        };
        let scratch = |op: &Operator, shapes: &[Shape]| {
            let method = method(op, shapes);
            method.map_or_else(Vec::new, |method| {
                let output = shapes[op.output.index()];
                method.workspaces(shapes[op.inputs[0].index()], output, output.h)
            })
        };
        let budget = options.target.scratch_budget(u64::MAX);
        let (rounds, shapes) = rounds(graph, inputs, &options.limits, budget, fewest, scratch)?;
        let methods = graph.operators().iter().map(|op| method(op, &shapes)).collect();
        Ok(Self { graph: graph.clone(), shapes, rounds, methods })
    }

    /// The plan that needs the least memory without more work, blob by blob.
    ///
    /// # Errors
    /// Those of [`Plan::new`] about limits and kernels.
    pub fn best(&self, options: &PlanOptions) -> Result<Plan> {
        let scratch_bytes = self.scratch_budget(options);
        let segments = |segment_bytes| Cutting { segment_bytes, scratch_bytes, stripes: false, streamed: false };
        let plan = self.cut(options, segments(options.limits.max_buffer_bytes))?;
        let whole_batches = self.shapes.iter().any(|shape| shape.n > 1);
        if plan.memory.is_tight() || whole_batches {
            // Frames of several clips are not cut.
            return Ok(plan);
        }
        // A blob in smaller segments leaves room for others sooner. Frames that two of them have, and what pads a dispatch
        // to whole tiles, are computed besides: for a hundredth more it is worth it.
        let macs = |plan: &Plan| plan.steps.iter().map(|step| plan.step_macs(step)).sum::<u64>();
        let most = macs(&plan) / 100 * 101;
        let finer = self.segment_sizes().into_iter().filter_map(|bytes| self.plan(options, segments(bytes)).ok());
        let finer = finer.filter(|finer| macs(finer) <= most).min_by_key(|finer| finer.memory.peak_bytes());
        Ok(finer.filter(|finer| finer.memory.peak_bytes() < plan.memory.peak_bytes()).unwrap_or(plan))
    }

    /// The plan with blobs and workspaces cut like that, in stripes where frames are too large.
    ///
    /// # Errors
    /// Those of [`Plan::new`] about limits and kernels.
    fn cut(&self, options: &PlanOptions, cutting: Cutting) -> Result<Plan> {
        match self.plan(options, cutting) {
            Err(error) if error.kind() == ErrorKind::Limit => self.plan(options, Cutting { stripes: true, ..cutting }),
            plan => plan,
        }
    }

    /// The plan with blobs and workspaces cut like that.
    ///
    /// # Errors
    /// Those of [`Plan::new`] about limits and kernels.
    pub fn plan(&self, options: &PlanOptions, cutting: Cutting) -> Result<Plan> {
        let Self { graph, shapes, rounds, methods } = self;
        let limits = &options.limits;
        let mut slicer = Slicer::new(self, limits, cutting)?;
        let mut steps = Vec::new();
        let mut slices = Vec::new();
        let mut weight_bytes = 0;
        for (operator, (op, method)) in graph.operators().iter().zip(methods).enumerate() {
            let Some(method) = *method else { continue };
            method.accepts(op, shapes[op.inputs[0].index()])?;
            let constants = method.constant_bytes(&op.kind, shapes[op.output.index()].c, options.dtype);
            weight_bytes += constants.iter().sum::<u64>();
            let blocks = method.constant_blocks(&op.kind);
            let block_bytes = block_bytes(method, &op.kind, shapes[op.output.index()], options.dtype);
            let dtype = method.constant_format(0).of(options.dtype);
            let most_bytes = limits.bindable_in(method.constant_memory(0), dtype);
            let parts = constant_parts(blocks, block_bytes, most_bytes, limits, || weight_name(op, blocks))?;
            let own = slicer.slices(op, method, &parts)?;
            slices.push(
                own.iter()
                    .scan(0, |end, slice| {
                        let start = std::mem::replace(end, *end + slice.len());
                        Some(start..*end)
                    })
                    .collect::<Vec<_>>(),
            );
            let dispatches = own.into_iter().flatten().collect();
            steps.push(Step { operator, method, parts, dispatches });
        }
        let scratch = slicer.scratch;
        let storages = slicer.storages;
        let outputs = outputs(graph, &steps, &options.taps)?;
        let ports = |blobs: &mut dyn Iterator<Item = BlobId>| {
            let storages: Vec<&Storage> = blobs.map(|id| &storages[id.index()]).collect();
            Staging::new(*rounds, &storages, limits.max_buffer_bytes)
        };
        let uploads = ports(&mut graph.inputs().iter().copied());
        let readbacks = ports(&mut outputs.iter().map(|output| output.blob));
        let parts = Slices { graph, storages: &storages, steps: &steps, slices: &slices, outputs: &outputs };
        let stretches = match cutting.streamed {
            true => parts.streamed(&|blob| stored_in(graph, blob)),
            false => parts.step_by_step(),
        };
        let lifetimes = lifetimes(graph, &storages, &steps, &stretches, cutting.streamed);
        let memory = Memory::assign(&lifetimes, stretches.len());
        let clip_frames = graph.inputs().first().map_or(0, |id| shapes[id.index()].t);
        let slow_frames = graph.slow_frames().map(|slow| slow.frames(clip_frames)).unwrap_or_default();
        let (graph, shapes, rounds, submissions) = (graph.clone(), shapes.clone(), *rounds, Vec::new());
        let mut plan = Plan {
            graph,
            dtype: options.dtype,
            shapes,
            rounds,
            steps,
            stretches,
            submissions,
            storages,
            outputs,
            memory,
            scratch,
            uploads,
            readbacks,
            slow_frames,
            weight_bytes,
        };
        plan.submissions = plan.bounded_submissions(limits.max_macs);
        Ok(plan)
    }

    /// Bytes of the blobs.
    pub fn blob_bytes(&self) -> impl Iterator<Item = u64> {
        let blobs = self.graph.blobs().iter().zip(&self.shapes);
        blobs.map(|(blob, &shape)| blob.bytes(shape))
    }

    /// What workspaces may have together by default.
    pub fn scratch_budget(&self, options: &PlanOptions) -> u64 {
        options.target.scratch_budget(most_at_once(&self.graph, &self.shapes))
    }

    /// Sizes of segments worth trying: those of blobs that are smaller than the largest.
    fn segment_sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.blob_bytes().collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        sizes.into_iter().skip(1).take(3).collect()
    }
}

/// Most bytes of the blobs of one operator.
fn most_at_once(graph: &Graph, shapes: &[Shape]) -> u64 {
    let bytes = |&id: &BlobId| graph.blob(id).bytes(shapes[id.index()]);
    let operators = graph.operators().iter();
    operators.map(|op| op.inputs.iter().chain([&op.output]).map(bytes).sum()).max().unwrap_or(0)
}

fn outputs(graph: &Graph, steps: &[Step], taps: &[String]) -> Result<Vec<Output>> {
    let last = &graph.blob(graph.output()).name;
    let mut names: Vec<&String> = Vec::new();
    for name in taps.iter().chain([last]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let output = |name: &String| {
        let blob = graph.find(name)?;
        let stored = stored_in(graph, blob);
        let written_by = steps.iter().position(|step| graph.operators()[step.operator].output == stored);
        Ok(Output { name: name.clone(), blob, written_by })
    };
    names.into_iter().map(output).collect()
}

/// The blob that holds the values of `blob`: an identity operator's output is its input.
pub(super) fn stored_in(graph: &Graph, mut blob: BlobId) -> BlobId {
    let identity = |blob| graph.operators().iter().find(|op| op.output == blob && op.kind == OpKind::StopGradient);
    while let Some(op) = identity(blob) {
        blob = op.inputs[0];
    }
    blob
}

/// When every blob is first and last needed: all segments of those of a step during it, or each by itself.
fn lifetimes(
    graph: &Graph,
    storages: &[Storage],
    steps: &[Step],
    stretches: &[Stretch],
    by_segment: bool,
) -> Vec<Lifetime> {
    let stored = |blob: BlobId| stored_in(graph, blob);
    let unused =
        |(index, storage): (usize, &Storage)| Lifetime::unused(storage.segments(), stored(BlobId(index)).index());
    let mut lifetimes: Vec<Lifetime> = storages.iter().enumerate().map(unused).collect();
    for (index, stretch) in stretches.iter().enumerate() {
        let step = &steps[stretch.step];
        if by_segment {
            for (_, (blob, segment), _) in segments(&step.dispatches[stretch.dispatches.clone()], &stored) {
                lifetimes[blob].extend(segment, index);
            }
            continue;
        }
        let op = &graph.operators()[step.operator];
        let uploaded = stretch.uploads.iter().map(|&(port, _)| &graph.inputs()[port]);
        for &id in op.inputs.iter().chain([&op.output]).chain(uploaded) {
            lifetimes[stored(id).index()].extend_all(index);
        }
    }
    lifetimes
}

fn weight_name(op: &Operator, blocks: usize) -> String {
    match blocks {
        1 => format!("the weight of {}", op.name),
        _ => format!("the weight of {}, 1 / {blocks} of it at once,", op.name),
    }
}
