//! The commands, and the options that all of them share.

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
/// The networks are the ResNet3D bodies of Facebook's Detect-and-Track. Results go to standard output, everything else to
/// standard error. Exit code 0 is success, 1 failure, 2 wrong usage.
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
  resnet3d demo                                 the whole path on a rendered clip, without any file
  resnet3d adapters                             what there is to run on
  resnet3d plan --clip 1x3x8x224x224            the network, operator by operator
  resnet3d run --weights r18.safetensors --input frames/ --output features.safetensors
  resnet3d classify video.mp4 --weights r3d_18.pth";

/// What to do.
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
    /// Use the first adapter whose name contains this, in any case.
    #[arg(long, global = true, value_name = "SUBSTRING")]
    pub adapter: Option<String>,

    /// Use this graphics interface only.
    #[arg(long, global = true, value_parser = choice(Backend::ALL))]
    pub backend: Option<Backend>,

    /// Use no more of the adapter than this: `adapter` is all it has, `webgpu` WebGPU's default limits and no optional
    /// feature, so that everything runs as on the narrowest device.
    #[arg(long, global = true, default_value = "adapter",
          value_parser = choice(DeviceLimits::ALL))]
    pub limits: DeviceLimits,

    /// Number format of weights and activations on the device.
    #[arg(long, global = true, default_value = "f32",
          value_parser = choice(Precision::ALL))]
    pub precision: Precision,

    /// The network: a preset such as r18-conv4 or r3d_18, a JSON file, or JSON that starts with '{'. It beats what a weight file
    /// shows or has as `config` in its metadata. What the reference's keys do not say is as in r18-conv4.
    #[arg(long, global = true, value_name = "PRESET|FILE|JSON")]
    pub config: Option<OsString>,

    /// Keep what makes later starts faster, what the driver has compiled and --tune has found, in this directory. By default in
    /// `resnet3d` where the system keeps such files, on Linux in ~/.cache; the variable RESNET3D_CACHE_DIR goes before
    /// that.
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Neither read nor write such files.
    #[arg(long, global = true, conflicts_with = "cache_dir")]
    pub no_cache: bool,

    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// Say more on standard error, in `run` also which tensors of the weight file are not used. RUST_LOG goes before
    /// this.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Common {
    /// The adapter that was asked for.
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

    /// The directory for caches: the one that was asked for, else the platform's. None without a home.
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

    /// Checks what can be checked of these options alone, apart from the adapter.
    pub fn check(&self) -> Result<()> {
        match &self.cache_dir {
            // One that may only be read is of use.
            Some(directory) if directory.is_dir() || directory.as_os_str().is_empty() => Ok(()),
            Some(directory) if directory.exists() => {
                let source = std::io::ErrorKind::NotADirectory.into();
                Err(Failure::file("keep caches in", directory, source).into())
            }
            Some(directory) => check_creatable(&directory.join("cache")),
            None => Ok(()),
        }
    }

    /// The file that `--config` names, if it names one.
    pub fn config_file(&self) -> Option<(&'static str, &Path)> {
        self.config.as_deref().and_then(config_file).map(|path| ("--config", path))
    }

    /// The network that `--config` asks for. Its file is read once, as it may be a pipe.
    pub fn choice(&self) -> Result<Option<Choice>> {
        self.config.as_deref().map(Choice::new).transpose()
    }

    /// A device on the adapter that was asked for.
    pub fn open(&self) -> Result<GpuContext> {
        let gpu = GpuContext::new(self.context_options())?;
        log::info!("running on {} ({})", gpu.adapter_name(), gpu.backend());
        if gpu.target().compiler == Compiler::Fxc {
            log::info!("FXC compiles the shaders; `resnet3d adapters` says how to get a quicker start");
        }
        Ok(gpu)
    }
}

impl Cli {
    /// Log messages go to standard error: our warnings and other crates' errors, or more with `-v`.
    pub fn start_logging(&self) {
        let (own, others) = match self.common.verbose {
            0 => (LevelFilter::Warn, LevelFilter::Error),
            1 => (LevelFilter::Info, LevelFilter::Warn),
            2 => (LevelFilter::Debug, LevelFilter::Info),
            _ => (LevelFilter::Trace, LevelFilter::Debug),
        };
        // Mesa without a display fails on its way to the driver that works; nobody can do anything about that message.
        let egl = if own > LevelFilter::Info { others } else { LevelFilter::Off };
        env_logger::Builder::new()
            .filter_level(others)
            .filter_module("wgpu_hal::gles::egl", egl)
            .filter_module("resnet3d", own)
            .filter_module("resnet3d_wgpu", own)
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

    /// Does what was asked for.
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
