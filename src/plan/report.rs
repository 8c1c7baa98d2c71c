//! A plan as data for people and programs: what `resnet3d plan --json` prints.

use super::Plan;
use crate::graph::Body;
use crate::graph::OpKind;
use crate::network::Network;
use crate::shape::Shape;
use serde::Serialize;

/// A plan, with the names that its JSON has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// The network.
    pub config: Network,
    /// Shape of the clip.
    pub clip: Shape,
    /// Multiply-adds of the convolutions, computed directly.
    pub macs: u64,
    /// Convolution weights and every affine's scale and bias.
    pub params: u64,
    /// Nominal scale of the last blob.
    pub spatial_scale: f64,
    /// Name of the last blob. It is an operator's output too, so that JSON has it without.
    #[serde(skip)]
    pub last: String,
    /// Width of the last blob.
    pub dim_out: usize,
    /// The operators that run.
    pub ops: Vec<OperatorReport>,
    /// Bytes.
    pub memory: MemoryReport,
    /// Number of dispatches: those of the operators, and the layout conversions at the edges, where there are any.
    pub dispatches: usize,
    /// How many micro-batches the batch is run in, each with as many clips, one after the other.
    pub micro_batches: usize,
    /// In how many submissions a run goes to the device: more than one where a slow device would take seconds for it.
    pub submissions: usize,
}

/// One operator of a [`PlanReport`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorReport {
    /// Unique name.
    pub name: String,
    /// `conv`, `max_pool`, …
    pub kind: &'static str,
    /// Blobs read.
    pub inputs: Vec<String>,
    /// Blob written.
    pub output: String,
    /// Its shape.
    pub shape: Shape,
    /// Multiply-adds.
    pub macs: u64,
    /// The method, named by its kernel where that is a single one; null where nothing is computed.
    pub kernel: Option<&'static str>,
    /// Index into [`MemoryReport::buffers`]; a blob in several has the first here.
    pub buffer: usize,
    /// How many dispatches it takes in each micro-batch: more than one where frames, rows or weights are cut.
    pub dispatches: usize,
    /// Names of the reference's operators that this one does as well, in order.
    pub fused: Vec<String>,
}

/// Bytes of a [`PlanReport`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryReport {
    /// All activation and scratch buffers.
    pub peak_bytes: u64,
    /// Workspaces that are no blob: the Winograd domain.
    pub scratch_bytes: u64,
    /// Largest sum of blobs alive during one operator.
    pub lower_bound_bytes: u64,
    /// All blobs.
    pub unshared_bytes: u64,
    /// Weights and biases as packed for the kernels.
    pub weight_bytes: u64,
    /// The activation buffers.
    pub buffers: Vec<BufferReport>,
}

/// One buffer of a [`MemoryReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BufferReport {
    /// Its size.
    pub bytes: u64,
}

impl PlanReport {
    /// The report of `plan`, which is a plan of `body`, the body of `network`.
    pub fn new(network: impl Into<Network>, body: &Body, plan: &Plan) -> Self {
        let graph = plan.graph();
        let name = |id: &crate::graph::BlobId| graph.blob(*id).name.clone();
        // Conversions between layouts are dispatches, but no operators of the network.
        let operators = graph.operators().iter().enumerate().filter(|(_, op)| op.kind != OpKind::Layout);
        let step = |index: usize| plan.steps().iter().find(|step| step.operator == index);
        let ops = operators.map(|(index, op)| OperatorReport {
            name: op.name.clone(),
            kind: op.kind.label(),
            inputs: op.inputs.iter().map(name).collect(),
            output: name(&op.output),
            shape: plan.shape(op.output),
            macs: plan.operator_macs(index),
            kernel: step(index).map(|step| step.method.name()),
            buffer: plan.buffer(op.output),
            dispatches: step(index).map_or(0, |step| step.dispatches.len()),
            fused: op.fused.clone(),
        });
        let memory = plan.memory();
        let scratch = plan.scratch_bytes();
        Self {
            config: network.into(),
            clip: plan.shape(graph.inputs()[0]),
            macs: plan.macs(),
            params: body.graph.parameter_count(),
            spatial_scale: body.spatial_scale,
            last: graph.blob(graph.output()).name.clone(),
            dim_out: body.dim_out,
            ops: ops.collect(),
            memory: MemoryReport {
                peak_bytes: plan.peak_bytes(),
                scratch_bytes: scratch,
                lower_bound_bytes: memory.lower_bound_bytes(),
                unshared_bytes: memory.unshared_bytes(),
                weight_bytes: plan.weight_bytes(),
                buffers: memory
                    .buffers()
                    .iter()
                    .copied()
                    .chain(plan.scratch().iter().map(|workspace| workspace.bytes).filter(|bytes| *bytes > 0))
                    .map(|bytes| BufferReport { bytes })
                    .collect(),
            },
            dispatches: plan.dispatches(),
            micro_batches: plan.micro_batches(),
            submissions: plan.submissions().len(),
        }
    }
}
