//! Every shader of the crate: those of the kernels, and the two microbenchmarks of adapters.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use resnet3d_wgpu::low_level::gpu::Ceilings;
use resnet3d_wgpu::low_level::kernels::Kernel;

/// A complete shader, parsed and validated.
pub struct Shader {
    /// Name of the kernel.
    pub name: String,
    /// The file, below `shaders/`.
    pub file: String,
    /// The complete WGSL.
    pub source: String,
    /// Whether the shader needs subgroups.
    pub subgroups: bool,
    /// The parsed module.
    pub module: naga::Module,
    /// The result of naga's validation.
    pub info: ModuleInfo,
}

impl Shader {
    /// Parses and validates a shader.
    ///
    /// # Errors
    /// The message of naga if `source` is invalid.
    pub fn new(name: &str, file: String, source: String, subgroups: bool) -> Result<Self, String> {
        let module =
            naga::front::wgsl::parse_str(&source).map_err(|e| format!("{name}: {}", e.emit_to_string(&source)))?;
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info = validator.validate(&module).map_err(|e| format!("{name}: {}", e.emit_to_string(&source)))?;
        Ok(Self { name: name.to_owned(), file, source, subgroups, module, info })
    }
}

/// All shaders.
///
/// # Errors
/// The message of naga if a shader is invalid.
pub fn all() -> Result<Vec<Shader>, String> {
    let kernels = Kernel::forms().map(|(kernel, dtype)| {
        let file = format!("{}.wgsl", kernel.shader());
        Shader::new(&kernel.name_in(dtype), file, kernel.source(dtype), kernel.subgroup_size().is_some())
    });
    let ceilings = Ceilings::shaders().into_iter().map(|(name, source)| {
        let file = format!("ceilings/{name}.wgsl");
        Shader::new(name, file, source, false)
    });
    kernels.chain(ceilings).collect()
}
