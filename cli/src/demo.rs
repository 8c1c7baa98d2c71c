//! `resnet3d demo`: the whole pipeline on a rendered scene.

use crate::arguments::{WeightArguments, WeightsSource, weights_source};
use crate::cli::Common;
use crate::failure::Failure;
use crate::features::{Statistics, statistics_table, to_safetensors};
use crate::forward::{Times, adapter_line, forward};
use crate::network::Model;
use crate::output::{print, print_json, wrong_usage};
use crate::outputs::Outputs;
use crate::plan::summary;
use crate::progress::Progress;
use crate::run::draw;
use crate::text::Facts;
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::files::{Input, LoadOptions, is_frame_name, load_inputs};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Normalization, Preprocess, Size};
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions, PlanReport};
use resnet3d_wgpu::picture::{HeatmapMode, Scene};
use resnet3d_wgpu::{FeatureMap, GpuContext, Options, Precision, Taps};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Run the whole pipeline on a rendered scene. Needs no files.
///
/// The scene is a disc that crosses a textured background. The frames are written as PNG, read back and preprocessed
/// like any others. The features of all stages are written as .safetensors, and their change over time is drawn over
/// the frames, which shows the disc. Random weights suffice for this; nothing is trained.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The directory for frames, features and heatmap; it is created.
    #[arg(long, value_name = "DIR", default_value = "resnet3d-demo")]
    output: PathBuf,

    /// Weights, as for `run`; `random` generates weights, always the same for a seed.
    #[arg(long, value_name = "FILE|random[:SEED]", default_value = "random:0", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    how: WeightArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d demo
  resnet3d demo --output /tmp/demo --config r34-conv4 --backend gl";

/// Three quarters of the size of the scene, so that frames are resized and a software adapter needs only seconds.
fn load_options() -> LoadOptions {
    let preprocess = Preprocess::usual(Normalization::Detectron).size(Size::Shorter(144)).max_size(192);
    LoadOptions::default().preprocess(preprocess).channel_order(ChannelOrder::Rgb).keep_frames(true)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    adapter: &'a str,
    backend: &'a str,
    driver: String,
    plan: PlanReport,
    timing: Times,
    taps: Vec<Statistics>,
    frames: &'a Path,
    features: &'a Path,
    heatmap: &'a Path,
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        if self.output == Path::new("-") {
            wrong_usage("--output needs a directory, but - is standard output; write ./- for a directory of that name");
        }
        let frames = self.output.join("frames");
        let (heatmap, features) = (self.output.join("heatmap.png"), self.output.join("features.safetensors"));
        let scene = Scene::default();
        let pictures: Vec<PathBuf> = scene.file_names().map(|name| frames.join(name)).collect();
        let inputs: Vec<_> = self.weights.file().into_iter().chain(common.config_file()).collect();
        Outputs::in_new_directories(pictures.iter().map(|path| ("--output", Some(path.as_path()))), &inputs)?;
        let outputs = [&features, &heatmap].map(|path| ("--output", Some(path.as_path())));
        let outputs = Outputs::in_new_directories(outputs, &inputs)?;
        check_alone(&frames, &pictures)?;
        let choice = common.choice()?;
        // Opened before anything is written, so that nothing is left behind without an adapter.
        let gpu = common.open()?;
        let model = Model::load(&self.weights, choice, &self.how)?;
        let input = {
            let _progress = Progress::start("rendering the scene");
            scene.write_png_frames(&frames)?;
            load_inputs(&[&frames], &load_options())?
        };

        let plan = self.plan(&gpu, &model, &input, common.precision)?;
        let options = Options::default().precision(common.precision).taps(Taps::Stages);
        let (result, timing) = forward(&gpu, &model, &input.clip, options)?;
        let blobs: Vec<&FeatureMap> = result.blobs().iter().collect();
        outputs.write(&[
            &to_safetensors(&blobs, &model.network, result.spatial_scale(), &gpu, &[])?,
            &draw(&input, result.blobs(), HeatmapMode::Change, &load_options())?,
        ])?;

        let taps: Vec<Statistics> = blobs.iter().map(|feature| Statistics::of(feature)).collect();
        if common.json {
            return print_json(&Report {
                adapter: gpu.adapter_name(),
                backend: gpu.backend(),
                driver: gpu.driver(),
                plan,
                timing,
                taps,
                frames: &frames,
                features: &features,
                heatmap: &heatmap,
            });
        }
        let mut ran = Facts::default();
        ran.add("adapter", adapter_line(&gpu)).add("time", timing.to_string());
        let mut written = Facts::default();
        written
            .add("frames", frames.display().to_string())
            .add("features", features.display().to_string())
            .add("heatmap", format!("{} (look at this)", heatmap.display()));
        print(&format!("{}\n{ran}\n{}\n{written}", summary(&plan, gpu.class()), statistics_table(&taps)))
    }

    fn plan(&self, gpu: &GpuContext, model: &Model, input: &Input, precision: Precision) -> Result<PlanReport> {
        let body = model.body()?;
        let options = PlanOptions {
            taps: resnet3d_wgpu::low_level::tap_names(&body, &Taps::Stages)?,
            dtype: precision.into(),
            target: gpu.target(),
            limits: gpu.plan_limits(),
            ..PlanOptions::default()
        };
        let plan = Plan::new(&body.graph, &[input.clip.shape()], &options)?;
        Ok(PlanReport::new(&model.network, &body, &plan))
    }
}

/// Checks that `directory`, if it exists, has no frames except `frames`: others would become part of the clip.
fn check_alone(directory: &Path, frames: &[PathBuf]) -> Result<()> {
    let paths = directory.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let others = paths.filter(|path| is_frame_name(path) && !frames.contains(path)).count();
    if others == 0 {
        return Ok(());
    }
    let wanted = format!("only the {} frames of the demo in {}", frames.len(), directory.display());
    let given = format!("{} frames: some are not of the demo; choose another --output", frames.len() + others);
    Err(Failure::clip(&wanted, &given).into())
}
