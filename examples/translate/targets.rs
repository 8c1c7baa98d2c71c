//! Translates WGSL as wgpu does for a driver: to SPIR-V, HLSL, MSL or GLSL, by naga, with the options of the backends
//! of wgpu 30.

use crate::shaders::Shader;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::{AddressSpace, ShaderStage, StorageAccess, TypeInner};
use resnet3d_wgpu::ShaderChecks;
use resnet3d_wgpu::low_level::kernels::ENTRY_POINT;

/// A version of a language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Language {
    Spirv(u8, u8),
    Hlsl(hlsl::ShaderModel),
    Msl(u8, u8),
    Glsl(glsl::Version),
}

/// A version of a language with the name that compilers use for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Name of the version, for example `vulkan1.3`.
    pub name: &'static str,
    /// Extension of files in the language.
    pub extension: &'static str,
    pub language: Language,
}

/// The minimum version of each language with which the backends of wgpu run this crate, and Vulkan 1.3, whose SPIR-V
/// differs.
///
/// DXC compiles HLSL from shader model 6.0 on; without DXC, FXC of Windows compiles it for 5.1. The text is the same,
/// except that FXC is not asked to fill workgroup memory with zeros.
pub const TARGETS: [Target; 8] = [
    Target { name: "vulkan1.0", extension: "spv", language: Language::Spirv(1, 0) },
    Target { name: "vulkan1.1", extension: "spv", language: Language::Spirv(1, 3) },
    Target { name: "vulkan1.3", extension: "spv", language: Language::Spirv(1, 6) },
    Target { name: "cs_5_1", extension: "hlsl", language: Language::Hlsl(hlsl::ShaderModel::V5_1) },
    Target { name: "cs_6_0", extension: "hlsl", language: Language::Hlsl(hlsl::ShaderModel::V6_0) },
    Target { name: "metal2.3", extension: "metal", language: Language::Msl(2, 3) },
    Target { name: "es310", extension: "comp", language: Language::Glsl(glsl::Version::new_gles(310)) },
    Target { name: "gl430", extension: "comp", language: Language::Glsl(glsl::Version::Desktop(430)) },
];

/// Both ways to compile a shader, with their names in file names.
pub const CHECKS: [(&str, ShaderChecks); 2] =
    [("checked", ShaderChecks::Checked), ("unchecked", ShaderChecks::Unchecked)];

impl Target {
    /// The file for the translation of `shader`: `LANGUAGE/KERNEL.CHECKS.VERSION.EXTENSION`.
    pub fn file(&self, shader: &Shader, checks: &str) -> String {
        let language = match self.language {
            Language::Spirv(..) => "spv",
            Language::Hlsl(_) => "hlsl",
            Language::Msl(..) => "msl",
            Language::Glsl(_) => "glsl",
        };
        format!("{language}/{}.{checks}.{}.{}", shader.name, self.name, self.extension)
    }

    /// The reason why `shader` is never compiled for this target, if there is one.
    pub fn excludes(&self, shader: &Shader) -> Option<&'static str> {
        if !shader.subgroups {
            return None;
        }
        match self.language {
            Language::Spirv(1, 0..=2) => Some("subgroups need Vulkan 1.1"),
            Language::Hlsl(hlsl::ShaderModel::V5_1) => Some("subgroups need shader model 6.0"),
            Language::Glsl(_) => Some("wgpu has no subgroups in OpenGL"),
            _ => None,
        }
    }

    /// Translates `shader` to a SPIR-V module or to text.
    ///
    /// # Errors
    /// The message of naga if it cannot translate the shader.
    pub fn translate(&self, shader: &Shader, checks: ShaderChecks) -> Result<Vec<u8>, String> {
        let entry_point = Some((ShaderStage::Compute, ENTRY_POINT));
        let (module, info) = process_overrides(&shader.module, &shader.info, entry_point, &Default::default())
            .map_err(|e| e.to_string())?;
        let translation = Translation { module: &module, info: &info, checked: checks == ShaderChecks::Checked };
        match self.language {
            Language::Spirv(major, minor) => translation.spirv((major, minor)),
            Language::Hlsl(model) => translation.hlsl(model).map(String::into_bytes),
            Language::Msl(major, minor) => translation.msl((major, minor)).map(String::into_bytes),
            Language::Glsl(version) => translation.glsl(version).map(String::into_bytes),
        }
    }
}

struct Translation<'a> {
    module: &'a naga::Module,
    info: &'a naga::valid::ModuleInfo,
    /// Whether to add all of wgpu's run-time checks and fill workgroup memory with zeros.
    checked: bool,
}

impl Translation<'_> {
    fn policies(&self) -> BoundsCheckPolicies {
        let policy = if self.checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        }
    }

    fn spirv(&self, lang_version: (u8, u8)) -> Result<Vec<u8>, String> {
        let options = spv::Options {
            lang_version,
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            bounds_check_policies: self.policies(),
            zero_initialize_workgroup_memory: match (self.checked, lang_version) {
                (false, _) => spv::ZeroInitializeWorkgroupMemoryMode::None,
                // Vulkan 1.3 supports it.
                (true, (1, 6..)) => spv::ZeroInitializeWorkgroupMemoryMode::Native,
                (true, _) => spv::ZeroInitializeWorkgroupMemoryMode::Polyfill,
            },
            force_loop_bounding: self.checked,
            emit_int_div_checks: self.checked,
            ..Default::default()
        };
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: ENTRY_POINT.to_owned() };
        let words = spv::write_vec(self.module, self.info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
        Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
    }

    fn hlsl(&self, shader_model: hlsl::ShaderModel) -> Result<String, String> {
        let options = hlsl::Options {
            shader_model,
            zero_initialize_workgroup_memory: self.checked && shader_model != hlsl::ShaderModel::V5_1,
            restrict_indexing: self.checked,
            force_loop_bounding: self.checked,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, ENTRY_POINT.to_owned())) };
        let mut text = String::new();
        let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(self.module, self.info, None);
        match &written.map_err(|e| e.to_string())?.entry_point_names[..] {
            [Ok(name)] if name == ENTRY_POINT => Ok(text),
            other => Err(format!("entry points {other:?} instead of {ENTRY_POINT}")),
        }
    }

    fn msl(&self, lang_version: (u8, u8)) -> Result<String, String> {
        let options = msl::Options {
            lang_version,
            per_entry_point_map: [(ENTRY_POINT.to_owned(), self.metal_slots())].into(),
            fake_missing_bindings: false,
            bounds_check_policies: self.policies(),
            zero_initialize_workgroup_memory: self.checked,
            force_loop_bounding: self.checked,
            emit_int_div_checks: self.checked,
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, ENTRY_POINT.to_owned())),
            ..Default::default()
        };
        let (text, written) =
            msl::write_string(self.module, self.info, &options, &pipeline).map_err(|e| e.to_string())?;
        written.entry_point_names.into_iter().try_for_each(|name| name.map(drop)).map_err(|e| e.to_string())?;
        Ok(text)
    }

    /// Slots of buffers and textures in the order of bindings, and an additional buffer for the lengths of arrays.
    fn metal_slots(&self) -> msl::EntryPointResources {
        let mut bindings: Vec<_> = self
            .module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| Some((variable.binding?, variable)))
            .collect();
        bindings.sort_by_key(|&(binding, _)| binding);
        let (mut buffers, mut textures) = (0, 0);
        let next = |slot: &mut u8| {
            *slot += 1;
            Some(*slot - 1)
        };
        let resources = bindings.into_iter().map(|(binding, variable)| {
            let mut target = msl::BindTarget::default();
            match (&self.module.types[variable.ty].inner, variable.space) {
                (TypeInner::Image { .. }, _) => target.texture = next(&mut textures),
                (_, AddressSpace::Storage { access }) => {
                    target.buffer = next(&mut buffers);
                    target.mutable = access.contains(StorageAccess::STORE);
                }
                _ => target.buffer = next(&mut buffers),
            }
            (binding, target)
        });
        let resources = resources.collect();
        msl::EntryPointResources { resources, immediates_buffer: None, sizes_buffer: Some(buffers) }
    }

    fn glsl(&self, version: glsl::Version) -> Result<String, String> {
        let options = glsl::Options { version, zero_initialize_workgroup_memory: self.checked, ..Default::default() };
        let pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: ENTRY_POINT.to_owned(),
            multiview: None,
        };
        // Only image accesses on the desktop are checked, whatever the caller asks for.
        let policies = BoundsCheckPolicies {
            image_load: match version {
                glsl::Version::Desktop(_) => BoundsCheckPolicy::ReadZeroSkipWrite,
                glsl::Version::Embedded { .. } => BoundsCheckPolicy::Unchecked,
            },
            ..Default::default()
        };
        let mut text = String::new();
        glsl::Writer::new(&mut text, self.module, self.info, &options, &pipeline, policies)
            .and_then(|mut writer| writer.write())
            .map_err(|e| e.to_string())?;
        Ok(text)
    }
}
