//! The hot path is quiet: once a clip shape is prepared, a forward creates nothing but its command encoder.

mod common;

use common::{contexts, narrow};
use resnet3d_wgpu::low_level::gpu::{Constants, Executor};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::plan::{Plan, PlanLimits, PlanOptions};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{GpuBackbone, GpuContext, Options, ShaderChecks, Shape, Taps, Timing};
use std::sync::{Mutex, PoisonError};

/// The tests share the memory of the process, so they run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The objects on the device and their bytes, as wgpu counts them.
fn count(gpu: &GpuContext) -> Vec<(&'static str, isize)> {
    let hal = gpu.device().get_internal_counters().hal;
    vec![
        ("buffers", hal.buffers.read()),
        ("bytes of buffers", hal.buffer_memory.read()),
        ("allocations", hal.memory_allocations.read()),
        ("bind groups", hal.bind_groups.read()),
        ("bind group layouts", hal.bind_group_layouts.read()),
        ("pipelines", hal.compute_pipelines.read()),
        ("pipeline layouts", hal.pipeline_layouts.read()),
        ("shader modules", hal.shader_modules.read()),
        ("query sets", hal.query_sets.read()),
    ]
}

fn backbone(gpu: &GpuContext, taps: Taps, limits: Option<PlanLimits>) -> GpuBackbone {
    let (config, weights) = narrow();
    GpuBackbone::new(gpu, &config, &weights, Options::default().taps(taps).limits(limits)).unwrap()
}

#[test]
fn a_second_forward_creates_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for gpu in contexts() {
        let split = PlanLimits { max_binding_bytes: 48 << 10, max_buffer_bytes: 80 << 10, ..PlanLimits::default() };
        let cases = [(Timing::Off, None), (Timing::Total, None), (Timing::Layers, None), (Timing::Layers, Some(split))];
        for (timing, limits) in cases.into_iter().chain([(Timing::Off, Some(split))]) {
            let mut backbone = backbone(&gpu, Taps::Stages, limits);
            let clip = random::clip(Shape::new(2, 3, 4, 32, 40), 1).unwrap();
            let plan = backbone.plan(clip.shape()).unwrap();
            assert_eq!(plan.dispatches() > plan.steps().len(), limits.is_some(), "split or not");
            let prepared = count(&gpu);
            backbone.forward_timed(&clip, timing).unwrap();
            let first = count(&gpu);
            assert!(first[0].1 > 0 && first[5].1 > 0, "the counters count: {first:?}");
            if timing == Timing::Off {
                assert_eq!(prepared, first, "prepare() has made everything");
            }
            for _ in 0..10 {
                backbone.forward_timed(&clip, timing).unwrap();
            }
            assert_eq!(first, count(&gpu), "{} {timing:?}", gpu.backend());
        }
    }
}

/// Staging buffers for a second run are created when a second run is in flight, and none for a third.
#[test]
fn runs_that_overlap_need_staging_for_two() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for gpu in contexts() {
        let mut backbone = backbone(&gpu, Taps::Stages, None);
        let clip = random::clip(Shape::new(1, 3, 4, 32, 40), 1).unwrap();
        backbone.forward(&clip).unwrap();
        let (alone, bytes) = (count(&gpu), backbone.device_bytes());
        for on_their_way in [2, 5, 9] {
            let pending: Vec<_> = (0..on_their_way).map(|_| backbone.submit(&clip).unwrap()).collect();
            let together = count(&gpu);
            // A fast device may finish one run before the next is submitted.
            let more = together[0].1 - alone[0].1;
            assert!(more == 0 || more == 2, "a buffer for the clip, one for what is returned, not {more}");
            assert_eq!(together[3..], alone[3..]);
            pending.into_iter().for_each(|pending| drop(pending.wait().unwrap()));
            assert_eq!(together, count(&gpu));
        }
        assert_eq!(backbone.device_bytes() - bytes, (count(&gpu)[1].1 - alone[1].1) as u64);
    }
}

/// Plans share packed weights. Weights that no plan needs any more are freed.
#[test]
fn weights_of_plans_that_are_gone_are_freed() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for gpu in contexts() {
        let (config, weights) = narrow();
        let body = Body::new(&config).unwrap();
        let mut constants = Constants::default();
        let executor = |constants: &mut Constants, shape, method| {
            let options = PlanOptions { target: gpu.target(), forced: Some(method), ..PlanOptions::default() };
            let plan = Plan::new(&body.graph, &[shape], &options).unwrap();
            Executor::new(&gpu, plan, &weights, constants, ShaderChecks::default(), None).unwrap()
        };
        let direct = Method::by_name("conv_direct_4x8").unwrap();
        let first = executor(&mut constants, Shape::new(1, 3, 4, 32, 40), direct);
        let second = executor(&mut constants, Shape::new(1, 3, 2, 16, 24), direct);
        let third = executor(&mut constants, Shape::new(1, 3, 4, 32, 40), Method::by_name("conv_gemm_8x8").unwrap());
        let all = constants.bytes();
        drop(third);
        let shared = constants.bytes();
        assert!(0 < shared && shared < all, "{shared} of {all} bytes");
        drop(first);
        assert_eq!(constants.bytes(), shared, "the second plan has them still");
        drop(second);
        assert_eq!(constants.bytes(), 0);
    }
}

#[test]
fn a_thousand_forwards_do_not_grow() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = &contexts()[0];
    let mut backbone = backbone(gpu, Taps::None, None);
    let clip = random::clip(Shape::new(1, 3, 1, 16, 16), 1).unwrap();
    for _ in 0..100 {
        backbone.forward(&clip).unwrap();
    }
    let (before, resident) = (count(gpu), resident_bytes());
    for _ in 0..1000 {
        backbone.forward(&clip).unwrap();
    }
    assert_eq!(before, count(gpu));
    if let (Some(before), Some(after)) = (resident, resident_bytes()) {
        let grown = after.saturating_sub(before);
        println!("resident: {before} bytes, then {after}");
        // A leak of one 4 KiB page a forward would be 4 MiB.
        assert!(grown < 2 << 20, "{grown} bytes in 1,000 forwards");
    }
}

/// The bytes of this process that are in RAM, if the system tells.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}
