//! Each stage by itself, on graphs of a few operators.

use super::batch::{Workload, batch};
use super::lower::{Lowered, LoweredSlice, OperatorSlice, lower};
use super::partition::{Granularity, partition};
use super::schedule::{Order, schedule};
use super::select::{Selection, select};
use super::*;
use crate::graph::{GraphBuilder, Layout, Window};
use std::ops::Range;

const WINDOW: Window = Window { kernel: [3; 3], stride: [1; 3], pad: [1; 3], dilation: [1; 3] };

/// A conversion of the clip, two convolutions over time, and a conversion of the last blob. The output of the first
/// convolution has `channels` channels.
fn chain(options: &PlanOptions, channels: usize) -> Graph {
    chain_of(options, channels, WINDOW)
}

/// The same with `window` for the second convolution.
fn chain_of(options: &PlanOptions, channels: usize, window: Window) -> Graph {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 4);
    let first = model.conv_affine_nd(data, "first", channels, WINDOW, 1, false);
    let second = model.conv_affine_nd(first, "second", 4, window, 1, false);
    rewrite(&model.finish(second), options).unwrap()
}

/// A method without workspaces, and bindings that begin anywhere.
fn direct() -> PlanOptions {
    let limits = PlanLimits { offset_alignment: 1, ..PlanLimits::default() };
    PlanOptions { numerics: Numerics::NoWinograd, limits, ..PlanOptions::default() }
}

const CLIP: Shape = Shape::new(1, 4, 10, 8, 8);

/// Bytes of a frame of four channels of [`CLIP`].
const FRAME: u64 = 4 * 4 * 8 * 8;

fn frames(region: &Region) -> Range<usize> {
    region.frames.clone()
}

fn blob(work: &Workload, name: &str) -> BlobId {
    let operators =
        work.graph.operators().iter().filter(|op| work.graph.blob(op.output).layout == Layout::ChannelsLast);
    operators.map(|op| op.output).find(|&id| work.graph.blob(id).name.starts_with(name)).unwrap()
}

/// Runs a test on a graph after the first two stages.
fn with_workload<T>(graph: &Graph, clip: Shape, options: &PlanOptions, test: impl FnOnce(&Workload) -> T) -> T {
    let selection = select(graph, &[clip], options).unwrap();
    test(&batch(&selection, options, 1))
}

/// The result of the next two stages.
fn lowered(work: &Workload, granularity: Granularity) -> Lowered {
    lower(work, partition(work, &granularity).unwrap(), &granularity).unwrap()
}

#[test]
fn select_gives_every_operator_a_method_whatever_the_batch() {
    let options = direct();
    let graph = chain(&options, 4);
    let one = select(&graph, &[CLIP], &options).unwrap();
    let many = select(&graph, &[Shape { n: 6, ..CLIP }], &options).unwrap();
    assert_eq!(one.methods.len(), graph.operators().len());
    assert!(one.methods.iter().all(Option::is_some), "none of these is an identity");
    assert_eq!(one.methods, many.methods);
    let Selection { methods, .. } = one;
    let whole: Vec<_> = methods.iter().flatten().map(|selected| selected.parts.len()).collect();
    assert_eq!(whole, vec![1; methods.len()], "all weights at once");
}

#[test]
fn weights_beyond_a_binding_are_divided() {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 4);
    let wide = model.conv_affine_nd(data, "wide", 256, WINDOW, 1, false);
    let options = direct();
    let graph = rewrite(&model.finish(wide), &options).unwrap();
    let parts = |max_binding_bytes: u64| {
        let limits = PlanLimits { max_binding_bytes, ..options.limits };
        let options = PlanOptions { limits, ..options.clone() };
        let selection = select(&graph, &[CLIP], &options)?;
        Ok::<_, crate::Error>(selection.methods.iter().flatten().map(|selected| selected.parts.len()).max())
    };
    assert_eq!(parts(1 << 20).unwrap(), Some(1));
    assert!(parts(64 << 10).unwrap() > Some(1));
    assert_eq!(parts(1 << 10).unwrap_err().kind(), crate::ErrorKind::Limit);
}

#[test]
fn batch_takes_as_many_clips_as_can_be_bound() {
    let options = direct();
    for (fit, micro_batches) in [(6, 1), (5, 2), (3, 2), (2, 3), (1, 6)] {
        let limits = PlanLimits { max_binding_bytes: fit * 10 * FRAME, ..options.limits };
        let options = PlanOptions { limits, ..options.clone() };
        let graph = chain(&options, 4);
        let selection = select(&graph, &[Shape { n: 6, ..CLIP }], &options).unwrap();
        let work = batch(&selection, &options, 1);
        assert_eq!((work.micro_batches, work.shapes[0].n), (micro_batches, 6 / micro_batches));
        assert_eq!(work.has_several_clips(), micro_batches < 6);
        assert_eq!(batch(&selection, &options, 4).micro_batches, 6, "at least four, of equally many clips");
    }
}

/// The example that `docs/planner.md` draws: ten frames, chunks of six, a window of three frames, and an output that is
/// one chunk.
#[test]
fn the_drawn_example() {
    let Divided { chunks, slices } = first_blob_in_chunks_of_six(WINDOW);
    assert_eq!(chunks, [0..6, 4..10]);
    assert_eq!(slices, [(0..5, 0..6, Some(0)), (5..10, 4..10, Some(1))]);
}

#[test]
fn with_a_stride_chunks_have_less_in_common() {
    let Divided { chunks, slices } = first_blob_in_chunks_of_six(Window { stride: [2, 1, 1], ..WINDOW });
    assert_eq!(chunks, [0..6, 5..10]);
    assert_eq!(slices, [(0..3, 0..6, Some(0)), (3..5, 5..10, Some(1))]);
}

/// A blob in chunks, and the slices of the operator that reads it.
struct Divided {
    chunks: Vec<Range<usize>>,
    /// By slice: the frames that it computes, the frames that it reads, and the chunk that it reads them from.
    slices: Vec<(Range<usize>, Range<usize>, Option<usize>)>,
}

/// A blob of ten frames, six of which fit into a chunk, read by `window`.
fn first_blob_in_chunks_of_six(window: Window) -> Divided {
    let options = direct();
    let graph = chain_of(&options, 8, window);
    with_workload(&graph, CLIP, &options, |work| {
        let whole = work.coarsest();
        let small = Granularity { chunk_bytes: 6 * 2 * FRAME, ..whole };
        let first = blob(work, "first");
        let extents = |granularity: &Granularity| -> Vec<Range<usize>> {
            let storage = &partition(work, granularity).unwrap().storages[first.index()];
            assert_eq!(storage.chunks().len(), storage.extents().len(), "each in a chunk");
            storage.extents().iter().map(|extent| frames(&extent.region)).collect()
        };
        let all = 0..10;
        assert_eq!(extents(&whole), [all]);

        let lowered = lowered(work, small);
        let reads = |step: &Step| graph.operators()[step.operator].inputs[0] == first;
        let slices = lowered.slices[lowered.steps.iter().position(reads).unwrap()].iter();
        let slices = slices.map(|LoweredSlice { regions: OperatorSlice { output, inputs }, .. }| {
            (frames(&output.region), frames(&inputs[0].region), inputs[0].extent)
        });
        Divided { chunks: extents(&small), slices: slices.collect() }
    })
}

#[test]
fn what_is_whole_is_lowered_to_one_slice() {
    let options = direct();
    let graph = chain(&options, 4);
    let lowered = with_workload(&graph, CLIP, &options, |work| lowered(work, work.coarsest()));
    assert_eq!(lowered.steps.len(), graph.operators().len());
    for (step, slices) in lowered.steps.iter().zip(&lowered.slices) {
        let [slice] = &slices[..] else { panic!("{} slices", slices.len()) };
        assert_eq!((slice.dispatches.clone(), step.dispatches.len()), (0..1, 1));
        assert_eq!(slice.regions.output.region, Region::new(0..10, 0..8));
    }
    assert!(lowered.storages.iter().all(|storage| storage.extents().len() == 1));
}

/// Two convolutions with workspaces read one blob. Their order has no influence on how they are cut.
#[test]
fn operators_are_cut_by_themselves() {
    let clip = Shape::new(1, 64, 4, 32, 32);
    let limits = PlanLimits::default();
    let options = PlanOptions { limits, forced: Method::by_name("winograd_4x4_gemm_16x8"), ..PlanOptions::default() };
    assert!(options.forced.is_some());
    let dispatches = |order: [(&str, usize); 2], workspace_bytes: u64| {
        let mut model = GraphBuilder::new();
        let data = model.input("data", 64);
        let window = Window { kernel: [1, 3, 3], pad: [0, 1, 1], ..WINDOW };
        let pair = order.map(|(name, width)| model.conv_affine_nd(data, name, width, window, 1, false));
        let joined = model.concat(pair[0], pair[1], "joined");
        let graph = rewrite(&model.finish(joined), &options).unwrap();
        let lowered = with_workload(&graph, clip, &options, |work| {
            lowered(work, Granularity { workspace_bytes, ..work.coarsest() })
        });
        let all: u64 = lowered.workspaces.iter().map(|workspace| workspace.bytes).sum();
        assert!(all <= workspace_bytes, "{all} bytes for {workspace_bytes}");
        let regions = |name: &str| {
            let step = lowered.steps.iter().find(|step| graph.operators()[step.operator].name.starts_with(name));
            step.unwrap().dispatches.iter().map(|dispatch| dispatch.region.clone()).collect::<Vec<_>>()
        };
        (regions("narrow"), regions("wide"))
    };
    let (narrow, wide) = (("narrow", 16), ("wide", 256));
    for workspace_bytes in [16 << 20, 8 << 20, 4 << 20] {
        let before = dispatches([narrow, wide], workspace_bytes);
        assert_eq!(before, dispatches([wide, narrow], workspace_bytes));
        assert_eq!(before.1.len() > 3, workspace_bytes < 16 << 20, "{:?}", before.1);
    }
}

#[test]
fn on_demand_a_chunk_is_computed_just_before_it_is_read() {
    let options = direct();
    let graph = chain(&options, 4);
    with_workload(&graph, CLIP, &options, |work| {
        let outputs = work.outputs().unwrap();
        let small = Granularity { chunk_bytes: 4 * FRAME, order: Order::OnDemand, ..work.coarsest() };
        let lowered = lowered(work, small);
        let items = |order: Order| schedule(work, &lowered, &outputs, order);
        let steps = |order: Order| items(order).iter().map(|item| item.step).collect::<Vec<_>>();
        assert_eq!(steps(Order::BlobByBlob), (0..lowered.steps.len()).collect::<Vec<_>>());
        let on_demand = steps(Order::OnDemand);
        assert_eq!(on_demand.len(), lowered.slices.iter().map(Vec::len).sum::<usize>(), "every slice once");
        let last = lowered.steps.len() - 1;
        let first_output = on_demand.iter().position(|&step| step == last).unwrap();
        assert!(on_demand[first_output..].contains(&0), "the clip is still being converted: {on_demand:?}");
        let memory = |order: Order| assign::assign(work, &lowered, &items(order), order).peak_bytes();
        assert!(memory(Order::OnDemand) < memory(Order::BlobByBlob));
    });
}

#[test]
fn a_candidate_that_is_too_large_is_told_from_an_error() {
    let clip = Shape { h: 32, w: 32, ..CLIP };
    let limited = |limits: PlanLimits| PlanOptions { limits, ..direct() };
    let options = limited(PlanLimits { max_buffer_bytes: 2 * 16 * FRAME, ..direct().limits });
    let graph = chain(&options, 4);
    // Three frames are read at once, and two fit into a buffer: bands of rows help.
    with_workload(&graph, clip, &options, |work| {
        let coarsest = work.coarsest();
        assert!(matches!(Plan::candidate(work, coarsest), Err(Rejection::Limit(_))));
        let banded = Plan::candidate(work, Granularity { bands: true, ..coarsest }).unwrap();
        assert!(banded.storages().any(|(_, storage)| storage.bands().count() > 1));
    });
    // No candidate helps a grid that an adapter does not take.
    let options = limited(PlanLimits { max_groups: 1, ..PlanLimits::default() });
    with_workload(&graph, CLIP, &options, |work| {
        let refused = Plan::candidate(work, work.coarsest());
        assert!(matches!(refused, Err(Rejection::Error(error)) if error.kind() == crate::ErrorKind::Kernel));
    });
}
