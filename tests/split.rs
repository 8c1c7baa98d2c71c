//! What exceeds an adapter's limits is split: plans replayed without a GPU, and whole networks on one, bit for bit.

mod common;

use common::contexts;
use resnet3d_wgpu::graph::{BlobId, Graph, GraphBuilder, Layout, OpKind, Window};
use resnet3d_wgpu::kernels::{AdapterClass, Method, Target};
use resnet3d_wgpu::plan::{Binding, Step};
use resnet3d_wgpu::verify::{Case, Variant, check, variants};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{
    BackboneConfig, Body, Error, GpuBackbone, Options, Plan, PlanLimits, PlanOptions, ShaderChecks, Shape, Taps,
    Timing, Weights,
};
use std::collections::BTreeMap;
use std::ops::Range;

const KIB: u64 = 1 << 10;

fn limits(binding_kib: u64, buffer_kib: u64, offset_alignment: u64) -> PlanLimits {
    PlanLimits {
        max_binding_bytes: binding_kib * KIB,
        max_buffer_bytes: buffer_kib * KIB,
        offset_alignment,
        ..PlanLimits::default()
    }
}

fn config(json: &str) -> BackboneConfig {
    BackboneConfig::from_json(json).unwrap()
}

/// Odd widths, so that frames are not aligned by themselves.
const ODD: &str = r#"{"block_counts": [1, 2, 1], "feat_dims": [5, 9, 12, 17], "width_per_group": 3}"#;
const STRIDES: &str = r#"{"block_counts": [1, 1, 1], "feat_dims": [8, 8, 12, 16], "width_per_group": 4,
    "time_stride_on": true, "time_kernel_dim": 5, "transformation": "basic"}"#;
const GROUPS: &str = r#"{"block_counts": [1, 1, 1, 1], "feat_dims": [8, 8, 12, 16, 20], "width_per_group": 3,
    "num_groups": 2, "dilation": 2, "stride_1x1": false}"#;

/// Frames of a blob that lie in one place.
fn frame_bytes(plan: &Plan, blob: BlobId) -> u64 {
    plan.graph().blob(blob).bytes(Shape { t: 1, ..plan.round_shape(blob) })
}

/// The window of an operator that slides.
fn window(kind: &OpKind) -> Option<&Window> {
    match kind {
        OpKind::Conv(conv) => Some(&conv.window),
        OpKind::MaxPool(window) => Some(window),
        _ => None,
    }
}

/// First and last input frame under the taps of the output frames `out`, tap by tap; `None` if all are padding.
fn touched(window: &Window, out: &Range<usize>, frames: usize) -> Option<(usize, usize)> {
    let taps = out.clone().flat_map(|t| (0..window.kernel[0]).map(move |tap| (t, tap)));
    let padded = taps.map(|(t, tap)| t * window.stride[0] + tap * window.dilation[0]);
    let inside = padded.filter_map(|at| at.checked_sub(window.pad[0])).filter(|&at| at < frames);
    inside.fold(None, |span, at| span.map_or(Some((at, at)), |(a, b): (usize, usize)| Some((a.min(at), b.max(at)))))
}

/// Replays a plan: nothing exceeds `limits`, every range of frames is where it should be and no larger than it must be,
/// every frame of every segment is computed exactly once.
fn replay(plan: &Plan, limits: &PlanLimits) {
    let most = limits.max_binding_bytes.min(limits.max_buffer_bytes);
    for &bytes in plan.memory().buffers().iter().chain(plan.uploads().buffers()).chain(plan.readbacks().buffers()) {
        assert!(bytes <= limits.max_buffer_bytes, "a buffer of {bytes} bytes");
    }
    for (blob, storage) in plan.storages() {
        for (segment, (&bytes, &buffer)) in storage.segments().iter().zip(plan.memory().buffers_of(blob)).enumerate() {
            assert!(bytes <= plan.memory().buffers()[buffer]);
            let pieces = storage.pieces().iter().filter(|piece| piece.segment == segment);
            assert!(pieces.clone().all(|piece| piece.offset + piece.bytes <= bytes));
            assert!(pieces.is_sorted_by(|a, b| a.offset + a.bytes <= b.offset), "pieces do not overlap in memory");
        }
    }
    for step in plan.steps() {
        replay_step(plan, step, limits, most);
    }
    for (staging, ports) in [(plan.uploads(), plan.graph().inputs().to_vec()), (plan.readbacks(), outputs(plan))] {
        for (port, &blob) in ports.iter().enumerate() {
            for round in 0..plan.rounds() {
                let own = staging.transfers().iter().filter(|t| t.round == round && t.port == port);
                let pieces: Vec<usize> = own.map(|transfer| transfer.piece).collect();
                assert!(pieces.iter().copied().eq(0..plan.storage(blob).pieces().len()), "every piece is copied once");
            }
        }
        for (index, &bytes) in staging.buffers().iter().enumerate() {
            let own = staging.transfers().iter().filter(|transfer| transfer.buffer == index);
            assert!(own.clone().all(|transfer| transfer.offset + transfer.bytes <= bytes));
            assert!(own.is_sorted_by(|a, b| a.offset + a.bytes <= b.offset), "transfers do not overlap");
        }
    }
}

fn outputs(plan: &Plan) -> Vec<BlobId> {
    plan.outputs().iter().map(|output| output.blob).collect()
}

fn replay_step(plan: &Plan, step: &Step, limits: &PlanLimits, most: u64) {
    let op = &plan.graph().operators()[step.operator];
    // (segment, part) to the frames written.
    let mut written: BTreeMap<(usize, usize), Vec<Range<usize>>> = BTreeMap::new();
    // The rows of each of those ranges.
    let mut rows: BTreeMap<(usize, usize, usize), Vec<usize>> = BTreeMap::new();
    // Winograd's method has three dispatches for a slice; the one in the middle slides over time.
    let in_a_row = if matches!(step.method, Method::Winograd { .. }) { 3 } else { 1 };
    for dispatches in step.dispatches.chunks_exact(in_a_row) {
        let dispatch = &dispatches[in_a_row / 2];
        let mut bound = Vec::new();
        for binding in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
            if let Binding::Scratch { index, bytes } = binding {
                assert!(*bytes <= most && *bytes <= plan.scratch()[*index], "{}: {bytes} bytes of scratch", op.name);
            }
            let Binding::Frames { blob, frames, segment, offset, bytes } = binding else { continue };
            let (name, frame) = (&plan.graph().blob(*blob).name, frame_bytes(plan, *blob));
            assert!(*bytes <= most, "{}: {bytes} bytes of {name}", op.name);
            assert!(offset.is_multiple_of(limits.offset_alignment), "{}: {name} from {offset}", op.name);
            assert_eq!(*bytes, frames.len() as u64 * frame);
            let piece = plan.storage(*blob).pieces().iter().find(|piece| {
                let inside = piece.frames.start <= frames.start && frames.end <= piece.frames.end;
                let there = || piece.offset + (frames.start - piece.frames.start) as u64 * frame == *offset;
                piece.segment == *segment && inside && there()
            });
            assert!(piece.is_some(), "{}: frames {frames:?} of {name} are not there", op.name);
            if plan.graph().blob(*blob).layout == Layout::Planar {
                assert_eq!(piece.unwrap().frames, *frames, "planar pieces are bound as a whole");
            }
            bound.push((*blob, frames.clone(), *segment));
        }
        for own in dispatches {
            assert_eq!(own.bindings.len(), own.launch.operands.len());
            assert_eq!((&own.frames, &own.rows, own.part), (&dispatch.frames, &dispatch.rows, dispatch.part));
        }
        let (output, inputs) = bound.split_last().unwrap();
        assert_eq!((output.0, &output.1), (op.output, &dispatch.frames));
        let buffer = |(blob, _, segment): &(BlobId, Range<usize>, usize)| plan.memory().buffers_of(*blob)[*segment];
        assert!(inputs.iter().all(|input| buffer(input) != buffer(output)), "{} writes what it reads", op.name);
        if dispatch.rows.start == 0 {
            written.entry((output.2, dispatch.part)).or_default().push(output.1.clone());
        }
        rows.entry((output.2, dispatch.part, output.1.start)).or_default().extend(dispatch.rows.clone());

        let read = &inputs[0];
        assert_eq!(read.0, op.inputs[0]);
        let frames = plan.shape(read.0).t;
        let Some(window) = window(&op.kind) else {
            assert!(inputs.iter().all(|(_, frames, _)| *frames == dispatch.frames), "{}", op.name);
            continue;
        };
        for (_, residual, _) in &inputs[1..] {
            assert_eq!(*residual, dispatch.frames, "the residual of {}", op.name);
        }
        if plan.round_shape(read.0).n > 1 {
            assert_eq!(read.1, 0..frames, "clips follow one another: all frames of them");
        } else if let Some((first, last)) = touched(window, &dispatch.frames, frames) {
            assert_eq!(read.1.end, last + 1, "{}: no frame beyond the halo", op.name);
            let aligned =
                |frames: &usize| (*frames as u64 * frame_bytes(plan, read.0)).is_multiple_of(limits.offset_alignment);
            let step = (1..).find(aligned).unwrap();
            assert!(first - read.1.start < step, "{}: no more early frames than alignment needs", op.name);
        }
        // What the shader makes of it: tap 0 of the first output lies `pad` frames before the first bound.
        let pad = i32::from_le_bytes(dispatch.launch.params[24..28].try_into().unwrap());
        let first = (dispatch.frames.start * window.stride[0]) as i64 - window.pad[0] as i64;
        assert_eq!(read.1.start as i64 - i64::from(pad), first, "{}", op.name);
    }
    for (segment, part) in
        (0..plan.storage(op.output).segments().len()).flat_map(|s| (0..step.parts.len()).map(move |p| (s, p)))
    {
        let pieces = plan.storage(op.output).pieces().iter().filter(|piece| piece.segment == segment);
        let wanted: Vec<usize> = pieces.flat_map(|piece| piece.frames.clone()).collect();
        let ranges = written.remove(&(segment, part)).unwrap_or_default();
        assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), wanted, "{}: segment {segment}", op.name);
    }
    let height = plan.shape(op.output).h;
    assert!(rows.values().all(|rows| rows.iter().copied().eq(0..height)), "{}: every row once", op.name);
    assert!(step.parts.iter().cloned().flatten().eq(0..step.method.constant_blocks(&op.kind)), "every channel once");
}

/// How often a plan was split in each way.
#[derive(Debug, Default)]
struct Met {
    rounds: usize,
    frames: usize,
    rows: usize,
    channels: usize,
    segments: usize,
    early: usize,
}

impl Met {
    fn count(&mut self, plan: &Plan) {
        self.rounds += usize::from(plan.rounds() > 1);
        for step in plan.steps() {
            self.frames += usize::from(step.is_cut_over_frames());
            self.rows += usize::from(step.dispatches.iter().any(|dispatch| dispatch.rows.start > 0));
            self.channels += usize::from(step.parts.len() > 1);
            let pads = step.dispatches.iter().map(|dispatch| dispatch.launch.params.get(24..28));
            let slides = window(&plan.graph().operators()[step.operator].kind).is_some();
            let negative = |pad: Option<&[u8]>| pad.is_some_and(|pad| i32::from_le_bytes(pad.try_into().unwrap()) < 0);
            self.early += usize::from(slides && pads.into_iter().any(negative));
        }
        self.segments += plan.storages().filter(|(_, storage)| storage.segments().len() > 1).count();
    }
}

#[test]
fn split_plans_stay_within_limits_and_compute_everything_once() {
    let mut met = Met::default();
    let mut refused = 0;
    let bodies = [ODD, STRIDES, GROUPS].map(|json| Body::new(&config(json)).unwrap());
    for body in &bodies {
        let stages: Vec<String> = body.graph.stages().iter().map(|&id| body.graph.blob(id).name.clone()).collect();
        for shape in [
            Shape::new(1, 3, 23, 37, 45),
            Shape::new(3, 3, 9, 32, 40),
            Shape::new(4, 3, 1, 21, 33),
            Shape::new(1, 3, 60, 15, 17),
        ] {
            let winograd = Method::by_name("winograd_4x4_gemm_16x8");
            for (fusion, taps, forced) in
                [(true, stages.clone(), None), (false, Vec::new(), None), (true, stages.clone(), winograd)]
            {
                for alignment in [32, 256] {
                    for (binding, buffer) in [
                        (10_000, 10_000),
                        (160, 10_000),
                        (90, 10_000),
                        (160, 300),
                        (130, 130),
                        (60, 120),
                        (40, 40),
                        (24, 90),
                        (14, 60),
                    ] {
                        let limits = limits(binding, buffer, alignment);
                        let taps = taps.clone();
                        let options = PlanOptions { taps, fusion, forced, limits, ..PlanOptions::default() };
                        match Plan::new(&body.graph, &[shape], &options) {
                            Ok(plan) => {
                                replay(&plan, &limits);
                                met.count(&plan);
                            }
                            Err(Error::Limit { .. }) => refused += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
        }
    }
    println!("{met:?}, {refused} refused");
    let Met { rounds, frames, rows, channels, segments, early } = met;
    assert!([rounds, frames, segments, early].into_iter().all(|count| count > 20), "{met:?}");
    assert!(rows > 0 && (channels > 0 || refused > 0), "{met:?}");
}

#[test]
fn the_flagship_at_full_width_is_split_as_lavapipe_needs_it() {
    let lavapipe = PlanLimits { max_binding_bytes: 128 << 20, ..PlanLimits::default() };
    let body = Body::new(&BackboneConfig::r18_conv4()).unwrap();
    // As for a GPU with the limits of lavapipe: there blobs are cut where they must be, or where that saves much.
    let with = |shape: Shape, limits: PlanLimits, taps: &[&str]| {
        let target = Target::typical(AdapterClass::Gpu);
        let taps = taps.iter().map(|&tap| tap.to_owned()).collect();
        let options = PlanOptions { limits, target, taps, winograd: false, ..PlanOptions::default() };
        let plan = Plan::new(&body.graph, &[shape], &options).unwrap();
        replay(&plan, &limits);
        plan
    };
    // Tapped, conv1 is a blob.
    let plan = |shape: Shape, limits: PlanLimits| with(shape, limits, &["conv1"]);
    let short = with(Shape::new(1, 3, 41, 224, 224), lavapipe, &[]);
    assert_eq!((short.dispatches(), short.rounds()), (21, 1), "what fits is not split");
    let long = plan(Shape::new(1, 3, 250, 224, 224), lavapipe);
    let dispatches = |name: &str| {
        let own = long.steps().iter().find(|step| long.graph().operators()[step.operator].name == name);
        own.map_or(0, |step| step.dispatches.len())
    };
    // 3.06 MiB a frame: 41 at once.
    assert!(dispatches("conv1") >= 7 && dispatches("pool1") >= 7 && dispatches("res4_1_branch2c") >= 1);
    assert_eq!(long.rounds(), 1);
    let ratio = long.memory().peak_bytes() as f64 / long.memory().lower_bound_bytes() as f64;
    assert!(ratio <= 1.25, "{ratio}");

    // A frame of 999x999 is 15.2 MiB and odd: sixteen lie between aligned ones, eight can be bound.
    let wide = plan(Shape::new(1, 3, 20, 999, 999), lavapipe);
    let pieces = wide.storages().map(|(_, storage)| storage.pieces().len()).max();
    assert!(pieces > Some(2), "{pieces:?}");

    let batch = plan(Shape::new(12, 3, 8, 224, 224), lavapipe);
    assert_eq!((batch.rounds(), batch.dispatches()), (3, 3 * 23), "four clips at once: 98 MiB of conv1");
    assert_eq!(batch.shape(batch.outputs()[1].blob), Shape::new(12, 256, 8, 14, 14));
    // Longer than one buffer: conv1 has 8 GiB.
    let hour = plan(Shape::new(1, 3, 3600, 224, 224), lavapipe);
    assert!(hour.storages().any(|(_, storage)| storage.segments().len() > 4));
}

#[test]
fn workspaces_keep_to_their_budget() {
    let body = Body::new(&BackboneConfig::r18_conv4()).unwrap();
    let target = PlanOptions::default().target;
    for (shape, rounds, slices) in [
        // In the Winograd domain a row of tiles of res2's 8 frames has 0.98 MiB, before the products and after: two of
        // fourteen are within the share of three blobs of res2. Of a long clip a row exceeds the most there is, and frames are cut.
        (Shape::new(1, 3, 8, 224, 224), 1, 7),
        (Shape::new(1, 3, 250, 224, 224), 1, 28),
        (Shape::new(12, 3, 8, 224, 224), 12, 7),
        (Shape::new(12, 3, 2, 224, 224), 3, 7),
    ] {
        let plan = Plan::new(&body.graph, &[shape], &PlanOptions::default()).unwrap();
        replay(&plan, &PlanLimits::default());
        let res2 = plan.steps().iter().find(|step| step.method.name().starts_with("winograd")).unwrap();
        assert_eq!((plan.rounds(), res2.slices()), (rounds, slices), "{shape}");
        let scratch = plan.scratch().iter().sum::<u64>();
        let least = plan.memory().lower_bound_bytes();
        let budget = (least / 4).min(target.scratch_budget(u64::MAX));
        assert!(scratch <= budget, "{shape}: {:?}", plan.scratch());
    }
}

#[test]
fn weights_are_split_over_channels() {
    let body = Body::new(&BackboneConfig::r18_conv4()).unwrap();
    let limits = PlanLimits { max_binding_bytes: 2 << 20, ..PlanLimits::default() };
    let plan = |options: PlanOptions| {
        Plan::new(&body.graph, &[Shape::new(1, 3, 2, 64, 64)], &PlanOptions { limits, ..options }).unwrap()
    };
    let parts = |plan: &Plan| {
        let parts = plan.steps().iter().map(|step| step.parts.len());
        parts.filter(|&parts| parts > 1).collect::<Vec<usize>>()
    };
    let direct = plan(PlanOptions { winograd: false, ..PlanOptions::default() });
    replay(&direct, &limits);
    assert_eq!(parts(&direct), [4, 4], "256 to 256 channels, 3x3x3: 6.75 MiB");

    // In the Winograd domain there are 36 values for the 9 of a filter.
    let limits = PlanLimits { max_binding_bytes: 7 << 20, ..limits };
    let method = Method::by_name("winograd_4x4_gemm_subgroup_64x4");
    let options = PlanOptions { limits, forced: method, ..PlanOptions::default() };
    let winograd = Plan::new(&body.graph, &[Shape::new(1, 3, 2, 64, 64)], &options).unwrap();
    replay(&winograd, &limits);
    assert_eq!(parts(&winograd), [4, 4], "27 MiB, in blocks of 64 channels");
}

#[test]
fn what_no_split_can_help_is_named() {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 64);
    let window = Window { kernel: [3, 3, 3], pad: [1; 3], ..Window::POINTWISE };
    let out = model.conv_nd(data, "conv", 64, window, 1);
    let graph: Graph = model.finish(out);
    let error = |binding: u64, buffer: u64| {
        let options = PlanOptions { limits: limits(binding, buffer, 256), winograd: false, ..PlanOptions::default() };
        match Plan::new(&graph, &[Shape::new(2, 64, 20, 32, 32)], &options) {
            Err(error @ Error::Limit { .. }) => error.to_string(),
            other => panic!("{binding} {buffer}: {other:?}"),
        }
    };
    // A frame is 256 KiB, and the convolution reads two at the edges, three inside.
    let text = error(200, 10_000);
    assert!(text.contains("1 frame of it at once, needs 262144 bytes in one binding"), "{text}");
    assert!(text.contains("blob data (1x64x20x32x32)"), "{text}");
    let text = error(10_000, 700);
    assert!(text.contains("3 frames of it at once, needs 786432 bytes in one buffer"), "{text}");
    let text = error(600, 10_000);
    assert!(text.contains("3 frames of it at once, needs 786432 bytes in one binding"), "{text}");
    for (binding, buffer) in [(2, 10_000), (0, 10_000), (10_000, 0), (0, 0)] {
        let text = error(binding, buffer);
        assert!(text.contains("1 frame") || text.contains("3 frames"), "{text}");
    }
    let nothing =
        PlanLimits { max_binding_bytes: 0, max_buffer_bytes: 0, max_groups: 0, offset_alignment: 0, max_image_rows: 0 };
    let options = PlanOptions { limits: nothing, ..PlanOptions::default() };
    assert!(Plan::new(&graph, &[Shape::new(1, 64, 20, 32, 32)], &options).is_err());
    let unaligned = PlanLimits { offset_alignment: 0, ..PlanLimits::default() };
    let options = PlanOptions { limits: unaligned, ..PlanOptions::default() };
    assert!(Plan::new(&graph, &[Shape::new(1, 64, 20, 32, 32)], &options).is_ok());
}

/// One blob read in two ways by one dispatch: through the window, with its halo, and as the residual, without.
#[test]
fn a_blob_may_be_input_and_residual_at_once() {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 5);
    let window = Window { kernel: [3, 3, 3], pad: [2, 1, 1], dilation: [2, 1, 1], ..Window::POINTWISE };
    let out = model.conv_nd(data, "conv", 5, window, 1);
    let out = model.sum(out, data, Some("sum"));
    let graph = model.finish(out);
    let clip = random::clip(Shape::new(1, 5, 40, 8, 9), 1).unwrap();
    let limits = limits(60, 70, 256);
    let options = PlanOptions { limits, ..PlanOptions::default() };
    let plan = Plan::new(&graph, &[clip.shape()], &options).unwrap();
    assert!(plan.steps().iter().all(|step| step.dispatches.len() > 1));
    replay(&plan, &limits);
    let case = Case {
        description: "its own residual".to_owned(),
        weights: Weights::random_for(&graph, 1),
        inputs: vec![clip],
        taps: Vec::new(),
        max_groups: u32::MAX,
        graph,
    };
    for gpu in contexts() {
        let mut checked = 0;
        for variant in variants(&case, gpu.target(), ShaderChecks::Checked) {
            match check(&gpu, &case, &Variant { limits: Some(limits), ..variant }) {
                Ok(outcome) => {
                    assert!(outcome.passed(), "{variant:?}: {outcome:?}");
                    checked += 1;
                }
                // The widest tiles pad a block of weights beyond these limits.
                Err(Error::Limit { what, .. }) => assert_eq!(what, "the weight of conv", "{variant:?}"),
                Err(error) => panic!("{variant:?}: {error}"),
            }
        }
        assert!(checked > 8, "{checked} variants");
    }
}

/// Whole networks on every adapter: the split result is the unsplit one, the timings count what belongs together.
#[test]
fn split_networks_give_the_same_bits() {
    let cases = [
        (ODD, Shape::new(1, 3, 61, 21, 29), limits(200, 400, 256), None),
        (STRIDES, Shape::new(1, 3, 16, 32, 40), limits(64, 100, 32), None),
        (GROUPS, Shape::new(3, 3, 5, 30, 41), limits(110, 220, 256), None),
        (ODD, Shape::new(6, 3, 2, 24, 24), limits(48, 200, 256), None),
        (ODD, Shape::new(1, 3, 30, 21, 29), limits(200, 400, 256), Method::by_name("winograd_4x4_gemm_16x8")),
    ];
    for gpu in contexts() {
        for (json, shape, limits, method) in &cases {
            let config = config(json);
            let weights = Weights::random(&config, 3).unwrap();
            let clip = random::clip(*shape, 3).unwrap();
            let run = |limits: Option<PlanLimits>| {
                let (taps, winograd) = (Taps::Stages, method.is_some());
                let options = Options { taps, limits, winograd, method: *method, ..Options::default() };
                let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).unwrap();
                let plan = backbone.prepare(*shape).unwrap();
                let (dispatches, steps) = (plan.dispatches(), plan.steps().len());
                backbone.fill_activations(*shape, 1e30).unwrap();
                let (features, profile) = backbone.forward_timed(&clip, Timing::Layers).unwrap();
                assert!(profile.is_none_or(|profile| profile.steps.len() == steps), "a time for each layer");
                assert!(backbone.forward(&clip).unwrap() == features, "and once more");
                (features, dispatches)
            };
            let (whole, whole_dispatches) = run(None);
            let (split, split_dispatches) = run(Some(*limits));
            assert!(split_dispatches > whole_dispatches, "{json} {shape}: nothing was split");
            println!("{shape}: {whole_dispatches} dispatches, split {split_dispatches}");
            for (a, b) in whole.blobs().iter().zip(split.blobs()) {
                let differs = a.data.iter().zip(&b.data).position(|(a, b)| a.to_bits() != b.to_bits());
                assert!(differs.is_none(), "{} {json} {shape}: {} at {differs:?}", gpu.backend(), a.name);
            }
        }
    }
}
