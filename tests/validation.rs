//! For `scripts/test-validation`, under the Vulkan validation layer. Some tests make mistakes on purpose, each of a
//! kind that the layer must report: otherwise its silence would mean nothing. One runs every kernel without wgpu's
//! run-time checks, so that the layer watches what it reads and writes.
//!
//! All are ignored elsewhere: the mistakes are only for the layer, and the rest repeats `tests/properties.rs`.
#![cfg(target_os = "linux")] // where the layer is fetched, and wgpu has Vulkan

mod common;

use common::contexts;
use resnet3d_wgpu::low_level::gpu::ShaderPatch;
use resnet3d_wgpu::low_level::kernels::{Kernel, Method};
use resnet3d_wgpu::low_level::verify::{Cases, Drawn, Variant, check, split, variants};
use resnet3d_wgpu::{GpuContext, ShaderChecks};
use std::collections::BTreeMap;
use wgpu::hal::api::Vulkan;

/// Records raw commands on a buffer of 256 bytes, and submits none of them: the layer reports while they are recorded.
fn record(commands: &[(u64, u64)]) {
    let gpu = vulkan();
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("mistake"),
        size: 256,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    // SAFETY: nothing is destroyed or ended here, and what has been recorded is dropped without having been submitted.
    unsafe {
        let device = gpu.device().as_hal::<Vulkan>().expect("a device on Vulkan");
        let buffer = buffer.as_hal::<Vulkan>().expect("a buffer on Vulkan");
        encoder.as_hal_mut::<Vulkan, _, _>(|encoder| {
            let encoder = encoder.expect("an encoder on Vulkan").raw_handle();
            for &(offset, size) in commands {
                device.raw_device().cmd_fill_buffer(encoder, buffer.raw_handle(), offset, size, 0);
            }
        });
    }
}

fn vulkan() -> GpuContext {
    contexts().into_iter().find(|gpu| gpu.backend() == "vulkan").expect("an adapter on Vulkan")
}

#[test]
#[ignore = "a mistake for core validation"]
fn mistake_core() {
    // Fills beyond the end of the buffer.
    record(&[(192, 128)]);
}

#[test]
#[ignore = "a mistake for synchronization validation"]
fn mistake_sync() {
    // Fills the same bytes twice, with no barrier between.
    record(&[(0, 256), (0, 256)]);
}

#[test]
#[ignore = "a mistake for GPU-assisted validation"]
fn mistake_gpu() {
    // The shader reads far beyond the end of the clip. The result must be wrong: otherwise, another shader ran.
    let patch = ShaderPatch { shader: "layout", from: "input[planar]", to: "input[planar + 4000000u]" };
    let gpu = vulkan();
    let Drawn { case, expected, .. } = Drawn::new(1, 0).unwrap();
    let variant = variants(&case, gpu.target(), ShaderChecks::Unchecked)[0];
    let broken = Variant { patch: Some(patch), ..variant };
    assert!(!check(&gpu, &case, &expected, &broken).unwrap().passed());
}

/// Runs of each method, whole and split. They are few because it takes long for the layer to rewrite each shader and
/// for Mesa to compile the result.
const RUNS: usize = 6;

#[test]
#[ignore = "the property tests once more, for GPU-assisted validation to watch"]
fn every_method_without_run_time_checks() {
    let gpu = vulkan();
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for number in (Cases::First { operators: 200, bodies: 0 }).numbers() {
        let drawn = Drawn::new(20_181_018, number).unwrap();
        let mut splits = drawn.splits();
        let Drawn { case, expected, .. } = drawn;
        for variant in variants(&case, gpu.target(), ShaderChecks::Unchecked) {
            let Some(method) = variant.method else { continue };
            let count = runs.entry(method.name()).or_default();
            if *count >= RUNS {
                continue;
            }
            let parts = split(&gpu, &case, &variant, &mut splits).unwrap();
            for variant in [Some(variant), parts].into_iter().flatten() {
                assert!(check(&gpu, &case, &expected, &variant).unwrap().passed(), "{}: {variant:?}", case.description);
                *count += 1;
            }
        }
    }
    for method in Method::all().filter(|method| method.runs_on(gpu.target())) {
        // Methods that are the only choice of their operators run whatever is forced.
        let alone =
            matches!(method, Method::Single(kernel) if !matches!(kernel, Kernel::ConvDirect(_) | Kernel::ConvGemm(_)));
        let count = runs.get(method.name()).copied().unwrap_or_default();
        println!("{:40} {count} runs", method.name());
        assert!(alone || count >= RUNS, "{} ran {count} times", method.name());
    }
}
