//! The one place that needs `unsafe`: shader modules without wgpu's run-time checks.
#![allow(unsafe_code)]

/// Creates a shader module without bounds checks, loop bounding or division guards.
pub(super) fn unchecked_module(device: &wgpu::Device, desc: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    // SAFETY: only this crate's own shaders come here (`Kernel::source`). They index their bindings by what the planner
    // derived from the blobs' shapes, divide by extents that the planner has checked to be at least 1, and every loop is
    // bounded by an extent. `resnet3d verify` and the property tests compare every one of them with the CPU reference
    // over random shapes, in checked and in unchecked form.
    unsafe { device.create_shader_module_trusted(desc, wgpu::ShaderRuntimeChecks::unchecked()) }
}
