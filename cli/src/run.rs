//! `resnet3d run`: runs the network on a clip and writes its features.

use crate::arguments::{
    MemoryArguments, PreprocessArguments, WeightArguments, WeightsSource, choice, taps, weights_source,
};
use crate::cli::Common;
use crate::features::{Statistics, statistics_table, to_safetensors};
use crate::forward::{Times, adapter_line, forward};
use crate::input::{self, load};
use crate::network::{Model, check_taps, describe, describe_taken};
use crate::output::note;
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::text::{Facts, mib};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::files::{Damage, Input, LoadOptions, Taken};
use resnet3d_wgpu::clip::sampling::Sampling;
use resnet3d_wgpu::low_level::atomic_file::Contents;
use resnet3d_wgpu::low_level::tap_names;
use resnet3d_wgpu::picture::{Activation, Backdrop, HeatmapMode, heatmap};
use resnet3d_wgpu::{FeatureMap, Network, Numerics, Options, Shape, Taps};
use serde::Serialize;
use std::path::PathBuf;

/// Run the network on a clip and write its features.
///
/// The clip is a video file, a directory of PNG, JPEG, WebP, BMP or TIFF frames, a .safetensors (a ready clip `data`,
/// or pictures `frames.0`, …) or an .npy (a ready clip of floats, or pictures of uint8). Videos are decoded by the
/// program `ffmpeg`. The features are float32 tensors named by blob in a .safetensors, which is written completely or
/// not at all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Weights: safetensors, an archive of torch.save (.pth, .pt, .pyth, …) or a Caffe2 .pkl. The tensors have the
    /// names of blobs or those of a known project (docs/weights.md, docs/models.md). `random` generates weights, always
    /// the same for a seed.
    #[arg(long, value_name = "FILE|random[:SEED]", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    how: WeightArguments,

    /// The clip. It may be the weight file, if that has a tensor `data`.
    #[arg(long, value_name = "FILE|DIR")]
    input: PathBuf,

    /// The file for the features; `-` is standard output, and then the report goes to standard error.
    #[arg(long, value_name = "OUT.safetensors")]
    output: PathBuf,

    /// Blobs to write in addition to the last: `all` (or `stages`) for the last of every stage, or comma-separated
    /// names.
    #[arg(long, value_name = "all|stages|NAME,…", value_parser = taps)]
    taps: Option<Taps>,

    /// Also draw the taps, by default all stages, over the frames.
    #[arg(long, value_name = "OUT.png")]
    heatmap: Option<PathBuf>,

    /// What the heatmap shows: the strength of the activation, or its difference from the mean over time.
    #[arg(long, default_value = "activation", value_name = "MODE",
          value_parser = choice(HeatmapMode::ALL))]
    heatmap_mode: HeatmapMode,

    /// Run every operator of the reference separately.
    #[arg(long)]
    no_fusion: bool,

    /// Keep NaN and infinities of the clip exactly where the reference has them. This is slower.
    #[arg(long)]
    strict_floats: bool,

    /// Benchmark for the fastest kernels for this clip shape. The cache keeps the result.
    #[arg(long)]
    tune: bool,

    #[command(flatten)]
    memory: MemoryArguments,

    #[command(flatten)]
    preprocess: PreprocessArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d run --weights r18.safetensors --input frames/ --output features.safetensors
  resnet3d run --weights r18.safetensors --input video.mp4 --start 100 --frames 16 --stride 2 \\
      --output features.safetensors --heatmap heatmap.png
  resnet3d run --weights model_final.pkl --inflate center-only --input frames/ \\
      --output features.safetensors
  resnet3d run --weights random:1 --input clip.npy --output features.safetensors \\
      --taps res3_1_sum,pool1
  resnet3d run --weights random --config '{\"transformation\": \"basic\"}' --input frames/ \\
      --output features.safetensors --taps all --heatmap heatmap.png";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    adapter: &'a str,
    backend: &'a str,
    driver: String,
    precision: String,
    config: &'a Network,
    /// The project that published the network; absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    /// Properties of the network that no name and no shape of the file shows; absent if there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    assumed: &'a [String],
    clip: Shape,
    preprocess: Option<String>,
    /// The frames that the weights want; absent if the weights do not say, or with `--frames all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling: Option<&'a Sampling>,
    /// The frames of each input that `sampling` selected; absent without `sampling`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    frames: &'a [Taken],
    /// The damaged frames of videos; absent if there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    damaged: &'a [Damage],
    spatial_scale: f64,
    taps: &'a [Statistics],
    timing: Times,
    output: String,
    heatmap: Option<String>,
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        // Checks that need no input come first, so that a wrong name is reported without a wait.
        common.check()?;
        let inputs = [Some(("--input", self.input.as_path())), self.weights.file(), common.config_file()];
        let outputs = [("--output", Some(self.output.as_path())), ("--heatmap", self.heatmap.as_deref())];
        let outputs = Outputs::new(outputs, &inputs.into_iter().flatten().collect::<Vec<_>>())?;
        let choice = common.choice()?;
        let taps = self.taps.clone().unwrap_or_default();
        check_taps(&self.weights, choice.as_ref(), &taps)?;
        let gpu = common.open()?;
        input::check(&self.input)?;

        let model = Model::load(&self.weights, choice, &self.how)?;
        let written = tap_names(&model.body()?, &taps)?;
        if common.verbose > 0 && !model.unused.is_empty() {
            note(&format!("unused tensors of the weight file: {}", unused(&model.unused)));
        }
        if let Some(family) = model.family.filter(|_| common.verbose > 0 && !model.assumed.is_empty()) {
            note(&format!("assumed to be as {family} publishes it: {}", model.assumed.join("; ")));
        }
        let load_options =
            self.preprocess.load_options(model.preprocess, model.sampling).keep_frames(self.heatmap.is_some());
        let input = load(&[&self.input], &load_options)?;
        if common.verbose > 0 {
            input.taken.iter().for_each(|taken| note(&describe_taken(taken, load_options.sampling.as_ref())));
        }

        let options = Options::default()
            .precision(common.precision)
            .taps(if self.heatmap.is_some() && taps == Taps::None { Taps::Stages } else { taps })
            .fusion(!self.no_fusion)
            .numerics(if self.strict_floats { Numerics::Strict } else { Numerics::Fast })
            .tuning(self.tune)
            .memory_limit(self.memory.memory_limit);
        let (features, timing) = forward(&gpu, &model, &input.clip, options)?;

        let last = features.last();
        let kept: Vec<&FeatureMap> =
            features.blobs().iter().filter(|blob| blob.name == last.name || written.contains(&blob.name)).collect();
        let file = to_safetensors(&kept, &model.network, features.spatial_scale(), &gpu, &input.taken)?;
        let picture = match &self.heatmap {
            Some(_) => Some(draw(&input, features.blobs(), self.heatmap_mode, &load_options)?),
            None => None,
        };
        let picture = picture.as_ref().map(|picture| picture as &dyn Contents);
        outputs.write(&[&file as &dyn Contents].into_iter().chain(picture).collect::<Vec<_>>())?;

        let statistics: Vec<Statistics> = kept.iter().map(|feature| Statistics::of(feature)).collect();
        if common.json {
            return outputs.print_json(&Report {
                adapter: gpu.adapter_name(),
                backend: gpu.backend(),
                driver: gpu.driver(),
                precision: common.precision.to_string(),
                config: &model.network,
                family: model.family.map(|family| family.to_string()),
                assumed: &model.assumed,
                clip: input.clip.shape(),
                preprocess: input.normalization.map(|name| name.to_string()),
                sampling: load_options.sampling.as_ref().filter(|_| !input.taken.is_empty()),
                frames: &input.taken,
                damaged: &input.damage,
                spatial_scale: features.spatial_scale(),
                taps: &statistics,
                timing,
                output: self.output.display().to_string(),
                heatmap: self.heatmap.as_ref().map(|path| path.display().to_string()),
            });
        }
        let mut above = Facts::default();
        above
            .add("adapter", adapter_line(&gpu))
            .add("network", describe(&model.network))
            .add("family", model.family.map_or("unknown".to_owned(), |family| family.to_string()))
            .add("clip", input.clip.shape().to_string())
            .add("preprocess", input.normalization.map_or("unknown".to_owned(), |name| name.to_string()));
        let mut below = Facts::default();
        below
            .add("time", timing.to_string())
            .add("features", format!("{} ({})", self.output.display(), mib(file.size() as u64)));
        if let Some(path) = &self.heatmap {
            below.add("heatmap", path.display().to_string());
        }
        outputs.print(&format!("{above}\n{}\n{below}", statistics_table(&statistics)))
    }
}

/// The heatmap of `features` over the first clip of `input`, as the bytes of a PNG.
pub fn draw(input: &Input, features: &[FeatureMap], mode: HeatmapMode, options: &LoadOptions) -> Result<Vec<u8>> {
    let _progress = Progress::start("drawing the heatmap");
    let normalization = input.normalization.unwrap_or(options.preprocess.normalization);
    let preprocess = options.preprocess.normalization(normalization);
    let backdrop = Backdrop::new(&input.clip, input.frames.first(), &preprocess)?;
    let activations: Vec<Activation<'_>> = features
        .iter()
        .map(|feature| Activation { name: &feature.name, shape: feature.shape, data: &feature.data })
        .collect();
    Ok(heatmap(&backdrop, &activations, mode)?.to_png()?)
}

/// The unused names of a weight file in a line. PyTorch's counters, one for each batch norm, are only counted.
fn unused(names: &[String]) -> String {
    let (counters, mut others): (Vec<&str>, Vec<&str>) =
        names.iter().map(String::as_str).partition(|name| name.ends_with("num_batches_tracked"));
    let counted = format!("{} counters of batch norms (num_batches_tracked)", counters.len());
    if !counters.is_empty() {
        others.push(&counted);
    }
    others.join(", ")
}
