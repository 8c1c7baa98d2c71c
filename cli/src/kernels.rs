//! `resnet3d kernels`: the table of kernels, and the WGSL that drivers compile.

use crate::cli::Common;
use crate::outputs::Outputs;
use crate::text::{lines, table};
use anyhow::{Context as _, Result};
use clap::Args;
use resnet3d_wgpu::low_level::atomic_file::Contents;
use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::kernels::{Kernel, OperandMemory};
use serde::Serialize;
use std::path::PathBuf;

/// List the kernels, their shaders, and the device features that they need.
///
/// No GPU is needed. With --wgsl, writes the WGSL of every kernel as the driver compiles it: constants, shared code,
/// and the shader file with its marked loops unrolled.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Write the WGSL of every kernel to DIR/KERNEL.wgsl.
    #[arg(long, value_name = "DIR")]
    wgsl: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d kernels
  resnet3d kernels --json
  resnet3d kernels --wgsl target/wgsl";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    kernels: Vec<Row>,
}

/// One kernel.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    /// The shader file, below `shaders/`.
    shader: String,
    /// Invocations of a workgroup.
    invocations: u32,
    /// The required subgroup size; null if any will do.
    subgroup_size: Option<u32>,
    /// Whether the kernel reads or writes textures.
    textures: bool,
    /// The number of bindings after the parameters.
    bindings: usize,
}

impl Row {
    fn new(kernel: Kernel) -> Self {
        Self {
            name: kernel.name(),
            shader: format!("{}.wgsl", kernel.shader()),
            invocations: kernel.invocations(),
            subgroup_size: kernel.subgroup_size(),
            textures: kernel.bindings().contains(&OperandMemory::Texture),
            bindings: kernel.bindings().len(),
        }
    }
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        let path = |(kernel, dtype): (Kernel, DType)| {
            self.wgsl.as_ref().map(|directory| directory.join(format!("{}.wgsl", kernel.name_in(dtype))))
        };
        let paths: Vec<PathBuf> = Kernel::forms().filter_map(path).collect();
        let inputs: Vec<_> = common.config_file().into_iter().collect();
        let files = paths.iter().map(|path| ("--wgsl", Some(path.as_path())));
        let outputs = Outputs::in_new_directories(files, &inputs)?;
        if let Some(directory) = &self.wgsl {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
            let sources: Vec<Vec<u8>> =
                Kernel::forms().map(|(kernel, dtype)| kernel.source(dtype).into_bytes()).collect();
            outputs.write(&sources.iter().map(|source| source as &dyn Contents).collect::<Vec<_>>())?;
        }
        let kernels: Vec<Row> = Kernel::all().map(Row::new).collect();
        if common.json {
            return outputs.print_json(&Report { kernels });
        }
        let mut rows = table(&["kernel", "shader", ">invocations", "needs"]);
        for row in &kernels {
            let subgroups = row.subgroup_size.map(|size| format!("subgroups of {size}"));
            let textures = row.textures.then(|| "textures".to_owned());
            let needs: Vec<String> = subgroups.into_iter().chain(textures).collect();
            rows.add_row([row.name, &row.shader, &row.invocations.to_string(), &needs.join(", ")]);
        }
        outputs.print(&(lines(&rows).join("\n") + "\n"))
    }
}
