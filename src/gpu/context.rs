//! Adapters, and a device on one of them.

use super::pipelines::Pipelines;
use crate::cache::CacheDirectory;
use crate::error::{Error, Result};
use crate::kernels::{AdapterClass, Images, Target};
use crate::plan::PlanLimits;
use std::path::PathBuf;
use std::sync::Arc;

/// The graphics interfaces that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Vulkan.
    Vulkan,
    /// Metal.
    Metal,
    /// Direct3D 12.
    Dx12,
    /// OpenGL or OpenGL ES with compute shaders: the last resort.
    Gl,
}

impl Backend {
    /// All backends, the preferred first.
    pub const ALL: [Self; 4] = [Self::Vulkan, Self::Metal, Self::Dx12, Self::Gl];

    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
            Self::Gl => "gl",
        }
    }

    fn wgpu(self) -> wgpu::Backend {
        match self {
            Self::Vulkan => wgpu::Backend::Vulkan,
            Self::Metal => wgpu::Backend::Metal,
            Self::Dx12 => wgpu::Backend::Dx12,
            Self::Gl => wgpu::Backend::Gl,
        }
    }

    fn of(backend: wgpu::Backend) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.wgpu() == backend)
    }
}

/// Which adapter to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextOptions {
    /// Part of the adapter's name, in any case.
    pub adapter: Option<String>,
    /// Its backend.
    pub backend: Option<Backend>,
    /// A directory for what makes a later start faster; see [`GpuContext::cached_in`]. Without one, the default, no file is
    /// read or written.
    pub cache: Option<PathBuf>,
}

impl ContextOptions {
    fn accepts(&self, info: &wgpu::AdapterInfo) -> bool {
        let named = |part: &String| info.name.to_lowercase().contains(&part.to_lowercase());
        self.adapter.as_ref().is_none_or(named) && self.backend.is_none_or(|b| b.wgpu() == info.backend)
    }

    fn open(&self, summary: &AdapterSummary) -> Result<GpuContext> {
        let gpu = GpuContext::open(summary)?;
        Ok(match &self.cache {
            Some(directory) => gpu.cached_in(directory),
            None => gpu,
        })
    }

    fn describe(&self) -> String {
        match (&self.adapter, self.backend) {
            (None, None) => "with compute shaders".to_owned(),
            (Some(name), None) => format!("whose name contains {name:?}"),
            (None, Some(backend)) => format!("on {}", backend.name()),
            (Some(name), Some(backend)) => format!("on {} whose name contains {name:?}", backend.name()),
        }
    }
}

/// What there is to know about an adapter before using it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Name, type, backend and driver.
    pub info: wgpu::AdapterInfo,
    /// Features of the adapter.
    pub features: wgpu::Features,
    /// Limits of the adapter.
    pub limits: wgpu::Limits,
    /// The class kernels would be chosen for.
    pub class: AdapterClass,
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
    /// The handle.
    pub adapter: wgpu::Adapter,
}

impl AdapterSummary {
    fn new(adapter: wgpu::Adapter) -> Self {
        let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
        let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
        let unusable = if !compute {
            Some("it has no compute shaders".to_owned())
        } else if limits.max_storage_buffers_per_shader_stage < 5 {
            let n = limits.max_storage_buffers_per_shader_stage;
            Some(format!("a shader may bind {n} storage buffers, the kernels bind 5"))
        } else if limits.max_compute_invocations_per_workgroup < 64 {
            let n = limits.max_compute_invocations_per_workgroup;
            Some(format!("a workgroup may have {n} invocations, the kernels have 64"))
        } else {
            None
        };
        Self { class: class(&info, features), info, features, limits, unusable, adapter }
    }

    /// Discrete, integrated, other, CPU; then Vulkan, Metal, DX12 before GL.
    fn rank(&self) -> (u8, usize) {
        let device = match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
            wgpu::DeviceType::Cpu => 3,
        };
        let backend = Backend::ALL.into_iter().position(|b| b.wgpu() == self.info.backend);
        (device, backend.unwrap_or(Backend::ALL.len()))
    }

    /// Name of the backend.
    pub fn backend(&self) -> &'static str {
        backend_name(self.info.backend)
    }
}

/// The features that this crate uses where an adapter has them.
const USED_FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SUBGROUP).union(wgpu::Features::PIPELINE_CACHE);

fn backend_name(backend: wgpu::Backend) -> &'static str {
    Backend::of(backend).map_or("other", Backend::name)
}

fn class(info: &wgpu::AdapterInfo, features: wgpu::Features) -> AdapterClass {
    if info.device_type == wgpu::DeviceType::Cpu {
        AdapterClass::Software
    } else if features.contains(wgpu::Features::SUBGROUP) && info.subgroup_min_size == info.subgroup_max_size {
        AdapterClass::GpuSubgroups
    } else {
        AdapterClass::Gpu
    }
}

/// What images are to a device. llvmpipe, also as lavapipe, loads from a buffer one lane after the other, and from an image
/// all lanes together (measured on Mesa 22.3 and 26.1, `docs/performance.md`).
fn images(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Images {
    let format = adapter.get_texture_format_features(wgpu::TextureFormat::Rgba32Float);
    let readable = format.flags.contains(wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY);
    if !readable || device.limits().max_storage_textures_per_shader_stage == 0 {
        Images::Unavailable
    } else if adapter.get_info().name.contains("llvmpipe") {
        Images::Quicker
    } else {
        Images::Available
    }
}

/// All adapters of the machine, in the order of preference; those that cannot be used say why.
pub fn list_adapters() -> Vec<AdapterSummary> {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = Backend::ALL.iter().fold(wgpu::Backends::empty(), |all, b| all | b.wgpu().into());
    desc.backends &= backends;
    let instance = wgpu::Instance::new(desc);
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    let mut summaries: Vec<AdapterSummary> = adapters.into_iter().map(AdapterSummary::new).collect();
    summaries.sort_by_key(AdapterSummary::rank);
    summaries
}

/// The adapter among `all`, which are in the order of preference, that [`GpuContext::new`] opens under `options`.
///
/// # Errors
/// [`Error::NoAdapter`], which lists the adapters there are.
pub fn preferred_adapter<'a>(all: &'a [AdapterSummary], options: &ContextOptions) -> Result<&'a AdapterSummary> {
    let mut usable = all.iter().filter(|a| a.unusable.is_none());
    usable.find(|a| options.accepts(&a.info)).ok_or_else(|| no_adapter(options, all))
}

/// A device to run on, shared by whatever is made from it. Cloning is cheap and shares the device and its pipelines.
#[derive(Clone, Debug)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Compiled once for all backbones.
    pub(super) pipelines: Arc<Pipelines>,
    /// Shared, so that cloning a context copies no text.
    info: Arc<wgpu::AdapterInfo>,
    class: AdapterClass,
    images: Images,
    cache: Option<CacheDirectory>,
}

impl GpuContext {
    /// Opens the preferred adapter among those that `options` accepts.
    ///
    /// The order of preference: discrete, integrated, other, CPU; Vulkan, Metal, DX12 before GL.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], which lists the adapters there are; [`Error::Device`] if the adapter gives no device.
    pub fn new(options: ContextOptions) -> Result<Self> {
        options.open(preferred_adapter(&list_adapters(), &options)?)
    }

    /// Opens every usable adapter that `options` accepts, in the order of preference.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none; [`Error::Device`] if one gives no device.
    pub fn all(options: &ContextOptions) -> Result<Vec<Self>> {
        let all = list_adapters();
        let accepted = all.iter().filter(|a| a.unusable.is_none() && options.accepts(&a.info));
        let contexts = accepted.map(|summary| options.open(summary)).collect::<Result<Vec<_>>>()?;
        if contexts.is_empty() {
            return Err(no_adapter(options, &all));
        }
        Ok(contexts)
    }

    /// A device on `summary`'s adapter, with all its limits and the features that this crate can use.
    ///
    /// # Errors
    /// [`Error::Device`] if the adapter gives no device.
    pub fn open(summary: &AdapterSummary) -> Result<Self> {
        let name = &summary.info.name;
        let request = summary.adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("resnet3d"),
            required_features: summary.features & USED_FEATURES,
            required_limits: summary.limits.clone(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        });
        let (device, queue) =
            pollster::block_on(request).map_err(|e| Error::Device { adapter: name.clone(), reason: e.to_string() })?;
        // Without a handler wgpu panics. Errors on this crate's own calls are caught by error scopes before they come here.
        let adapter = name.clone();
        device.on_uncaptured_error(Arc::new(move |error| log::error!("{adapter}: {error}")));
        Ok(Self::from_wgpu(&summary.adapter, device, queue))
    }

    /// Runs on a device that the caller has opened, and shares it.
    ///
    /// Timings need [`wgpu::Features::TIMESTAMP_QUERY`] on it, some kernels [`wgpu::Features::SUBGROUP`], and a cache of
    /// pipelines [`wgpu::Features::PIPELINE_CACHE`]; everything runs without. Limits are taken from the device.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let info = adapter.get_info();
        Self {
            class: class(&info, device.features()),
            images: images(adapter, &device),
            info: Arc::new(info),
            device,
            queue,
            pipelines: Arc::default(),
            cache: None,
        }
    }

    /// The same device with `directory` for what makes a later start faster: what the driver has compiled, where the
    /// backend can tell (Vulkan), and what [tuning](crate::tuning) has found. The directory is made when there is something to write. Nothing depends on what is in
    /// it: a file that is damaged, of another driver or version, or writable by others is not used, and one that cannot be
    /// written is logged. Clones made before do not share it.
    #[must_use]
    pub fn cached_in(self, directory: impl Into<PathBuf>) -> Self {
        let directory = CacheDirectory::new(directory.into());
        let pipelines = Pipelines::cached_in(directory.clone(), &self.device, &self.info);
        Self { pipelines: Arc::new(pipelines), cache: Some(directory), ..self }
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

    /// What kernels are chosen for: the class, and the subgroup size where the device has subgroups of one size.
    pub fn target(&self) -> Target {
        let one_size = self.info.subgroup_min_size == self.info.subgroup_max_size;
        let subgroups = self.device.features().contains(wgpu::Features::SUBGROUP) && one_size;
        Target {
            class: self.class,
            subgroup_size: subgroups.then_some(self.info.subgroup_min_size),
            images: self.images,
        }
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
        self.cache.as_ref()
    }

    /// An [`Error::Device`] about this adapter.
    pub(super) fn fault(&self, reason: impl std::fmt::Display) -> Error {
        Error::Device { adapter: self.info.name.clone(), reason: reason.to_string() }
    }

    /// Runs `work` and turns what wgpu reports meanwhile (validation, memory, internal errors) into an [`Error`].
    pub(super) fn scoped<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let filters = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
        let [internal, memory, validation] = filters.map(|filter| self.device.push_error_scope(filter));
        let result = work();
        // Scopes are popped in reverse; a device error explains a failed result better than the result itself.
        let errors = [validation, memory, internal].map(|scope| pollster::block_on(scope.pop()));
        match errors.into_iter().flatten().next() {
            Some(error) => Err(self.fault(error)),
            None => result,
        }
    }
}

fn no_adapter(options: &ContextOptions, all: &[AdapterSummary]) -> Error {
    let line = |a: &AdapterSummary| match &a.unusable {
        Some(reason) => format!("{} on {} (unusable: {reason})", a.info.name, a.backend()),
        None => format!("{} on {}", a.info.name, a.backend()),
    };
    Error::NoAdapter {
        wanted: options.describe(),
        found: if all.is_empty() { "none".to_owned() } else { all.iter().map(line).collect::<Vec<_>>().join("; ") },
    }
}
