//! Translates kernels to the SPIR-V that wgpu passes to drivers of Vulkan 1.3, and to the language of Metal.

use crate::shaders::Shader;
use crate::targets::{Language, Target};
use crate::vulkan::Resource;
use anyhow::{Result, anyhow};
use resnet3d_wgpu::ShaderChecks;
use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::kernels::{Kernel, OperandMemory};

const VULKAN_1_3: Target = Target { name: "vulkan1.3", extension: "spv", language: Language::Spirv(1, 6) };

const METAL_2_3: Target = Target { name: "metal2.3", extension: "metal", language: Language::Msl(2, 3) };

/// A translated kernel.
pub struct Translated {
    pub name: &'static str,
    pub spirv: Vec<u32>,
    pub resources: Vec<Resource>,
}

impl Translated {
    /// Translates a kernel without run-time checks, the default of the crate.
    ///
    /// # Errors
    /// The message of naga if it cannot translate the kernel.
    pub fn new(kernel: Kernel) -> Result<Self> {
        let bytes = translated(kernel, VULKAN_1_3)?;
        let (words, _) = bytes.as_chunks();
        let spirv = words.iter().copied().map(u32::from_le_bytes).collect();
        Ok(Self { name: kernel.name(), spirv, resources: resources(kernel) })
    }
}

/// Translates a kernel to the language of Metal, also without run-time checks.
///
/// # Errors
/// The message of naga if it cannot translate the kernel.
pub fn metal(kernel: Kernel) -> Result<Vec<u8>> {
    translated(kernel, METAL_2_3)
}

fn translated(kernel: Kernel, target: Target) -> Result<Vec<u8>> {
    let name = kernel.name();
    let subgroups = kernel.subgroup_size().is_some();
    let shader = Shader::new(name, String::new(), kernel.source(DType::F32), subgroups).map_err(|e| anyhow!(e))?;
    target.translate(&shader, ShaderChecks::Unchecked).map_err(|e| anyhow!("{name}: {e}"))
}

/// The parameters and the bindings after them.
fn resources(kernel: Kernel) -> Vec<Resource> {
    let operands = kernel.bindings().iter().map(|memory| match memory {
        OperandMemory::Texture => Resource::StorageTexture,
        OperandMemory::Buffer => Resource::StorageBuffer,
    });
    std::iter::once(Resource::Uniforms).chain(operands).collect()
}
