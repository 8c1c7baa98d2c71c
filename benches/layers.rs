//! Benchmarks, one at a time, the layers that published 3D ResNets have and the flagship lacks. The output compares the
//! speed of the default method, by device time, with the speed of the flagship without Winograd's method, and the
//! bandwidth of depthwise convolutions with the adapter's triad.
//!
//! `cargo bench --bench layers [-- --all] [NAME]` takes a minute on a software adapter. `--all` times every candidate,
//! NAME selects the layers whose names contain it. The default is the preferred adapter; `RESNET3D_ADAPTER` names
//! another.

use resnet3d_wgpu::low_level::gpu::{Ceilings, Constants, Executor};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::graph::fuse::fuse;
use resnet3d_wgpu::low_level::graph::{Graph, GraphBuilder, Window};
use resnet3d_wgpu::low_level::kernels::{Kernel, Method};
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, ContextOptions, GpuContext, Numerics, ShaderChecks, Shape};
use resnet3d_wgpu::{Timing, Weights};
use std::time::{Duration, Instant};

/// The number of timed runs of each layer, of which the minimum counts.
const RUNS: usize = 7;

/// A convolution with batch norm and ReLU.
struct Layer {
    name: &'static str,
    /// Channels, frames, rows, columns.
    input: [usize; 4],
    dim_out: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
    groups: usize,
}

const fn layer(
    name: &'static str,
    input: [usize; 4],
    dim_out: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
    groups: usize,
) -> Layer {
    Layer { name, input, dim_out, kernel, stride, groups }
}

const LAYERS: [Layer; 33] = [
    layer("stem r3d_18", [3, 16, 112, 112], 64, [3, 7, 7], [1, 2, 2], 1),
    layer("stem Hara", [3, 16, 112, 112], 64, [7, 7, 7], [1, 2, 2], 1),
    layer("stem i3d_r50", [3, 8, 224, 224], 64, [5, 7, 7], [1, 2, 2], 1),
    layer("stem slow_r50", [3, 8, 224, 224], 64, [1, 7, 7], [1, 2, 2], 1),
    layer("stem r2plus1d, space", [3, 16, 112, 112], 45, [1, 7, 7], [1, 2, 2], 1),
    layer("stem r2plus1d, time", [45, 16, 56, 56], 64, [3, 1, 1], [1, 1, 1], 1),
    layer("r2plus1d res2, space", [64, 8, 56, 56], 144, [1, 3, 3], [1, 1, 1], 1),
    layer("r2plus1d res2, time", [144, 8, 56, 56], 64, [3, 1, 1], [1, 1, 1], 1),
    layer("r2plus1d res3, space", [64, 16, 56, 56], 230, [1, 3, 3], [1, 2, 2], 1),
    layer("r2plus1d res3, time", [230, 16, 28, 28], 128, [3, 1, 1], [2, 1, 1], 1),
    layer("r2plus1d res5, space", [512, 2, 7, 7], 921, [1, 3, 3], [1, 1, 1], 1),
    layer("r2plus1d res5, time", [921, 2, 7, 7], 512, [3, 1, 1], [1, 1, 1], 1),
    layer("i3d res2 3x1x1", [256, 4, 56, 56], 64, [3, 1, 1], [1, 1, 1], 1),
    layer("i3d res4 3x1x1", [1024, 4, 14, 14], 256, [3, 1, 1], [1, 1, 1], 1),
    layer("slowfast fast stem", [3, 16, 112, 112], 8, [5, 7, 7], [1, 2, 2], 1),
    layer("slowfast fast res2 3x1x1", [32, 16, 28, 28], 8, [3, 1, 1], [1, 1, 1], 1),
    layer("slowfast fast res2 1x3x3", [8, 16, 28, 28], 8, [1, 3, 3], [1, 1, 1], 1),
    layer("slowfast lateral 7x1x1", [32, 32, 28, 28], 64, [7, 1, 1], [4, 1, 1], 1),
    layer("r3d_18 res2", [64, 8, 56, 56], 64, [3, 3, 3], [1, 1, 1], 1),
    layer("r3d_18 res3, strided", [64, 8, 56, 56], 128, [3, 3, 3], [2, 2, 2], 1),
    layer("resnext res2", [128, 8, 28, 28], 128, [3, 3, 3], [1, 1, 1], 32),
    layer("resnext res3, strided", [256, 8, 28, 28], 256, [3, 3, 3], [2, 2, 2], 32),
    layer("resnext res3", [256, 4, 14, 14], 256, [3, 3, 3], [1, 1, 1], 32),
    layer("resnext res4", [512, 2, 7, 7], 512, [3, 3, 3], [1, 1, 1], 32),
    layer("resnext res5", [1024, 1, 4, 4], 1024, [3, 3, 3], [1, 1, 1], 32),
    layer("resnext res4, larger", [512, 4, 14, 14], 512, [3, 3, 3], [1, 1, 1], 32),
    layer("csn res2", [64, 8, 64, 64], 64, [3, 3, 3], [1, 1, 1], 64),
    layer("csn res3, strided", [128, 8, 64, 64], 128, [3, 3, 3], [2, 2, 2], 128),
    layer("csn res3, strided in space", [128, 8, 64, 64], 128, [3, 3, 3], [1, 2, 2], 128),
    layer("csn res3", [128, 8, 32, 32], 128, [3, 3, 3], [1, 1, 1], 128),
    layer("csn res4", [256, 8, 16, 16], 256, [3, 3, 3], [1, 1, 1], 256),
    layer("csn res5", [512, 4, 8, 8], 512, [3, 3, 3], [1, 1, 1], 512),
    layer("csn res5, 7x7", [512, 4, 7, 7], 512, [3, 3, 3], [1, 1, 1], 512),
];

impl Layer {
    fn input(&self) -> Shape {
        let [c, t, h, w] = self.input;
        Shape::new(1, c, t, h, w)
    }

    fn graph(&self) -> Graph {
        let window =
            Window { kernel: self.kernel, stride: self.stride, pad: self.kernel.map(|k| k / 2), dilation: [1; 3] };
        let mut model = GraphBuilder::new();
        let data = model.input("data", self.input[0]);
        let blob = model.conv_affine_nd(data, "conv", self.dim_out, window, self.groups, true);
        let blob = model.relu(blob);
        model.finish(blob)
    }
}

/// The minimum time of the operators of `graph` without the layout conversions around them, and the plan.
fn time(gpu: &GpuContext, graph: &Graph, input: Shape, options: &PlanOptions) -> (Duration, Plan) {
    let weights = Weights::random_for(graph, 0);
    let clip = random::clip(input, 0).expect("a small clip");
    let plan = Plan::new(graph, &[input], options).expect("the layer can be planned");
    let constants = &mut Constants::default();
    let mut executor = Executor::new(gpu, plan.clone(), &weights, constants, ShaderChecks::Unchecked, None)
        .expect("the device takes the plan");
    let mut run = || {
        let started = Instant::now();
        let (_, profile) = executor.run(&[clip.data()], Timing::Layers).expect("the device runs");
        let Some(profile) = profile else { return started.elapsed() };
        let steps = plan.steps().iter().zip(profile.steps);
        steps.filter(|(step, _)| step.method != Kernel::LAYOUT.into()).map(|(_, time)| time).sum()
    };
    run();
    ((0..RUNS).map(|_| run()).min().expect("it ran"), plan)
}

fn gflops(macs: u64, time: Duration) -> f64 {
    2.0 * macs as f64 / time.as_secs_f64() / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (all, names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|argument| *argument == "--all");
    // An empty name matches every adapter.
    let adapter = std::env::var("RESNET3D_ADAPTER").unwrap_or_default();
    let gpu = GpuContext::new(ContextOptions::default().adapter(adapter)).expect("an adapter");
    println!("{} on {} ({})", gpu.adapter_name(), gpu.backend(), gpu.driver());

    let options = PlanOptions { target: gpu.target(), limits: gpu.plan_limits(), ..PlanOptions::default() };
    let body = Body::new(BackboneConfig::r18_conv4()).expect("a valid network");
    let direct = PlanOptions { numerics: Numerics::NoWinograd, ..options.clone() };
    let (flagship, plan) = time(&gpu, &body.graph, Shape::new(1, 3, 8, 112, 112), &direct);
    let flagship = gflops(plan.macs(), flagship);
    println!("flagship without Winograd's method: {flagship:.1} GFLOP/s");
    let columns = ["layer", "kernel", "ms", "GFLOP/s", "/flagship", "GB/s of triad"];
    let [layer, kernel, ms, speed, share, stream] = columns;
    println!("{layer:28} {kernel:40} {ms:>9} {speed:>8} {share:>9} {stream}");
    let wanted = |layer: &&Layer| names.is_empty() || names.iter().any(|name| layer.name.contains(name.as_str()));
    for layer in LAYERS.iter().filter(wanted) {
        let graph = layer.graph();
        // The speed of a machine varies, so the triad is measured next to each layer that it is compared with.
        let depthwise = layer.groups == layer.dim_out;
        let triad = depthwise.then(|| Ceilings::measure(&gpu).expect("the device runs").gb_per_s);
        let fused = fuse(&graph, &[]);
        let methods: Vec<Option<Method>> = match all.is_empty() {
            true => vec![None],
            false => Method::candidates(&fused.operators()[0].kind, gpu.target()).into_iter().map(Some).collect(),
        };
        for forced in methods {
            let (time, plan) = time(&gpu, &graph, layer.input(), &PlanOptions { forced, ..options.clone() });
            let step = plan.steps().iter().find(|step| step.method != Kernel::LAYOUT.into()).expect("it computes");
            let op = &plan.graph().operators()[step.operator];
            let bytes: usize = [op.inputs[0], op.output].map(|id| plan.shape(id).len() * 4).iter().sum();
            let gb_per_s = bytes as f64 / time.as_secs_f64() / 1e9;
            let speed = gflops(plan.macs(), time);
            let triad =
                triad.map_or(String::new(), |triad| format!("{gb_per_s:6.2} of {triad:5.2} {:6.2}", gb_per_s / triad));
            let (ms, share) = (time.as_secs_f64() * 1e3, speed / flagship);
            println!("{:28} {:40} {ms:9.2} {speed:8.1} {share:9.2} {triad}", layer.name, step.method.name());
        }
    }
}
