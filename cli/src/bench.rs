//! `resnet3d bench`: how long a clip takes.

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
pub use report::Spread;
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

/// Measure how long a clip takes, without any window or file.
///
/// Latency is from the clip in memory to the features in memory: upload, dispatches, readback. Two runs before the
/// measured ones warm up. The device's own time is taken with timestamp queries, where the adapter has them.
///
/// --layers compares each layer with what the adapter can do at most, which two microbenchmarks measure in the same run:
/// multiply-adds in registers, and a triad through storage buffers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Shape of a generated clip: batch, channels, frames, height, width. With --sweep 1x3x4x112x112 by default.
    #[arg(long, value_name = "NxCxTxHxW", default_value = "1x3x8x224x224", value_parser = clip_shape,
          default_value_if("sweep", ArgPredicate::IsPresent, SWEPT_CLIP), conflicts_with = "input")]
    clip: String,

    /// Replaces the batch of --clip.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "input")]
    batch: Option<u32>,

    /// How many runs are measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Also measure every layer, in as many further runs; the median is shown.
    #[arg(long)]
    layers: bool,

    /// Draw the layers under the adapter's ceilings, speed over operations for each byte; this measures them as --layers
    /// does.
    #[arg(long, value_name = "OUT.svg")]
    roofline: Option<PathBuf>,

    /// Measure clips of 1, 2, 4, … frames, and batches of 1, 2, 4, … clips of as many frames as --clip has, and draw how
    /// the time grows.
    #[arg(long, value_name = "OUT.svg",
          conflicts_with_all = ["layers", "roofline", "input", "output", "batch", "taps"])]
    sweep: Option<PathBuf>,

    /// How many frames, and clips, --sweep goes up to.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(4..),
          requires = "sweep")]
    sweep_to: u16,

    /// Weights, as for `run`; `random` generates some, always the same for a seed.
    #[arg(long, value_name = "FILE|random[:SEED]", default_value = "random:0", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    how: WeightArguments,

    /// A clip or video to run on, as for `run`, instead of a generated one.
    #[arg(long, value_name = "FILE|DIR")]
    input: Option<PathBuf>,

    /// Write the features of the last measured run.
    #[arg(long, value_name = "OUT.safetensors")]
    output: Option<PathBuf>,

    /// Blobs to read back beside the last: `all` (or `stages`), or names with commas between. This takes time.
    #[arg(long, value_name = "all|stages|NAME,…", value_parser = taps)]
    taps: Option<Taps>,

    /// Run the reference's operators one by one.
    #[arg(long)]
    no_fusion: bool,

    /// Compute no convolution by Winograd's method.
    #[arg(long)]
    no_winograd: bool,

    /// Use this kernel, or method of several, for every operator that it can do, as named in the table of layers, for
    /// example conv_direct_4x8.
    #[arg(long, value_name = "NAME", value_parser = kernel)]
    kernel: Option<Method>,

    /// Find the quickest kernels by trying, as `run --tune` does, and compare with those of the fixed table, in turn.
    #[arg(long, conflicts_with = "kernel")]
    tune: bool,

    #[command(flatten)]
    memory: MemoryArguments,

    #[command(flatten)]
    preprocess: PreprocessArguments,
}

/// A kernel by its name.
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
  resnet3d bench --kernel conv_direct_4x8 --runs 3        the portable kernel, to compare with";

/// The clip that `--sweep` varies unless told: small, since in the end it computes 155 frames of it.
const SWEPT_CLIP: &str = "1x3x4x112x112";

impl Arguments {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<()> {
        // What needs no input is checked first.
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
                "--roofline needs the time of every layer, and the {} dispatches are too many for {}",
                report.dispatches,
                gpu.adapter_name()
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
            wrong_usage(&format!("--sweep chooses batches itself: wanted a --clip of one, got {shape}"));
        }
        if let Some(batch) = self.batch {
            shape.n = batch as usize;
        }
        Ok(shape)
    }

    /// `--no-winograd`. A kernel that is asked for by name goes before it.
    fn numerics(&self) -> Numerics {
        let asked = self.kernel.is_some_and(Method::is_winograd);
        if self.no_winograd && !asked { Numerics::NoWinograd } else { Numerics::Fast }
    }

    /// `--sweep`.
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
        let subject = sweep::Subject {
            gpu,
            body: &body,
            weights: &model.weights,
            options: &options,
            clip,
            most: self.sweep_to.into(),
            runs: self.runs,
        };
        let sweep = subject.sweep()?;
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

    /// The device, if it can run the kernel asked for, and time layers where they are to be drawn.
    fn open(&self, common: &Common) -> Result<GpuContext> {
        let gpu = common.open()?;
        if let Some(kernel) = self.kernel.filter(|kernel| !kernel.runs_on(gpu.target())) {
            bail!("{} cannot run {}: its subgroups are of another size", gpu.adapter_name(), kernel.name());
        }
        if self.roofline.is_some() && !gpu.device().features().contains(DeviceFeatures::TIMESTAMP_QUERY) {
            bail!("--roofline needs the time of every layer, and {} has no timestamp queries", gpu.adapter_name());
        }
        Ok(gpu)
    }

    /// The clip, with what was taken of the input that it is.
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
            let (own, profile, latency) = forward(Timing::Total)?;
            features = own;
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
        let spread = |times: Vec<Duration>| Spread::of(times.into_iter().map(milliseconds).collect());
        let (latency_ms, gpu_ms) = (spread(latencies), spread(device));
        let latency_ms = latency_ms.unwrap_or(Spread::NONE);
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

/// What stands above every result.
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

/// What stands above every picture: a heading, what was run, and on what, by what, when.
fn about(title: &str, gpu: &GpuContext, model: &Model, common: &Common) -> [String; 3] {
    let version = env!("CARGO_PKG_VERSION");
    [
        format!("{title}, {}", common.precision),
        describe(&model.network),
        format!("{}; resnet3d {version}, {}", adapter_line(gpu), today()),
    ]
}
