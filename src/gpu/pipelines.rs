//! Compute pipelines: one for each kernel, made once for a device.

use super::GpuContext;
use super::trusted::unchecked_module;
use crate::error::Result;
use crate::kernels::{ENTRY_POINT, Kernel};
use std::collections::HashMap;

/// Whether shaders keep wgpu's run-time checks (bounds, loops, divisions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ShaderChecks {
    /// No checks: the kernels are verified, and checks cost time.
    #[default]
    Unchecked,
    /// All checks.
    Checked,
}

/// A textual change to one shader, for tests that show that a broken kernel is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShaderPatch {
    /// Name of the shader's file, without directory or extension.
    pub shader: &'static str,
    /// What to replace, wherever it stands (an unrolled loop repeats it); it must occur.
    pub from: &'static str,
    /// What to replace it by.
    pub to: &'static str,
}

impl ShaderPatch {
    fn apply(&self, kernel: Kernel, source: String) -> String {
        if self.shader != kernel.shader() {
            return source;
        }
        assert!(source.contains(self.from), "patch of {}: no {:?}", self.shader, self.from);
        source.replace(self.from, self.to)
    }
}

/// What distinguishes one pipeline from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    kernel: Kernel,
    checks: ShaderChecks,
    patch: Option<ShaderPatch>,
}

/// A pipeline and the layout of its only bind group.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// The pipelines of a device.
#[derive(Debug, Default)]
pub struct Pipelines {
    made: HashMap<Key, Pipeline>,
}

impl Pipelines {
    /// The pipeline of `kernel`, compiled unless it has been before.
    pub(super) fn get(
        &mut self,
        gpu: &GpuContext,
        kernel: Kernel,
        checks: ShaderChecks,
        patch: Option<ShaderPatch>,
    ) -> Result<Pipeline> {
        let key = Key { kernel, checks, patch };
        if let Some(pipeline) = self.made.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = gpu.scoped(|| Ok(compile(&gpu.device, key)))?;
        self.made.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

fn compile(device: &wgpu::Device, key: Key) -> Pipeline {
    let kernel = key.kernel;
    let label = format!("resnet3d.{}", kernel.name());
    let source = match key.patch {
        Some(patch) => patch.apply(kernel, kernel.source()),
        None => kernel.source(),
    };
    let desc = wgpu::ShaderModuleDescriptor { label: Some(&label), source: wgpu::ShaderSource::Wgsl(source.into()) };
    let module = match key.checks {
        ShaderChecks::Checked => device.create_shader_module(desc),
        ShaderChecks::Unchecked => unchecked_module(device, desc),
    };
    let count = kernel.operand_count() as u32;
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let entries: Vec<_> = (0..=count)
        .map(|binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: match binding {
                0 => buffer(wgpu::BufferBindingType::Uniform),
                _ if kernel.image_binding() == Some(binding) => wgpu::BindingType::StorageTexture {
                    access: wgpu::StorageTextureAccess::ReadOnly,
                    format: wgpu::TextureFormat::Rgba32Float,
                    view_dimension: wgpu::TextureViewDimension::D2,
                },
                _ => buffer(wgpu::BufferBindingType::Storage { read_only: binding != count }),
            },
            count: None,
        })
        .collect();
    let layout =
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(ENTRY_POINT),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    Pipeline { pipeline, layout }
}
