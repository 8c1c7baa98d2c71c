//! Narrow devices: everything runs with WebGPU's default limits and no optional feature, whatever the adapter has.

mod common;

use common::{BODY_FIXTURES, Comparisons, assert_verified, contexts_within, fixture, widen};
use resnet3d_wgpu::low_level::verify::{Cases, Settings, verify};
use resnet3d_wgpu::{DeviceLimits, GpuBackbone, GpuContext, Options, Taps, Timing};

/// Every usable adapter, with no more than WebGPU's default limits.
fn contexts() -> Vec<GpuContext> {
    contexts_within(DeviceLimits::WebGpu)
}

#[test]
fn a_device_has_the_default_limits_and_no_feature() {
    for gpu in contexts() {
        let (has, want) = (gpu.device().limits(), wgpu::Limits::defaults());
        let compute = |limits: &wgpu::Limits| {
            [
                limits.max_storage_buffer_binding_size,
                limits.max_buffer_size,
                limits.max_storage_buffers_per_shader_stage.into(),
                limits.max_storage_textures_per_shader_stage.into(),
                limits.max_texture_dimension_2d.into(),
                limits.max_uniform_buffer_binding_size,
                limits.max_compute_workgroup_storage_size.into(),
                limits.max_compute_invocations_per_workgroup.into(),
                limits.max_compute_workgroup_size_x.into(),
                limits.max_compute_workgroups_per_dimension.into(),
                limits.min_storage_buffer_offset_alignment.into(),
                limits.min_uniform_buffer_offset_alignment.into(),
                limits.max_immediate_size.into(),
            ]
        };
        assert_eq!(compute(&has), compute(&want), "{}", gpu.backend());
        assert_eq!(gpu.device().features(), wgpu::Features::empty(), "{}", gpu.backend());
        assert_eq!(gpu.target().subgroup_size, None);
        assert_eq!((gpu.plan_limits().max_binding_bytes, gpu.plan_limits().offset_alignment), (128 << 20, 256));
    }
}

#[test]
fn narrow_devices_match_the_fixtures() {
    let contexts = contexts();
    let mut comparisons = Comparisons::default();
    for name in BODY_FIXTURES {
        let case = fixture(name);
        for gpu in &contexts {
            let options = Options::default().taps(Taps::Stages);
            let mut backbone = GpuBackbone::new(gpu, &case.config, &case.weights, options).unwrap();
            let (features, profile) = backbone.forward_timed(&case.clip, Timing::Layers).unwrap();
            assert!(profile.is_none(), "there are no timestamps");
            for blob in features.blobs() {
                let what = format!("{name} {} on {}", blob.name, gpu.backend());
                comparisons.compare(&what, &blob.data, widen(&case.expected[&blob.name].1));
            }
        }
    }
    comparisons.assert_passed();
}

#[test]
fn narrow_devices_agree_with_the_reference_on_random_cases() {
    let settings = Settings { cases: Cases::First { operators: 24, bodies: 5 }, seed: 30, ..Settings::default() };
    for gpu in contexts() {
        let report = verify(&gpu, &settings, &mut |_, _| {}).unwrap();
        assert_verified(&report, DeviceLimits::WebGpu);
        assert!(!report.rows.iter().any(|row| row.name.contains("subgroup")), "it has no subgroups");
        let methods = report.rows.iter().filter(|row| row.name.contains("gemm_tiled")).count();
        assert!(methods > 0 && report.runs() > 150, "{methods} {}", report.runs());
    }
}
