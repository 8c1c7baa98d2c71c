//! Adapters: those of the machine, the one that would be used, and why others cannot be used.

use super::{GpuContext, dx12};
use crate::error::{Error, ErrorRepr, Result};
use crate::kernels::{AdapterClass, Compiler, RegisterBudget, TextureSupport};
use crate::named::named;
use std::path::PathBuf;

/// The graphics APIs that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

// The preferred first.
named!(Backend, "backend": Vulkan => "vulkan", Metal => "metal", Dx12 => "dx12", Gl => "gl");

impl Backend {
    fn wgpu(self) -> wgpu::Backend {
        match self {
            Self::Vulkan => wgpu::Backend::Vulkan,
            Self::Metal => wgpu::Backend::Metal,
            Self::Dx12 => wgpu::Backend::Dx12,
            Self::Gl => wgpu::Backend::Gl,
        }
    }

    fn of(backend: wgpu::Backend) -> Option<Self> {
        Self::ALL.iter().copied().find(|b| b.wgpu() == backend)
    }
}

/// How much of an adapter a device may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceLimits {
    /// All its limits, and the features that this crate can use.
    #[default]
    Adapter,
    /// The default limits of WebGPU, which every implementation has (bindings of 128 MiB, buffers of 256 MiB, 8 storage
    /// buffers, 256 invocations and 16 KiB of memory for a workgroup, offsets aligned to 256 bytes, 65,535 workgroups
    /// along an axis), and no optional feature: no subgroups, timestamps or pipeline cache. Whatever the adapter is,
    /// everything runs as on the narrowest adapter.
    WebGpu,
}

named!(DeviceLimits, "limits": Adapter => "adapter", WebGpu => "webgpu");

/// Which adapter to use, and how much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ContextOptions {
    adapter: Option<String>,
    backend: Option<Backend>,
    limits: DeviceLimits,
    cache: Option<PathBuf>,
}

impl ContextOptions {
    /// An adapter with `part` in its name, in any case (default: any).
    pub fn adapter(self, part: impl Into<String>) -> Self {
        Self { adapter: Some(part.into()), ..self }
    }

    /// An adapter of that backend (default: any).
    pub fn backend(self, backend: impl Into<Option<Backend>>) -> Self {
        Self { backend: backend.into(), ..self }
    }

    /// How much of the adapter to use (default: [`DeviceLimits::Adapter`]).
    pub fn limits(self, limits: DeviceLimits) -> Self {
        Self { limits, ..self }
    }

    /// A directory for caches that make later starts faster, see [`GpuContext::cached_in`]. By default there is none,
    /// and no file is read or written.
    pub fn cache(self, directory: impl Into<PathBuf>) -> Self {
        Self { cache: Some(directory.into()), ..self }
    }

    /// Whether an adapter has the name and the backend that are asked for.
    pub fn accepts(&self, info: &wgpu::AdapterInfo) -> bool {
        let named = |part: &String| info.name.to_lowercase().contains(&part.to_lowercase());
        self.adapter.as_ref().is_none_or(named) && self.backend.is_none_or(|b| b.wgpu() == info.backend)
    }

    /// All adapters of the machine, as [`list_adapters_async`], restricted to the limits that are asked for. If a
    /// backend is asked for, the variable `WGPU_BACKEND` is ignored.
    pub async fn adapters_async(&self) -> Vec<AdapterSummary> {
        find(&self.allowed()).await.into_iter().map(|summary| summary.limited_to(self.limits)).collect()
    }

    /// A device on the adapter of `summary`, as [`GpuContext::open_async`], with the directory for caches.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the adapter gives no device.
    pub async fn open_async(&self, summary: &AdapterSummary) -> Result<GpuContext> {
        let gpu = GpuContext::open_async(summary).await?;
        Ok(match &self.cache {
            Some(directory) => gpu.cached_in(directory),
            None => gpu,
        })
    }

    /// The backends to search. If one is asked for, the environment hides none.
    fn allowed(&self) -> Allowed {
        if self.backend.is_some() { Allowed::all() } else { Allowed::by_variable() }
    }

    fn describe(&self) -> String {
        let described = match (&self.adapter, self.backend) {
            (None, None) => "with compute shaders".to_owned(),
            (Some(name), None) => format!("whose name contains {name:?}"),
            (None, Some(backend)) => format!("on {}", backend.name()),
            (Some(name), Some(backend)) => format!("on {} whose name contains {name:?}", backend.name()),
        };
        match self.allowed().variable {
            Some(value) => format!("{described} among those that {BACKEND_VARIABLE}={value} allows"),
            None => described,
        }
    }
}

/// A description of an adapter, before a device is opened on it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Name, type, backend and driver.
    pub info: wgpu::AdapterInfo,
    /// The adapter's features that may be used.
    pub features: wgpu::Features,
    /// The adapter's limits, as far as they may be used.
    pub limits: wgpu::Limits,
    /// The class that kernels would be chosen for.
    pub class: AdapterClass,
    /// The compiler of its shaders.
    pub compiler: Compiler,
    /// The reason why it cannot be used, if there is one.
    pub unusable: Option<String>,
    /// The handle.
    pub adapter: wgpu::Adapter,
}

impl AdapterSummary {
    /// The summary of an adapter that was found by an instance with `compiler` for Direct3D 12.
    fn new(adapter: wgpu::Adapter, compiler: &wgpu::Dx12Compiler) -> Self {
        let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
        let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
        let unusable = if compute { too_narrow(&limits) } else { Some("it has no compute shaders".to_owned()) };
        let compiler = dx12::compiler_on(info.backend, compiler);
        Self { class: class(&info), compiler, info, features, limits, unusable, adapter }
    }

    /// The same adapter restricted to `limits`. [`GpuContext::open`] asks for no more either.
    #[must_use]
    pub fn limited_to(self, limits: DeviceLimits) -> Self {
        match limits {
            DeviceLimits::Adapter => self,
            DeviceLimits::WebGpu => {
                let features = wgpu::Features::empty();
                let limits = wgpu::Limits::defaults().or_worse_values_from(&self.limits);
                Self { features, limits, ..self }
            }
        }
    }

    /// Discrete, integrated, other, CPU; then Vulkan, Metal, DX12 before GL.
    fn rank(&self) -> (u8, usize) {
        let device = match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
            wgpu::DeviceType::Cpu => 3,
        };
        let backend = Backend::ALL.iter().position(|b| b.wgpu() == self.info.backend);
        (device, backend.unwrap_or(Backend::ALL.len()))
    }

    /// Name of the backend.
    pub fn backend(&self) -> &'static str {
        backend_name(self.info.backend)
    }
}

/// The most storage buffers that a kernel binds.
const STORAGE_BUFFERS: u32 = 5;
/// The most invocations of a workgroup, all along x. The sliced kernels and the fused Winograd kernels need more; they
/// are left out on adapters that have fewer.
const INVOCATIONS: u32 = 128;
/// The most bytes of workgroup memory of a kernel.
const WORKGROUP_BYTES: u32 = 16 << 10;
/// Bytes of a kernel's uniform parameters, with room to spare.
const UNIFORM_BYTES: u64 = 1 << 10;

/// The first limit that is too low for the kernels, if there is one.
fn too_narrow(limits: &wgpu::Limits) -> Option<String> {
    let needs = [
        ("storage buffers of a shader", limits.max_storage_buffers_per_shader_stage.into(), STORAGE_BUFFERS.into()),
        ("bindings of a group", limits.max_bindings_per_bind_group.into(), u64::from(STORAGE_BUFFERS) + 1),
        ("invocations of a workgroup", limits.max_compute_invocations_per_workgroup.into(), INVOCATIONS.into()),
        ("invocations of a workgroup along x", limits.max_compute_workgroup_size_x.into(), INVOCATIONS.into()),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size.into(), WORKGROUP_BYTES.into()),
        ("bytes of a uniform binding", limits.max_uniform_buffer_binding_size, UNIFORM_BYTES),
    ];
    let lacking = needs.into_iter().find(|(_, has, needed)| has < needed);
    lacking.map(|(what, has, needed)| format!("the kernels need {needed} {what}, it has {has}"))
}

/// The features that this crate uses where an adapter has them.
pub(super) const USED_FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SUBGROUP).union(wgpu::Features::PIPELINE_CACHE);

pub(super) fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::BrowserWebGpu => "webgpu",
        other => Backend::of(other).map_or("other", Backend::name),
    }
}

pub(super) fn class(info: &wgpu::AdapterInfo) -> AdapterClass {
    if info.device_type == wgpu::DeviceType::Cpu { AdapterClass::Software } else { AdapterClass::Gpu }
}

/// The texture support of a device. llvmpipe, and lavapipe on top of it, load from a buffer one lane after the other,
/// and from a texture with all lanes at once (measured on Mesa 22.3 and 26.1, `docs/experiments.md`).
pub(super) fn textures(adapter: &wgpu::Adapter, device: &wgpu::Device) -> TextureSupport {
    let format = adapter.get_texture_format_features(wgpu::TextureFormat::Rgba32Float);
    let needed =
        wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY | wgpu::TextureFormatFeatureFlags::STORAGE_WRITE_ONLY;
    if !format.flags.contains(needed) || device.limits().max_storage_textures_per_shader_stage < 2 {
        TextureSupport::Unavailable
    } else if adapter.get_info().name.contains("llvmpipe") {
        TextureSupport::Faster
    } else {
        TextureSupport::Available
    }
}

/// Vendors whose GPUs have many registers, by their PCI numbers.
const AMD: u32 = 0x1002;
const NVIDIA: u32 = 0x10de;

/// The register budget of an adapter's invocations (`docs/performance.md` shows the code that drivers' compilers
/// generate). Among AMD's GPUs, only GCN and CDNA have no subgroups of fewer than 64 lanes. Unknown vendors get the
/// budget that fits all.
pub(super) fn registers(info: &wgpu::AdapterInfo) -> RegisterBudget {
    match info.vendor {
        NVIDIA => RegisterBudget::Many,
        AMD if info.subgroup_min_size < 64 => RegisterBudget::Many,
        _ => RegisterBudget::Few,
    }
}

/// The most invocations of a workgroup that kernels may have.
pub(super) fn max_invocations(limits: &wgpu::Limits) -> u32 {
    limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x)
}

/// wgpu's environment variable for the backends that may be used, such as `vulkan` or `vk,gl`.
const BACKEND_VARIABLE: &str = "WGPU_BACKEND";

/// The backends that are searched.
#[derive(Debug, PartialEq, Eq)]
struct Allowed {
    backends: wgpu::Backends,
    /// The value of the variable, if it hides any backend.
    variable: Option<String>,
}

impl Allowed {
    /// All backends that this program was built for.
    fn all() -> Self {
        let native = Backend::ALL.iter().map(|backend| wgpu::Backends::from(backend.wgpu()));
        let all: wgpu::Backends = native.chain([wgpu::Backends::BROWSER_WEBGPU]).collect();
        Self { backends: all & wgpu::Instance::enabled_backend_features(), variable: None }
    }

    /// The backends that the variable `WGPU_BACKEND` names.
    fn by_variable() -> Self {
        std::env::var(BACKEND_VARIABLE).map_or_else(|_| Self::all(), |value| Self::named(&value))
    }

    /// The backends that `value` names, or all if it names none that this crate knows. (wgpu would allow none then.)
    fn named(value: &str) -> Self {
        let named = value.split(',').filter_map(|name| match name.trim().to_lowercase().as_str() {
            "vulkan" | "vk" => Some(Backend::Vulkan),
            "metal" | "mtl" => Some(Backend::Metal),
            "dx12" | "d3d12" => Some(Backend::Dx12),
            "opengl" | "gles" | "gl" => Some(Backend::Gl),
            _ => None,
        });
        let named: wgpu::Backends = named.map(|backend| wgpu::Backends::from(backend.wgpu())).collect();
        let all = Self::all();
        if named.is_empty() || named.contains(all.backends) {
            return all;
        }
        Self { backends: all.backends & named, variable: Some(value.to_owned()) }
    }
}

/// All adapters of the machine, in the order of preference. Those that cannot be used say why. The variable
/// `WGPU_BACKEND` hides the backends that it does not name; if it names none that this crate knows, it hides none.
///
/// A browser shows one adapter at most.
pub async fn list_adapters_async() -> Vec<AdapterSummary> {
    find(&Allowed::by_variable()).await
}

async fn find(allowed: &Allowed) -> Vec<AdapterSummary> {
    let backends = allowed.backends;
    let compiler = dx12::compiler();
    let mut summaries = enumerate(backends, &compiler).await;
    // If DXC cannot be loaded, or the driver lacks shader model 6, there is no adapter on Direct3D 12 with DXC.
    if let wgpu::Dx12Compiler::DynamicDxc { dxc_path } = compiler
        && backends.contains(wgpu::Backends::DX12)
        && !summaries.iter().any(|summary| summary.info.backend == wgpu::Backend::Dx12)
    {
        let by_fxc = enumerate(wgpu::Backends::DX12, &wgpu::Dx12Compiler::Fxc).await;
        if !by_fxc.is_empty() {
            log::warn!("no adapter of Direct3D 12 takes {dxc_path}: FXC compiles the shaders");
        }
        summaries.extend(by_fxc);
    }
    summaries.sort_by_key(AdapterSummary::rank);
    summaries
}

/// The adapters of `backends`, with `compiler` for Direct3D 12.
async fn enumerate(backends: wgpu::Backends, compiler: &wgpu::Dx12Compiler) -> Vec<AdapterSummary> {
    // wgpu's other variables apply. Its variable for backends is parsed here, since wgpu would print warnings about it.
    let mut desc = wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::default().with_env(),
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds::default(),
        backend_options: wgpu::BackendOptions::from_env_or_default(),
        display: None,
    };
    desc.backend_options.dx12.shader_compiler = compiler.clone();
    let adapters = wgpu::Instance::new(desc).enumerate_adapters(backends).await;
    adapters.into_iter().map(|adapter| AdapterSummary::new(adapter, compiler)).collect()
}

/// The adapter that [`GpuContext::new`] opens with `options`, among `all` in the order of preference.
/// [`ContextOptions::limits`] are not applied here, but with [`AdapterSummary::limited_to`].
///
/// # Errors
/// [`ErrorKind::NoAdapter`](crate::ErrorKind::NoAdapter), which lists the adapters there are.
pub fn preferred_adapter<'a>(all: &'a [AdapterSummary], options: &ContextOptions) -> Result<&'a AdapterSummary> {
    let mut usable = all.iter().filter(|a| a.unusable.is_none());
    usable.find(|a| options.accepts(&a.info)).ok_or_else(|| no_adapter(options, all))
}

pub(super) fn no_adapter(options: &ContextOptions, all: &[AdapterSummary]) -> Error {
    let line = |a: &AdapterSummary| match &a.unusable {
        Some(reason) => format!("{} on {} (unusable: {reason})", a.info.name, a.backend()),
        None => format!("{} on {}", a.info.name, a.backend()),
    };
    ErrorRepr::NoAdapter {
        wanted: options.describe(),
        found: if all.is_empty() { "none".to_owned() } else { all.iter().map(line).collect::<Vec<_>>().join("; ") },
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    #[test]
    fn the_register_budget_is_large_only_for_known_gpus() {
        let of = |vendor, subgroup_min_size| {
            let blank = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
            registers(&wgpu::AdapterInfo { vendor, subgroup_min_size, ..blank })
        };
        assert_eq!(of(NVIDIA, 32), RegisterBudget::Many);
        assert_eq!((of(AMD, 32), of(AMD, 64)), (RegisterBudget::Many, RegisterBudget::Few), "RDNA, GCN");
        assert_eq!(
            (of(0x8086, 8), of(0x106b, 32), of(0, 4)),
            (RegisterBudget::Few, RegisterBudget::Few, RegisterBudget::Few)
        );
    }

    #[test]
    fn the_variable_hides_backends_only_where_it_names_one() {
        let all = Allowed::all();
        for nothing in ["", " ", ",", "cuda", "vulcan", "webgpu", "noop", "all"] {
            assert_eq!(Allowed::named(nothing), all, "{nothing:?}");
        }
        for everything in ["vulkan,metal,dx12,gl", "VK, mtl ,D3D12,OpenGL,cuda"] {
            assert_eq!(Allowed::named(everything), all, "{everything:?}");
        }
        let metal = Allowed::named("Metal");
        assert_eq!(metal.backends, all.backends & wgpu::Backends::METAL);
        for one in ["gl", "cuda, gles"] {
            let gl = Allowed::named(one);
            assert_eq!(gl.backends, all.backends & wgpu::Backends::GL, "{one:?}");
            assert_eq!(gl.variable.as_deref(), (all.backends != gl.backends).then_some(one));
        }
    }

    #[test]
    fn adapters_too_narrow_say_why() {
        let webgpu = wgpu::Limits::defaults();
        assert_eq!(too_narrow(&webgpu), None, "the default limits of WebGPU are enough");
        // The least that OpenGL ES 3.1 has.
        let reason = too_narrow(&wgpu::Limits::downlevel_defaults()).unwrap();
        assert_eq!(reason, "the kernels need 5 storage buffers of a shader, it has 4");
        let small = wgpu::Limits { max_compute_workgroup_storage_size: 4096, ..webgpu.clone() };
        assert!(too_narrow(&small).unwrap().ends_with("16384 bytes of workgroup memory, it has 4096"));
        let thin = wgpu::Limits { max_compute_invocations_per_workgroup: 32, ..webgpu };
        assert!(too_narrow(&thin).unwrap().ends_with("128 invocations of a workgroup, it has 32"));
    }

    /// The requirements on an adapter are exactly those of the kernels.
    #[test]
    fn the_needs_are_those_of_the_kernels() {
        let (mut buffers, mut invocations, mut bytes, mut uniform) = (0, 0, 0, 0);
        for (kernel, dtype) in Kernel::forms() {
            let module = naga::front::wgsl::parse_str(&kernel.source(dtype)).unwrap();
            let [x, y, z] = module.entry_points[0].workgroup_size;
            assert_eq!([y, z], [1, 1], "{}: workgroups are along x", kernel.name());
            assert_eq!(kernel.invocations(), x, "{}", kernel.name());
            if !["sliced", "fused"].iter().any(|spared| kernel.name().contains(spared)) {
                invocations = x.max(invocations);
            }
            let workgroup = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            bytes = bytes.max(workgroup.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum());
            buffers = buffers.max(kernel.bindings().len() as u32);
            uniform = uniform.max(kernel.params_layout().last().map_or(0, |(_, size)| *size as u64));
        }
        let needed = (STORAGE_BUFFERS, INVOCATIONS, WORKGROUP_BYTES);
        assert_eq!((buffers, invocations, bytes), needed, "the constants of this file are to be those of the kernels");
        assert!(uniform <= UNIFORM_BYTES, "{uniform}");
    }
}
