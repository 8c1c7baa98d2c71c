//! Measured ceilings of an adapter: multiply-adds in registers, and bandwidth of storage buffers.
//!
//! Both microbenchmarks are timed with the host's clock around a submission that is long enough for it. So they work
//! the same on every adapter.

use super::{GpuContext, blocking};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::{AdapterClass, ENTRY_POINT, Grid, Prelude, assemble, wgsl};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Chains of `multiply_add.wgsl`.
const CHAINS: u64 = 12;
/// How often the chains are written out, and how often a dispatch repeats that.
const REPEATS: u64 = 32;
const LOOPS: u64 = 256;

/// Bytes of each of the triad's three buffers, unless the adapter's largest binding is smaller. Together they exceed
/// the caches of today's processors and GPUs, so that nothing of one pass is cached for the next.
const TRIAD_BYTES: u64 = 256 << 20;

/// A submission has as many dispatches as it takes to last this long. The host's clock and the round trip to the device
/// cost some tenths of a millisecond at most.
const LEAST: Duration = Duration::from_millis(30);
/// Then the submission is timed repeatedly for this long, but at least twice.
const BUDGET: Duration = Duration::from_millis(500);
/// How long a submission may take before the device is considered hung.
const PATIENCE: Duration = Duration::from_secs(600);
/// The most dispatches of a submission.
const MOST_DISPATCHES: u32 = 256;

/// The ceilings of an adapter in f32: the two lines of a roofline diagram.
///
/// Williams, Waterman and Patterson, *Roofline: An Insightful Visual Performance Model* (2009).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceilings {
    /// Multiply-adds in registers, as 10^9 floating-point operations a second, two for each.
    pub gflops: f64,
    /// A triad `output = a + 3 b` of vec4 through storage buffers too large for caches, as 10^9 bytes a second, three
    /// values moved for each value computed. On a software adapter it is the rate of the processor's loads and stores,
    /// which may be less than the bandwidth of its memory.
    pub gb_per_s: f64,
}

/// The nearer of the two ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Bytes moved.
    Memory,
}

impl Ceilings {
    /// Measures both, each as the best of several runs. It takes about one second, and longer on very slow adapters.
    /// The triad allocates 768 MiB on the device, or three times the largest storage binding if that is less.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the device refuses, runs out of memory, or a shader does not
    /// compile.
    pub fn measure(gpu: &GpuContext) -> Result<Self> {
        Ok(Self { gflops: multiply_adds(gpu)?, gb_per_s: triad(gpu)? })
    }

    /// The shaders, each with the name of its file in `shaders/ceilings/` without extension.
    pub fn shaders() -> Vec<(&'static str, String)> {
        vec![multiply_add_shader(), triad_shader()]
    }

    /// The intensity, in FLOP/B, above which arithmetic is the nearer ceiling.
    pub fn ridge(&self) -> f64 {
        self.gflops / self.gb_per_s
    }

    /// The ceiling, in GFLOP/s, for `intensity` operations for each byte moved.
    pub fn attainable(&self, intensity: f64) -> f64 {
        self.gflops.min(intensity * self.gb_per_s)
    }

    /// The share of the nearer ceiling that is reached with `gflops` while `gb_per_s` are moved, and which ceiling that
    /// is. A kernel that only moves bytes has a share of the bandwidth.
    ///
    /// The share can exceed 1: values in caches need not come from memory.
    pub fn share(&self, gflops: f64, gb_per_s: f64) -> (f64, Bound) {
        let (compute, memory) = (gflops / self.gflops, gb_per_s / self.gb_per_s);
        // This is gflops / attainable(gflops / gb_per_s), but also works if both are zero.
        if compute >= memory { (compute, Bound::Compute) } else { (memory, Bound::Memory) }
    }
}

fn multiply_add_shader() -> (&'static str, String) {
    let constants = [("LOOPS", LOOPS as usize), ("REPEATS", REPEATS as usize)];
    ("multiply_add", assemble(&Prelude::constants(&constants), &[], wgsl!("ceilings/multiply_add")).text)
}

fn triad_shader() -> (&'static str, String) {
    ("triad", assemble(&Prelude::default(), &[], wgsl!("ceilings/triad")).text)
}

/// GFLOP/s of multiply-adds in registers.
fn multiply_adds(gpu: &GpuContext) -> Result<f64> {
    // Enough for every core of a software adapter or every lane of a GPU.
    let groups: u32 = match gpu.class() {
        AdapterClass::Software => 256,
        AdapterClass::Gpu => 16_384,
    };
    let invocations = u64::from(groups) * 64;
    let stream = Stream::new(
        gpu,
        multiply_add_shader(),
        &[DType::F32.bytes_of(invocations as usize + 1)],
        Grid { x: groups, y: 1 },
    )?;
    Ok(2.0 * (CHAINS * REPEATS * LOOPS * invocations) as f64 * stream.dispatches_per_second()? / 1e9)
}

/// GB/s of a triad.
fn triad(gpu: &GpuContext) -> Result<f64> {
    let limits = gpu.plan_limits();
    let bytes = TRIAD_BYTES.min(limits.max_binding_bytes).min(limits.max_buffer_bytes) / 1024 * 1024;
    let grid = Grid::fold(bytes / 1024, limits.max_groups).map_err(|reason| gpu.fault(reason))?;
    let stream = Stream::new(gpu, triad_shader(), &[bytes; 3], grid)?;
    Ok(3.0 * bytes as f64 * stream.dispatches_per_second()? / 1e9)
}

/// A shader with its buffers. It writes the last one.
struct Stream<'a> {
    gpu: &'a GpuContext,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: Grid,
}

impl<'a> Stream<'a> {
    fn new(gpu: &'a GpuContext, shader: (&str, String), buffers: &[u64], grid: Grid) -> Result<Self> {
        let (name, source) = shader;
        let label = format!("resnet3d.ceilings.{name}");
        let label = Some(label.as_str());
        blocking::scoped(gpu, || {
            let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
            let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: None,
                module: &module,
                entry_point: Some(ENTRY_POINT),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            });
            let buffers = buffers.iter().map(|&size| {
                let usage = wgpu::BufferUsages::STORAGE;
                gpu.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
            });
            let buffers: Vec<wgpu::Buffer> = buffers.collect();
            let entries = buffers.iter().enumerate();
            let entries = entries.map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: binding as u32,
                resource: buffer.as_entire_binding(),
            });
            let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries.collect::<Vec<_>>(),
            });
            Ok(Self { gpu, pipeline, bind_group, grid })
        })
    }

    /// Submits `dispatches` dispatches and waits for them.
    fn run(&self, dispatches: u32) -> Result<Duration> {
        blocking::scoped(self.gpu, || {
            let started = Instant::now();
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            for _ in 0..dispatches {
                pass.dispatch_workgroups(self.grid.x, self.grid.y, 1);
            }
            drop(pass);
            self.gpu.queue.submit([encoder.finish()]);
            self.gpu.wait(None, PATIENCE)?;
            Ok(started.elapsed())
        })
    }

    /// The best rate of several runs.
    fn dispatches_per_second(&self) -> Result<f64> {
        // The first run compiles the shader and touches the memory for the first time.
        self.run(1)?;
        let mut dispatches = 1;
        let mut time = self.run(dispatches)?;
        while time < LEAST && dispatches < MOST_DISPATCHES {
            dispatches *= 2;
            time = self.run(dispatches)?;
        }
        let mut best = time;
        let started = Instant::now();
        while started.elapsed() < BUDGET {
            best = best.min(self.run(dispatches)?);
        }
        Ok(f64::from(dispatches) / best.as_secs_f64().max(f64::MIN_POSITIVE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_nearer_ceiling() {
        let ceilings = Ceilings { gflops: 200.0, gb_per_s: 10.0 };
        assert_eq!(ceilings.ridge(), 20.0);
        // (GFLOP/s, GB/s, attainable at that intensity, share, bound)
        let cases = [
            (100.0, 2.0, 200.0, 0.5, Bound::Compute),
            (20.0, 4.0, 50.0, 0.4, Bound::Memory),
            (200.0, 10.0, 200.0, 1.0, Bound::Compute),
            (30.0, 15.0, 20.0, 1.5, Bound::Memory),
        ];
        for (gflops, gb_per_s, attainable, share, bound) in cases {
            assert!((ceilings.attainable(gflops / gb_per_s) - attainable).abs() < 1e-9, "{gflops} {gb_per_s}");
            let (got, nearer) = ceilings.share(gflops, gb_per_s);
            assert!((got - share).abs() < 1e-9 && nearer == bound, "{gflops} {gb_per_s}: {got} {nearer:?}");
            assert!((got - gflops / ceilings.attainable(gflops / gb_per_s)).abs() < 1e-9);
        }
        // A pool or a conversion: bytes, but no multiply-adds.
        assert_eq!(ceilings.share(0.0, 5.0), (0.5, Bound::Memory));
    }
}
