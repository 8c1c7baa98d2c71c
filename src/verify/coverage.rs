//! Counts the properties that random cases have covered, so that a run can report what it missed.

use super::Case;
use crate::gpu::ShaderChecks;
use crate::graph::{Axes, Layout, OpKind};
use crate::kernels::{Gemm, Kernel, Method, Target, Tiles};
use crate::plan::{Binding, Plan, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of steps with each property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Coverage {
    counts: BTreeMap<String, usize>,
    #[serde(skip)]
    required: Vec<String>,
}

/// Properties that every full run must cover. A full run must also cover every method by name, split and unsplit, and
/// several workgroup tiles of every kernel that divides a matrix product.
const REQUIRED: [&str; 57] = [
    "stride 1",
    "stride 2",
    "stride 3",
    "stride in T",
    "dilation 1",
    "dilation above 1",
    "dilation in T",
    "groups 1",
    "groups above 1",
    "groups by implicit GEMM",
    "groups by implicit GEMM, split over channels",
    "groups by Winograd",
    "depthwise, several blocks of channels",
    "depthwise, residual fused",
    "T = 1",
    "odd height or width",
    "even height and width",
    "channels a multiple of 4",
    "channels not a multiple of 4",
    "batch above 1",
    "affine folded",
    "bias folded",
    "operators behind the output",
    "operators behind the output, tapped",
    "residual fused",
    "ReLU fused",
    "pooling fused",
    "pooling fused, fewer than three channels",
    "pooling fused, batch above 1",
    "a clip read in both layouts",
    "subsampled, with channels added",
    "joined, in whole channel blocks",
    "joined, within a channel block",
    "an input that takes frames of another",
    "mean over space",
    "mean over time, of frames of several positions",
    "mean over space, split over frames",
    "mean over time, split over rows",
    "grid folded",
    "tapped",
    "checked shader",
    "unchecked shader",
    "split over frames",
    "split over rows",
    "split over channels",
    "split over the batch",
    "split over frames, time kernel",
    "split over frames, stride in T",
    "split over frames, projection with a stride in T",
    "split, bound from an earlier frame",
    "split, a blob in several buffers",
    "split into row bands",
    "split into row bands, window over rows",
    "split into row bands, stride over rows",
    "split over frames, pooling fused",
    "split over rows, pooling fused",
    "demand-driven",
];

impl Coverage {
    /// Nothing is covered yet. The methods and kernels that run on `target`, and all other properties, are required.
    pub(super) fn new(target: Target) -> Self {
        let methods = Method::all().filter(|method| method.runs_on(target));
        let ways = |method: Method| {
            let projects = matches!(method, Method::Single(Kernel::ConvGemm(Gemm::Tiled(_))));
            let ways = ["method", "split", "projection by"].into_iter().take(if projects { 3 } else { 2 });
            ways.map(move |how| format!("{how} {}", method.name()))
        };
        let methods = methods.flat_map(ways);
        let kernels = Kernel::all().filter(|&kernel| divides_products(kernel) && kernel.runs_on(target));
        let required = methods.chain(kernels.map(tiled_by)).chain(REQUIRED.map(str::to_owned));
        Self { counts: BTreeMap::new(), required: required.collect() }
    }

    /// Counts every step of a plan.
    pub(super) fn count(&mut self, plan: &Plan, case: &Case, checks: ShaderChecks) {
        for step in plan.steps() {
            let op = &plan.graph().operators()[step.operator];
            let (input, output) = (plan.shape(op.inputs[0]), plan.shape(op.output));
            let mut met = vec![
                (format!("method {}", step.method.name()), true),
                ("T = 1".to_owned(), input.t == 1),
                ("batch above 1".to_owned(), input.n > 1),
                ("grid folded".to_owned(), step.dispatches.iter().any(|dispatch| dispatch.launch.grid.y > 1)),
                ("tapped".to_owned(), !case.taps.is_empty()),
                ("checked shader".to_owned(), checks == ShaderChecks::Checked),
                ("unchecked shader".to_owned(), checks == ShaderChecks::Unchecked),
            ];
            let odd = [input.h, input.w, output.h, output.w].iter().any(|n| n % 2 == 1);
            met.push(("odd height or width".to_owned(), odd));
            met.push(("even height and width".to_owned(), !odd));
            let uneven = input.c % 4 != 0 || output.c % 4 != 0;
            met.push(("channels not a multiple of 4".to_owned(), uneven));
            met.push(("channels a multiple of 4".to_owned(), !uneven));
            // The output of the graph is a blob converted to another layout. Other readers of that blob come after the
            // output.
            let output = plan.graph().operators().iter().find(|other| other.output == plan.graph().output());
            let behind = output.is_some_and(|last| last.inputs[0] == op.inputs[0]) && op.kind != OpKind::Layout;
            met.push(("operators behind the output".to_owned(), behind));
            met.push(("operators behind the output, tapped".to_owned(), behind && !case.taps.is_empty()));
            met.extend(step.dispatches.iter().filter_map(|dispatch| {
                let Tiles { channels, positions, stages } = dispatch.launch.tiles?;
                Some((tiled_by(dispatch.launch.kernel), channels > 1 && positions > 1 && stages > 1))
            }));
            met.extend(split_properties(plan, step));
            if let OpKind::Subsample(window) = op.kind {
                let more = plan.shape(op.output).c > input.c && window.stride != [1; 3];
                met.push(("subsampled, with channels added".to_owned(), more));
            }
            let joined = op.kind == OpKind::Concat;
            met.push(("joined, in whole channel blocks".to_owned(), joined && input.c.is_multiple_of(4)));
            met.push(("joined, within a channel block".to_owned(), joined && !input.c.is_multiple_of(4)));
            let sampled = plan.graph().slow_frames().is_some_and(|slow_frames| slow_frames.alpha > 1);
            met.push(("an input that takes frames of another".to_owned(), sampled));
            if let OpKind::AveragePool(axes) = op.kind {
                let (space, time) = (axes == Axes::Space, axes == Axes::Time);
                met.push(("mean over space".to_owned(), space && input.h * input.w > 1));
                let large = time && input.t > 1 && input.h * input.w > 1;
                met.push(("mean over time, of frames of several positions".to_owned(), large));
                met.push(("mean over space, split over frames".to_owned(), space && step.is_cut_over_frames()));
                met.push(("mean over time, split over rows".to_owned(), large && step.is_cut_over_rows()));
            }
            if let OpKind::Conv(conv) = &op.kind {
                for stride in 1..=3 {
                    met.push((format!("stride {stride}"), conv.window.stride.contains(&stride)));
                }
                met.push(("stride in T".to_owned(), conv.window.stride[0] > 1));
                met.push(("dilation 1".to_owned(), conv.window.dilation == [1; 3]));
                met.push(("dilation above 1".to_owned(), conv.window.dilation != [1; 3]));
                met.push(("dilation in T".to_owned(), conv.window.dilation[0] > 1));
                met.push(("groups 1".to_owned(), conv.groups == 1));
                met.push(("groups above 1".to_owned(), conv.groups > 1));
                let scaled = conv.epilogue.affine.as_ref().map(|affine| affine.scale.is_some());
                let gemm = matches!(step.method, Method::Single(Kernel::ConvGemm(_))) && conv.groups > 1;
                met.push(("groups by implicit GEMM".to_owned(), gemm));
                met.push(("groups by implicit GEMM, split over channels".to_owned(), gemm && step.parts.len() > 1));
                met.push(("groups by Winograd".to_owned(), step.method.is_winograd() && conv.groups > 1));
                let depthwise = conv.groups > 1 && (conv.dim_in, conv.dim_out) == (conv.groups, conv.groups);
                met.push(("depthwise, several blocks of channels".to_owned(), depthwise && conv.groups > 32));
                met.push(("depthwise, residual fused".to_owned(), depthwise && conv.epilogue.residual));
                met.push(("affine folded".to_owned(), scaled == Some(true)));
                met.push(("bias folded".to_owned(), scaled == Some(false)));
                met.push(("residual fused".to_owned(), conv.epilogue.residual));
                met.push(("ReLU fused".to_owned(), conv.epilogue.relu));
                let pooled = conv.epilogue.pool.is_some();
                met.push(("pooling fused".to_owned(), pooled));
                met.push(("pooling fused, fewer than three channels".to_owned(), pooled && conv.dim_in < 3));
                met.push(("pooling fused, batch above 1".to_owned(), pooled && input.n > 1));
                let readers = plan.graph().operators().iter().filter(|other| other.inputs.contains(&op.inputs[0]));
                met.push(("a clip read in both layouts".to_owned(), pooled && readers.count() > 1));
                let projects = conv.epilogue.projection.is_some();
                met.push((format!("projection by {}", step.method.name()), projects));
            }
            for (property, _) in met.into_iter().filter(|(_, met)| *met) {
                *self.counts.entry(property).or_default() += 1;
            }
        }
    }

    /// Adds the counts of another run on the same device.
    pub(super) fn append(&mut self, other: Self) {
        for (property, count) in other.counts {
            *self.counts.entry(property).or_default() += count;
        }
    }

    /// The number of steps with each property, sorted by property.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.counts.iter().map(|(name, &count)| (name.as_str(), count))
    }

    /// Required properties that no step has had.
    pub fn missing(&self) -> Vec<&str> {
        let required = self.required.iter().map(String::as_str);
        required.filter(|&name| !self.counts.contains_key(name)).collect()
    }
}

/// The property of a dispatch that has several workgroup tiles along channels (m) and positions (n), and several stages
/// of each tile (k).
fn tiled_by(kernel: Kernel) -> String {
    format!("tiled in m, n and k by {}", kernel.name())
}

/// Whether a kernel divides a matrix product between workgroups.
fn divides_products(kernel: Kernel) -> bool {
    match kernel {
        Kernel::ConvGemm(_) | Kernel::ProjectedGemm(_) | Kernel::ConvPool(_) => true,
        Kernel::WinogradProduct(_) | Kernel::WinogradFused(_) => true,
        Kernel::ConvDirect(_) | Kernel::ConvDepthwise(_) | Kernel::ConvDepthwiseWalk(_) => false,
        Kernel::WinogradInput(_) | Kernel::WinogradOutput(_) | Kernel::Layout(_) => false,
        Kernel::MaxPool(_) | Kernel::AveragePool(_) | Kernel::Subsample(_) | Kernel::Affine(_) => false,
        Kernel::Relu(_) | Kernel::Sum(_) | Kernel::Concat(_) => false,
    }
}

/// The ways in which a step is split.
fn split_properties(plan: &Plan, step: &Step) -> Vec<(String, bool)> {
    let op = &plan.graph().operators()[step.operator];
    let (over_frames, over_channels) = (step.is_cut_over_frames(), step.parts.len() > 1);
    let over_rows = step.is_cut_over_rows();
    let over_batch = plan.micro_batches() > 1;
    let bands = op.inputs.iter().any(|id| {
        let blob = plan.storage(*id);
        plan.graph().blob(*id).layout == Layout::ChannelsLast && blob.bands().count() > 1
    });
    let pooled = matches!(&op.kind, OpKind::Conv(conv) if conv.epilogue.pool.is_some());
    let chunks = |id: &crate::graph::BlobId| plan.storage(*id).chunks().len();
    let bound = |index: usize| {
        step.dispatches.iter().flat_map(move |dispatch| {
            let read = dispatch.bindings.iter().filter_map(move |binding| match binding {
                Binding::Blob { blob, region, .. } if *blob == op.inputs[index] => Some(&region.frames),
                _ => None,
            });
            read.map(move |frames| (&dispatch.region.frames, frames))
        })
    };
    let window = match &op.kind {
        OpKind::Conv(conv) => Some(conv.window),
        OpKind::MaxPool(window) | OpKind::Subsample(window) => Some(*window),
        OpKind::AveragePool(axes) => Some(axes.window(plan.shape(op.inputs[0]).thw())),
        OpKind::Affine(_) | OpKind::Relu | OpKind::Sum | OpKind::Concat => None,
        OpKind::StopGradient | OpKind::Layout => None,
    };
    let projected_with_stride = match &op.kind {
        OpKind::Conv(conv) => {
            conv.epilogue.projection.as_ref().is_some_and(|projection| projection.window.stride[0] > 1)
        }
        _ => false,
    };
    let frames = plan.shape(op.inputs[0]).t;
    let early = window.is_some_and(|window| {
        bound(0).any(|(out, read)| read.start < window.input_range(0, out.clone(), frames).start)
    });
    let split = over_frames || over_rows || over_channels || over_batch;
    vec![
        (format!("split {}", step.method.name()), split),
        ("split over frames".to_owned(), over_frames),
        ("demand-driven".to_owned(), plan.schedule().len() > plan.steps().len()),
        ("split into row bands".to_owned(), bands),
        ("split into row bands, window over rows".to_owned(), bands && window.is_some_and(|w| w.kernel[1] > 1)),
        ("split into row bands, stride over rows".to_owned(), bands && window.is_some_and(|w| w.stride[1] > 1)),
        ("split over frames, pooling fused".to_owned(), over_frames && pooled),
        ("split over rows, pooling fused".to_owned(), over_rows && pooled),
        ("split over rows".to_owned(), over_rows),
        ("split over channels".to_owned(), over_channels),
        ("split over the batch".to_owned(), over_batch),
        ("split over frames, time kernel".to_owned(), over_frames && window.is_some_and(|w| w.kernel[0] > 1)),
        ("split over frames, stride in T".to_owned(), over_frames && window.is_some_and(|w| w.stride[0] > 1)),
        ("split over frames, projection with a stride in T".to_owned(), over_frames && projected_with_stride),
        ("split, bound from an earlier frame".to_owned(), early && over_frames),
        ("split, a blob in several buffers".to_owned(), op.inputs.iter().chain([&op.output]).any(|id| chunks(id) > 1)),
    ]
}
