//! From a graph and a clip's shape to everything a run needs: shapes, kernels, buffers, dispatches. No GPU needed.
//!
//! Planning has six stages. Each is a function of the results of the stages before it:
//!
//! | stage | decides | gives |
//! | --- | --- | --- |
//! | [`select`] | a method for every operator | `Selection` |
//! | [`batch`] | how many clips are computed at once | `Workload` |
//! | [`partition`] | which [`Region`] of which blob lies where | `Partition` |
//! | [`lower`] | slices, workspaces, dispatches | `Lowered` |
//! | [`schedule`] | the order, and what is copied between dispatches | [`ScheduleItem`]s |
//! | [`assign`] | which blobs share a buffer | [`Memory`] |
//!
//! If everything fits, [`search`] runs the last four stages once, otherwise once for each of several candidates.

mod access;
mod assign;
mod batch;
mod choices;
mod commands;
mod limits;
mod lower;
mod numerics;
mod partition;
mod region;
mod report;
mod schedule;
mod search;
mod select;
mod shapes;
mod staging;
mod step;
mod submissions;
#[cfg(test)]
mod tests;
mod work;

pub use assign::Memory;
pub use choices::{Choices, signature};
pub use commands::{Command, CommandReport, Copy, CopyReport};
pub use limits::{MACS_PER_BYTE, PlanLimits};
pub use numerics::Numerics;
pub use partition::{Extent, Storage};
pub use region::Region;
pub use report::{BufferReport, MemoryReport, OperatorReport, PlanReport};
pub use schedule::ScheduleItem;
pub use shapes::infer_shapes;
pub(crate) use staging::CopyRange;
pub use staging::{Output, Staging, Transfer};
pub use step::{Binding, Dispatch, Step};

use crate::dtype::DType;
use crate::error::Result;
use crate::graph::fuse::{fuse, fuse_pools, project};
use crate::graph::layout::channels_last;
use crate::graph::{BlobId, Graph};
use crate::kernels::{AdapterClass, Method, Target, Workspace};
use crate::shape::Shape;
use batch::Workload;
use limits::Rejection;
use lower::Lowered;
use partition::Granularity;

/// Choices that shape a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Names of the blobs to return in addition to the last one.
    pub taps: Vec<String>,
    /// Whether to fuse operators, see [`crate::graph::fuse`].
    pub fusion: bool,
    /// Whether fusion includes [`project`]. With `None` it does on targets that gain by it
    /// ([`Target::gains_by_projections`]).
    pub projections: Option<bool>,
    /// The number format of blobs inside a run, and of most weights.
    pub dtype: DType,
    /// The device to choose kernels for.
    pub target: Target,
    /// Use this method for every operator that it supports.
    pub forced: Option<Method>,
    /// Methods that take precedence over the fixed table, for operators that they support. A forced method precedes
    /// both.
    pub choices: Choices,
    /// Which methods may be chosen. [`Numerics::NoWinograd`] does not exclude a forced method.
    pub numerics: Numerics,
    /// What the adapter allows.
    pub limits: PlanLimits,
    /// The most bytes that activations and workspaces may have together ([`Plan::peak_bytes`]); `None` for no limit.
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

/// Everything about running one graph on clips of one shape.
///
/// If a blob of the whole batch exceeds a binding of the adapter, the batch runs as several *micro-batches* of fewer
/// clips, one after the other in the same buffers. If a blob of a single clip exceeds a binding, steps have several
/// dispatches, each for a range of frames or of rows. Dispatches run in the order of [`Plan::schedule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    graph: Graph,
    dtype: DType,
    /// By blob, of one micro-batch.
    shapes: Vec<Shape>,
    micro_batches: usize,
    steps: Vec<Step>,
    schedule: Vec<ScheduleItem>,
    /// The ends of submissions, as numbers of dispatches.
    submissions: Vec<usize>,
    storages: Vec<Storage>,
    outputs: Vec<Output>,
    memory: Memory,
    /// The workspaces, shared by all steps.
    scratch: Vec<Workspace>,
    uploads: Staging,
    readbacks: Staging,
    /// The frames of the clip that a slow pathway takes; empty where there is none.
    slow_frames: Vec<usize>,
    weight_bytes: u64,
}

impl Plan {
    /// Plans `graph`, as built, for inputs of these shapes, in the order of [`Graph::inputs`].
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTap`](crate::ErrorKind::UnknownTap) for a tap that names no blob;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) and [`ErrorKind::Size`](crate::ErrorKind::Size) if the inputs do
    /// not fit the graph; [`ErrorKind::Limit`](crate::ErrorKind::Limit) if even a few rows of a blob, or a few channels
    /// of a weight, exceed what the adapter allows; [`ErrorKind::MemoryLimit`](crate::ErrorKind::MemoryLimit) if no
    /// plan within the limit on memory was found; [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) if the method for an
    /// operator cannot compute it.
    pub fn new(graph: &Graph, inputs: &[Shape], options: &PlanOptions) -> Result<Self> {
        let graph = rewrite(graph, options)?;
        let selection = select::select(&graph, inputs, options)?;
        search::search(&selection, options)
    }

    /// The plan of a workload at this granularity.
    fn candidate(work: &Workload, granularity: Granularity) -> Result<Self, Rejection> {
        let Workload { graph, micro_batches, options, .. } = *work;
        let outputs = work.outputs()?;
        let partition = partition::partition(work, &granularity)?;
        let lowered = lower::lower(work, partition, &granularity)?;
        let schedule = schedule::schedule(work, &lowered, &outputs, granularity.order);
        let memory = assign::assign(work, &lowered, &schedule, granularity.order);
        let Lowered { steps, storages, workspaces: scratch, .. } = lowered;
        let staging = |blobs: &[BlobId]| {
            let storages: Vec<&Storage> = blobs.iter().map(|id| &storages[id.index()]).collect();
            Staging::new(micro_batches, &storages, options.limits.max_buffer_bytes)
        };
        let uploads = staging(graph.inputs());
        let readbacks = staging(&outputs.iter().map(|output| output.blob).collect::<Vec<_>>());
        let clip_frames = graph.inputs().first().map_or(0, |&id| work.shape(id).t);
        let mut plan = Self {
            graph: graph.clone(),
            dtype: options.dtype,
            shapes: work.shapes.clone(),
            micro_batches,
            steps,
            schedule,
            submissions: Vec::new(),
            storages,
            outputs,
            memory,
            scratch,
            uploads,
            readbacks,
            slow_frames: graph.slow_frames().map(|slow| slow.frames(clip_frames)).unwrap_or_default(),
            weight_bytes: work.computed().map(|(_, _, selected)| selected.constant_bytes).sum(),
        };
        plan.submissions = plan.bounded_submissions(options.limits.max_macs);
        Ok(plan)
    }

    /// The operators that run: fused, unless fusion was forbidden, with layout conversions at the edges.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The number format of blobs inside a run. Clips and outputs are always f32.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape of a blob of [`Plan::graph`] for the whole batch.
    pub fn shape(&self, blob: BlobId) -> Shape {
        let shape = self.shapes[blob.index()];
        Shape { n: shape.n * self.micro_batches, ..shape }
    }

    /// The blobs of [`Plan::graph`] with their storage.
    pub fn storages(&self) -> impl Iterator<Item = (BlobId, &Storage)> {
        self.storages.iter().enumerate().map(|(index, storage)| (BlobId(index), storage))
    }

    /// The number of micro-batches. All have the same number of clips. Every step runs once for each, in the same
    /// buffers.
    pub fn micro_batches(&self) -> usize {
        self.micro_batches
    }

    /// Shape of a blob of [`Plan::graph`] in one micro-batch.
    pub fn micro_batch_shape(&self, blob: BlobId) -> Shape {
        self.shapes[blob.index()]
    }

    /// Bytes of a blob of [`Plan::graph`] on the device, in its layout.
    pub fn bytes(&self, blob: BlobId) -> u64 {
        self.storage(blob).bytes()
    }

    /// Where the extents of a blob of [`Plan::graph`] lie.
    pub fn storage(&self, blob: BlobId) -> &Storage {
        &self.storages[blob.index()]
    }

    /// The steps of every micro-batch, in the order of the operators.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The order in which the dispatches of a micro-batch run, and the copies between them. Usually every step is one
    /// item.
    pub fn schedule(&self) -> &[ScheduleItem] {
        &self.schedule
    }

    /// The number of dispatches of a run, in all micro-batches.
    pub fn dispatches(&self) -> usize {
        self.micro_batches * self.steps.iter().map(|step| step.dispatches.len()).sum::<usize>()
    }

    /// How the inputs reach the device.
    pub fn uploads(&self) -> &Staging {
        &self.uploads
    }

    /// How [`Plan::outputs`] reach the host.
    pub fn readbacks(&self) -> &Staging {
        &self.readbacks
    }

    /// The blobs that a run returns: the taps in the order asked for, then the last blob unless it is a tap.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Buffers, and which blob lives where.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// All workspaces. Steps share them, and their contents do not outlive a step.
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

    /// The buffer of a blob of [`Plan::graph`], or of its first chunk if it has several: an index into
    /// [`Memory::buffers`].
    pub fn buffer(&self, blob: BlobId) -> usize {
        self.memory.buffers_of(blob)[0]
    }

    /// Multiply-adds of an operator of [`Plan::graph`], counted as direct convolution.
    pub fn operator_macs(&self, operator: usize) -> u64 {
        work::operator_macs(&self.graph.operators()[operator], &self.shapes) * self.micro_batches as u64
    }

    /// Multiply-adds of the whole graph, counted as direct convolutions.
    pub fn macs(&self) -> u64 {
        (0..self.graph.operators().len()).map(|operator| self.operator_macs(operator)).sum()
    }
}

/// The graph that runs: fused as the options say, with the blobs inside it channels last.
fn rewrite(graph: &Graph, options: &PlanOptions) -> Result<Graph> {
    let taps = |graph: &Graph| options.taps.iter().map(|name| graph.find(name)).collect::<Result<Vec<_>>>();
    let mut graph = graph.clone();
    if options.fusion {
        graph = fuse(&graph, &taps(&graph)?);
        graph = fuse_pools(&graph, &taps(&graph)?, |conv, pool| select::pools(conv, pool, options));
    }
    if options.fusion && options.projections.unwrap_or(options.target.gains_by_projections()) {
        graph = project(&graph, &taps(&graph)?);
    }
    let taps = taps(&graph)?;
    Ok(channels_last(&graph, &taps, options.dtype))
}
