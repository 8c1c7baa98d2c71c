//! `GpuBackbone` as its users see it: taps, fusion, repeated and alternating clips, a shared device, refusals.

mod common;

use common::{assert_close, contexts, fixture, narrow, side_by_side, widen};
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::reference;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{
    BackboneConfig, Backend, Clip, ContextOptions, ErrorKind, GpuBackbone, GpuContext, Numerics, Options, ShaderChecks,
    Shape, Taps, Timing,
};
use std::collections::HashSet;

fn gpu() -> GpuContext {
    contexts().swap_remove(0)
}

#[test]
fn fused_and_unfused_runs_agree() {
    for gpu in contexts() {
        for name in ["p01_bottleneck_conv4", "p04_bottleneck_conv5_dilation2", "p08_basic_groups_time_stride"] {
            let case = fixture(name);
            let [fused, unfused] = [true, false].map(|fusion| {
                let options = Options::default().taps(Taps::Stages).fusion(fusion);
                let mut backbone = GpuBackbone::new(&gpu, &case.config, &case.weights, options).unwrap();
                let dispatches = backbone.plan(case.clip.shape()).unwrap().steps().len();
                (backbone.forward(&case.clip).unwrap(), dispatches)
            });
            assert!(fused.1 < unfused.1 / 2, "{name}: {} dispatches fused, {} unfused", fused.1, unfused.1);
            for (a, b) in side_by_side(&fused.0, &unfused.0) {
                assert_close(&format!("{name} {}", a.name), &a.data, widen(&b.data));
            }
        }
    }
}

/// Every blob of the reference can be tapped, even if fusion would remove it.
#[test]
fn every_blob_can_be_tapped() {
    let (gpu, (config, weights)) = (gpu(), narrow());
    let clip = random::clip(Shape::new(1, 3, 3, 20, 27), 9).unwrap();
    let mut backbone = GpuBackbone::new(&gpu, &config, &weights, Options::default()).unwrap();
    let graph = backbone.body().graph.clone();
    let last = backbone.forward(&clip).unwrap();
    assert_eq!(last.blobs().len(), 1);
    let mut names: Vec<String> = graph.blobs().iter().map(|blob| blob.name.clone()).collect();
    names.dedup();
    for name in names {
        let options = Options::default().taps(Taps::Named(vec![name.clone()]));
        let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).unwrap();
        let features = backbone.forward(&clip).unwrap();
        let id = graph.find(&name).unwrap();
        let want = reference::execute(&graph, &[&clip], &weights, &[id]).unwrap().swap_remove(0);
        let got = features.get(&name).unwrap();
        assert_eq!(got.shape, want.shape, "{name}");
        assert_close(&name, &got.data, want.data);
        assert_eq!(features.last().name, "res4_0_sum");
        assert_close(&format!("the last blob beside {name}"), &features.last().data, widen(&last.last().data));
    }
}

#[test]
fn clips_of_many_shapes_alternate_in_bounded_memory() {
    let (gpu, (config, weights)) = (gpu(), narrow());
    let mut backbone = GpuBackbone::new(&gpu, &config, &weights, Options::default()).unwrap();
    let shapes: Vec<Shape> = (0..7).map(|i| Shape::new(1 + i % 2, 3, 1 + i % 3, 32 + i, 40 - i)).collect();
    let clips: Vec<Clip> = shapes.iter().map(|&shape| random::clip(shape, 1).unwrap()).collect();
    let first: Vec<_> = clips.iter().map(|clip| backbone.forward(clip).unwrap()).collect();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        for (clip, want) in clips.iter().zip(&first) {
            assert!(backbone.forward(clip).unwrap() == *want, "the same clip gives the same bits");
        }
        bytes.push(backbone.device_bytes());
    }
    assert_eq!(bytes[0], bytes[1]);
    assert_eq!(bytes[0], bytes[2]);
}

#[test]
fn what_buffers_held_does_not_matter() {
    let (gpu, (config, weights)) = (gpu(), narrow());
    let clip = random::clip(Shape::new(1, 3, 3, 31, 45), 2).unwrap();
    let mut backbone = GpuBackbone::new(&gpu, &config, &weights, Options::default()).unwrap();
    let want = backbone.forward(&clip).unwrap();
    for value in [0.0, f32::NAN, 1e30] {
        backbone.fill_activations(clip.shape(), value).unwrap();
        assert!(backbone.forward(&clip).unwrap() == want, "{value}");
    }
}

#[test]
fn checked_shaders_and_forced_methods_agree() {
    let (gpu, (config, weights)) = (gpu(), narrow());
    let clip = random::clip(Shape::new(1, 3, 3, 31, 45), 2).unwrap();
    let run = |options: Options| {
        let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).unwrap();
        let plan = backbone.plan(clip.shape()).unwrap();
        let methods: HashSet<Method> = plan.steps().iter().map(|step| step.method).collect();
        (backbone.forward(&clip).unwrap(), methods)
    };
    let (want, _) = run(Options::default());
    let (checked, _) = run(Options::default().checks(ShaderChecks::Checked));
    assert_close("checked", &checked.last().data, widen(&want.last().data));
    let winograd = |method: &Method| method.is_winograd();
    // The network has no depthwise convolutions.
    let plain = |name: &str| name.starts_with("conv") && !name.starts_with("conv_depthwise");
    let conv = |method: &Method| plain(method.name()) || winograd(method);
    for forced in Method::all().filter(|method| conv(method) && method.runs_on(gpu.target())) {
        let (got, methods) = run(Options::default().method(forced));
        assert!(methods.contains(&forced));
        // Winograd's method does not suit every convolution, and only one convolution has pooling after it: other
        // methods compute the rest.
        let stem = forced.name().starts_with("conv_pool");
        assert!(stem || winograd(&forced) || methods.iter().filter(|m| conv(m)).count() == 1, "{methods:?}");
        assert_close(forced.name(), &got.last().data, widen(&want.last().data));
    }
    let (plain, methods) = run(Options::default().numerics(Numerics::NoWinograd));
    assert!(!methods.iter().any(winograd));
    assert_close("without Winograd", &plain.last().data, widen(&want.last().data));
}

#[test]
fn a_caller_s_device_is_shared() {
    let adapters = resnet3d_wgpu::low_level::gpu::list_adapters();
    let summary = adapters.iter().find(|a| a.unusable.is_none()).unwrap();
    let request = wgpu::DeviceDescriptor { required_limits: summary.limits.clone(), ..Default::default() };
    let (device, queue) = pollster::block_on(summary.adapter.request_device(&request)).unwrap();
    let gpu = GpuContext::from_wgpu(&summary.adapter, device.clone(), queue);
    let case = fixture("p01_bottleneck_conv4");
    let [mut a, mut b] =
        [(); 2].map(|()| GpuBackbone::new(&gpu, &case.config, &case.weights, Options::default()).unwrap());
    let (features, profile) = a.forward_timed(&case.clip, Timing::Total).unwrap();
    assert!(profile.is_none(), "the caller's device has no timestamp queries");
    assert!(b.forward(&case.clip).unwrap() == features, "two backbones on one device");
    let (_, want) = &case.expected[&features.last().name];
    assert_close(&features.last().name, &features.last().data, widen(want));
}

#[test]
fn timings_are_the_plan_s() {
    for gpu in contexts() {
        let (config, weights) = narrow();
        let clip = random::clip(Shape::new(1, 3, 4, 64, 64), 2).unwrap();
        let options = Options::default().taps(Taps::Stages);
        let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).unwrap();
        let steps = backbone.plan(clip.shape()).unwrap().steps().len();
        let (want, none) = backbone.forward_timed(&clip, Timing::Off).unwrap();
        assert!(none.is_none());
        let (features, total) = backbone.forward_timed(&clip, Timing::Total).unwrap();
        assert!(features == want);
        let total = total.expect("Mesa has timestamp queries");
        assert!(total.steps.is_empty() && !total.total.is_zero());
        let (features, layers) = backbone.forward_timed(&clip, Timing::Layers).unwrap();
        assert!(features == want);
        let layers = layers.expect("Mesa has timestamp queries");
        assert_eq!(layers.steps.len(), steps);
        assert!(layers.steps.iter().sum::<std::time::Duration>() <= layers.total);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (gpu, (config, weights)) = (gpu(), narrow());
    let new = |config: &BackboneConfig, options: Options| GpuBackbone::new(&gpu, config, &weights, options);
    let winograd = Method::all().find(|method| method.is_winograd()).unwrap();
    for numerics in [Numerics::NoWinograd, Numerics::Strict] {
        let error = new(&config, Options::default().method(winograd).numerics(numerics)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            [winograd.name(), &numerics.to_string()].iter().all(|name| error.to_string().contains(name)),
            "{error}"
        );
    }
    let tuned = Options::default().method(winograd).tuning(true);
    assert!(new(&config, tuned).is_err_and(|error| error.kind() == ErrorKind::Unsupported));
    let tap = Options::default().taps(Taps::Named(vec!["res9_sum".to_owned()]));
    let error = new(&config, tap).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::UnknownTap, Some("res9_sum")));
    let other = BackboneConfig { feat_dims: vec![8, 8, 12, 20], ..config.clone() };
    assert!(new(&other, Options::default()).is_err_and(|error| error.kind() == ErrorKind::Shape));
    let even = BackboneConfig { time_kernel_dim: 2, ..config.clone() };
    assert!(new(&even, Options::default()).is_err_and(|error| error.kind() == ErrorKind::Config));

    let mut backbone = new(&config, Options::default()).unwrap();
    let four = random::clip(Shape::new(1, 4, 2, 32, 32), 1).unwrap();
    assert!(backbone.forward(&four).is_err_and(|error| error.kind() == ErrorKind::Shape));
    let fits = random::clip(Shape::new(1, 3, 2, 32, 32), 1).unwrap();
    backbone.forward(&fits).expect("a refusal leaves the backbone usable");
    let limit = gpu.plan_limits().max_binding_bytes;
    if limit < 1 << 30 {
        // A single row is larger than any binding.
        let huge = Shape::new(1, 3, 1, 8, limit as usize / 8);
        assert!(backbone.prepare(huge).is_err_and(|error| error.kind() == ErrorKind::Limit));
    }

    let nowhere = ContextOptions::default().adapter("no such adapter").backend(Backend::Vulkan);
    let error = GpuContext::new(nowhere).unwrap_err();
    let (wanted, found) = (error.wanted().unwrap_or_default(), error.given().unwrap_or_default());
    assert!(error.kind() == ErrorKind::NoAdapter, "{error}");
    assert!(wanted.contains("no such adapter") && wanted.contains("vulkan"), "{wanted}");
    assert!(found.contains(gpu.adapter_name()), "{found}");
    assert!(Clip::from_dims(&[3, 8, 64, 64], vec![]).is_err_and(|error| error.kind() == ErrorKind::Shape));
    assert!(Clip::from_dims(&[1, 3, 0, 64, 64], vec![]).is_err_and(|error| error.kind() == ErrorKind::Size));
    assert!(Clip::from_dims(&[1, 3, 1, 4, 4], vec![0.0; 47]).is_err_and(|error| error.kind() == ErrorKind::Shape));
}
