//! Compiles the kernels with the compilers of the installed Vulkan drivers, and prints their statistics. See the README
//! next to `Cargo.toml`.

#![deny(unsafe_code)]

mod report;
#[allow(dead_code)] // the example translates to more languages
#[path = "../../../examples/translate/shaders.rs"]
mod shaders;
#[allow(dead_code)]
#[path = "../../../examples/translate/targets.rs"]
mod targets;
mod translation;
#[allow(unsafe_code)]
mod vulkan;

use anyhow::{Context, Result, bail};
use clap::Parser;
use report::{Report, Row};
use resnet3d_wgpu::low_level::kernels::{ENTRY_POINT, Kernel, OperandMemory};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use translation::Translated;
use vulkan::{Adapter, Device, Executable, Instance, Robustness};

/// Show statistics of the compilers of GPU drivers for resnet3d's kernels: registers, spills, instructions. Nothing is
/// run.
///
/// Every Vulkan device except the CPU compiles the kernels, and its statistics are printed as a Markdown table. The
/// exit code is 0 if every kernel was compiled, 1 if something failed, 3 if there is no device that reports statistics.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only these kernels. The default is all kernels that GPUs use, which are those that need no fixed subgroup size.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    kernels: Vec<String>,

    /// Print all statistics of the drivers under the names of the drivers, as JSON.
    #[arg(long)]
    json: bool,

    /// Write the internal representations of the compilers, including assembly, to this directory.
    #[arg(long, value_name = "DIR")]
    assembly: Option<PathBuf>,

    /// Compile nothing. Write the kernels in the language of Metal to this directory (KERNEL.metal), and print the
    /// names of the files, for `nvidia.py`. Kernels that read textures are left out.
    #[arg(long, value_name = "DIR")]
    metal: Option<PathBuf>,

    /// Open devices without robust access to buffers and textures, which wgpu asks for.
    #[arg(long)]
    no_robustness: bool,
}

/// The exit code if no device reports statistics.
const NOTHING_THERE: u8 = 3;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let kernels = chosen(&arguments.kernels, arguments.metal.is_none())?;
    if let Some(directory) = &arguments.metal {
        return write_metal(&kernels, directory);
    }
    let kernels = kernels.into_iter().map(Translated::new).collect::<Result<Vec<_>>>()?;
    let robustness = if arguments.no_robustness { Robustness::None } else { Robustness::Wgpu };
    let instance = Instance::new()?;
    let (mut reports, mut complete) = (Vec::new(), true);
    for adapter in instance.adapters()?.iter().filter(|adapter| !adapter.software) {
        if let Some(reason) = &adapter.unusable {
            eprintln!("skipped: {}: {reason}", adapter.name);
            continue;
        }
        let report = instance
            .open(adapter, robustness)
            .and_then(|device| inspect(adapter, &device, robustness, &kernels, arguments.assembly.as_deref()));
        match report.with_context(|| adapter.name.clone()) {
            Ok(report) => {
                complete &= report.is_complete();
                reports.push(report);
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                complete = false;
            }
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else {
        let tables: Vec<String> = reports.iter().map(Report::markdown).collect();
        print!("{}", tables.join("\n"));
    }
    Ok(match (complete, reports.is_empty()) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => {
            eprintln!("no GPU driver reports statistics of compiled kernels");
            ExitCode::from(NOTHING_THERE)
        }
        (true, false) => ExitCode::SUCCESS,
    })
}

/// The kernels with these names; without names, all that GPUs use. Kernels that read textures are only included with
/// `textures`.
fn chosen(names: &[String], textures: bool) -> Result<Vec<Kernel>> {
    let find = |name: &String| {
        let known = Kernel::all().find(|kernel| kernel.name() == name);
        let names = || Kernel::all().map(Kernel::name).collect::<Vec<_>>().join(", ");
        known.with_context(|| format!("'{name}' is not a kernel; the kernels are {}", names()))
    };
    let named = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    let mut kernels = if names.is_empty() { Kernel::all().collect() } else { named };
    kernels.retain(|kernel| {
        let reason = match kernel.subgroup_size() {
            Some(size) => Some(format!("needs subgroups of {size}, and GPUs do not use it")),
            None if textures || !kernel.bindings().contains(&OperandMemory::Texture) => None,
            None => Some("reads textures, and GPUs do not use it".to_owned()),
        };
        if let (Some(reason), false) = (&reason, names.is_empty()) {
            eprintln!("skipped: {} {reason}", kernel.name());
        }
        reason.is_none()
    });
    if kernels.is_empty() {
        bail!("no kernel is left");
    }
    Ok(kernels)
}

/// Writes `DIRECTORY/KERNEL.metal` for all kernels.
fn write_metal(kernels: &[Kernel], directory: &Path) -> Result<ExitCode> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for kernel in kernels {
        let path = directory.join(format!("{}.metal", kernel.name()));
        std::fs::write(&path, translation::metal(*kernel)?).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles all kernels with the driver of one device.
fn inspect(
    adapter: &Adapter,
    device: &Device<'_>,
    robustness: Robustness,
    kernels: &[Translated],
    assembly: Option<&Path>,
) -> Result<Report> {
    let mut rows = Vec::new();
    for kernel in kernels {
        match device.compile(&kernel.spirv, ENTRY_POINT, &kernel.resources, assembly.is_some()) {
            Ok(executables) => {
                rows.extend(executables.iter().map(|executable| Row::new(kernel.name, executable)));
                if let Some(directory) = assembly {
                    write(&directory.join(file_name(&adapter.name)), kernel.name, &executables)?;
                }
            }
            Err(error) => {
                eprintln!("error: {}: {}: {error:#}", adapter.name, kernel.name);
                rows.push(Row::failed(kernel.name, &error));
            }
        }
    }
    Ok(Report::new(adapter, robustness == Robustness::Wgpu, rows))
}

/// Writes all representations to `DIRECTORY/KERNEL.INDEX.REPRESENTATION.txt`.
fn write(directory: &Path, kernel: &str, executables: &[Executable]) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for (index, executable) in executables.iter().enumerate() {
        for representation in &executable.representations {
            let path = directory.join(format!("{kernel}.{index}.{}.txt", file_name(&representation.name)));
            std::fs::write(&path, &representation.text).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// A text of a driver as a part of a file name.
fn file_name(words: &str) -> String {
    words.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "_")
}
