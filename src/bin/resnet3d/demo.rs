//! `resnet3d demo`: the whole path on a rendered scene, without any file.

use crate::arguments::{InflateArguments, WeightsSource, weights_source};
use crate::cli::Common;
use crate::features::{Statistics, statistics_table, to_safetensors};
use crate::forward::{Times, adapter_line, forward};
use crate::network::Network;
use crate::output::{Outputs, print, print_json};
use crate::plan::summary;
use crate::progress::Progress;
use crate::run::draw;
use crate::text::Facts;
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::files::{DamagePolicy, FrameSelection, Input, LoadOptions, load_inputs};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Normalization, Preprocess};
use resnet3d_wgpu::picture::{HeatmapMode, Scene};
use resnet3d_wgpu::{Error, Feature, GpuContext, Options, Plan, PlanOptions, PlanReport, Taps};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Show the whole path on a rendered scene, without any file.
///
/// The scene is a disc that crosses a textured background. The frames are written as PNG, read back and preprocessed like any others; the features of all stages are written as
/// .safetensors, and drawn over the frames as the change over time, which shows the disc. Random weights see it too:
/// nothing is trained here.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The directory for frames, features and picture; it is created.
    #[arg(long, value_name = "DIR", default_value = "resnet3d-demo")]
    output: PathBuf,

    /// Weights, as for `run`; `random` generates some, always the same for a seed.
    #[arg(long, value_name = "FILE|random[:SEED]", default_value = "random:0", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    inflate: InflateArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d demo
  resnet3d demo --output /tmp/demo --config r34-conv4 --backend gl";

/// Three quarters of the scene's own size, so that frames are resized and a software adapter needs some seconds only.
const LOAD_OPTIONS: LoadOptions = LoadOptions {
    preprocess: Preprocess { target_size: 144, max_size: Some(192), ..Preprocess::usual(Normalization::Detectron) },
    channel_order: Some(ChannelOrder::Rgb),
    selection: FrameSelection { start: 0, count: None, stride: 1 },
    expected: None,
    keep_frames: true,
    damaged: DamagePolicy::Error,
};

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
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<()> {
        // Without an adapter nothing is to be left behind, not even the directory.
        let gpu = common.open()?;
        let network = Network::load(&self.weights, common.config.as_deref(), &self.inflate.options())?;
        let frames = self.output.join("frames");
        let (heatmap, features) = (self.output.join("heatmap.png"), self.output.join("features.safetensors"));
        let input = self.render(&frames)?;
        let mut outputs = Outputs::default();
        outputs.add("features", &features)?;
        outputs.add("heatmap", &heatmap)?;

        let plan = self.plan(&gpu, &network, &input)?;
        let options = Options { precision: common.precision, taps: Taps::Stages, ..Options::default() };
        let (result, timing) = forward(&gpu, &network, &input.clip, options)?;
        let blobs: Vec<&Feature> = result.blobs().iter().collect();
        outputs.write(&[
            to_safetensors(&blobs, &network.config, result.spatial_scale(), &gpu)?,
            draw(&input, result.blobs(), HeatmapMode::Change, &LOAD_OPTIONS)?,
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
            .add("heatmap", format!("{}: look at this", heatmap.display()));
        print(&format!("{}\n{ran}\n{}\n{written}", summary(&plan, gpu.class()), statistics_table(&taps)))
    }

    /// Writes the scene's frames and reads them as any others are read.
    fn render(&self, directory: &Path) -> Result<Input> {
        let _progress = Progress::start("rendering the scene");
        let scene = Scene::default();
        scene.write_png_frames(directory)?;
        let input = load_inputs(&[directory], &LOAD_OPTIONS)?;
        let count = input.clip.shape().t;
        if count != scene.frames {
            let error = Error::Clip {
                wanted: format!("the {} frames of the demo alone in {}", scene.frames, directory.display()),
                given: format!("{count} frames: others were there before; choose another --output"),
            };
            return Err(error.into());
        }
        Ok(input)
    }

    fn plan(&self, gpu: &GpuContext, network: &Network, input: &Input) -> Result<PlanReport> {
        let body = network.body()?;
        let options = PlanOptions {
            taps: resnet3d_wgpu::backbone::tap_names(&body, &Taps::Stages)?,
            target: gpu.target(),
            limits: gpu.plan_limits(),
            ..PlanOptions::default()
        };
        let plan = Plan::new(&body.graph, &[input.clip.shape()], &options)?;
        Ok(PlanReport::new(&network.config, &body, &plan))
    }
}
