//! The one place that needs `unsafe`: shader modules without wgpu's run-time checks, and bytes from disk for a driver.
#![allow(unsafe_code)]

use super::pipeline_file::Written;

/// Creates a shader module without bounds checks, loop bounding or division guards.
pub(super) fn unchecked_module(device: &wgpu::Device, desc: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    // SAFETY: only this crate's own shaders come here (`Kernel::source`). They index their bindings by what the planner
    // derived from the blobs' shapes, divide by extents that the planner has checked to be at least 1, and every loop
    // is bounded by an extent. `resnet3d verify` and the property tests compare every one of them with the CPU
    // reference over random shapes, in checked and in unchecked form.
    unsafe { device.create_shader_module_trusted(desc, wgpu::ShaderRuntimeChecks::unchecked()) }
}

/// A pipeline cache that begins with what one of an earlier process held.
pub(super) fn pipeline_cache(device: &wgpu::Device, earlier: Option<&Written>) -> wgpu::PipelineCache {
    // SAFETY: the bytes must have come out of `PipelineCache::get_data`. A `Written` is made of a file only where that
    // belongs to the user of this process and nobody else may write to it, has the header that `pipeline_file` puts in
    // front of nothing but the result of `get_data`, for this crate's version, this adapter and this driver, and has
    // the length and the checksum that were written: a file that was cut, damaged or is another is none. Who can forge
    // all that acts as this user, and could as well replace the program. wgpu compares its own header with the device
    // and the driver's build after that, and the driver its own once more.
    unsafe {
        device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
            label: Some("resnet3d"),
            data: earlier.map(Written::data),
            fallback: true,
        })
    }
}
