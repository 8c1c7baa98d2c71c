//! Every shader of the crate: those of the closed set of kernels, and the two that measure an adapter.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use resnet3d_wgpu::low_level::gpu::Ceilings;
use resnet3d_wgpu::low_level::kernels::Kernel;

/// A shader with all its choices made, parsed and valid.
pub struct Shader {
    /// Its kernel's name.
    pub name: String,
    /// Its file, below `shaders/`.
    pub file: String,
    /// The whole text.
    pub source: String,
    /// Whether it needs subgroups.
    pub subgroups: bool,
    /// What naga reads in it.
    pub module: naga::Module,
    /// What naga knows of that.
    pub info: ModuleInfo,
}

impl Shader {
    /// # Errors
    /// What is wrong with `source`.
    pub fn new(name: &str, file: String, source: String, subgroups: bool) -> Result<Self, String> {
        let module =
            naga::front::wgsl::parse_str(&source).map_err(|e| format!("{name}: {}", e.emit_to_string(&source)))?;
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info = validator.validate(&module).map_err(|e| format!("{name}: {}", e.emit_to_string(&source)))?;
        Ok(Self { name: name.to_owned(), file, source, subgroups, module, info })
    }
}

/// All of them.
///
/// # Errors
/// What is wrong with one.
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
