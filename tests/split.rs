//! Work that exceeds an adapter's limits is split: plans are replayed without a GPU, and whole networks run on every
//! adapter, bit for bit.

mod common;
#[path = "split/memory.rs"]
mod memory;
#[path = "split/replay.rs"]
mod replay;

use common::{contexts, side_by_side};
use replay::{Met, replay};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::graph::{Graph, GraphBuilder, Window};
use resnet3d_wgpu::low_level::kernels::{AdapterClass, Method, Target};
use resnet3d_wgpu::low_level::plan::{Plan, PlanLimits, PlanOptions};
use resnet3d_wgpu::low_level::verify::{Case, Expected, Variant, check, variants};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{
    BackboneConfig, ErrorKind, FeatureMaps, GpuBackbone, GpuContext, Numerics, Options, ShaderChecks, Shape, Taps,
    Timing, Weights,
};

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

/// Odd widths, so that frames are not aligned by chance.
const ODD: &str = r#"{"block_counts": [1, 2, 1], "feat_dims": [5, 9, 12, 17], "width_per_group": 3}"#;
const STRIDES: &str = r#"{"block_counts": [1, 1, 1], "feat_dims": [8, 8, 12, 16], "width_per_group": 4,
    "time_stride_on": true, "time_kernel_dim": 5, "transformation": "basic"}"#;
const GROUPS: &str = r#"{"block_counts": [1, 1, 1, 1], "feat_dims": [8, 8, 12, 16, 20], "width_per_group": 3,
    "num_groups": 2, "dilation": 2, "stride_1x1": false}"#;

/// A stem of the width that the stem kernels need.
const STEM: &str = r#"{"block_counts": [1, 1, 1], "feat_dims": [64, 8, 8, 12], "width_per_group": 4}"#;

#[test]
fn split_plans_stay_within_limits_and_compute_everything_once() {
    let mut met = Met::default();
    let mut refused = 0;
    let bodies = [ODD, STRIDES, GROUPS].map(|json| Body::new(config(json)).unwrap());
    for body in &bodies {
        let stages: Vec<String> = body.graph.stages().iter().map(|&id| body.graph.blob(id).name.clone()).collect();
        for shape in [
            Shape::new(1, 3, 23, 37, 45),
            Shape::new(3, 3, 9, 32, 40),
            Shape::new(4, 3, 1, 21, 33),
            Shape::new(1, 3, 60, 15, 17),
            Shape::new(1, 3, 5, 150, 40),
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
                        (8, 8),
                        (5, 20),
                    ] {
                        let limits = limits(binding, buffer, alignment);
                        let taps = taps.clone();
                        let options = PlanOptions { taps, fusion, forced, limits, ..PlanOptions::default() };
                        match Plan::new(&body.graph, &[shape], &options) {
                            Ok(plan) => {
                                replay(&plan, &limits);
                                met.count(&plan);
                            }
                            Err(error) if error.kind() == ErrorKind::Limit => refused += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
        }
    }
    println!("{met:?}, {refused} refused");
    let Met { micro_batches, frames, rows, channels, chunks, early, bands, on_demand } = met;
    assert!([micro_batches, frames, chunks, early, bands].into_iter().all(|count| count > 20), "{met:?}");
    assert_eq!(on_demand, 0, "there is no limit on memory");
    assert!(rows > 0 && (channels > 0 || refused > 0), "{met:?}");
}

#[test]
fn the_flagship_at_full_width_is_split_as_lavapipe_needs_it() {
    let lavapipe = PlanLimits { max_binding_bytes: 128 << 20, ..PlanLimits::default() };
    let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
    // For a GPU target with the limits of lavapipe, blobs are cut only where they must be, or where that saves much.
    let with = |shape: Shape, limits: PlanLimits, taps: &[&str]| {
        let target = Target::typical(AdapterClass::Gpu);
        let taps = taps.iter().map(|&tap| tap.to_owned()).collect();
        let options = PlanOptions { limits, target, taps, numerics: Numerics::NoWinograd, ..PlanOptions::default() };
        let plan = Plan::new(&body.graph, &[shape], &options).unwrap();
        replay(&plan, &limits);
        plan
    };
    // As a tap, conv1 is a blob.
    let plan = |shape: Shape, limits: PlanLimits| with(shape, limits, &["conv1"]);
    let short = with(Shape::new(1, 3, 41, 224, 224), lavapipe, &[]);
    assert_eq!((short.dispatches(), short.micro_batches()), (20, 1), "what fits is not split");
    let long = plan(Shape::new(1, 3, 250, 224, 224), lavapipe);
    let dispatches = |name: &str| {
        let own = long.steps().iter().find(|step| long.graph().operators()[step.operator].name == name);
        own.map_or(0, |step| step.dispatches.len())
    };
    // A frame of conv1 has 3.06 MiB: 41 fit into a binding.
    assert!(dispatches("conv1") >= 7 && dispatches("pool1") >= 7 && dispatches("res4_1_branch2c") >= 1);
    assert_eq!(long.micro_batches(), 1);
    let ratio = long.memory().peak_bytes() as f64 / long.memory().lower_bound_bytes() as f64;
    assert!(ratio <= 1.25, "{ratio}");

    // A channels-last frame of the 999x999 clip has 15.2 MiB, an odd multiple of 16 bytes: only every sixteenth frame
    // is aligned, and eight frames can be bound.
    let wide = plan(Shape::new(1, 3, 20, 999, 999), lavapipe);
    let extents = wide.storages().map(|(_, storage)| storage.extents().len()).max();
    assert!(extents > Some(2), "{extents:?}");

    let batch = plan(Shape::new(12, 3, 8, 224, 224), lavapipe);
    assert_eq!((batch.micro_batches(), batch.dispatches()), (3, 3 * 23), "four clips at once: 98 MiB of conv1");
    assert_eq!(batch.shape(batch.outputs()[1].blob), Shape::new(12, 256, 8, 14, 14));
    // Longer than one buffer: conv1 has 10.8 GiB.
    let hour = plan(Shape::new(1, 3, 3600, 224, 224), lavapipe);
    assert!(hour.storages().any(|(_, storage)| storage.chunks().len() > 4));
}

#[test]
fn workspaces_keep_to_their_budget() {
    let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
    let target = PlanOptions::default().target;
    for (shape, micro_batches, slices) in [
        // In the Winograd domain, a row of tiles of res2's 8 frames has 0.98 MiB before the products and as much after
        // them. Two of the fourteen rows fit into the budget, a quarter of three blobs of res2. For a long clip, one
        // row exceeds the largest budget, and frames are cut.
        (Shape::new(1, 3, 8, 224, 224), 1, 7),
        (Shape::new(1, 3, 250, 224, 224), 1, 28),
        (Shape::new(12, 3, 8, 224, 224), 12, 7),
        (Shape::new(12, 3, 2, 224, 224), 3, 7),
    ] {
        let plan = Plan::new(&body.graph, &[shape], &PlanOptions::default()).unwrap();
        replay(&plan, &PlanLimits::default());
        let res2 = plan.steps().iter().find(|step| step.method.name().starts_with("winograd")).unwrap();
        assert_eq!((plan.micro_batches(), res2.slices()), (micro_batches, slices), "{shape}");
        let scratch = plan.scratch_bytes();
        let least = plan.memory().lower_bound_bytes();
        let budget = (least / 4).min(target.scratch_budget(u64::MAX));
        assert!(scratch <= budget, "{shape}: {:?}", plan.scratch());
    }
}

#[test]
fn weights_are_split_over_channels() {
    let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
    let limits = PlanLimits { max_binding_bytes: 2 << 20, ..PlanLimits::default() };
    let plan = |options: PlanOptions| {
        Plan::new(&body.graph, &[Shape::new(1, 3, 2, 64, 64)], &PlanOptions { limits, ..options }).unwrap()
    };
    let parts = |plan: &Plan| {
        let parts = plan.steps().iter().map(|step| step.parts.len());
        parts.filter(|&parts| parts > 1).collect::<Vec<usize>>()
    };
    let direct = plan(PlanOptions { numerics: Numerics::NoWinograd, ..PlanOptions::default() });
    replay(&direct, &limits);
    assert_eq!(parts(&direct), [4, 4], "256 to 256 channels, 3x3x3: 6.75 MiB");

    // In the Winograd domain, the 9 values of a filter become 36.
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
    let data = model.input("data", 4);
    let window = Window { kernel: [3, 3, 3], pad: [1; 3], ..Window::POINTWISE };
    let out = model.conv_nd(data, "conv", 4, window, 1);
    let graph: Graph = model.finish(out);
    let shape = Shape::new(2, 4, 20, 32, 4096);
    let plan = |binding: u64, buffer: u64| {
        let options = PlanOptions {
            limits: limits(binding, buffer, 256),
            numerics: Numerics::NoWinograd,
            ..PlanOptions::default()
        };
        Plan::new(&graph, &[shape], &options)
    };
    let error = |binding: u64, buffer: u64| match plan(binding, buffer) {
        Err(error) if error.kind() == ErrorKind::Limit => error.to_string(),
        other => panic!("{binding} {buffer}: {other:?}"),
    };
    // A row has 64 KiB, and the convolution reads three rows of three frames.
    assert!(plan(600, 10_000).is_ok() && plan(10_000, 600).is_ok());
    let text = error(500, 10_000);
    assert!(text.contains("3 rows of 3 frames of it at once, needs 589824 bytes in one binding"), "{text}");
    assert!(text.contains("blob data (1x4x20x32x4096)"), "{text}");
    let text = error(10_000, 500);
    assert!(text.contains("3 rows of 3 frames of it at once, needs 589824 bytes in one buffer"), "{text}");
    // A weight that is too large is named first: no other split of the blobs would help.
    for (binding, buffer) in [(2, 10_000), (0, 10_000), (10_000, 0), (0, 0)] {
        let text = error(binding, buffer);
        assert!(text.contains("the weight of conv needs 6912 bytes"), "{text}");
    }
    let nothing = PlanLimits {
        max_binding_bytes: 0,
        max_buffer_bytes: 0,
        max_groups: 0,
        offset_alignment: 0,
        max_texture_rows: 0,
        max_macs: 0,
    };
    let options = PlanOptions { limits: nothing, ..PlanOptions::default() };
    assert!(Plan::new(&graph, &[shape], &options).is_err());
    let unaligned = PlanLimits { offset_alignment: 0, ..PlanLimits::default() };
    let options = PlanOptions { limits: unaligned, ..PlanOptions::default() };
    assert!(Plan::new(&graph, &[shape], &options).is_ok());
}

/// One dispatch reads a blob in two ways: through the window, with its halo, and as the residual, without a halo.
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
    let expected = Expected::of(&case).unwrap();
    for gpu in contexts() {
        let mut checked = 0;
        for variant in variants(&case, gpu.target(), ShaderChecks::Checked) {
            match check(&gpu, &case, &expected, &Variant { limits: Some(limits), ..variant }) {
                Ok(outcome) => {
                    assert!(outcome.passed(), "{variant:?}: {outcome:?}");
                    checked += 1;
                }
                // The widest tiles pad a block of weights beyond these limits.
                Err(error) if error.kind() == ErrorKind::Limit => {
                    assert_eq!(error.subject(), Some("the weight of conv"), "{variant:?}");
                }
                Err(error) => panic!("{variant:?}: {error}"),
            }
        }
        assert!(checked > 8, "{checked} variants");
    }
}

/// A whole network, its clip, and a method to force.
struct Network<'a> {
    json: &'a str,
    shape: Shape,
    method: Option<&'a str>,
}

impl Network<'_> {
    /// Runs the network twice within these limits. Returns its features and its plan.
    fn run(&self, gpu: &GpuContext, limits: Option<PlanLimits>, memory_limit: Option<u64>) -> (FeatureMaps, Plan) {
        let config = config(self.json);
        let weights = Weights::random(&config, 3).unwrap();
        let clip = random::clip(self.shape, 3).unwrap();
        let method = self.method.map(|name| Method::by_name(name).unwrap());
        let winograd = method.is_some_and(Method::is_winograd);
        let numerics = if winograd { Numerics::Fast } else { Numerics::NoWinograd };
        let options = Options::default().taps(Taps::Stages).numerics(numerics).method(method);
        let options = options.limits(limits).memory_limit(memory_limit);
        let mut backbone = GpuBackbone::new(gpu, &config, &weights, options).unwrap();
        let plan = backbone.plan(self.shape).unwrap().clone();
        backbone.fill_activations(self.shape, 1e30).unwrap();
        let (features, profile) = backbone.forward_timed(&clip, Timing::Layers).unwrap();
        assert!(profile.is_none_or(|profile| profile.steps.len() == plan.steps().len()), "a time for each layer");
        assert!(backbone.forward(&clip).unwrap() == features, "and once more");
        (features, plan)
    }
}

/// Fails unless the features are the same to the bit.
fn assert_same(whole: &FeatureMaps, split: &FeatureMaps, what: &str) {
    for (a, b) in side_by_side(whole, split) {
        let differs = a.data.iter().zip(&b.data).position(|(a, b)| a.to_bits() != b.to_bits());
        assert!(differs.is_none(), "{what}: {} at {differs:?}", a.name);
    }
}

/// Whole networks on every adapter: the split result equals the unsplit one, and each layer has one time.
#[test]
fn split_networks_give_the_same_bits() {
    // Each case ends with what its plan must have in addition to more dispatches: row bands, weights in parts.
    let cases = [
        (ODD, Shape::new(1, 3, 61, 21, 29), limits(200, 400, 256), None, (false, false)),
        (STRIDES, Shape::new(1, 3, 16, 32, 40), limits(64, 100, 32), None, (false, false)),
        (GROUPS, Shape::new(3, 3, 5, 30, 41), limits(110, 220, 256), None, (false, false)),
        (ODD, Shape::new(6, 3, 2, 24, 24), limits(48, 200, 256), None, (false, false)),
        (ODD, Shape::new(1, 3, 30, 21, 29), limits(200, 400, 256), Some("winograd_4x4_gemm_16x8"), (false, false)),
        (ODD, Shape::new(1, 3, 5, 130, 100), limits(120, 400, 32), None, (true, false)),
        (STRIDES, Shape::new(1, 3, 9, 97, 64), limits(100, 120, 32), None, (false, false)),
        (GROUPS, Shape::new(2, 3, 3, 120, 70), limits(48, 100, 32), None, (true, true)),
        (STRIDES, Shape::new(1, 3, 3, 240, 64), limits(200, 300, 256), Some("winograd_4x4_gemm_16x8"), (true, false)),
        (ODD, Shape::new(1, 3, 3, 140, 64), limits(100, 150, 32), Some("winograd_2x2_gemm_16x8"), (true, false)),
        (STRIDES, Shape::new(1, 3, 30, 64, 64), limits(170, 300, 256), Some("winograd_2x2_fused"), (false, false)),
        (ODD, Shape::new(1, 3, 3, 140, 64), limits(100, 150, 32), Some("winograd_2x2_fused_compact"), (true, false)),
        (STEM, Shape::new(1, 3, 3, 131, 96), limits(100, 400, 256), Some("conv_pool_tiled"), (true, false)),
        (STEM, Shape::new(1, 3, 1, 260, 96), limits(100, 400, 256), None, (true, false)),
    ];
    for gpu in contexts() {
        for (json, shape, limits, method, (bands, parts)) in cases {
            let network = Network { json, shape, method };
            let (whole, whole_plan) = network.run(&gpu, None, None);
            let (split, plan) = network.run(&gpu, Some(limits), None);
            let what = format!("{} {json} {shape}", gpu.backend());
            let dispatches = [&whole_plan, &plan].map(Plan::dispatches);
            assert!(dispatches[0] < dispatches[1], "{what}: nothing was split");
            let mut met = Met::default();
            met.count(&plan);
            println!("{shape}: {} dispatches, split {}: {met:?}", dispatches[0], dispatches[1]);
            assert!(met.bands > 0 || !bands, "{what}: nothing is in row bands");
            assert!(met.channels > 0 || !parts, "{what}: no weights in parts");
            assert_same(&whole, &split, &what);
        }
    }
}
