//! `resnet3d bench`: measures the time for a clip.

mod labels;
mod layers;
mod report;
mod roofline;
mod scaling;
mod sweep;

use crate::arguments::{
    MemoryArguments, PreprocessArguments, WeightArguments, WeightsSource, clip_shape, taps, weights_source,
};
use crate::cli::Common;
use crate::failure::Failure;
use crate::features::to_safetensors;
use crate::forward::{adapter_line, memory_line};
use crate::input::{self, load};
use crate::network::{Model, check_taps, describe};
use crate::output::{note, wrong_usage};
use crate::outputs::Outputs;
use crate::plan::class_line;
use crate::progress::Progress;
use crate::text::{Facts, milliseconds, today};
use crate::tuning::{Comparison, tune};
use anyhow::{Result, bail};
use clap::Args;
use clap::builder::ArgPredicate;
use layers::{Work, gflops, timed};
pub use report::Summary;
use report::{Report, SweepReport};
use resnet3d_wgpu::clip::files::Input;
use resnet3d_wgpu::low_level::atomic_file::Contents;
use resnet3d_wgpu::low_level::gpu::Ceilings;
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::plan::PlanOptions;
use resnet3d_wgpu::low_level::tap_names;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::wgpu::Features as DeviceFeatures;
use resnet3d_wgpu::{
    Clip, FeatureMap, FeatureMaps, GpuBackbone, GpuContext, Numerics, Options, Precision, Shape, Taps, Timing,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Measure the time for a clip. Needs no window and no files.
///
/// The latency is from the clip in memory to the features in memory: upload, dispatches, readback. Two warm-up runs
/// come before the measured ones. Timestamp queries measure the time on the device, if the adapter supports them.
///
/// --layers compares each layer with the ceilings of the adapter, which two microbenchmarks measure in the same run:
/// multiply-adds in registers, and a triad through storage buffers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Shape of a generated clip: batch, channels, frames, height, width. With --sweep, the default is 1x3x4x112x112.
    #[arg(long, value_name = "NxCxTxHxW", default_value = "1x3x8x224x224", value_parser = clip_shape,
          default_value_if("sweep", ArgPredicate::IsPresent, SWEPT_CLIP), conflicts_with = "input")]
    clip: String,

    /// The batch size, which replaces that of --clip.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "input")]
    batch: Option<u32>,

    /// The number of measured runs.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Also measure every layer, in the same number of further runs, and show the medians.
    #[arg(long)]
    layers: bool,

    /// Draw the roofline diagram: the speed of each layer over its operations per byte, and the ceilings of the
    /// adapter. This measures the layers as --layers does.
    #[arg(long, value_name = "OUT.svg")]
    roofline: Option<PathBuf>,

    /// Measure clips of 1, 2, 4, … frames, and batches of 1, 2, 4, … clips with the number of frames of --clip, and
    /// draw the times.
    #[arg(long, value_name = "OUT.svg",
          conflicts_with_all = ["layers", "roofline", "input", "output", "batch", "taps"])]
    sweep: Option<PathBuf>,

    /// The maximum number of frames, and of clips, for --sweep.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(4..),
          requires = "sweep")]
    sweep_to: u16,

    /// Weights, as for `run`; `random` generates weights, always the same for a seed.
    #[arg(long, value_name = "FILE|random[:SEED]", default_value = "random:0", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    how: WeightArguments,

    /// A clip or video, as for `run`, instead of a generated clip.
    #[arg(long, value_name = "FILE|DIR")]
    input: Option<PathBuf>,

    /// Write the features of the last measured run.
    #[arg(long, value_name = "OUT.safetensors")]
    output: Option<PathBuf>,

    /// Blobs to read back in addition to the last: `all` (or `stages`), or comma-separated names. This takes time.
    #[arg(long, value_name = "all|stages|NAME,…", value_parser = taps)]
    taps: Option<Taps>,

    /// Run every operator of the reference separately.
    #[arg(long)]
    no_fusion: bool,

    /// Do not use Winograd's method.
    #[arg(long)]
    no_winograd: bool,

    /// Use this kernel, or this method of several kernels, for every operator that it supports. The names are those of
    /// the table of layers, for example conv_direct_4x8.
    #[arg(long, value_name = "NAME", value_parser = kernel)]
    kernel: Option<Method>,

    /// Benchmark for the fastest kernels, as `run --tune` does, and compare them with the fixed table in alternating
    /// runs.
    #[arg(long, conflicts_with = "kernel")]
    tune: bool,

    #[command(flatten)]
    memory: MemoryArguments,

    #[command(flatten)]
    preprocess: PreprocessArguments,
}

/// Reads the name of a kernel or method.
fn kernel(name: &str) -> Result<Method, String> {
    Method::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Method::all().map(Method::name).collect();
        format!("wanted one of {}", names.join(", "))
    })
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d bench
  resnet3d bench --clip 1x3x3x187x333 --config '{\"transformation\": \"basic\"}' --runs 20 --layers
  resnet3d bench --batch 4 --json
  resnet3d bench --roofline roofline.svg
  resnet3d bench --sweep scaling.svg --runs 5
  resnet3d bench --tune
  resnet3d bench --kernel conv_direct_4x8 --runs 3        the portable kernel, for comparison";

/// The default clip of `--sweep`. It is small, because a sweep to 16 computes 155 frames of it.
const SWEPT_CLIP: &str = "1x3x4x112x112";

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        // Checks that need no input come first.
        common.check()?;
        let input = self.input.as_deref().map(|path| ("--input", path));
        let inputs = [input, self.weights.file(), common.config_file()];
        let outputs = [
            ("--output", self.output.as_deref()),
            ("--roofline", self.roofline.as_deref()),
            ("--sweep", self.sweep.as_deref()),
        ];
        let outputs = Outputs::new(outputs, &inputs.into_iter().flatten().collect::<Vec<_>>())?;
        let generated = self.generated()?;
        let choice = common.choice()?;
        let taps = self.taps.clone().unwrap_or_default();
        check_taps(&self.weights, choice.as_ref(), &taps)?;
        let gpu = self.open(common)?;
        self.input.as_deref().map_or(Ok(()), input::check)?;
        let model = Model::load(&self.weights, choice, &self.how)?;
        tap_names(&model.body()?, &taps)?;
        if self.sweep.is_some() {
            return self.sweep(common, &gpu, &model, generated, &outputs);
        }
        let Input { clip, damage: damaged, taken, .. } = self.clip(generated, &model)?;
        let options = Options::default()
            .precision(common.precision)
            .taps(taps)
            .fusion(!self.no_fusion)
            .method(self.kernel)
            .tuning(self.tune)
            .memory_limit(self.memory.memory_limit)
            .numerics(self.numerics());
        let (report, features) = self.measure(&gpu, &model, &clip, common.precision, options)?;
        let report = Report { damaged, ..report };
        if self.roofline.is_some() && report.layers.is_empty() {
            bail!(
                "--roofline needs the time of every layer, but {} cannot time {} dispatches",
                gpu.adapter_name(),
                report.dispatches
            );
        }
        let mut files: Vec<Box<dyn Contents + '_>> = Vec::new();
        if self.output.is_some() {
            let blobs: Vec<&FeatureMap> = features.blobs().iter().collect();
            files.push(Box::new(to_safetensors(&blobs, &model.network, features.spatial_scale(), &gpu, &taken)?));
        }
        if let (Some(_), Some(ceilings)) = (&self.roofline, &report.ceilings) {
            let about = about(&format!("Roofline of the layers: {}", report.clip), &gpu, &model, common);
            files.push(Box::new(roofline::svg(&report.layers, ceilings, &about).into_bytes()));
        }
        outputs.write(&files.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        if common.json {
            return outputs.print_json(&report);
        }
        let mut text = heading(&gpu, &model) + &report.text();
        for (name, path) in [("features", &self.output), ("picture", &self.roofline)] {
            text += &path.as_deref().map_or(String::new(), |path| written(name, path));
        }
        outputs.print(&text)
    }

    /// The shape of the generated clip.
    fn generated(&self) -> Result<Shape> {
        let mut shape: Shape = self.clip.parse()?;
        if shape.c != 3 {
            return Err(Failure::clip_shape("Nx3xTxHxW (3 channels)", &shape.to_string()).into());
        }
        if self.sweep.is_some() && shape.n != 1 {
            wrong_usage(&format!("--sweep chooses the batch sizes: wanted a --clip with a batch of 1, got {shape}"));
        }
        if let Some(batch) = self.batch {
            shape.n = batch as usize;
        }
        Ok(shape)
    }

    /// The numerics of `--no-winograd`, which a Winograd method named by `--kernel` overrides.
    fn numerics(&self) -> Numerics {
        let forces_winograd = self.kernel.is_some_and(Method::is_winograd);
        if self.no_winograd && !forces_winograd { Numerics::NoWinograd } else { Numerics::Fast }
    }

    /// Runs `--sweep`.
    fn sweep(
        &self,
        common: &Common,
        gpu: &GpuContext,
        model: &Model,
        clip: Shape,
        outputs: &Outputs<'_>,
    ) -> Result<()> {
        let body = model.body()?;
        let options = PlanOptions {
            fusion: !self.no_fusion,
            dtype: common.precision.into(),
            target: gpu.target(),
            forced: self.kernel,
            numerics: self.numerics(),
            limits: gpu.plan_limits(),
            memory_limit: self.memory.memory_limit,
            ..PlanOptions::default()
        };
        let setup = sweep::Setup {
            gpu,
            body: &body,
            weights: &model.weights,
            options: &options,
            clip,
            largest: self.sweep_to.into(),
            runs: self.runs,
        };
        let sweep = setup.sweep()?;
        let about = about("Latency over frames and over clips", gpu, model, common);
        outputs.write(&[&scaling::svg(&sweep, clip, &about).into_bytes()])?;
        if common.json {
            return outputs.print_json(&SweepReport {
                adapter: gpu.adapter_name().to_owned(),
                backend: gpu.backend(),
                driver: gpu.driver(),
                precision: common.precision.to_string(),
                clip,
                sweep,
            });
        }
        let picture = self.sweep.as_deref().map_or(String::new(), |path| written("picture", path));
        outputs.print(&(heading(gpu, model) + &sweep.text() + "\n" + &picture))
    }

    /// Opens a device that can run the kernel of `--kernel`, and can time layers if `--roofline` needs their times.
    fn open(&self, common: &Common) -> Result<GpuContext> {
        let gpu = common.open()?;
        if let Some(kernel) = self.kernel.filter(|kernel| !kernel.runs_on(gpu.target())) {
            bail!("{} cannot run {}: its subgroup size differs", gpu.adapter_name(), kernel.name());
        }
        if self.roofline.is_some() && !gpu.device().features().contains(DeviceFeatures::TIMESTAMP_QUERY) {
            bail!("--roofline needs the time of every layer, but {} has no timestamp queries", gpu.adapter_name());
        }
        Ok(gpu)
    }

    /// The clip: that of `--input`, or else a generated one.
    fn clip(&self, generated: Shape, model: &Model) -> Result<Input> {
        match &self.input {
            Some(path) => load(&[path], &self.preprocess.load_options(model.preprocess, model.sampling)),
            None => Ok(random::clip(generated, 0)?.into()),
        }
    }

    fn measure(
        &self,
        gpu: &GpuContext,
        model: &Model,
        clip: &Clip,
        precision: Precision,
        options: Options,
    ) -> Result<(Report, FeatureMaps)> {
        let by_table = options.clone().tuning(false);
        let started = Instant::now();
        let mut backbone = GpuBackbone::new(gpu, &model.network, &model.weights, options)?;
        let tuning = Instant::now();
        let tuned = tune(gpu, &mut backbone, clip.shape())?;
        let tuning = tuning.elapsed();
        let (work, dispatches, memory) = {
            let _progress = Progress::start("preparing the network").with_kernels(gpu);
            let plan = backbone.plan(clip.shape())?;
            (Work::of(plan), plan.dispatches(), memory_line(plan))
        };
        note(&memory);
        let prepare = started.elapsed() - tuning;
        let mut other = match self.tune {
            true => Some(Comparison::new(GpuBackbone::new(gpu, &model.network, &model.weights, by_table)?, clip)?),
            false => None,
        };

        let with_layers = self.layers || self.roofline.is_some();
        let measured_runs = u64::from(self.runs) * if with_layers { 2 } else { 1 };
        let progress = Progress::steps("measuring", measured_runs + 2);
        let mut forward = |timing| -> Result<_> {
            let started = Instant::now();
            let (features, profile) = backbone.forward_timed(clip, timing)?;
            let latency = started.elapsed();
            progress.step();
            Ok((features, profile, latency))
        };
        let (_, _, first) = forward(Timing::Total)?;
        let (mut features, _, _) = forward(Timing::Total)?;
        let mut latencies: Vec<Duration> = Vec::new();
        let mut device: Vec<Duration> = Vec::new();
        for _ in 0..self.runs {
            let (last, profile, latency) = forward(Timing::Total)?;
            features = last;
            latencies.push(latency);
            device.extend(profile.map(|profile| profile.total));
            if let Some(other) = &mut other {
                other.run(clip)?;
            }
        }
        let mut steps: Vec<Vec<Duration>> = Vec::new();
        for _ in 0..if with_layers { self.runs } else { 0 } {
            steps.extend(forward(Timing::Layers)?.1.map(|profile| profile.steps));
        }
        drop(progress);
        if with_layers && steps.is_empty() {
            note("no layers: this adapter has no timestamp queries");
        }
        let peak_gpu_bytes = backbone.device_bytes();
        drop(backbone);
        let ceilings = if with_layers {
            let _progress = Progress::start("measuring the adapter's ceilings");
            Some(Ceilings::measure(gpu)?)
        } else {
            None
        };

        let kernels: Vec<(&str, &str)> = work.iter().map(|work| (work.name.as_str(), work.method.name())).collect();
        let tuning = other.map(|other| other.report(tuned, &kernels, &latencies));
        let macs: u64 = work.iter().map(|work| work.macs).sum();
        let summarize = |times: Vec<Duration>| Summary::of(times.into_iter().map(milliseconds).collect());
        let (latency_ms, gpu_ms) = (summarize(latencies), summarize(device));
        let latency_ms = latency_ms.unwrap_or(Summary::NONE);
        let report = Report {
            adapter: gpu.adapter_name().to_owned(),
            backend: gpu.backend(),
            driver: gpu.driver(),
            precision: precision.to_string(),
            clip: clip.shape(),
            damaged: Vec::new(),
            gflops: gflops(macs, gpu_ms.unwrap_or(latency_ms).median),
            latency_ms,
            gpu_ms,
            first_forward_ms: milliseconds(first),
            prepare_ms: milliseconds(prepare),
            peak_gpu_bytes,
            dispatches,
            layers: ceilings.map_or_else(Vec::new, |ceilings| timed(&work, &steps, &ceilings)),
            ceilings,
            tuning,
        };
        Ok((report, features))
    }
}

/// The facts above every result.
fn heading(gpu: &GpuContext, model: &Model) -> String {
    let mut facts = Facts::default();
    facts.add("adapter", adapter_line(gpu));
    facts.add("kernels", format!("for {}", class_line(gpu.class())));
    facts.add("network", describe(&model.network));
    facts.to_string()
}

fn written(name: &'static str, path: &Path) -> String {
    format!("{name:9} {}\n", path.display())
}

/// The text above every picture: the title, the network, and the adapter with version and date.
fn about(title: &str, gpu: &GpuContext, model: &Model, common: &Common) -> [String; 3] {
    let version = env!("CARGO_PKG_VERSION");
    [
        format!("{title}, {}", common.precision),
        describe(&model.network),
        format!("{}; resnet3d {version}, {}", adapter_line(gpu), today()),
    ]
}
