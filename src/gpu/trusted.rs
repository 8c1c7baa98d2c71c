//! The only file with `unsafe`: shader modules without wgpu's run-time checks, and bytes from disk for a driver.
#![allow(unsafe_code)]

use super::pipeline_file::Written;

/// Creates a shader module without bounds checks, loop bounding or division guards.
pub(super) fn unchecked_module(device: &wgpu::Device, desc: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    // SAFETY: only shaders of this crate come here (`Kernel::source`). They index their bindings with values that the
    // planner derived from the blobs' shapes. They divide by extents that the planner has checked to be at least 1.
    // Every loop is bounded by an extent. `resnet3d verify` and the property tests compare each of them with the CPU
    // reference over random shapes, in checked and in unchecked form.
    unsafe { device.create_shader_module_trusted(desc, wgpu::ShaderRuntimeChecks::unchecked()) }
}

/// A pipeline cache that begins with the data of an earlier process's cache.
pub(super) fn pipeline_cache(device: &wgpu::Device, earlier: Option<&Written>) -> wgpu::PipelineCache {
    // SAFETY: the bytes must come from `PipelineCache::get_data`. A `Written` is made only of a file that meets three
    // conditions. It belongs to the user of this process, and nobody else may write to it. It has the header for this
    // crate's version, this adapter and this driver, which `pipeline_file` writes only in front of a result of
    // `get_data`. Its length and its checksum are those that were written, so it is neither cut nor damaged. An
    // attacker who can forge all that acts as this user, and could replace the program as well. After that, wgpu
    // compares its header with the device and the driver's build, and the driver compares its header too.
    unsafe {
        device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
            label: Some("resnet3d"),
            data: earlier.map(Written::data),
            fallback: true,
        })
    }
}
