//! A plan as data for people and programs: what `resnet3d plan --json` prints.

use super::Plan;
use crate::graph::Body;
use crate::graph::OpKind;
use crate::network::Network;
use crate::shape::Shape;
use serde::Serialize;

/// A plan, with the field names of its JSON.
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
    /// Name of the last blob. JSON leaves it out, because it is the output of an operator.
    #[serde(skip)]
    pub last: String,
    /// Width of the last blob.
    pub dim_out: usize,
    /// The operators that run.
    pub ops: Vec<OperatorReport>,
    /// Memory, in bytes.
    pub memory: MemoryReport,
    /// Number of dispatches: those of the operators, and the layout conversions at the edges, where there are any.
    pub dispatches: usize,
    /// The number of micro-batches, all of the same size, which run one after the other.
    pub micro_batches: usize,
    /// The number of submissions of a run: several if a slow device would take seconds for it.
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
    /// The method, named after its kernel if it has a single one; null if nothing is computed.
    pub kernel: Option<&'static str>,
    /// Index into [`MemoryReport::buffers`]; the first one, if the blob is in several buffers.
    pub buffer: usize,
    /// The number of its dispatches in each micro-batch: several if the method has several kernels, or if frames, rows
    /// or weights are cut.
    pub dispatches: usize,
    /// Names of the reference's operators that are fused into this one, in order.
    pub fused: Vec<String>,
}

/// Bytes of a [`PlanReport`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryReport {
    /// All activation and scratch buffers.
    pub peak_bytes: u64,
    /// Workspaces, which are not blobs: the Winograd domain.
    pub scratch_bytes: u64,
    /// Largest sum of blobs alive during one operator.
    pub lower_bound_bytes: u64,
    /// All blobs, if no blobs shared a buffer.
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
