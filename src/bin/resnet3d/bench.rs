//! `resnet3d bench`: how long a clip takes.

use crate::arguments::{InflateArguments, PreprocessArguments, WeightsSource, clip_shape, taps, weights_source};
use crate::cli::Common;
use crate::features::to_safetensors;
use crate::forward::adapter_line;
use crate::input::load;
use crate::network::{Network, describe};
use crate::output::{Outputs, note, print, print_json};
use crate::plan::class_line;
use crate::progress::Progress;
use crate::text::{Facts, bar, lines, mib, milliseconds, table};
use crate::tuning::{Comparison, TuningReport, tune};
use anyhow::{Result, bail};
use clap::Args;
use resnet3d_wgpu::backbone::tap_names;
use resnet3d_wgpu::clip::preprocess::Normalization;
use resnet3d_wgpu::kernels::Method;
use resnet3d_wgpu::plan::Step;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{Clip, Feature, Features, GpuBackbone, GpuContext, Options, Plan, Shape, Taps, Timing};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Measure how long a clip takes, without any window or file.
///
/// Latency is from the clip in memory to the features in memory: upload, dispatches, readback. Two runs before the
/// measured ones warm up. The device's own time is taken with timestamp queries, where the adapter has them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Shape of a generated clip: batch, channels, frames, height, width.
    #[arg(long, value_name = "NxCxTxHxW", default_value = "1x3x8x224x224", value_parser = clip_shape,
          conflicts_with = "input")]
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

    /// Weights, as for `run`; `random` generates some, always the same for a seed.
    #[arg(long, value_name = "FILE|random[:SEED]", default_value = "random:0", value_parser = weights_source)]
    weights: WeightsSource,

    #[command(flatten)]
    inflate: InflateArguments,

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
  resnet3d bench --tune
  resnet3d bench --kernel conv_direct_4x8 --runs 3        the portable kernel, to compare with";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    adapter: String,
    backend: &'static str,
    driver: String,
    precision: &'static str,
    clip: Shape,
    latency_ms: Spread,
    gpu_ms: Option<Spread>,
    gflops: f64,
    first_forward_ms: f64,
    prepare_ms: f64,
    peak_gpu_bytes: u64,
    dispatches: usize,
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuning: Option<TuningReport>,
}

/// The spread of several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// No time at all, of no measurements.
    pub const NONE: Self = Self { min: 0.0, median: 0.0, max: 0.0 };

    /// The middle one, or between the two middle ones.
    pub fn median(&self) -> f64 {
        self.median
    }

    /// Of `values`; `None` if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] };
        Some(Self { min, median, max })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ms median, {:.2} to {:.2}", self.median, self.min, self.max)
    }
}

/// One step: an operator, or a conversion of layouts.
#[derive(Clone, Debug, Serialize)]
struct Layer {
    name: String,
    kernel: &'static str,
    gpu_ms: f64,
    gflops: f64,
    bytes: u64,
    #[serde(skip)]
    macs: u64,
}

impl Layer {
    /// Every step of `plan`, without times yet.
    fn of(plan: &Plan) -> Vec<Self> {
        let layer = |step: &Step| Self {
            name: plan.graph().operators()[step.operator].name.clone(),
            kernel: step.method.name(),
            gpu_ms: 0.0,
            gflops: 0.0,
            bytes: plan.step_bytes(step),
            macs: plan.operator_macs(step.operator),
        };
        plan.steps().iter().map(layer).collect()
    }
}

/// Two floating-point operations for each of `macs` within `ms` milliseconds, in GFLOP/s.
fn gflops(macs: u64, ms: f64) -> f64 {
    if ms > 0.0 { 2.0 * macs as f64 / ms / 1e6 } else { 0.0 }
}

impl Arguments {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.precision.supported()?;
        let mut outputs = Outputs::default();
        if let Some(path) = &self.output {
            outputs.add("--output", path)?;
            if let Some(input) = &self.input {
                outputs.keep("--input", input);
            }
            if let WeightsSource::File(weights) = &self.weights {
                outputs.keep("--weights", weights);
            }
        }
        let network = Network::load(&self.weights, common.config.as_deref(), &self.inflate.options())?;
        let taps = self.taps.clone().unwrap_or_default();
        tap_names(&network.body()?, &taps)?;
        let clip = self.clip(network.normalization)?;
        let gpu = common.open()?;
        if let Some(kernel) = self.kernel.filter(|kernel| !kernel.runs_on(gpu.target())) {
            bail!("{} cannot run {}: its subgroups are of another size", gpu.adapter_name(), kernel.name());
        }
        let options = Options {
            precision: common.precision,
            taps,
            fusion: !self.no_fusion,
            method: self.kernel,
            tuning: self.tune,
            winograd: !self.no_winograd,
            ..Options::default()
        };
        let (report, features) = self.measure(&gpu, &network, &clip, options)?;
        if self.output.is_some() {
            let blobs: Vec<&Feature> = features.blobs().iter().collect();
            outputs.write(&[to_safetensors(&blobs, &network.config, features.spatial_scale(), &gpu)?])?;
        }
        if common.json {
            return print_json(&report);
        }
        let mut facts = Facts::default();
        facts.add("adapter", adapter_line(&gpu));
        facts.add("kernels", format!("for {}", class_line(gpu.class())));
        facts.add("network", describe(&network.config));
        let mut text = facts.to_string() + &report.text();
        if let Some(path) = &self.output {
            text += &format!("features  {}\n", path.display());
        }
        print(&text)
    }

    fn clip(&self, wanted: Option<Normalization>) -> Result<Clip> {
        match &self.input {
            Some(path) => Ok(load(&[path], &self.preprocess.load_options(wanted))?.clip),
            None => {
                let mut shape: Shape = self.clip.parse()?;
                if let Some(batch) = self.batch {
                    shape.n = batch as usize;
                }
                Ok(random::clip(shape, 0)?)
            }
        }
    }

    fn measure(
        &self,
        gpu: &GpuContext,
        network: &Network,
        clip: &Clip,
        options: Options,
    ) -> Result<(Report, Features)> {
        let precision = options.precision.name();
        let by_table = Options { tuning: false, ..options.clone() };
        let started = Instant::now();
        let mut backbone = GpuBackbone::new(gpu, &network.config, &network.weights, options)?;
        let tuning = Instant::now();
        let tuned = tune(&mut backbone, clip.shape())?;
        let tuning = tuning.elapsed();
        let (layers, dispatches) = {
            let _progress = Progress::start("preparing the network");
            let plan = backbone.prepare(clip.shape())?;
            (Layer::of(plan), plan.dispatches())
        };
        let prepare = started.elapsed() - tuning;
        let mut other = match self.tune {
            true => Some(Comparison::new(GpuBackbone::new(gpu, &network.config, &network.weights, by_table)?, clip)?),
            false => None,
        };

        let measured_runs = u64::from(self.runs) * if self.layers { 2 } else { 1 };
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
        for _ in 0..if self.layers { self.runs } else { 0 } {
            steps.extend(forward(Timing::Layers)?.1.map(|profile| profile.steps));
        }
        drop(progress);
        if self.layers && steps.is_empty() {
            note("no layers: this adapter has no timestamp queries");
        }

        let kernels: Vec<(&str, &str)> = layers.iter().map(|layer| (layer.name.as_str(), layer.kernel)).collect();
        let tuning = other.map(|other| other.report(tuned, &kernels, &latencies));
        let macs: u64 = layers.iter().map(|layer| layer.macs).sum();
        let spread = |times: Vec<Duration>| Spread::of(times.into_iter().map(milliseconds).collect());
        let (latency_ms, gpu_ms) = (spread(latencies), spread(device));
        let latency_ms = latency_ms.unwrap_or(Spread::NONE);
        let report = Report {
            adapter: gpu.adapter_name().to_owned(),
            backend: gpu.backend(),
            driver: gpu.driver(),
            precision,
            clip: clip.shape(),
            gflops: gflops(macs, gpu_ms.unwrap_or(latency_ms).median),
            latency_ms,
            gpu_ms,
            first_forward_ms: milliseconds(first),
            prepare_ms: milliseconds(prepare),
            peak_gpu_bytes: backbone.device_bytes(),
            dispatches,
            layers: timed(layers, &steps),
            tuning,
        };
        Ok((report, features))
    }
}

/// `layers` with the median of their times in `runs`; none without runs.
fn timed(layers: Vec<Layer>, runs: &[Vec<Duration>]) -> Vec<Layer> {
    let time = |index: usize| {
        let times = runs.iter().filter_map(|steps| steps.get(index).copied().map(milliseconds));
        Spread::of(times.collect()).map(|spread| spread.median)
    };
    let layers = layers.into_iter().enumerate().filter_map(|(index, layer)| {
        let gpu_ms = time(index)?;
        Some(Layer { gpu_ms, gflops: gflops(layer.macs, gpu_ms), ..layer })
    });
    layers.collect()
}

impl Report {
    /// For people.
    fn text(&self) -> String {
        let mut facts = Facts::default();
        facts
            .add("clip", self.clip.to_string())
            .add("latency", self.latency_ms.to_string())
            .add("device", self.gpu_ms.map_or("no timestamp queries".to_owned(), |spread| spread.to_string()))
            .add(
                "speed",
                format!(
                    "{:.1} GFLOP/s, {:.1} frames a second",
                    self.gflops,
                    (self.clip.n * self.clip.t) as f64 / self.latency_ms.median * 1e3
                ),
            )
            .add(
                "start",
                format!("{:.1} ms to prepare, {:.1} ms for the first run", self.prepare_ms, self.first_forward_ms),
            )
            .add("memory", format!("{} on the device, {} dispatches", mib(self.peak_gpu_bytes), self.dispatches));
        let tuning = self.tuning.as_ref().map(TuningReport::text).unwrap_or_default();
        if self.layers.is_empty() {
            return format!("{facts}{tuning}");
        }
        let total: f64 = self.layers.iter().map(|layer| layer.gpu_ms).sum();
        let mut rows = table(&["layer", "kernel", ">ms", ">GFLOP/s", ">GB/s", ">share", ""]);
        for layer in &self.layers {
            let share = if total > 0.0 { layer.gpu_ms / total } else { 0.0 };
            let rate = if layer.gpu_ms > 0.0 { layer.bytes as f64 / layer.gpu_ms / 1e6 } else { 0.0 };
            rows.add_row([
                layer.name.clone(),
                layer.kernel.to_owned(),
                format!("{:.3}", layer.gpu_ms),
                if layer.macs > 0 { format!("{:.1}", layer.gflops) } else { String::new() },
                format!("{rate:.2}"),
                format!("{:.1} %", share * 100.0),
                bar(share, 40),
            ]);
        }
        format!("{facts}\n{}\n{tuning}", lines(&rows).join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_sorted_values() {
        assert_eq!(Spread::of(Vec::new()), None);
        let spread = |min, median, max| Some(Spread { min, median, max });
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), spread(1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]), spread(1.0, 2.5, 4.0));
    }
}
