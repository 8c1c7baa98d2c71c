//! From a graph and a clip's shape to everything a run needs: shapes, kernels, buffers, dispatches. No GPU needed.

mod memory;
mod report;
mod shapes;

pub use memory::Memory;
pub use report::{BufferReport, MemoryReport, OperatorReport, PlanReport};
pub use shapes::infer_shapes;

use crate::error::{Error, Result};
use crate::graph::fuse::fuse;
use crate::graph::layout::channels_last;
use crate::graph::{BlobId, Graph, OpKind};
use crate::kernels::{AdapterClass, Launch, Method, OperatorBlobs, Target};
use crate::shape::Shape;
use memory::Lifetime;

/// What an adapter allows, as far as planning cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// Bytes of one storage binding.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Workgroups along one axis of a dispatch.
    pub max_groups: u32,
}

impl Default for PlanLimits {
    /// The most that wgpu offers on any adapter, for planning without one: bindings and buffers of 2^31 - 1 bytes.
    fn default() -> Self {
        Self { max_binding_bytes: i32::MAX as u64, max_buffer_bytes: i32::MAX as u64, max_groups: 65_535 }
    }
}

impl From<&wgpu::Limits> for PlanLimits {
    fn from(limits: &wgpu::Limits) -> Self {
        Self {
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            max_groups: limits.max_compute_workgroups_per_dimension,
        }
    }
}

/// Choices that shape a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Blobs wanted beside the last one, by name.
    pub taps: Vec<String>,
    /// Whether to fuse operators, see [`crate::graph::fuse`].
    pub fusion: bool,
    /// The device to choose kernels for.
    pub target: Target,
    /// Use this method for every operator that it can do.
    pub forced: Option<Method>,
    /// Whether convolutions may be computed by Winograd's method, see [`crate::kernels::winograd`].
    pub winograd: bool,
    /// What the adapter allows.
    pub limits: PlanLimits,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            taps: Vec::new(),
            fusion: true,
            target: Target::typical(AdapterClass::default()),
            forced: None,
            winograd: true,
            limits: PlanLimits::default(),
        }
    }
}

/// One operator that computes: the dispatches that do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The operator, an index into the operators of [`Plan::graph`].
    pub operator: usize,
    /// How it is computed.
    pub method: Method,
    /// Its dispatches, in order.
    pub launches: Vec<Launch>,
}

/// A blob that a run returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Blob name.
    pub name: String,
    /// Where in the graph.
    pub blob: BlobId,
    /// The step that writes it, an index into [`Plan::steps`]; `None` for an input. It is copied out right behind that
    /// step, so that its buffer is free for others as soon as no operator needs it.
    pub written_by: Option<usize>,
}

/// Everything about running one graph on clips of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    graph: Graph,
    shapes: Vec<Shape>,
    steps: Vec<Step>,
    outputs: Vec<Output>,
    memory: Memory,
    /// Bytes of every workspace, shared by all steps.
    scratch: Vec<u64>,
    weight_bytes: u64,
}

impl Plan {
    /// Plans `graph`, as built, for inputs of the given shapes, in the order of [`Graph::inputs`].
    ///
    /// # Errors
    /// [`Error::UnknownTap`] for a tap; [`Error::Shape`] and [`Error::Size`] where the inputs do not suit the graph;
    /// [`Error::Limit`] where a blob, weight or buffer is larger than the adapter allows; [`Error::Kernel`] where no
    /// kernel can do an operator.
    pub fn new(graph: &Graph, inputs: &[Shape], options: &PlanOptions) -> Result<Self> {
        let taps = options.taps.iter().map(|name| graph.find(name)).collect::<Result<Vec<_>>>()?;
        let graph = if options.fusion { fuse(graph, &taps) } else { graph.clone() };
        let taps = options.taps.iter().map(|name| graph.find(name)).collect::<Result<Vec<_>>>()?;
        let graph = channels_last(&graph, &taps);
        let shapes = infer_shapes(&graph, inputs)?;
        let mut steps = Vec::new();
        let mut scratch: Vec<u64> = Vec::new();
        let mut weight_bytes = 0;
        for (operator, op) in graph.operators().iter().enumerate() {
            let blobs = OperatorBlobs {
                inputs: op.inputs.iter().map(|id| shapes[id.index()]).collect(),
                output: shapes[op.output.index()],
                output_layout: graph.blob(op.output).layout,
            };
            let Some(method) = choose(&op.kind, &blobs, options) else { continue };
            let launches = method.launches(op, &blobs, options.limits.max_groups)?;
            for len in method.constant_lens(&op.kind, blobs.output.c) {
                let bytes = len as u64 * 4;
                fits_binding(&format!("the weight of {}", op.name), bytes, &options.limits)?;
                weight_bytes += bytes;
            }
            for (index, bytes) in method.scratch_bytes(&blobs).into_iter().enumerate() {
                fits_binding(&format!("a workspace of {}", op.name), bytes, &options.limits)?;
                scratch.resize(scratch.len().max(index + 1), 0);
                scratch[index] = scratch[index].max(bytes);
            }
            steps.push(Step { operator, method, launches });
        }
        for (blob, shape) in graph.blobs().iter().zip(&shapes) {
            fits_binding(&format!("blob {} ({shape})", blob.name), blob.bytes(*shape), &options.limits)?;
        }
        let outputs = outputs(&graph, &steps, &options.taps)?;
        // The outputs are read back through one buffer.
        let readback: u64 = outputs.iter().map(|o| graph.blob(o.blob).bytes(shapes[o.blob.index()])).sum();
        fits("the readback of all taps", readback, options.limits.max_buffer_bytes, "buffer")?;

        let memory = Memory::assign(&lifetimes(&graph, &shapes, &steps), steps.len());
        Ok(Self { graph, shapes, steps, outputs, memory, scratch, weight_bytes })
    }

    /// The operators that run: fused, unless fusion was forbidden, with layout conversions at the edges.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shape of a blob of [`Plan::graph`].
    pub fn shape(&self, blob: BlobId) -> Shape {
        self.shapes[blob.index()]
    }

    /// Bytes of a blob of [`Plan::graph`] on the device, in its layout.
    pub fn bytes(&self, blob: BlobId) -> u64 {
        self.graph.blob(blob).bytes(self.shape(blob))
    }

    /// The dispatches, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What a run returns: the taps in the order asked for, then the last blob unless it was among them.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Buffers, and which blob lives where.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Bytes of every workspace. They are shared by all steps and hold nothing between them.
    pub fn scratch(&self) -> &[u64] {
        &self.scratch
    }

    /// Dispatches of a run.
    pub fn dispatches(&self) -> usize {
        self.steps.iter().map(|step| step.launches.len()).sum()
    }

    /// Bytes of all weights and biases, as packed for the chosen methods.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// The buffer of a blob of [`Plan::graph`], an index into [`Memory::buffers`].
    pub fn buffer(&self, blob: BlobId) -> usize {
        self.memory.buffer_of(blob)
    }

    /// Multiply-adds of an operator of [`Plan::graph`], counted as direct convolution.
    pub fn operator_macs(&self, operator: usize) -> u64 {
        let op = &self.graph.operators()[operator];
        match &op.kind {
            OpKind::Conv(conv) => self.shape(op.output).len() as u64 * conv.macs_per_output() as u64,
            _ => 0,
        }
    }

    /// Multiply-adds of the whole graph, counted as direct convolutions.
    pub fn macs(&self) -> u64 {
        (0..self.graph.operators().len()).map(|operator| self.operator_macs(operator)).sum()
    }

    /// Least bytes that a dispatch must move: its blobs and constants, each once.
    pub fn step_bytes(&self, step: &Step) -> u64 {
        let op = &self.graph.operators()[step.operator];
        let blobs = op.inputs.iter().chain([&op.output]).map(|&id| self.bytes(id));
        let constants = step.method.constant_lens(&op.kind, self.shape(op.output).c);
        blobs.sum::<u64>() + constants.into_iter().map(|len| len as u64 * 4).sum::<u64>()
    }
}

/// The method for an operator; `None` for those that compute nothing.
fn choose(kind: &OpKind, blobs: &OperatorBlobs, options: &PlanOptions) -> Option<Method> {
    let candidates = Method::candidates(kind, options.target);
    let forced = options.forced.filter(|method| candidates.contains(method));
    let fits = |method: &Method| {
        let scratch = method.scratch_bytes(blobs);
        scratch.iter().all(|&bytes| fits_binding("a workspace", bytes, &options.limits).is_ok())
    };
    let allowed = |method: &Method| options.winograd || !matches!(method, Method::Winograd { .. });
    let pays = |method: &Method| method.pays(kind, blobs.output);
    forced.or_else(|| candidates.into_iter().find(|method| allowed(method) && pays(method) && fits(method)))
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

/// When every blob is first and last needed by a dispatch.
fn lifetimes(graph: &Graph, shapes: &[Shape], steps: &[Step]) -> Vec<Lifetime> {
    let stored = |index: usize| stored_in(graph, BlobId(index)).index();
    let bytes = |index: usize| graph.blobs()[index].bytes(shapes[index]);
    let mut lifetimes: Vec<Lifetime> =
        (0..shapes.len()).map(|index| Lifetime::unused(bytes(index), stored(index))).collect();
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

fn fits_binding(what: &str, bytes: u64, limits: &PlanLimits) -> Result<()> {
    fits(what, bytes, limits.max_binding_bytes, "binding")?;
    fits(what, bytes, limits.max_buffer_bytes, "buffer")
}

fn fits(what: &str, needed: u64, limit: u64, limit_name: &'static str) -> Result<()> {
    if needed > limit {
        return Err(Error::Limit { what: what.to_owned(), needed, limit, limit_name });
    }
    Ok(())
}
