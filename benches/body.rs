//! Benchmarks whole bodies, from the clip in memory to the features in memory: `cargo bench --bench body`.
//!
//! The default is the preferred adapter; `RESNET3D_ADAPTER` names another.

use criterion::{Criterion, Throughput};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, ContextOptions, GpuBackbone, GpuContext, Options, Shape, Weights};
use std::time::Duration;

fn main() {
    // An empty name matches every adapter.
    let adapter = std::env::var("RESNET3D_ADAPTER").unwrap_or_default();
    let gpu = GpuContext::new(ContextOptions::default().adapter(adapter)).expect("an adapter");
    println!("{} on {} ({})", gpu.adapter_name(), gpu.backend(), gpu.driver());
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(10))
        .configure_from_args();
    let bodies = [
        ("r18-conv4", "{}", Shape::new(1, 3, 4, 112, 112)),
        ("r18-conv4, basic", r#"{"transformation": "basic"}"#, Shape::new(1, 3, 4, 112, 112)),
        ("r50-conv4", r#"{"preset": "r50-conv4"}"#, Shape::new(1, 3, 2, 112, 112)),
    ];
    for (name, json, shape) in bodies {
        let config = BackboneConfig::from_json(json).expect("a valid network");
        let weights = Weights::random(&config, 0).expect("a valid network");
        let clip = random::clip(shape, 0).expect("a small clip");
        let mut group = criterion.benchmark_group(name);
        for fusion in [true, false] {
            let options = Options::default().fusion(fusion);
            let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options).expect("the weights fit");
            let macs = backbone.plan(shape).expect("the clip can be planned").macs();
            group.throughput(Throughput::Elements(2 * macs));
            let id = format!("{shape}, {}", if fusion { "fused" } else { "unfused" });
            group.bench_function(id, |bencher| {
                bencher.iter(|| backbone.forward(&clip).expect("the device runs"));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
