//! The subset of Vulkan that compiles a compute shader and queries the result. All `unsafe` code of the program is in
//! this file.

use anyhow::{Context, Result, anyhow, bail, ensure};
use ash::khr::pipeline_executable_properties;
use ash::{ext, vk};
use serde::Serialize;
use std::ffi::{CString, c_char};
use std::fmt;

/// A loaded Vulkan loader.
pub struct Instance {
    instance: ash::Instance,
    /// The library, which contains the functions that `instance` calls.
    _entry: ash::Entry,
}

/// A device that has not been opened.
pub struct Adapter {
    physical: vk::PhysicalDevice,
    /// The name from the driver.
    pub name: String,
    /// The driver.
    pub driver: vk::DriverId,
    /// Name and version of the driver, as it states them.
    pub driver_name: String,
    pub driver_info: String,
    /// Whether the device is the CPU.
    pub software: bool,
    /// Why the device cannot report statistics, if so.
    pub unusable: Option<String>,
}

/// The behaviour of accesses beyond the end of a buffer or texture.
#[derive(Clone, Copy, PartialEq)]
pub enum Robustness {
    /// They are harmless. wgpu asks for this on every device that supports it. Compilers may need instructions for it.
    Wgpu,
    /// They are undefined.
    None,
}

/// A binding of a shader.
#[derive(Clone, Copy)]
pub enum Resource {
    Uniforms,
    StorageBuffer,
    StorageTexture,
}

/// A device that compiles.
pub struct Device<'a> {
    device: ash::Device,
    executables: pipeline_executable_properties::Device,
    stage_flags: vk::PipelineShaderStageCreateFlags,
    /// The instance that created `device`.
    _instance: &'a Instance,
}

/// One of the programs that a driver compiles from a shader.
pub struct Executable {
    pub name: String,
    pub subgroup_size: u32,
    /// The statistics in the order and with the names of the driver.
    pub statistics: Vec<(String, Value)>,
    /// Empty unless requested.
    pub representations: Vec<Representation>,
}

/// The value of a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
}

/// A program in an internal representation of the driver: assembly, or an earlier stage.
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
    /// Loads the system's Vulkan loader and creates an instance.
    ///
    /// # Errors
    /// If there is no loader, or it fails.
    pub fn new() -> Result<Self> {
        // SAFETY: the system's Vulkan loader may be initialised like any library, and is kept as long as its functions
        // are used.
        let entry = unsafe { ash::Entry::load() }.context("no Vulkan loader")?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let desc = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `desc` points to objects that live until the end of this function.
        let instance = unsafe { entry.create_instance(&desc, None) }.context("the Vulkan loader")?;
        Ok(Self { instance, _entry: entry })
    }

    /// All devices.
    ///
    /// # Errors
    /// If they cannot be listed.
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
        // SAFETY: `physical` was listed by this instance, and with Vulkan 1.3 it knows the structures of 1.2.
        unsafe { self.instance.get_physical_device_properties2(physical, &mut properties) };
        adapter.driver = driver.driver_id;
        adapter.driver_name = text(&driver.driver_name);
        adapter.driver_info = text(&driver.driver_info);
        if !self.extensions(physical)?.contains(&pipeline_executable_properties::NAME.to_owned()) {
            let name = pipeline_executable_properties::NAME.to_string_lossy();
            adapter.unusable = Some(format!("its driver lacks {name}"));
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

    /// Opens a device of this instance as wgpu does, with statistics of pipelines.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&self, adapter: &Adapter, robustness: Robustness) -> Result<Device<'_>> {
        if let Some(reason) = &adapter.unusable {
            bail!("{reason}");
        }
        let mut names = vec![pipeline_executable_properties::NAME.as_ptr()];
        let has_robustness2 = self.extensions(adapter.physical)?.contains(&ext::robustness2::NAME.to_owned());
        if has_robustness2 {
            names.push(ext::robustness2::NAME.as_ptr());
        }

        // All features in these structures that the device has.
        let mut tells = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
        let mut v1_3 = vk::PhysicalDeviceVulkan13Features::default();
        let mut robustness2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
        let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut tells).push_next(&mut v1_3);
        if has_robustness2 {
            features = features.push_next(&mut robustness2);
        }
        // SAFETY: `adapter` was listed by this instance, and its device has the versions and extensions of the
        // structures in the chain.
        unsafe { self.instance.get_physical_device_features2(adapter.physical, &mut features) };
        let mut core = features.features;
        ensure!(tells.pipeline_executable_info == vk::TRUE, "its driver does not report statistics of pipelines");
        if robustness == Robustness::None {
            core.robust_buffer_access = vk::FALSE;
            v1_3.robust_image_access = vk::FALSE;
            robustness2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
        }
        // wgpu does not ask for it, and it may cost instructions.
        robustness2.null_descriptor = vk::FALSE;
        // wgpu asks for it if it offers subgroups. The driver then chooses a size for each shader.
        let stage_flags = match v1_3.subgroup_size_control {
            vk::TRUE => vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE,
            _ => vk::PipelineShaderStageCreateFlags::empty(),
        };

        // Removes the structures from their chain. They go to a new one.
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
        // SAFETY: the device has these extensions and features, and `desc` points to objects that live until the end of
        // this function. Every device has a first family of queues, with at least one queue.
        let device = unsafe { self.instance.create_device(adapter.physical, &desc, None) }.context("opening it")?;
        let executables = pipeline_executable_properties::Device::new(&self.instance, &device);
        Ok(Device { device, executables, stage_flags, _instance: self })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: devices borrow the instance, so none is left, and nothing else holds the instance.
        unsafe { self.instance.destroy_instance(None) };
    }
}

impl Device<'_> {
    /// Compiles a shader, and returns the programs of the driver.
    ///
    /// # Errors
    /// If the driver does not compile it, or does not report the result.
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
            .context("the list of compiled programs")?;
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

    /// `executable` must belong to a pipeline of this device.
    fn statistics(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Vec<(String, Value)>> {
        // SAFETY: the executable was listed by its pipeline, which was compiled to capture statistics.
        let statistics =
            unsafe { self.executables.get_pipeline_executable_statistics(executable) }.context("statistics")?;
        let values = statistics.iter().map(|statistic| {
            let format = statistic.format;
            // SAFETY: every value is read in the format that the driver states, and all bit patterns are valid in each
            // format.
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

    /// `executable` must belong to a pipeline of this device.
    fn representations(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Vec<Representation>> {
        // The first call gets the lengths, the second the texts.
        // SAFETY: the executable was listed by its pipeline, which was compiled to capture representations.
        let mut listed = unsafe { self.executables.get_pipeline_executable_internal_representations(executable) }
            .context("internal representations")?;
        let mut texts: Vec<Vec<u8>> = listed.iter().map(|listed| vec![0; listed.data_size]).collect();
        for (listed, text) in listed.iter_mut().zip(&mut texts) {
            listed.p_data = text.as_mut_ptr().cast();
        }
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = u32::try_from(listed.len())?;
        // SAFETY: as above; there are `count` structures, each of which points to as many bytes as it states.
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

/// A pipeline and the objects that it was created from. Objects that were not created are null.
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
        let mut partial = Self {
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
                Resource::StorageTexture => vk::DescriptorType::STORAGE_IMAGE,
            };
            let desc = vk::DescriptorSetLayoutBinding::default().binding(binding).descriptor_type(kind);
            desc.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
        });
        let bindings: Vec<_> = bindings.collect();
        let desc = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device is alive, and `desc` points to objects that outlive the call. The same holds for the calls
        // below.
        partial.bindings =
            unsafe { device.create_descriptor_set_layout(&desc, None) }.context("the layout of bindings")?;
        let sets = [partial.bindings];
        let desc = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: as above; the layout of bindings was just made.
        partial.layout = unsafe { device.create_pipeline_layout(&desc, None) }.context("the pipeline's layout")?;
        let desc = vk::ShaderModuleCreateInfo::default().code(spirv);
        // SAFETY: as above; naga has validated the module and written it as SPIR-V for Vulkan 1.3.
        partial.module = unsafe { device.create_shader_module(&desc, None) }.context("the shader module")?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(stage_flags)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(partial.module)
            .name(&entry_point);
        let mut capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if representations {
            capture |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        let desc = [vk::ComputePipelineCreateInfo::default().flags(capture).layout(partial.layout).stage(stage)];
        // SAFETY: as above; the layout has the bindings of the stage, and the device has the feature of the flags.
        let made = unsafe { device.create_compute_pipelines(vk::PipelineCache::null(), &desc, None) };
        partial.pipeline = match made {
            Ok(pipelines) => pipelines.first().copied(),
            Err((_, reason)) => return Err(anyhow!(reason).context("the driver does not compile it")),
        }
        .context("the driver made no pipeline")?;
        Ok(partial)
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        // SAFETY: the objects belong to this device, nothing else holds them, and nothing was submitted; null may be
        // destroyed.
        unsafe {
            self.device.destroy_pipeline(self.pipeline, None);
            self.device.destroy_shader_module(self.module, None);
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.bindings, None);
        }
    }
}

/// The text up to the first zero, if there is one.
fn text(characters: &[c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
