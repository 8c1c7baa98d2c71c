//! Benchmarks the gain from submitting a clip before the previous one is done: `cargo bench --bench overlap`.
//!
//! Eight clips of a shape run with all stages read back, in two ways: each clip is awaited before the next is
//! submitted, or one clip is always submitted ahead. The two ways alternate for eight seconds. The first pair is left
//! out, and the ratio is the median over the pairs.
//!
//! The default is the preferred adapter; `RESNET3D_ADAPTER` names another.

use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, Clip, ContextOptions, GpuBackbone, GpuContext, Options, Shape, Taps, Weights};
use std::time::{Duration, Instant};

const CLIPS: u64 = 8;
const TIME: Duration = Duration::from_secs(8);

fn one_by_one(backbone: &mut GpuBackbone, clips: &[Clip]) -> Duration {
    let started = Instant::now();
    for clip in clips {
        backbone.forward(clip).expect("the device runs");
    }
    started.elapsed()
}

fn one_ahead(backbone: &mut GpuBackbone, clips: &[Clip]) -> Duration {
    let started = Instant::now();
    let mut before = None;
    for clip in clips {
        let pending = backbone.submit(clip).expect("the device runs");
        if let Some(before) = before.replace(pending) {
            before.wait().expect("the device runs");
        }
    }
    if let Some(last) = before {
        last.wait().expect("the device runs");
    }
    started.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let adapter = std::env::var("RESNET3D_ADAPTER").unwrap_or_default();
    let gpu = GpuContext::new(ContextOptions::default().adapter(adapter)).expect("an adapter");
    println!("{} on {} ({})\n", gpu.adapter_name(), gpu.backend(), gpu.driver());
    println!("| clip | one by one, ms a clip | one ahead, ms a clip | one by one / one ahead | pairs |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let config = BackboneConfig::r18_conv4();
    let weights = Weights::random(&config, 0).expect("a valid network");
    for shape in [Shape::new(1, 3, 1, 32, 32), Shape::new(1, 3, 4, 112, 112), Shape::new(1, 3, 8, 224, 224)] {
        let options = Options::default().taps(Taps::Stages);
        let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).expect("the weights fit");
        let clips: Vec<Clip> = (0..CLIPS).map(|seed| random::clip(shape, seed).expect("a small clip")).collect();
        let started = Instant::now();
        let mut pairs = Vec::new();
        while pairs.len() < 4 || started.elapsed() < TIME {
            pairs.push([one_by_one(&mut backbone, &clips), one_ahead(&mut backbone, &clips)]);
        }
        let pairs = &pairs[1..];
        let each =
            |index: usize| median(pairs.iter().map(|pair| pair[index].as_secs_f64() * 1e3).collect()) / CLIPS as f64;
        let ratio = median(pairs.iter().map(|[one, ahead]| one.as_secs_f64() / ahead.as_secs_f64()).collect());
        println!("| {shape} | {:.2} | {:.2} | {ratio:.3} | {} |", each(0), each(1), pairs.len());
    }
}
