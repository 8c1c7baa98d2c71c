//! The adapter's arithmetic ceiling: f32 multiply-adds in registers, nothing else. `cargo bench --bench ceiling`
//!
//! `docs/performance.md` states speeds as shares of it. The adapter is the preferred one; `RESNET3D_ADAPTER` names
//! another.

use criterion::{Criterion, Throughput};
use resnet3d_wgpu::wgpu;
use resnet3d_wgpu::{ContextOptions, GpuContext};
use std::time::Duration;

const CHAINS: u64 = 12;
const REPEATS: u64 = 32;
const LOOPS: u64 = 1000;

fn source() -> String {
    let source = include_str!("ceiling.wgsl");
    let (head, rest) = source.split_once("// body\n").expect("the mark is there");
    let (body, tail) = rest.split_once("// end of body").expect("the mark is there");
    format!("const LOOPS: u32 = {LOOPS}u;\n{head}{}{tail}", body.repeat(REPEATS as usize))
}

fn main() {
    let adapter = std::env::var("RESNET3D_ADAPTER").ok();
    let gpu = GpuContext::new(ContextOptions { adapter, ..ContextOptions::default() }).expect("an adapter");
    println!("{} on {} ({})", gpu.adapter_name(), gpu.backend(), gpu.driver());
    // Enough for every core of a software adapter, or every lane of a GPU.
    let groups: u32 = if gpu.class().name() == "software" { 256 } else { 16_384 };
    let device = gpu.device();
    let errors = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("ceiling"),
        source: wgpu::ShaderSource::Wgsl(source().into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("ceiling"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let values = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("ceiling"),
        size: (u64::from(groups) * 64 + 1) * 4,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("ceiling"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: values.as_entire_binding() }],
    });
    if let Some(error) = pollster::block_on(errors.pop()) {
        panic!("{error}");
    }
    let run = || {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device runs");
    };
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let mut group = criterion.benchmark_group("ceiling");
    group.throughput(Throughput::Elements(2 * CHAINS * REPEATS * LOOPS * 64 * u64::from(groups)));
    group.bench_function("f32 multiply-add", |bencher| bencher.iter(run));
    group.finish();
    criterion.final_summary();
}
