//! Benchmarks every method of convolution on the distinct convolutions of the flagship, and the other operators, by the
//! clock of the device.
//!
//! `cargo bench --bench kernels` takes about five minutes on a software adapter. The default is the preferred adapter;
//! `RESNET3D_ADAPTER` names another.

use criterion::{Criterion, Throughput};
use resnet3d_wgpu::low_level::gpu::{Constants, Executor};
use resnet3d_wgpu::low_level::graph::{BlobId, Graph, GraphBuilder, Window};
use resnet3d_wgpu::low_level::kernels::{Kernel, Method};
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{ContextOptions, GpuContext, ShaderChecks, Shape, Timing, Weights};
use std::time::{Duration, Instant};

/// An operator with its input.
struct Case {
    name: &'static str,
    graph: Graph,
    input: Shape,
}

fn conv(name: &'static str, input: Shape, dim_out: usize, window: Window) -> Case {
    let mut model = GraphBuilder::new();
    let data = model.input("data", input.c);
    let blob = model.conv_affine_nd(data, "conv", dim_out, window, 1, true);
    let blob = model.relu(blob);
    Case { name, graph: model.finish(blob), input }
}

fn cases() -> Vec<Case> {
    let window = |kernel: [usize; 3], stride: usize| Window {
        kernel,
        stride: [1, stride, stride],
        pad: kernel.map(|k| k / 2),
        dilation: [1; 3],
    };
    let other = |name: &'static str, input: Shape, add: fn(&mut GraphBuilder, BlobId, Window) -> BlobId| {
        let mut model = GraphBuilder::new();
        let data = model.input("data", input.c);
        let blob = add(&mut model, data, window([1, 3, 3], 2));
        Case { name, graph: model.finish(blob), input }
    };
    let stem = Shape::new(1, 64, 8, 112, 112);
    vec![
        conv("stem 1x7x7", Shape::new(1, 3, 8, 112, 112), 64, window([1, 7, 7], 2)),
        conv("res2 1x1x1", Shape::new(1, 64, 8, 56, 56), 64, window([1, 1, 1], 1)),
        conv("res2 1x3x3", Shape::new(1, 64, 4, 56, 56), 64, window([1, 3, 3], 1)),
        conv("res3 3x3x3", Shape::new(1, 128, 4, 28, 28), 128, window([3, 3, 3], 1)),
        conv("res4 3x3x3", Shape::new(1, 256, 4, 14, 14), 256, window([3, 3, 3], 1)),
        other("pool1 1x3x3", stem, |model, data, window| model.max_pool(data, "pool1", window)),
        other("affine", stem, |model, data, _| model.affine_channel_nd(data, "bn", false)),
        other("ReLU", stem, |model, data, _| model.relu(data)),
        other("sum", stem, |model, data, _| model.sum(data, data, Some("sum"))),
    ]
}

/// The time of the operator without the layout conversions around it. Without timestamp queries, the time of the whole
/// run by the clock of the host.
fn run(executor: &mut Executor, clip: &[f32]) -> Duration {
    let started = Instant::now();
    let (_, profile) = executor.run(&[clip], Timing::Layers).expect("the device runs");
    let Some(profile) = profile else { return started.elapsed() };
    let steps = executor.plan().steps().iter().zip(profile.steps);
    steps.filter(|(step, _)| step.method != Kernel::LAYOUT.into()).map(|(_, time)| time).sum()
}

fn main() {
    // An empty name matches every adapter.
    let adapter = std::env::var("RESNET3D_ADAPTER").unwrap_or_default();
    let gpu = GpuContext::new(ContextOptions::default().adapter(adapter)).expect("an adapter");
    println!("{} on {} ({})", gpu.adapter_name(), gpu.backend(), gpu.driver());
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for case in cases() {
        let weights = Weights::random_for(&case.graph, 0);
        let clip = random::clip(case.input, 0).expect("a small clip");
        let mut group = criterion.benchmark_group(case.name);
        for method in Method::all().filter(|method| method.runs_on(gpu.target())) {
            let options = PlanOptions { target: gpu.target(), forced: Some(method), ..PlanOptions::default() };
            let plan = Plan::new(&case.graph, &[case.input], &options).expect("the case can be planned");
            if plan.steps().iter().all(|step| step.method != method || method == Kernel::LAYOUT.into()) {
                continue;
            }
            if plan.macs() > 0 {
                group.throughput(Throughput::Elements(2 * plan.macs()));
            }
            let constants = &mut Constants::default();
            let mut executor = Executor::new(&gpu, plan, &weights, constants, ShaderChecks::Unchecked, None)
                .expect("the device takes the plan");
            group.bench_function(method.name(), |bencher| {
                bencher.iter_custom(|runs| (0..runs).map(|_| run(&mut executor, clip.data())).sum());
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
