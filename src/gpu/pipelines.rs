//! Compute pipelines: one for each kernel and number format, compiled once for a device, several at a time.

use super::GpuContext;
use super::faults::{Caught, Scoped, lock, within_scopes};
use super::parallel;
use super::pipeline_file::{PipelineFile, Written};
use super::resource::texel_format;
use super::trusted::{pipeline_cache, unchecked_module};
use crate::cache::CacheDirectory;
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::{Compiler, ENTRY_POINT, Kernel, OperandMemory};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// Whether shaders keep wgpu's run-time checks (bounds, loops, divisions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShaderChecks {
    /// No checks: the kernels are verified, and checks cost time.
    #[default]
    Unchecked,
    /// All checks, with one exception: with FXC, workgroup memory is not filled with zeros, since FXC writes that out
    /// store by store and takes minutes for it. No kernel relies on these zeros.
    Checked,
}

/// A textual change of one shader, for tests which check that a broken kernel is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShaderPatch {
    /// Name of the shader's file, without directory or extension.
    pub shader: &'static str,
    /// The text to replace wherever it occurs: an unrolled loop repeats it. A kernel that does not use that part of the
    /// shader may lack it.
    pub from: &'static str,
    /// The text to replace it with.
    pub to: &'static str,
}

impl ShaderPatch {
    /// The kernels that it changes.
    pub fn kernels(&self) -> Vec<Kernel> {
        Kernel::all().filter(|&kernel| DType::ALL.iter().any(|&dtype| self.changes(kernel, dtype))).collect()
    }

    fn changes(&self, kernel: Kernel, dtype: DType) -> bool {
        kernel.shader() == self.shader && kernel.source(dtype).contains(self.from)
    }
}

/// The key of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    kernel: Kernel,
    /// The number format of its values.
    dtype: DType,
    checks: ShaderChecks,
    /// Only for kernels that it changes.
    patch: Option<ShaderPatch>,
}

impl Key {
    fn source(&self) -> String {
        match self.patch {
            Some(patch) => self.kernel.source(self.dtype).replace(patch.from, patch.to),
            None => self.kernel.source(self.dtype),
        }
    }
}

/// A pipeline and the layout of its only bind group.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// The progress of compiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compilation {
    /// Kernels compiled.
    pub done: usize,
    /// Kernels to compile.
    pub total: usize,
}

/// The pipelines of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    made: Mutex<HashMap<Key, Pipeline>>,
    /// The sum over all calls that are compiling now.
    underway: Mutex<Compilation>,
    disk: Option<Disk>,
}

/// The kernels that one call compiles. Dropping it, complete or not, subtracts them from the sum.
struct Batch<'a> {
    underway: &'a Mutex<Compilation>,
    compilation: Mutex<Compilation>,
}

impl<'a> Batch<'a> {
    fn new(underway: &'a Mutex<Compilation>, total: usize) -> Self {
        lock(underway).total += total;
        Self { underway, compilation: Mutex::new(Compilation { done: 0, total }) }
    }

    fn step(&self) {
        lock(&self.compilation).done += 1;
        lock(self.underway).done += 1;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let (compilation, mut underway) = (*lock(&self.compilation), lock(self.underway));
        underway.done -= compilation.done;
        underway.total -= compilation.total;
    }
}

/// The driver's data of compiled pipelines, and its file.
#[derive(Debug)]
struct Disk {
    cache: wgpu::PipelineCache,
    file: Mutex<PipelineFile>,
}

impl Pipelines {
    /// No pipelines yet. If the device supports it, those in a file of `directory` will be created faster.
    pub fn cached_in(directory: CacheDirectory, device: &wgpu::Device, adapter: &wgpu::AdapterInfo) -> Self {
        let usable = device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let opened = usable.then(|| PipelineFile::open(directory, adapter)).flatten();
        let disk = opened.and_then(|(file, written)| {
            // Data that a driver rejects is a cache miss.
            let create = |written: Option<&Written>| {
                let filters =
                    [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];
                let (cache, caught) = within_scopes(device, filters, || pipeline_cache(device, written));
                caught.into_iter().all(is_silent).then_some(cache)
            };
            let cache = create(written.as_ref()).or_else(|| create(None))?;
            Some(Disk { cache, file: Mutex::new(file) })
        });
        Self { disk, ..Self::default() }
    }

    /// The progress of compiling; `None` if nothing is being compiled.
    pub fn compilation(&self) -> Option<Compilation> {
        Some(*lock(&self.underway)).filter(|underway| underway.total > 0)
    }

    /// Compiles those of `kernels`, each with a number format, that have not been compiled before, several at a time.
    pub fn compile<'a>(
        &'a self,
        gpu: &'a GpuContext,
        kernels: &HashSet<(Kernel, DType)>,
        checks: ShaderChecks,
        patch: Option<ShaderPatch>,
    ) -> Compiling<'a> {
        let key = |&(kernel, dtype): &(Kernel, DType)| Key {
            kernel,
            dtype,
            checks,
            patch: patch.filter(|patch| patch.changes(kernel, dtype)),
        };
        let keys: Vec<Key> = kernels.iter().map(key).collect();
        let missing = keys.iter().filter(|key| !lock(&self.made).contains_key(key));
        let mut sources: Vec<(Key, String)> = missing.map(|&key| (key, key.source())).collect();
        // The longest first, so that no long one remains when all others are done.
        sources.sort_by_key(|(_, source)| Reverse(source.len()));
        let cache = self.disk.as_ref().map(|disk| &disk.cache);
        // Not under the lock: a rayon thread that waits here for others may start to prepare something else.
        let batch = Batch::new(&self.underway, sources.len());
        let compiled = parallel::each(sources, |(key, source)| {
            let pipeline = gpu.scoped(|| Ok(compile(gpu, key, source, cache)));
            batch.step();
            (key, pipeline)
        });
        Compiling { pipelines: self, keys, compiled }
    }

    /// Writes the driver's data of compiled pipelines to the file, if it is new.
    fn save(&self) {
        if let Some(Disk { cache, file }) = &self.disk
            && let Some(data) = cache.get_data()
        {
            lock(file).save(&data);
        }
    }
}

/// Kernels that were compiled, before it is known which of them wgpu has rejected.
pub(super) struct Compiling<'a> {
    pipelines: &'a Pipelines,
    keys: Vec<Key>,
    /// The kernels that had no pipeline yet.
    compiled: Vec<(Key, Scoped<'a, Pipeline>)>,
}

impl Compiling<'_> {
    /// The pipelines. Later calls get them too.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if one does not compile.
    pub async fn finish(self) -> Result<HashMap<(Kernel, DType), Pipeline>> {
        let Self { pipelines, keys, compiled } = self;
        let any = !compiled.is_empty();
        let mut failed = None;
        for (key, pipeline) in compiled {
            match pipeline.result().await {
                Ok(pipeline) => drop(lock(&pipelines.made).insert(key, pipeline)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if any {
            pipelines.save();
        }
        let made = lock(&pipelines.made);
        Ok(keys.into_iter().map(|key| ((key.kernel, key.dtype), made[&key].clone())).collect())
    }
}

/// Whether a scope has caught nothing, without waiting. Natively the answer is known at once.
fn is_silent(mut caught: Caught) -> bool {
    matches!(caught.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None))
}

fn compile(gpu: &GpuContext, key: Key, source: String, cache: Option<&wgpu::PipelineCache>) -> Pipeline {
    let (device, kernel) = (&gpu.device, key.kernel);
    let label = format!("resnet3d.{}", kernel.name_in(key.dtype));
    let desc = wgpu::ShaderModuleDescriptor { label: Some(&label), source: wgpu::ShaderSource::Wgsl(source.into()) };
    let module = match key.checks {
        ShaderChecks::Checked => device.create_shader_module(desc),
        ShaderChecks::Unchecked => unchecked_module(device, desc),
    };
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let last = kernel.bindings().len() - 1;
    let operand = |(index, memory): (usize, &OperandMemory)| match (memory, index == last) {
        (OperandMemory::Buffer, written) => buffer(wgpu::BufferBindingType::Storage { read_only: !written }),
        (OperandMemory::Texture, written) => wgpu::BindingType::StorageTexture {
            access: match written {
                true => wgpu::StorageTextureAccess::WriteOnly,
                false => wgpu::StorageTextureAccess::ReadOnly,
            },
            format: texel_format(kernel.formats()[index].of(key.dtype)),
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    };
    let operands = kernel.bindings().iter().enumerate().map(operand);
    let bindings = [buffer(wgpu::BufferBindingType::Uniform)].into_iter().chain(operands);
    let entries: Vec<_> = (0..)
        .zip(bindings)
        .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
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
        compilation_options: wgpu::PipelineCompilationOptions {
            // Shaders write workgroup memory before they read it. This is trusted, as their indices are.
            zero_initialize_workgroup_memory: key.checks == ShaderChecks::Checked
                && gpu.target().compiler != Compiler::Fxc,
            ..Default::default()
        },
        cache,
    });
    Pipeline { pipeline, layout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_is_that_of_all_calls() {
        let pipelines = Pipelines::default();
        let first = Batch::new(&pipelines.underway, 3);
        first.step();
        let second = Batch::new(&pipelines.underway, 2);
        second.step();
        second.step();
        assert_eq!(pipelines.compilation(), Some(Compilation { done: 3, total: 5 }));
        drop(second);
        assert_eq!(pipelines.compilation(), Some(Compilation { done: 1, total: 3 }));
        // Even if one did not compile.
        drop(first);
        assert_eq!(pipelines.compilation(), None);
    }
}
