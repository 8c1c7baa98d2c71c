//! Forwards that overlap: several in flight at once, awaited in any order, dropped, or lost with their device.

mod common;

use common::{contexts, narrow};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{Clip, ContextOptions, ErrorKind, FeatureMaps, GpuBackbone, GpuContext, Options, Shape, Taps};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

const CLIP: Shape = Shape::new(1, 3, 4, 32, 40);

fn backbone(gpu: &GpuContext) -> GpuBackbone {
    let (config, weights) = narrow();
    GpuBackbone::new(gpu, &config, &weights, Options::default().taps(Taps::Stages)).unwrap()
}

fn clips(count: u64) -> Vec<Clip> {
    (0..count).map(|seed| random::clip(CLIP, seed).unwrap()).collect()
}

/// The features of each clip, computed one after the other by a separate backbone.
fn wanted(gpu: &GpuContext, clips: &[Clip]) -> Vec<FeatureMaps> {
    let mut backbone = backbone(gpu);
    let wanted: Vec<FeatureMaps> = clips.iter().map(|clip| backbone.forward(clip).unwrap()).collect();
    assert!(wanted.windows(2).all(|pair| pair[0] != pair[1]), "clips differ");
    wanted
}

#[test]
fn what_is_submitted_is_computed_in_order_and_awaited_in_any() {
    for gpu in contexts() {
        let clips = clips(7);
        let wanted = wanted(&gpu, &clips);
        let mut backbone = backbone(&gpu);
        let pending: Vec<_> = clips.iter().map(|clip| backbone.submit(clip).unwrap()).collect();
        for (pending, wanted) in pending.into_iter().zip(&wanted).rev() {
            assert_eq!(pending.wait().unwrap(), *wanted);
        }
        // Dropped forwards leave no trace.
        for clip in &clips {
            drop(backbone.submit(clip).unwrap());
        }
        assert_eq!(backbone.forward(&clips[3]).unwrap(), wanted[3]);
        let mut pending = backbone.submit(&clips[4]).unwrap();
        while !pending.is_ready() {
            std::thread::yield_now();
        }
        assert_eq!(pending.wait().unwrap(), wanted[4]);
        // A pending forward outlives its backbone.
        pending = backbone.submit(&clips[5]).unwrap();
        drop(backbone);
        assert_eq!(pending.wait().unwrap(), wanted[5]);
    }
}

/// Polls futures in turn, on this thread, until all are ready.
fn join<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    while results.iter().any(Option::is_none) {
        for (future, result) in futures.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                *result = Some(value);
            }
        }
    }
    results.into_iter().flatten().collect()
}

/// A forward that waits does not affect another one: it keeps no error scope open.
#[test]
fn futures_of_several_backbones_run_side_by_side() {
    for gpu in contexts() {
        let clips = clips(3);
        let wanted = wanted(&gpu, &clips);
        let mut backbones: Vec<GpuBackbone> = clips.iter().map(|_| backbone(&gpu)).collect();
        for _ in 0..3 {
            let forwards = backbones.iter_mut().zip(&clips);
            let forwards = forwards.map(|(backbone, clip)| Box::pin(backbone.forward_async(clip)) as Pin<Box<_>>);
            let features = join(forwards.collect());
            assert_eq!(features.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), wanted);
        }
        // One forward is refused, and the others are not affected.
        let odd = random::clip(Shape::new(1, 4, 1, 32, 40), 1).unwrap();
        let [first, second, third] = &mut backbones[..] else { unreachable!() };
        let results = join(vec![
            Box::pin(first.forward_async(&clips[0])) as Pin<Box<_>>,
            Box::pin(second.forward_async(&odd)),
            Box::pin(third.forward_async(&clips[2])),
        ]);
        assert_eq!(results[0].as_ref().unwrap(), &wanted[0]);
        assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::Shape, "a clip has three channels");
        assert_eq!(results[2].as_ref().unwrap(), &wanted[2]);
        assert_eq!(second.forward(&clips[1]).unwrap(), wanted[1]);
    }
}

/// A backbone still works after a future is dropped while it waits.
#[test]
fn a_forward_that_is_not_awaited_to_its_end_does_no_harm() {
    for gpu in contexts() {
        let clips = clips(2);
        let wanted = wanted(&gpu, &clips);
        let mut backbone = backbone(&gpu);
        for polls in 0..6 {
            {
                let mut forward = pin!(backbone.forward_async(&clips[0]));
                for _ in 0..polls {
                    if forward.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                }
            }
            assert_eq!(backbone.forward(&clips[1]).unwrap(), wanted[1], "after {polls} polls");
        }
    }
}

/// A forward in flight when its device is lost returns an error that says so.
#[test]
fn a_device_that_is_lost_is_lost_to_all_that_is_on_its_way() {
    for gpu in contexts() {
        // A separate device for this test.
        let options = ContextOptions::default().adapter(gpu.adapter_name().to_owned());
        let all = GpuContext::all(&options).unwrap();
        let gpu = all.into_iter().find(|other| other.backend() == gpu.backend()).unwrap();
        let mut backbone = backbone(&gpu);
        let clips = clips(2);
        backbone.forward(&clips[0]).unwrap();
        let pending = [backbone.submit(&clips[0]).unwrap(), backbone.submit(&clips[1]).unwrap()];
        gpu.device().destroy();
        for pending in pending {
            // A forward that finished before the loss is valid.
            let result = pending.wait();
            assert!(result.is_ok() || result.unwrap_err().kind() == ErrorKind::DeviceLost);
        }
        assert_eq!(backbone.forward(&clips[0]).unwrap_err().kind(), ErrorKind::DeviceLost);
        assert_eq!(backbone.submit(&clips[0]).unwrap_err().kind(), ErrorKind::DeviceLost);
    }
}
