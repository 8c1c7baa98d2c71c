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

/// A device to run on, shared by whatever is made from it. Cloning is cheap and shares the device and its pipelines. It
/// is `Send` and `Sync`.
#[derive(Clone, Debug)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Compiled once for all backbones.
    pub(super) pipelines: Arc<Pipelines>,
    /// Shared, so that cloning a context copies no text.
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
    /// The order of preference: discrete, integrated, other, CPU; Vulkan, Metal, DX12 before GL.
    ///
    /// This blocks while drivers list their adapters and one makes a device: for some tenths of a second, for seconds
    /// where a driver wakes a card up. No limit is set to that.
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

    /// A device on `summary`'s adapter, with all the limits that it has there and those features that this crate can
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
        // Without a handler wgpu panics. Errors on this crate's own calls are caught by error scopes before they come
        // here.
        let adapter = name.clone();
        device.on_uncaptured_error(Arc::new(move |error| log::error!("{adapter}: {error}")));
        let loss = LossReason::listen(&device);
        Ok(Self { loss, compiler: summary.compiler, ..Self::from_wgpu(&summary.adapter, device, queue) })
    }

    /// What to ask `adapter` for where the caller opens the device, see [`GpuContext::from_wgpu`]: those of its
    /// features that this crate can use, and all its limits. More of either does no harm.
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        descriptor(adapter.features(), adapter.limits())
    }

    /// Runs on a device that the caller has opened, and shares it: [`GpuContext::device_descriptor`] has what to open
    /// it with.
    ///
    /// Timings need [`wgpu::Features::TIMESTAMP_QUERY`] on it, some kernels [`wgpu::Features::SUBGROUP`], and a cache
    /// of pipelines [`wgpu::Features::PIPELINE_CACHE`]; everything runs without. Limits are taken from the device. Its
    /// handlers for uncaptured errors and for its loss stay the caller's. On Direct3D 12 a device without subgroups
    /// gets the kernels that FXC compiles soonest, since nothing but the lack of them shows that it is FXC that
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

    /// The same device with `directory` for what makes a later start faster: what the driver has compiled, where the
    /// backend can tell (Vulkan), and what [tuning](crate::low_level::tuning) has found. The directory is made when
    /// there is something to write. Nothing depends on what is in it: a file that is damaged, of another driver or
    /// version, or writable by others is not used, and one that cannot be written is logged. Clones made before do not
    /// share it.
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

    /// Driver and version, as far as the backend tells.
    pub fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info).trim().to_owned()
    }

    /// The class that kernels are chosen for.
    pub fn class(&self) -> AdapterClass {
        self.class
    }

    /// What kernels are chosen for: the class, the subgroup size where the device has subgroups of one size, and what
    /// is known of such devices.
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

    /// How far the kernels are that are being compiled now, for whatever is prepared on this device; `None` while none
    /// is. For a display beside the thread that prepares: compiling takes from milliseconds to minutes.
    pub fn compilation(&self) -> Option<Compilation> {
        self.pipelines.compilation()
    }

    /// What the device allows a plan.
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

    /// What is known about the adapter.
    pub(crate) fn adapter_info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The directory for caches, if there is one.
    pub(crate) fn cache(&self) -> Option<&CacheDirectory> {
        self.cache.as_deref()
    }
}

/// A device with those of `features` that this crate can use.
fn descriptor(features: wgpu::Features, limits: wgpu::Limits) -> wgpu::DeviceDescriptor<'static> {
    wgpu::DeviceDescriptor {
        label: Some("resnet3d"),
        required_features: features & USED_FEATURES,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    }
}
