//! Stage two: how many clips of a batch are computed at once.

use super::PlanOptions;
use super::access::Access;
use super::partition::Granularity;
use super::schedule::Order;
use super::select::{Selected, Selection};
use super::work::operator_macs;
use crate::graph::{BlobId, Graph, OpKind, Operator};
use crate::kernels::Workspace;
use crate::shape::Shape;

/// What the later stages plan: a graph with its methods, on one micro-batch.
pub(super) struct Workload<'a> {
    pub graph: &'a Graph,
    /// By operator; `None` for those that compute nothing.
    pub methods: &'a [Option<Selected>],
    /// How many micro-batches the batch is divided into.
    pub micro_batches: usize,
    /// By blob, of one micro-batch.
    pub shapes: Vec<Shape>,
    pub options: &'a PlanOptions,
}

/// Divides the batch into the fewest micro-batches of equal size, at least `fewest`, in which every blob and every
/// workspace can be bound as a whole, workspaces keep to the target's budget, and no operator does more work than one
/// submission may have. If even single clips are too large for that, a micro-batch is a single clip.
pub(super) fn batch<'a>(selection: &'a Selection<'a>, options: &'a PlanOptions, fewest: usize) -> Workload<'a> {
    let Selection { graph, shapes, methods } = selection;
    let limits = &options.limits;
    let budget = options.target.scratch_budget(u64::MAX);
    let clips = graph.inputs().iter().map(|id| shapes[id.index()].n).reduce(gcd).unwrap_or(1);
    // Bytes and work are proportional to the number of clips.
    let parts = |needed: u64, fit: u64| usize::try_from(needed.div_ceil(fit.max(1))).unwrap_or(usize::MAX);
    let blobs = graph.blobs().iter().zip(shapes).map(|(blob, &shape)| parts(blob.bytes(shape), limits.bindable()));
    let operators = graph.operators().iter().zip(methods).map(|(op, selected)| {
        let (input, output) = (shapes[op.inputs[0].index()], shapes[op.output.index()]);
        let workspaces: Vec<Workspace> =
            selected.iter().flat_map(|selected| selected.method.workspaces(input, output, output.h)).collect();
        let bound = workspaces.iter().map(|one| parts(one.bytes, limits.bindable_in(one.memory, one.dtype))).max();
        let kept = parts(workspaces.iter().map(|one| one.bytes).sum(), budget);
        let work = parts(operator_macs(op, shapes), limits.max_macs);
        kept.max(work).max(bound.unwrap_or(1))
    });
    let least = blobs.chain(operators).fold(fewest, usize::max);
    let micro_batches = (least.clamp(1, clips)..=clips).find(|count| clips.is_multiple_of(*count)).unwrap_or(clips);
    let shapes = shapes.iter().map(|&shape| Shape { n: shape.n / micro_batches, ..shape }).collect();
    Workload { graph, methods, micro_batches, shapes, options }
}

impl Workload<'_> {
    pub fn shape(&self, blob: BlobId) -> Shape {
        self.shapes[blob.index()]
    }

    /// Bytes of a blob.
    pub fn bytes(&self, blob: BlobId) -> u64 {
        self.graph.blob(blob).bytes(self.shape(blob))
    }

    /// Bytes of one row of one frame of a blob, over all clips.
    pub fn row_bytes(&self, blob: BlobId) -> u64 {
        self.graph.blob(blob).bytes(Shape { t: 1, h: 1, ..self.shape(blob) })
    }

    /// How `op` reads its input with the index `input`.
    pub fn access(&self, op: &Operator, input: usize) -> Access {
        Access::of(op, input, self.shape(op.inputs[input]))
    }

    /// The operators that compute something, each with its index in the graph and its method.
    pub fn computed(&self) -> impl Iterator<Item = (usize, &Operator, &Selected)> {
        let operators = self.graph.operators().iter().zip(self.methods).enumerate();
        operators.filter_map(|(index, (op, selected))| Some((index, op, selected.as_ref()?)))
    }

    /// The operators that read blobs of `shape`, each with the index of the input.
    pub fn readers(&self, shape: Shape) -> impl Iterator<Item = (&Operator, usize)> {
        let operators = self.graph.operators().iter();
        let reads = operators.flat_map(|op| op.inputs.iter().enumerate().map(move |(input, &id)| (op, input, id)));
        reads.filter(move |(_, _, id)| self.shape(*id) == shape).map(|(op, input, _)| (op, input))
    }

    /// The blob that holds the values of `blob`: the output of an identity operator is its input.
    pub fn stored_in(&self, mut blob: BlobId) -> BlobId {
        let identity =
            |blob| self.graph.operators().iter().find(|op| op.output == blob && op.kind == OpKind::StopGradient);
        while let Some(op) = identity(blob) {
            blob = op.inputs[0];
        }
        blob
    }

    /// The most bytes that the blobs of one operator have together.
    fn most_at_once(&self) -> u64 {
        let blobs = |op: &Operator| op.inputs.iter().chain([&op.output]).map(|&id| self.bytes(id)).sum();
        self.graph.operators().iter().map(blobs).max().unwrap_or(0)
    }

    /// Whether a micro-batch has several clips. A range of their frames is not contiguous, so no blob is divided then.
    pub fn has_several_clips(&self) -> bool {
        self.shapes.iter().any(|shape| shape.n > 1)
    }

    /// The coarsest granularity: chunks as large as the adapter's buffers, no bands, blob by blob.
    pub fn coarsest(&self) -> Granularity {
        Granularity {
            chunk_bytes: self.options.limits.max_buffer_bytes,
            workspace_bytes: self.options.target.scratch_budget(self.most_at_once()),
            bands: false,
            order: Order::BlobByBlob,
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
