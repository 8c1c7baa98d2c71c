//! NaN, infinities and denormals in a clip, on every adapter of the machine.

mod common;

use common::{assert_close, contexts, narrow};
use resnet3d_wgpu::low_level::gpu::{Constants, Executor};
use resnet3d_wgpu::low_level::graph::GraphBuilder;
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::low_level::reference;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{
    BackboneConfig, Clip, FeatureMaps, GpuBackbone, GpuContext, Numerics, Options, ShaderChecks, Shape, Taps, Timing,
    Weights,
};

/// The narrow network with `num_groups` groups. Four groups have four channels each, all in one channel block of
/// sixteen.
fn grouped(num_groups: usize) -> (BackboneConfig, Weights) {
    let config = BackboneConfig { num_groups, ..narrow().0 };
    let weights = Weights::random(&config, 9).unwrap();
    (config, weights)
}

/// With [`Numerics::Strict`], NaN and infinities of a clip are where the reference has them, in every stage, whatever
/// method is forced. By default, Winograd's method loses them.
#[test]
#[cfg_attr(target_os = "macos", ignore = "Metal's fast mathematics know neither NaN nor infinities")]
fn strict_floats_keep_non_finite_values_where_they_belong() {
    let shape = Shape::new(1, 3, 4, 61, 77);
    let mut values = random::clip(shape, 3).unwrap().data().to_vec();
    // An infinity reaches the last stage. The first ReLU removes negative infinities and NaN.
    for (at, value) in [(shape.len() / 2 + 11, f32::INFINITY), (77, f32::NAN), (shape.len() - 40, f32::NEG_INFINITY)] {
        values[at] = value;
    }
    let clip = Clip::new(shape, values).unwrap();
    for (gpu, groups) in contexts().into_iter().flat_map(|gpu| [(gpu.clone(), 1), (gpu, 4)]) {
        let (config, weights) = grouped(groups);
        let winograd = Method::all().find(|method| method.is_winograd() && method.runs_on(gpu.target()));
        let run = |options: Options| {
            let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).unwrap();
            let features = backbone.forward(&clip).unwrap();
            (backbone, features)
        };
        let gemm = Method::by_name("conv_gemm_16x8");
        assert!(gemm.is_some());
        for method in [None, gemm] {
            let strict = Options::default().taps(Taps::Stages).numerics(Numerics::Strict).method(method);
            let (backbone, features) = run(strict);
            let graph = &backbone.body().graph;
            let want = reference::execute(graph, &[&clip], &weights, graph.stages()).unwrap();
            assert_eq!(features.blobs().len(), want.len());
            let mut infinite = 0;
            for (got, want) in features.blobs().iter().zip(&want) {
                assert_eq!(got.data.len(), want.data.len(), "{}", got.name);
                let kinds = got.data.iter().zip(&want.data);
                let wrong = kinds.filter(|(got, want)| kind(f64::from(**got)) != kind(**want)).count();
                assert_eq!(wrong, 0, "{}: {} on {}", got.name, got.shape, gpu.adapter_name());
                infinite += want.data.iter().filter(|value| value.is_infinite()).count();
            }
            assert!(infinite > 0, "the infinity got lost");
        }
        // By default, Winograd's sums of infinities are NaN in a whole tile, and the next ReLU turns NaN into zero.
        let spread = run(Options::default().taps(Taps::Stages).method(winograd)).1;
        let strict = run(Options::default().taps(Taps::Stages).numerics(Numerics::Strict)).1;
        let kinds =
            |features: &FeatureMaps| -> Vec<_> { features.last().data.iter().map(|&v| kind(v.into())).collect() };
        assert_ne!(kinds(&spread), kinds(&strict));
    }
}

/// Whether a value is NaN, whether it is infinite, and whether it is positive infinity.
fn kind(value: f64) -> (bool, bool, bool) {
    (value.is_nan(), value.is_infinite(), value.is_infinite() && value > 0.0)
}

/// Denormals of both signs, among them the largest and the smallest.
const DENORMALS: [f32; 6] = [1e-40, -1e-40, 1.1754942e-38, -1.1754942e-38, 1e-45, -1e-45];

/// A device may flush denormals to zero, as WGSL allows. Nothing else may happen to them.
#[test]
fn denormals_are_kept_or_taken_for_zero() {
    let shape = Shape::new(1, 4, 1, 3, 8);
    let values: Vec<f32> = DENORMALS.into_iter().cycle().take(shape.len()).collect();
    assert!(values.iter().all(|value| value.is_subnormal()));
    for gpu in contexts() {
        let mut model = GraphBuilder::new();
        let data = model.input("data", 4);
        let out = model.relu(data);
        let graph = model.finish(out);
        let weights = Weights::random_for(&graph, 1);
        let options = PlanOptions { target: gpu.target(), limits: gpu.plan_limits(), ..PlanOptions::default() };
        let plan = Plan::new(&graph, &[shape], &options).unwrap();
        let mut constants = Constants::default();
        let checks = ShaderChecks::default();
        let mut executor = Executor::new(&gpu, plan, &weights, &mut constants, checks, None).unwrap();
        let (got, _) = executor.run(&[&values], Timing::Off).unwrap();
        assert_eq!(got[0].len(), values.len());
        let kept = got[0].iter().filter(|value| value.is_subnormal()).count();
        println!("{}: {kept} denormals of {} come through a ReLU", gpu.backend(), values.len() / 2);
        for (got, want) in got[0].iter().zip(&values) {
            assert!(*got == want.max(0.0) || *got == 0.0, "{got:e} for {want:e} on {}", gpu.backend());
        }
    }
}

/// A clip of denormals, alone or among ordinary values, gives what the reference computes.
#[test]
fn denormals_in_a_clip_do_no_harm() {
    let (config, weights) = narrow();
    let shape = Shape::new(1, 3, 3, 30, 37);
    let ordinary = random::clip(shape, 3).unwrap();
    let alone: Vec<f32> = DENORMALS.into_iter().cycle().take(shape.len()).collect();
    let mixed = ordinary.data().iter().zip(&alone).enumerate();
    let mixed: Vec<f32> = mixed.map(|(at, (a, b))| if at % 3 == 0 { *b } else { *a }).collect();
    for gpu in contexts() {
        for values in [&alone, &mixed] {
            let clip = Clip::new(shape, values.clone()).unwrap();
            for numerics in [Numerics::Strict, Numerics::Fast] {
                let options = Options::default().taps(Taps::Stages).numerics(numerics);
                assert_as_reference(&gpu, &config, &weights, &clip, options);
            }
        }
    }
}

fn assert_as_reference(gpu: &GpuContext, config: &BackboneConfig, weights: &Weights, clip: &Clip, options: Options) {
    let mut backbone = GpuBackbone::new(gpu, config, weights, options).unwrap();
    let features = backbone.forward(clip).unwrap();
    let graph = &backbone.body().graph;
    let want = reference::execute(graph, &[clip], weights, graph.stages()).unwrap();
    assert_eq!(features.blobs().len(), want.len());
    for (got, want) in features.blobs().iter().zip(&want) {
        assert_close(&format!("{} on {}", got.name, gpu.backend()), &got.data, want.data.iter().copied());
    }
}
