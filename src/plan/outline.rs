//! A plan under one way to cut blobs into segments, and which ways are worth trying.

use super::memory::{Lifetime, Memory};
use super::slices::{Slicer, constant_parts};
use super::{Output, Plan, PlanOptions, Staging, Step, Storage, block_bytes};
use crate::error::Result;
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
    /// The plan whose blobs have segments of at most so many bytes.
    ///
    /// # Errors
    /// Those of [`Plan::new`] about limits and kernels.
    pub fn plan(&self, options: &PlanOptions, segment_bytes: u64) -> Result<Plan> {
        let Self { graph, shapes, rounds, methods } = self;
        let limits = &options.limits;
        let budget = options.target.scratch_budget(most_at_once(graph, shapes));
        let mut slicer = Slicer::new(graph, shapes, limits, segment_bytes, budget)?;
        let mut steps = Vec::new();
        let mut weight_bytes = 0;
        for (operator, (op, method)) in graph.operators().iter().zip(methods).enumerate() {
            let Some(method) = *method else { continue };
            method.accepts(op, shapes[op.inputs[0].index()])?;
            let lens = method.constant_lens(&op.kind, shapes[op.output.index()].c);
            weight_bytes += lens.iter().map(|&len| len as u64 * 4).sum::<u64>();
            let blocks = method.constant_blocks(&op.kind);
            let block_bytes = block_bytes(method, &op.kind, shapes[op.output.index()]);
            let most_bytes = limits.bindable_in(method.constant_home(0));
            let parts = constant_parts(blocks, block_bytes, most_bytes, limits, || weight_name(op, blocks))?;
            let dispatches = slicer.dispatches(op, method, &parts)?;
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
        let memory = Memory::assign(&lifetimes(graph, &storages, &steps), steps.len());
        let (graph, shapes, rounds) = (graph.clone(), shapes.clone(), *rounds);
        Ok(Plan { graph, shapes, rounds, steps, storages, outputs, memory, scratch, uploads, readbacks, weight_bytes })
    }

    /// Sizes of segments worth trying: those of blobs that are smaller than the largest.
    pub fn segment_sizes(&self) -> Vec<u64> {
        let blobs = self.graph.blobs().iter().zip(&self.shapes);
        let mut sizes: Vec<u64> = blobs.map(|(blob, &shape)| blob.bytes(shape)).collect();
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
fn stored_in(graph: &Graph, mut blob: BlobId) -> BlobId {
    let identity = |blob| graph.operators().iter().find(|op| op.output == blob && op.kind == OpKind::StopGradient);
    while let Some(op) = identity(blob) {
        blob = op.inputs[0];
    }
    blob
}

/// When every blob is first and last needed by a step.
fn lifetimes(graph: &Graph, storages: &[Storage], steps: &[Step]) -> Vec<Lifetime> {
    let stored = |index: usize| stored_in(graph, BlobId(index)).index();
    let unused = |(index, storage): (usize, &Storage)| Lifetime::unused(storage.segments(), stored(index));
    let mut lifetimes: Vec<Lifetime> = storages.iter().enumerate().map(unused).collect();
    let uploads = graph.inputs().iter().map(|&id| (id, 0));
    let uses = steps.iter().enumerate().flat_map(|(index, step)| {
        let op = &graph.operators()[step.operator];
        op.inputs.iter().chain([&op.output]).map(move |&id| (id, index))
    });
    for (id, step) in uploads.chain(uses) {
        lifetimes[stored(id.index())].extend_to(step);
    }
    lifetimes
}

fn weight_name(op: &Operator, blocks: usize) -> String {
    match blocks {
        1 => format!("the weight of {}", op.name),
        _ => format!("the weight of {}, 1 / {blocks} of it at once,", op.name),
    }
}
