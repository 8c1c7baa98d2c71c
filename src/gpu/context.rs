//! A device on an adapter.

use super::adapters::{
    AdapterSummary, ContextOptions, USED_FEATURES, backend_name, class, max_invocations, no_adapter, preferred_adapter,
    registers, textures,
};
use super::dx12;
use super::faults::{LossReason, guarded};
use super::pipelines::{Compilation, Pipelines};
use crate::cache::CacheDirectory;
use crate::error::{Error, ErrorRepr, Result};
use crate::kernels::{AdapterClass, Compiler, Target, TextureSupport};
use crate::plan::PlanLimits;
use std::path::PathBuf;
use std::sync::Arc;

/// A device to run on. A clone is cheap and shares the device and its pipelines. It is `Send` and `Sync`.
#[derive(Clone, Debug)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Compiled once for all backbones.
    pub(super) pipelines: Arc<Pipelines>,
    /// In an `Arc`, so that cloning a context copies no text.
    info: Arc<wgpu::AdapterInfo>,
    class: AdapterClass,
    textures: TextureSupport,
    compiler: Compiler,
    cache: Option<Arc<CacheDirectory>>,
    pub(super) loss: LossReason,
}

impl GpuContext {
    /// Opens the preferred adapter among those that `options` accepts.
    ///
    /// The order of preference is discrete, integrated, other, CPU, and Vulkan, Metal, DX12 before GL.
    ///
    /// This blocks while drivers list their adapters and one opens a device: for some tenths of a second, or for
    /// seconds if a driver wakes a card up. There is no time limit.
    ///
    /// # Errors
    /// [`ErrorKind::NoAdapter`](crate::ErrorKind::NoAdapter), which lists the adapters there are;
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the adapter gives no device.
    pub async fn new_async(options: ContextOptions) -> Result<Self> {
        options.open_async(preferred_adapter(&options.adapters_async().await, &options)?).await
    }

    /// Opens every usable adapter that `options` accepts, in the order of preference.
    ///
    /// # Errors
    /// [`ErrorKind::NoAdapter`](crate::ErrorKind::NoAdapter) if there is none;
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if one gives no device.
    pub async fn all_async(options: &ContextOptions) -> Result<Vec<Self>> {
        let all = options.adapters_async().await;
        let mut contexts = Vec::new();
        for summary in all.iter().filter(|a| a.unusable.is_none() && options.accepts(&a.info)) {
            contexts.push(options.open_async(summary).await?);
        }
        if contexts.is_empty() {
            return Err(no_adapter(options, &all));
        }
        Ok(contexts)
    }

    /// A device on the adapter of `summary`, with all limits in `summary`, and with its features that this crate can
    /// use.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the adapter gives no device.
    pub async fn open_async(summary: &AdapterSummary) -> Result<Self> {
        let name = &summary.info.name;
        let desc = descriptor(summary.features, summary.limits.clone());
        let failed = |reason| Error::from(ErrorRepr::Device { adapter: name.clone(), reason });
        let opening = guarded(|| summary.adapter.request_device(&desc)).map_err(failed)?;
        let (device, queue) = opening.await.map_err(|error| failed(error.to_string()))?;
        // Without a handler wgpu panics. Errors of this crate's calls are caught by error scopes and do not come here.
        let adapter = name.clone();
        device.on_uncaptured_error(Arc::new(move |error| log::error!("{adapter}: {error}")));
        let loss = LossReason::listen(&device);
        Ok(Self { loss, compiler: summary.compiler, ..Self::from_wgpu(&summary.adapter, device, queue) })
    }

    /// The descriptor for callers that open the device themselves, see [`GpuContext::from_wgpu`]: the features of
    /// `adapter` that this crate can use, and all its limits. More of either does no harm.
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        descriptor(adapter.features(), adapter.limits())
    }

    /// A context on a device that the caller has opened and shares. [`GpuContext::device_descriptor`] describes how to
    /// open it.
    ///
    /// Timings need [`wgpu::Features::TIMESTAMP_QUERY`], some kernels [`wgpu::Features::SUBGROUP`], and a cache of
    /// pipelines [`wgpu::Features::PIPELINE_CACHE`]. Everything runs without them. Limits are taken from the device.
    /// The device keeps the caller's handlers for uncaptured errors and for its loss. On Direct3D 12 a device without
    /// subgroups gets the kernels that FXC compiles fastest, since the lack of subgroups is the only sign that FXC
    /// compiles.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let info = adapter.get_info();
        Self {
            class: class(&info),
            textures: textures(adapter, &device),
            compiler: dx12::compiler_of(info.backend, device.features()),
            info: Arc::new(info),
            device,
            queue,
            pipelines: Arc::default(),
            cache: None,
            loss: LossReason::default(),
        }
    }

    /// The same device with `directory` for caches that make later starts faster: the pipelines that the driver has
    /// compiled, if the backend can return them (Vulkan), and the results of [tuning](crate::low_level::tuning). The
    /// directory is created when there is something to write. No result depends on its contents: a file that is
    /// damaged, of another driver or version, or writable by others is not used, and a file that cannot be written is
    /// logged. Clones made earlier do not use the directory.
    #[must_use]
    pub fn cached_in(self, directory: impl Into<PathBuf>) -> Self {
        let directory = CacheDirectory::new(directory.into());
        let pipelines = Pipelines::cached_in(directory.clone(), &self.device, &self.info);
        Self { pipelines: Arc::new(pipelines), cache: Some(Arc::new(directory)), ..self }
    }

    /// Name of the adapter.
    pub fn adapter_name(&self) -> &str {
        &self.info.name
    }

    /// Name of its backend, for example `vulkan`.
    pub fn backend(&self) -> &'static str {
        backend_name(self.info.backend)
    }

    /// Driver and version, as far as the backend reports them.
    pub fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info).trim().to_owned()
    }

    /// The class that kernels are chosen for.
    pub fn class(&self) -> AdapterClass {
        self.class
    }

    /// The target that kernels are chosen for: the class, the subgroup size if the device has subgroups of one size,
    /// and the other capabilities.
    pub fn target(&self) -> Target {
        let one_size = self.info.subgroup_min_size == self.info.subgroup_max_size;
        let subgroups = self.device.features().contains(wgpu::Features::SUBGROUP) && one_size;
        Target {
            class: self.class,
            subgroup_size: subgroups.then_some(self.info.subgroup_min_size),
            textures: self.textures,
            registers: registers(&self.info),
            max_invocations: max_invocations(&self.device.limits()),
            compiler: self.compiler,
        }
    }

    /// The progress of the kernels that are being compiled on this device; `None` if none are. It is for a progress
    /// display on another thread: compiling takes from milliseconds to minutes.
    pub fn compilation(&self) -> Option<Compilation> {
        self.pipelines.compilation()
    }

    /// The limits of the device for plans.
    pub fn plan_limits(&self) -> PlanLimits {
        PlanLimits::from(&self.device.limits())
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// The adapter's description.
    pub(crate) fn adapter_info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The directory for caches, if there is one.
    pub(crate) fn cache(&self) -> Option<&CacheDirectory> {
        self.cache.as_deref()
    }
}

/// The descriptor of a device with the `features` that this crate can use.
fn descriptor(features: wgpu::Features, limits: wgpu::Limits) -> wgpu::DeviceDescriptor<'static> {
    wgpu::DeviceDescriptor {
        label: Some("resnet3d"),
        required_features: features & USED_FEATURES,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    }
}
