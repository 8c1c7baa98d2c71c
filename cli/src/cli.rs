//! The commands and their common options.

use crate::arguments::choice;
use crate::failure::Failure;
use crate::network::{Choice, config_file};
use crate::outputs::check_creatable;
use crate::{adapters, bench, classify, clip, convert, demo, kernels, plan, run, verify};
use anyhow::Result;
use clap::{ArgAction, Args, Parser, Subcommand};
use etcetera::BaseStrategy as _;
use log::LevelFilter;
use resnet3d_wgpu::low_level::kernels::Compiler;
use resnet3d_wgpu::{Backend, ContextOptions, DeviceLimits, GpuContext, Precision};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// 3D ResNet video backbones as compute shaders: a clip of frames in, features out, on any GPU.
///
/// The networks are the ResNet3D bodies of Facebook's Detect-and-Track. Results go to standard output, everything else
/// to standard error. Exit code 0 is success, 1 failure, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "resnet3d", version, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d demo                                 the whole pipeline on a rendered clip; needs no files
  resnet3d adapters                             the adapters of this machine
  resnet3d plan --clip 1x3x8x224x224            the network, operator by operator
  resnet3d run --weights r18.safetensors --input frames/ --output features.safetensors
  resnet3d classify video.mp4 --weights r3d_18.pth";

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Classify(classify::Arguments),
    Clip(clip::Arguments),
    Convert(convert::Arguments),
    Plan(plan::Arguments),
    Verify(verify::Arguments),
    Bench(bench::Arguments),
    Adapters(adapters::Arguments),
    Kernels(kernels::Arguments),
    Demo(demo::Arguments),
}

/// The options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Use the first adapter whose name contains this text; case does not matter.
    #[arg(long, global = true, value_name = "SUBSTRING")]
    pub adapter: Option<String>,

    /// Use only this graphics API.
    #[arg(long, global = true, value_parser = choice(Backend::ALL))]
    pub backend: Option<Backend>,

    /// How much of the adapter to use: `adapter` uses all its limits and features; `webgpu` uses WebGPU's default
    /// limits and no optional feature, as on the least capable device.
    #[arg(long, global = true, default_value = "adapter",
          value_parser = choice(DeviceLimits::ALL))]
    pub limits: DeviceLimits,

    /// Number format of weights and activations on the device.
    #[arg(long, global = true, default_value = "f32",
          value_parser = choice(Precision::ALL))]
    pub precision: Precision,

    /// The network: a preset such as r18-conv4 or r3d_18, a JSON file, or JSON that starts with '{'. It overrides the
    /// network that a weight file shows or names as `config` in its metadata. Keys of the reference that are not given
    /// have the values of r18-conv4.
    #[arg(long, global = true, value_name = "PRESET|FILE|JSON")]
    pub config: Option<OsString>,

    /// The directory for caches, which make later starts faster: what the driver compiled and what --tune found. The
    /// default is the variable RESNET3D_CACHE_DIR, or else `resnet3d` in the system's cache directory, on Linux
    /// ~/.cache.
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Neither read nor write caches.
    #[arg(long, global = true, conflicts_with = "cache_dir")]
    pub no_cache: bool,

    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// Print more on standard error; in `run`, also the unused tensors of the weight file. RUST_LOG overrides this
    /// option.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Common {
    /// The adapter that the options ask for.
    pub fn context_options(&self) -> ContextOptions {
        let mut options = ContextOptions::default().backend(self.backend).limits(self.limits);
        if let Some(adapter) = &self.adapter {
            options = options.adapter(adapter);
        }
        if let Some(directory) = self.cache() {
            options = options.cache(directory);
        }
        options
    }

    /// The directory for caches: the one that the user asks for, else the platform's. `None` without a home directory.
    fn cache(&self) -> Option<PathBuf> {
        if self.no_cache {
            return None;
        }
        let chosen = self.cache_dir.clone().or_else(|| std::env::var_os("RESNET3D_CACHE_DIR").map(PathBuf::from));
        chosen.filter(|directory| !directory.as_os_str().is_empty()).or_else(|| {
            let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
            Some(strategy.cache_dir().join("resnet3d"))
        })
    }

    /// Checks these options as far as that is possible without an adapter.
    pub fn check(&self) -> Result<()> {
        match &self.cache_dir {
            // A read-only cache is still useful.
            Some(directory) if directory.is_dir() || directory.as_os_str().is_empty() => Ok(()),
            Some(directory) if directory.exists() => {
                let source = std::io::ErrorKind::NotADirectory.into();
                Err(Failure::file("keep caches in", directory, source).into())
            }
            Some(directory) => check_creatable(&directory.join("cache")),
            None => Ok(()),
        }
    }

    /// The file that `--config` names, if its value is a file.
    pub fn config_file(&self) -> Option<(&'static str, &Path)> {
        self.config.as_deref().and_then(config_file).map(|path| ("--config", path))
    }

    /// The network that `--config` asks for. The file is read once, because it may be a pipe.
    pub fn choice(&self) -> Result<Option<Choice>> {
        self.config.as_deref().map(Choice::new).transpose()
    }

    /// Opens a device on the adapter that the options ask for.
    pub fn open(&self) -> Result<GpuContext> {
        let gpu = GpuContext::new(self.context_options())?;
        log::info!("running on {} ({})", gpu.adapter_name(), gpu.backend());
        if gpu.target().compiler == Compiler::Fxc {
            log::info!("FXC compiles the shaders; `resnet3d adapters` says how to start faster");
        }
        Ok(gpu)
    }
}

impl Cli {
    /// Sends log messages to standard error: warnings of this program and errors of other crates, or more with `-v`.
    pub fn start_logging(&self) {
        let (ours, others) = match self.common.verbose {
            0 => (LevelFilter::Warn, LevelFilter::Error),
            1 => (LevelFilter::Info, LevelFilter::Warn),
            2 => (LevelFilter::Debug, LevelFilter::Info),
            _ => (LevelFilter::Trace, LevelFilter::Debug),
        };
        // Without a display, Mesa reports an EGL error before it finds a driver that works. The user cannot act on that
        // message.
        let egl = if ours > LevelFilter::Info { others } else { LevelFilter::Off };
        env_logger::Builder::new()
            .filter_level(others)
            .filter_module("wgpu_hal::gles::egl", egl)
            .filter_module("resnet3d", ours)
            .filter_module("resnet3d_wgpu", ours)
            .format_timestamp(None)
            .parse_default_env()
            .init();
    }

    /// Whether the command looks for adapters.
    pub fn looks_for_adapters(&self) -> bool {
        match self.command {
            Command::Run(_)
            | Command::Classify(_)
            | Command::Verify(_)
            | Command::Bench(_)
            | Command::Adapters(_)
            | Command::Demo(_) => true,
            Command::Clip(_) | Command::Convert(_) | Command::Plan(_) | Command::Kernels(_) => false,
        }
    }

    /// Runs the command.
    pub fn run(&self) -> Result<()> {
        let common = &self.common;
        match &self.command {
            Command::Run(arguments) => arguments.run(common),
            Command::Classify(arguments) => arguments.run(common),
            Command::Clip(arguments) => arguments.run(common),
            Command::Convert(arguments) => arguments.run(common),
            Command::Plan(arguments) => arguments.run(common),
            Command::Verify(arguments) => arguments.run(common),
            Command::Bench(arguments) => arguments.run(common),
            Command::Adapters(arguments) => arguments.run(common),
            Command::Kernels(arguments) => arguments.run(common),
            Command::Demo(arguments) => arguments.run(common),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
