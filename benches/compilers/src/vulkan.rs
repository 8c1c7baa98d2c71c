//! Vulkan, as far as it takes to compile a compute shader and ask what became of it. All `unsafe` code of the program
//! is here.

use anyhow::{Context, Result, anyhow, bail, ensure};
use ash::khr::pipeline_executable_properties;
use ash::{ext, vk};
use serde::Serialize;
use std::ffi::{CString, c_char};
use std::fmt;

/// A loaded loader of drivers.
pub struct Instance {
    instance: ash::Instance,
    /// The library: what `instance` calls is in there.
    _entry: ash::Entry,
}

/// A device that has not been opened.
pub struct Adapter {
    physical: vk::PhysicalDevice,
    /// As the driver calls it.
    pub name: String,
    /// Which driver.
    pub driver: vk::DriverId,
    /// What it calls itself, and which version it is, in its own words.
    pub driver_name: String,
    pub driver_info: String,
    /// Whether it is the CPU.
    pub software: bool,
    /// Why nothing can be learnt from it, if so.
    pub unusable: Option<String>,
}

/// What accesses beyond the end of a buffer or image are to do.
#[derive(Clone, Copy, PartialEq)]
pub enum Robustness {
    /// What wgpu asks every device for, if it can: they do no harm. Compilers may need instructions for it.
    Wgpu,
    /// Anything.
    None,
}

/// What a shader binds, in the order of bindings.
#[derive(Clone, Copy)]
pub enum Resource {
    Uniforms,
    StorageBuffer,
    StorageImage,
}

/// A device that compiles.
pub struct Device<'a> {
    device: ash::Device,
    executables: pipeline_executable_properties::Device,
    stage_flags: vk::PipelineShaderStageCreateFlags,
    /// What `device` was made by.
    _instance: &'a Instance,
}

/// One of the programs that a driver makes of a shader.
pub struct Executable {
    pub name: String,
    pub subgroup_size: u32,
    /// In the driver's order and by its names.
    pub statistics: Vec<(String, Value)>,
    /// Empty unless asked for.
    pub representations: Vec<Representation>,
}

/// Of a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
}

/// A program in one of the driver's languages: assembly, or a step before that.
pub struct Representation {
    pub name: String,
    pub text: Vec<u8>,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:.1}"),
        }
    }
}

impl Instance {
    /// # Errors
    /// Why there is none.
    pub fn new() -> Result<Self> {
        // SAFETY: the system's loader of Vulkan drivers may be initialised like any library, and is held as long as
        // anything of it is used.
        let entry = unsafe { ash::Entry::load() }.context("no loader of Vulkan drivers")?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let desc = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `desc` points to what lives until the end of this function.
        let instance = unsafe { entry.create_instance(&desc, None) }.context("the loader of Vulkan drivers")?;
        Ok(Self { instance, _entry: entry })
    }

    /// All devices there are.
    ///
    /// # Errors
    /// Why they cannot be listed.
    pub fn adapters(&self) -> Result<Vec<Adapter>> {
        // SAFETY: the instance is alive.
        let physical = unsafe { self.instance.enumerate_physical_devices() }.context("the list of devices")?;
        physical.into_iter().map(|physical| self.adapter(physical)).collect()
    }

    fn adapter(&self, physical: vk::PhysicalDevice) -> Result<Adapter> {
        // SAFETY: `physical` was listed by this instance.
        let basic = unsafe { self.instance.get_physical_device_properties(physical) };
        let mut adapter = Adapter {
            physical,
            name: text(&basic.device_name),
            driver: vk::DriverId::default(),
            driver_name: String::new(),
            driver_info: String::new(),
            software: basic.device_type == vk::PhysicalDeviceType::CPU,
            unusable: None,
        };
        if basic.api_version < vk::API_VERSION_1_3 {
            adapter.unusable = Some("it has no Vulkan 1.3".to_owned());
            return Ok(adapter);
        }
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: `physical` was listed by this instance, and structures of Vulkan 1.2 are known to what has 1.3.
        unsafe { self.instance.get_physical_device_properties2(physical, &mut properties) };
        adapter.driver = driver.driver_id;
        adapter.driver_name = text(&driver.driver_name);
        adapter.driver_info = text(&driver.driver_info);
        if !self.extensions(physical)?.contains(&pipeline_executable_properties::NAME.to_owned()) {
            let name = pipeline_executable_properties::NAME.to_string_lossy();
            adapter.unusable = Some(format!("its driver does not tell: it lacks {name}"));
        }
        Ok(adapter)
    }

    fn extensions(&self, physical: vk::PhysicalDevice) -> Result<Vec<CString>> {
        // SAFETY: `physical` was listed by this instance.
        let listed = unsafe { self.instance.enumerate_device_extension_properties(physical) }
            .context("the list of a device's extensions")?;
        let names = listed.iter().filter_map(|extension| extension.extension_name_as_c_str().ok());
        Ok(names.map(|name| name.to_owned()).collect())
    }

    /// Opens a device of this instance as wgpu would, and to tell about pipelines.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(&self, adapter: &Adapter, robustness: Robustness) -> Result<Device<'_>> {
        if let Some(reason) = &adapter.unusable {
            bail!("{reason}");
        }
        let mut names = vec![pipeline_executable_properties::NAME.as_ptr()];
        let has_robustness2 = self.extensions(adapter.physical)?.contains(&ext::robustness2::NAME.to_owned());
        if has_robustness2 {
            names.push(ext::robustness2::NAME.as_ptr());
        }

        // All that the device has, of these.
        let mut tells = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
        let mut v1_3 = vk::PhysicalDeviceVulkan13Features::default();
        let mut robustness2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
        let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut tells).push_next(&mut v1_3);
        if has_robustness2 {
            features = features.push_next(&mut robustness2);
        }
        // SAFETY: `adapter` was listed by this instance, and it has what the structures in the chain belong to.
        unsafe { self.instance.get_physical_device_features2(adapter.physical, &mut features) };
        let mut core = features.features;
        ensure!(tells.pipeline_executable_info == vk::TRUE, "its driver does not tell about pipelines");
        if robustness == Robustness::None {
            core.robust_buffer_access = vk::FALSE;
            v1_3.robust_image_access = vk::FALSE;
            robustness2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
        }
        // wgpu does not ask for it, and compilers may have to take care of it.
        robustness2.null_descriptor = vk::FALSE;
        // wgpu asks for it where it offers subgroups: the driver then chooses a size for each shader.
        let stage_flags = match v1_3.subgroup_size_control {
            vk::TRUE => vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE,
            _ => vk::PipelineShaderStageCreateFlags::empty(),
        };

        // Out of their chain; the new one is of the same.
        tells.p_next = std::ptr::null_mut();
        v1_3.p_next = std::ptr::null_mut();
        robustness2.p_next = std::ptr::null_mut();
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let mut desc = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&names)
            .enabled_features(&core)
            .push_next(&mut tells)
            .push_next(&mut v1_3);
        if has_robustness2 {
            desc = desc.push_next(&mut robustness2);
        }
        // SAFETY: the device has these extensions and features, and `desc` points to what lives until the end of this
        // function. Every device has a first family of queues, with one queue at least.
        let device = unsafe { self.instance.create_device(adapter.physical, &desc, None) }.context("opening it")?;
        let executables = pipeline_executable_properties::Device::new(&self.instance, &device);
        Ok(Device { device, executables, stage_flags, _instance: self })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: devices borrow the instance, so there are none any more, and nobody else has it.
        unsafe { self.instance.destroy_instance(None) };
    }
}

impl Device<'_> {
    /// What the driver makes of a shader.
    ///
    /// # Errors
    /// Why it does not compile it, or does not tell.
    pub fn compile(
        &self,
        spirv: &[u32],
        entry_point: &str,
        resources: &[Resource],
        representations: bool,
    ) -> Result<Vec<Executable>> {
        let pipeline = Pipeline::new(self, spirv, entry_point, resources, representations)?;
        let info = vk::PipelineInfoKHR::default().pipeline(pipeline.pipeline);
        // SAFETY: the pipeline is of this device, which was opened with the feature.
        let properties = unsafe { self.executables.get_pipeline_executable_properties(&info) }
            .context("the list of what was compiled")?;
        let executables = properties.iter().zip(0..).map(|(properties, index)| {
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline.pipeline).executable_index(index);
            Ok(Executable {
                name: text(&properties.name),
                subgroup_size: properties.subgroup_size,
                statistics: self.statistics(&info)?,
                representations: if representations { self.representations(&info)? } else { Vec::new() },
            })
        });
        executables.collect()
    }

    /// `executable` has to be of a pipeline of this device.
    fn statistics(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Vec<(String, Value)>> {
        // SAFETY: the executable was listed by its pipeline, which was compiled to capture statistics.
        let statistics =
            unsafe { self.executables.get_pipeline_executable_statistics(executable) }.context("statistics")?;
        let values = statistics.iter().map(|statistic| {
            let format = statistic.format;
            // SAFETY: every format is read as what it says; all bits mean something in each of them.
            let value = unsafe {
                match format {
                    vk::PipelineExecutableStatisticFormatKHR::BOOL32 => Value::Bool(statistic.value.b32 != vk::FALSE),
                    vk::PipelineExecutableStatisticFormatKHR::INT64 => Value::Int(statistic.value.i64),
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => Value::Uint(statistic.value.u64),
                    vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => Value::Float(statistic.value.f64),
                    _ => bail!("a statistic of an unknown format, {format:?}"),
                }
            };
            Ok((text(&statistic.name), value))
        });
        values.collect()
    }

    /// `executable` has to be of a pipeline of this device.
    fn representations(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Vec<Representation>> {
        // Twice: the lengths, then the texts.
        // SAFETY: the executable was listed by its pipeline, which was compiled to capture representations.
        let mut listed = unsafe { self.executables.get_pipeline_executable_internal_representations(executable) }
            .context("internal representations")?;
        let mut texts: Vec<Vec<u8>> = listed.iter().map(|listed| vec![0; listed.data_size]).collect();
        for (listed, text) in listed.iter_mut().zip(&mut texts) {
            listed.p_data = text.as_mut_ptr().cast();
        }
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = u32::try_from(listed.len())?;
        // SAFETY: as above; there are `count` structures, each of which points to as many bytes as it says.
        unsafe { get(self.device.handle(), executable, &mut count, listed.as_mut_ptr()) }
            .result()
            .context("internal representations")?;
        let representations = listed.iter().zip(texts).map(|(listed, mut bytes)| {
            // Texts end with a zero.
            if listed.is_text == vk::TRUE && bytes.last() == Some(&0) {
                bytes.pop();
            }
            Representation { name: text(&listed.name), text: bytes }
        });
        Ok(representations.collect())
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        // SAFETY: pipelines live no longer than `compile` runs, and nothing was submitted.
        unsafe { self.device.destroy_device(None) };
    }
}

/// A pipeline and what it was made of; null where that was not made.
struct Pipeline<'a> {
    device: &'a ash::Device,
    bindings: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    module: vk::ShaderModule,
    pipeline: vk::Pipeline,
}

impl<'a> Pipeline<'a> {
    fn new(
        device: &'a Device<'_>,
        spirv: &[u32],
        entry_point: &str,
        resources: &[Resource],
        representations: bool,
    ) -> Result<Self> {
        let entry_point = CString::new(entry_point)?;
        let stage_flags = device.stage_flags;
        let device = &device.device;
        let mut own = Self {
            device,
            bindings: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            module: vk::ShaderModule::null(),
            pipeline: vk::Pipeline::null(),
        };
        let bindings = resources.iter().zip(0..).map(|(resource, binding)| {
            let kind = match resource {
                Resource::Uniforms => vk::DescriptorType::UNIFORM_BUFFER,
                Resource::StorageBuffer => vk::DescriptorType::STORAGE_BUFFER,
                Resource::StorageImage => vk::DescriptorType::STORAGE_IMAGE,
            };
            let desc = vk::DescriptorSetLayoutBinding::default().binding(binding).descriptor_type(kind);
            desc.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
        });
        let bindings: Vec<_> = bindings.collect();
        let desc = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device is alive, and `desc` points to what lives longer than the call; so in all calls below.
        own.bindings = unsafe { device.create_descriptor_set_layout(&desc, None) }.context("the layout of bindings")?;
        let sets = [own.bindings];
        let desc = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: as above; the layout of bindings was just made.
        own.layout = unsafe { device.create_pipeline_layout(&desc, None) }.context("the pipeline's layout")?;
        let desc = vk::ShaderModuleCreateInfo::default().code(spirv);
        // SAFETY: as above; naga has validated the module and written it as SPIR-V for Vulkan 1.3.
        own.module = unsafe { device.create_shader_module(&desc, None) }.context("the shader module")?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(stage_flags)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(own.module)
            .name(&entry_point);
        let mut capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if representations {
            capture |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        let desc = [vk::ComputePipelineCreateInfo::default().flags(capture).layout(own.layout).stage(stage)];
        // SAFETY: as above; what the stage binds is in the layout, and the device has the feature that flags belong to.
        let made = unsafe { device.create_compute_pipelines(vk::PipelineCache::null(), &desc, None) };
        own.pipeline = match made {
            Ok(pipelines) => pipelines.first().copied(),
            Err((_, reason)) => return Err(anyhow!(reason).context("the driver does not compile it")),
        }
        .context("the driver made no pipeline")?;
        Ok(own)
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        // SAFETY: they are of this device, nobody else has them and nothing was submitted; null may be destroyed.
        unsafe {
            self.device.destroy_pipeline(self.pipeline, None);
            self.device.destroy_shader_module(self.module, None);
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.bindings, None);
        }
    }
}

/// Up to the zero that ends it, if it has one.
fn text(characters: &[c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
