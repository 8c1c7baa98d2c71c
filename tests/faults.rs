//! Faults: devices lost at any moment, a lack of memory, threads that share a device, values dropped in flight. Every
//! outcome is a typed error or the right result, on every adapter of the machine.

mod common;
#[cfg(target_os = "linux")]
#[path = "faults/mesa.rs"]
mod mesa;

use common::{contexts, narrow};
use resnet3d_wgpu::low_level::gpu::list_adapters;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{
    Clip, ContextOptions, Error, ErrorKind, FeatureMaps, GpuBackbone, GpuContext, Options, Shape, Taps,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

const CLIP: Shape = Shape::new(1, 3, 3, 33, 40);

fn backbone(gpu: &GpuContext) -> GpuBackbone {
    let (config, weights) = narrow();
    let options = Options::default().taps(Taps::Stages);
    GpuBackbone::new(gpu, &config, &weights, options).unwrap()
}

fn clip(seed: u64) -> Clip {
    random::clip(CLIP, seed).unwrap()
}

/// A new device on the adapter of `gpu`, opened by this crate.
fn anew(gpu: &GpuContext) -> GpuContext {
    on_adapter_of(gpu, GpuContext::all(&ContextOptions::default()).unwrap())
}

/// The context in `all` that is on the adapter of `gpu`.
fn on_adapter_of(gpu: &GpuContext, all: Vec<GpuContext>) -> GpuContext {
    let same = |new: &GpuContext| (new.adapter_name(), new.backend()) == (gpu.adapter_name(), gpu.backend());
    all.into_iter().find(same).unwrap()
}

/// A device as a caller opens it, with all limits of the adapter, on every usable adapter.
fn callers_contexts() -> Vec<GpuContext> {
    let usable = list_adapters().into_iter().filter(|summary| summary.unusable.is_none());
    let context = usable.map(|summary| {
        let desc = wgpu::DeviceDescriptor { required_limits: summary.limits.clone(), ..Default::default() };
        let (device, queue) = pollster::block_on(summary.adapter.request_device(&desc)).unwrap();
        GpuContext::from_wgpu(&summary.adapter, device, queue)
    });
    context.collect()
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(result: Result<T, Error>, gpu: &GpuContext, reason: &str) {
    match result {
        Err(error) if error.kind() == ErrorKind::DeviceLost => {
            assert_eq!(error.adapter(), Some(gpu.adapter_name()));
            assert!(error.reason().unwrap_or_default().contains(reason), "{error} for {reason:?}");
        }
        other => panic!("on {}: {other:?}", gpu.backend()),
    }
}

/// The device is destroyed between any two steps, whoever opened it. Then a new context works as the first did.
#[test]
fn a_lost_device_is_a_typed_error_and_can_be_replaced() {
    // A device with other features may get other kernels, and so give other bits.
    let anew_by_caller = |gpu: &GpuContext| on_adapter_of(gpu, callers_contexts());
    let own = contexts().into_iter().map(|gpu| (gpu, "destroyed", anew as fn(&GpuContext) -> GpuContext));
    let callers = callers_contexts().into_iter().map(|gpu| (gpu, "accepts nothing", anew_by_caller as fn(&_) -> _));
    for (gpu, reason, anew) in own.chain(callers) {
        let mut used = backbone(&gpu);
        let want = used.forward(&clip(1)).unwrap();
        let mut prepared = backbone(&gpu);
        prepared.prepare(CLIP).unwrap();
        assert_eq!(gpu.lost(), None);
        gpu.device().destroy();

        for _ in 0..2 {
            assert_lost(used.forward(&clip(1)), &gpu, reason);
            assert_lost(prepared.forward(&clip(1)), &gpu, reason);
            assert_lost(prepared.fill_activations(CLIP, 0.0), &gpu, reason);
            assert_lost(used.prepare(Shape { t: 5, ..CLIP }), &gpu, reason);
            assert_lost(backbone(&gpu).prepare(CLIP), &gpu, reason);
            assert_lost(backbone(&gpu).forward(&clip(1)), &gpu, reason);
        }
        assert!(gpu.lost().unwrap().contains(reason));

        assert!(backbone(&anew(&gpu)).forward(&clip(1)).unwrap() == want, "a new device gives the same");
        // The values of a lost device can be dropped in any order.
        drop(gpu);
        drop((prepared, used));
    }
}

/// A caller's own callback stays in place and hears of the loss.
#[test]
fn a_caller_s_callback_is_not_replaced() {
    for gpu in callers_contexts() {
        let heard = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&heard);
        gpu.device().set_device_lost_callback(move |_, _| hears.store(true, Ordering::SeqCst));
        let mut backbone = backbone(&gpu);
        backbone.forward(&clip(1)).unwrap();
        gpu.device().destroy();
        assert_lost(backbone.forward(&clip(1)), &gpu, "");
        assert!(heard.load(Ordering::SeqCst), "{}", gpu.backend());
    }
}

/// Another thread destroys the device while this one runs.
#[test]
fn a_device_lost_mid_flight_neither_hangs_nor_panics() {
    for gpu in contexts() {
        let want = backbone(&gpu).forward(&clip(1)).unwrap();
        for round in 0..8 {
            let gpu = anew(&gpu);
            let mut backbone = backbone(&gpu);
            let device = gpu.device().clone();
            let killer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(3 * round));
                device.destroy();
            });
            let error = (0..).find_map(|_| match backbone.forward(&clip(1)) {
                Ok(features) => {
                    assert!(features == want, "a run that says it worked did");
                    None
                }
                Err(error) => Some(error),
            });
            assert_lost::<()>(Err(error.unwrap()), &gpu, "");
            killer.join().unwrap();
        }
    }
}

/// A plan that exceeds the limits of a device is refused, and leaves the device as it was.
#[test]
fn what_does_not_fit_leaves_the_rest_working() {
    for gpu in contexts() {
        let mut backbone = backbone(&gpu);
        let want = backbone.forward(&clip(1)).unwrap();
        for t in 1..4 {
            backbone.prepare(Shape { t: CLIP.t + t, ..CLIP }).unwrap();
        }
        let prepared = backbone.device_bytes();
        let limit = gpu.plan_limits().max_binding_bytes;
        // A row of the first clip is larger than any binding, and the second clip has too many values.
        for shape in [Shape::new(1, 3, 1, 8, (limit >> 3) as usize), Shape::new(1, 3, 1, 1 << 20, 1 << 20)] {
            let refused = backbone.prepare(shape).unwrap_err();
            assert!(matches!(refused.kind(), ErrorKind::Limit | ErrorKind::Size), "{refused}");
            assert_eq!(backbone.device_bytes(), prepared, "every shape is as it was");
            assert!(backbone.forward(&clip(1)).unwrap() == want);
        }
    }
}

/// Backbone and device are dropped, in any order, while commands are in flight.
#[test]
fn anything_can_be_dropped_mid_flight() {
    for gpu in contexts() {
        let want = backbone(&gpu).forward(&clip(1)).unwrap();
        for order in 0..4 {
            let gpu = anew(&gpu);
            let mut dropped = backbone(&gpu);
            dropped.forward(&clip(1)).unwrap();
            // Submits the commands that fill the buffers of a prepared shape, without waiting.
            dropped.fill_activations(CLIP, 1.0).unwrap();
            match order {
                0 => drop((dropped, gpu)),
                1 => drop((gpu, dropped)),
                2 => {
                    drop(gpu);
                    assert!(dropped.forward(&clip(1)).unwrap() == want, "a backbone keeps its device");
                }
                _ => {
                    drop(dropped);
                    assert!(backbone(&gpu).forward(&clip(1)).unwrap() == want, "a device outlives its backbones");
                }
            }
        }
    }
}

#[test]
fn two_backbones_on_one_device_take_turns() {
    for gpu in contexts() {
        let [want, other] = [1, 2].map(|seed| backbone(&gpu).forward(&clip(seed)).unwrap());
        let (mut a, mut b) = (backbone(&gpu), backbone(&gpu));
        for _ in 0..3 {
            assert!(a.forward(&clip(1)).unwrap() == want);
            assert!(b.forward(&clip(2)).unwrap() == other);
        }
        std::thread::scope(|scope| {
            for (backbone, seed, want) in [(&mut a, 1, &want), (&mut b, 2, &other)] {
                scope.spawn(move || {
                    for _ in 0..20 {
                        assert!(backbone.forward(&clip(seed)).unwrap() == *want);
                    }
                });
            }
        });
    }
}

/// Eight threads with a backbone each: all on one device, or each on a separate device.
#[test]
fn eight_threads_get_what_one_gets() {
    for gpu in contexts() {
        let wanted: Vec<FeatureMaps> = (0..8).map(|seed| backbone(&gpu).forward(&clip(seed)).unwrap()).collect();
        for shared in [true, false] {
            let start = Barrier::new(8);
            std::thread::scope(|scope| {
                for (seed, want) in (0..).zip(&wanted) {
                    let (gpu, start) = (&gpu, &start);
                    scope.spawn(move || {
                        let gpu = if shared { gpu.clone() } else { anew(gpu) };
                        start.wait();
                        // All threads plan, compile and upload at the same time.
                        let mut backbone = backbone(&gpu);
                        for _ in 0..if shared { 25 } else { 3 } {
                            assert!(backbone.forward(&clip(seed)).unwrap() == *want, "thread {seed}");
                        }
                    });
                }
            });
        }
    }
}

/// Many threads share one backbone behind a lock.
#[test]
fn a_backbone_moves_between_threads() {
    for gpu in contexts() {
        let wanted: Vec<FeatureMaps> = (0..4).map(|seed| backbone(&gpu).forward(&clip(seed)).unwrap()).collect();
        let shared = Mutex::new(backbone(&gpu));
        std::thread::scope(|scope| {
            for (seed, want) in (0..).zip(&wanted) {
                let shared = &shared;
                scope.spawn(move || {
                    for _ in 0..5 {
                        assert!(shared.lock().unwrap().forward(&clip(seed)).unwrap() == *want);
                    }
                });
            }
        });
    }
}

/// Threads share a device that is lost: each gets its error, and none hangs.
#[test]
fn a_loss_reaches_every_thread() {
    for gpu in contexts() {
        let gpu = anew(&gpu);
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (gpu, start) = (&gpu, &start);
                scope.spawn(move || {
                    let mut backbone = backbone(gpu);
                    backbone.forward(&clip(seed)).unwrap();
                    start.wait();
                    let error = (0..).find_map(|_| backbone.forward(&clip(seed)).err());
                    assert_lost::<()>(Err(error.unwrap()), gpu, "");
                });
            }
            start.wait();
            std::thread::sleep(Duration::from_millis(20));
            gpu.device().destroy();
        });
    }
}
