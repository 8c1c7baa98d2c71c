//! From a graph and a clip's shape to everything a run needs: shapes, kernels, buffers, dispatches. No GPU needed.

mod budget;
mod choices;
mod commands;
mod cuts;
mod limits;
mod memory;
mod numerics;
mod outline;
mod reach;
mod report;
mod rounds;
mod schedule;
mod shapes;
mod slices;
mod staging;
mod storage;
mod stripes;
mod submissions;
mod work;

pub use choices::{Choices, signature};
pub use commands::{Command, CommandReport, Copy, CopyReport};
pub use limits::{MACS_PER_BYTE, PlanLimits};
pub use memory::Memory;
pub use numerics::Numerics;
pub use report::{BufferReport, MemoryReport, OperatorReport, PlanReport};
pub use schedule::Stretch;
pub use shapes::infer_shapes;
pub use slices::{Binding, Dispatch};
pub(crate) use staging::Run;
pub use staging::{Staging, Transfer};
pub use storage::{Piece, Storage};

use crate::dtype::DType;
use crate::error::Result;
use crate::graph::fuse::{fuse, fuse_pools, project};
use crate::graph::layout::channels_last;
use crate::graph::{BlobId, Conv, Epilogue, Graph, OpKind, Operator, Window};
use crate::kernels::{AdapterClass, Method, OperandMemory, Target, Workspace};
use crate::shape::Shape;
use outline::Outline;
use std::ops::Range;

/// Choices that shape a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Blobs wanted beside the last one, by name.
    pub taps: Vec<String>,
    /// Whether to fuse operators, see [`crate::graph::fuse`].
    pub fusion: bool,
    /// Whether fusion goes as far as [`project`]; where it is `None`, on targets that gain by it
    /// ([`Target::gains_by_projections`]).
    pub projections: Option<bool>,
    /// The number format of blobs inside of a run, and of most weights.
    pub dtype: DType,
    /// The device to choose kernels for.
    pub target: Target,
    /// Use this method for every operator that it can do.
    pub forced: Option<Method>,
    /// Where nothing is forced, use these methods before those of the fixed table, for operators that they can do.
    pub choices: Choices,
    /// Which methods may be chosen. Where it excludes Winograd's alone, a forced one of those is used all the same.
    pub numerics: Numerics,
    /// What the adapter allows.
    pub limits: PlanLimits,
    /// Bytes that activations and workspaces may have together ([`Plan::peak_bytes`]), if not as many as they need.
    pub memory_limit: Option<u64>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            taps: Vec::new(),
            fusion: true,
            projections: None,
            dtype: DType::default(),
            target: Target::typical(AdapterClass::default()),
            forced: None,
            choices: Choices::default(),
            numerics: Numerics::default(),
            limits: PlanLimits::default(),
            memory_limit: None,
        }
    }
}

/// One operator with its method: its dispatches, and those again for every slice where a single one would bind more than
/// the adapter allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The operator, an index into the operators of [`Plan::graph`].
    pub operator: usize,
    /// How it is computed.
    pub method: Method,
    /// How the blocks of output channels are cut, and the constants with them, see [`Method::constant_blocks`].
    pub parts: Vec<Range<usize>>,
    /// The dispatches.
    pub dispatches: Vec<Dispatch>,
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
///
/// Where the blobs of a batch exceed what the adapter binds at once, the batch is run in several *rounds* of fewer clips,
/// one after the other in the same buffers. Where those of a single clip do, steps have several dispatches, each for a
/// range of frames, or of rows. They run in the order of [`Plan::stretches`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    graph: Graph,
    dtype: DType,
    /// Of one round.
    shapes: Vec<Shape>,
    rounds: usize,
    steps: Vec<Step>,
    stretches: Vec<Stretch>,
    /// Where submissions end, in dispatches.
    submissions: Vec<usize>,
    storages: Vec<Storage>,
    outputs: Vec<Output>,
    memory: Memory,
    /// Bytes of every workspace, shared by all steps.
    scratch: Vec<Workspace>,
    uploads: Staging,
    readbacks: Staging,
    /// The frames of the clip that a slow pathway takes; empty where there is none.
    slow_frames: Vec<usize>,
    weight_bytes: u64,
}

impl Plan {
    /// Plans `graph`, as built, for inputs of the given shapes, in the order of [`Graph::inputs`].
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTap`](crate::ErrorKind::UnknownTap) for a tap; [`ErrorKind::Shape`](crate::ErrorKind::Shape)
    /// and [`ErrorKind::Size`](crate::ErrorKind::Size) where the inputs do not suit the graph;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) where not even a few rows of a blob, or a few channels of a
    /// weight, are within what the adapter allows; [`ErrorKind::MemoryLimit`](crate::ErrorKind::MemoryLimit) where
    /// nothing was found within the limit on memory; [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) where no method
    /// can do an operator.
    pub fn new(graph: &Graph, inputs: &[Shape], options: &PlanOptions) -> Result<Self> {
        let taps = |graph: &Graph| options.taps.iter().map(|name| graph.find(name)).collect::<Result<Vec<_>>>();
        let mut graph = graph.clone();
        if options.fusion {
            graph = fuse(&graph, &taps(&graph)?);
            graph = fuse_pools(&graph, &taps(&graph)?, |conv, pool| pools(conv, pool, options));
        }
        if options.fusion && options.projections.unwrap_or(options.target.gains_by_projections()) {
            graph = project(&graph, &taps(&graph)?);
        }
        let graph = channels_last(&graph, &taps(&graph)?, options.dtype);
        let plan = Outline::new(&graph, inputs, options, 1)?.best(options)?;
        match options.memory_limit {
            Some(limit) if plan.peak_bytes() > limit => budget::within(&graph, inputs, options, limit, &plan),
            _ => Ok(plan),
        }
    }

    /// The operators that run: fused, unless fusion was forbidden, with layout conversions at the edges.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The number format of blobs inside of a run. Clips and outputs are f32 whatever it is.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape of a blob of [`Plan::graph`], of the whole batch.
    pub fn shape(&self, blob: BlobId) -> Shape {
        let shape = self.shapes[blob.index()];
        Shape { n: shape.n * self.rounds, ..shape }
    }

    /// The blobs of [`Plan::graph`] with their storage.
    pub fn storages(&self) -> impl Iterator<Item = (BlobId, &Storage)> {
        self.storages.iter().enumerate().map(|(index, storage)| (BlobId(index), storage))
    }

    /// How many rounds there are: every step runs that often, each time for as many clips, in the same buffers.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Shape of a blob of [`Plan::graph`] in one round.
    pub fn round_shape(&self, blob: BlobId) -> Shape {
        self.shapes[blob.index()]
    }

    /// Bytes of a blob of [`Plan::graph`] on the device, in its layout.
    pub fn bytes(&self, blob: BlobId) -> u64 {
        self.storage(blob).bytes()
    }

    /// Where the frames of a blob of [`Plan::graph`] lie.
    pub fn storage(&self, blob: BlobId) -> &Storage {
        &self.storages[blob.index()]
    }

    /// What runs in every round, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// In which order the dispatches of the steps run in a round, and what is copied between them. Usually every step is one
    /// stretch.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// How many dispatches a run has, in all rounds.
    pub fn dispatches(&self) -> usize {
        self.rounds * self.steps.iter().map(|step| step.dispatches.len()).sum::<usize>()
    }

    /// How the inputs reach the device.
    pub fn uploads(&self) -> &Staging {
        &self.uploads
    }

    /// How [`Plan::outputs`] reach the host.
    pub fn readbacks(&self) -> &Staging {
        &self.readbacks
    }

    /// What a run returns: the taps in the order asked for, then the last blob unless it was among them.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Buffers, and which blob lives where.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Every workspace. They are shared by all steps and hold nothing between them.
    pub fn scratch(&self) -> &[Workspace] {
        &self.scratch
    }

    /// Bytes of all workspaces.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.iter().map(|workspace| workspace.bytes).sum()
    }

    /// Bytes of all activation buffers and workspaces.
    pub fn peak_bytes(&self) -> u64 {
        self.memory.peak_bytes() + self.scratch_bytes()
    }

    /// Bytes of all weights and biases, as packed for the chosen methods.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// The buffer of a blob of [`Plan::graph`], an index into [`Memory::buffers`]; of its first segment if it has several.
    pub fn buffer(&self, blob: BlobId) -> usize {
        self.memory.buffers_of(blob)[0]
    }

    /// Multiply-adds of an operator of [`Plan::graph`], counted as direct convolution.
    pub fn operator_macs(&self, operator: usize) -> u64 {
        work::operator_macs(&self.graph.operators()[operator], &self.shapes) * self.rounds as u64
    }

    /// Multiply-adds of the whole graph, counted as direct convolutions.
    pub fn macs(&self) -> u64 {
        (0..self.graph.operators().len()).map(|operator| self.operator_macs(operator)).sum()
    }
}

impl Step {
    /// How many slices it is cut into; a slice has a dispatch for each kernel of the method.
    pub fn slices(&self) -> usize {
        self.dispatches.chunk_by(|a, b| (&a.frames, &a.rows, a.part) == (&b.frames, &b.rows, b.part)).count()
    }

    /// Whether the output frames are cut into several ranges.
    pub fn is_cut_over_frames(&self) -> bool {
        self.dispatches.iter().any(|dispatch| dispatch.frames != self.dispatches[0].frames)
    }

    /// Whether the rows of output frames are cut into several ranges.
    pub fn is_cut_over_rows(&self) -> bool {
        self.dispatches.iter().any(|dispatch| dispatch.rows != self.dispatches[0].rows)
    }
}

/// Whether `conv` is to take over the pooling behind it: there is a method for both at once that pays and is within
/// limits, or that is asked for.
fn pools(conv: &Conv, pool: &Window, options: &PlanOptions) -> bool {
    let both = Conv { epilogue: Epilogue { pool: Some(Box::new(*pool)), ..conv.epilogue.clone() }, ..conv.clone() };
    let output = Shape::new(1, conv.dim_out, 1, 1, 1);
    let kind = OpKind::Conv(both);
    let candidates = Method::candidates(&kind, options.target);
    match options.forced {
        Some(forced) => candidates.contains(&forced),
        None => {
            let pays = |method: &Method| {
                method.is_profitable(&kind, output, options.target) && fits(*method, &kind, output, options)
            };
            options.target.gains_by_pooling() && candidates.iter().any(pays)
        }
    }
}

/// The method for an operator with that input and output; `None` for those that compute nothing.
fn choose(op: &Operator, input: Shape, output: Shape, options: &PlanOptions) -> Option<Method> {
    let kind = &op.kind;
    let candidates = Method::candidates(kind, options.target);
    // Of those with weights in a buffer, which come last, it is an error if a block of them is too large.
    let fits = |method: &Method| fits(*method, kind, output, options);
    let allowed = |method: &Method| {
        let may_overflow = !method.is_winograd() && method.constant_memory(0) == OperandMemory::Buffer;
        options.numerics.allow(*method, kind) && (may_overflow || fits(method))
    };
    let strict = |method: &Method| options.numerics != Numerics::Strict || method.keeps_floats(kind);
    let forced = options.forced.filter(|method| candidates.contains(method) && strict(method));
    let chosen = || {
        let method = options.choices.get(&signature(kind, input, output, options.dtype)?)?;
        (candidates.contains(&method) && allowed(&method) && method.accepts(op, input).is_ok()).then_some(method)
    };
    forced.or_else(chosen).or_else(|| {
        candidates.iter().copied().find(|method| allowed(method) && method.is_profitable(kind, output, options.target))
    })
}

/// Whether a block of the weights of an operator with that output is within a binding, or an image.
fn fits(method: Method, kind: &OpKind, output: Shape, options: &PlanOptions) -> bool {
    let (memory, dtype) = (method.constant_memory(0), method.constant_format(0).of(options.dtype));
    block_bytes(method, kind, output, options.dtype) <= options.limits.bindable_in(memory, dtype)
}

/// Bytes of one block of the largest constant of an operator with that output.
fn block_bytes(method: Method, kind: &OpKind, output: Shape, dtype: DType) -> u64 {
    let blocks = method.constant_blocks(kind) as u64;
    let constants = method.constant_bytes(kind, output.c, dtype).into_iter();
    constants.map(|bytes| bytes / blocks).max().unwrap_or(0)
}
