//! `resnet3d classify`: what a network for video sees in a video.

use crate::arguments::{
    MemoryArguments, PreprocessArguments, WeightArguments, WeightsSource, positive, weights_source,
};
use crate::cli::Common;
use crate::failure::Failure;
use crate::forward::{adapter_line, memory_line};
use crate::input;
use crate::labels::Labels;
use crate::network::{Model, describe};
use crate::output::{note, wrong_usage};
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::svg;
use crate::text::{Facts, lines, table};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::files::{Damage, LoadOptions, View, Viewed, load_views};
use resnet3d_wgpu::clip::sampling::{Rule, Sampling};
use resnet3d_wgpu::low_level::atomic_file::Contents;
use resnet3d_wgpu::low_level::tap_names;
use resnet3d_wgpu::picture::{Activation, Backdrop, class_heatmap};
use resnet3d_wgpu::{Clip, FeatureMap, GpuBackbone, GpuContext, Options, Taps};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Say what a network for video sees: the scores of its classes, by name.
///
/// The softmax of the scores is averaged over several clips of every input and several crops of every clip, by default as many
/// as the project that published the weights tests with, from the frames that it takes. What was averaged is said with the
/// scores. Kinetics-400's names are built in and are those of any network of 400 classes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Video files, directories of PNG, JPEG, WebP, BMP or TIFF frames, .safetensors or .npy files, as for `run`. A ready clip
    /// is taken as it is, and one clip.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Weights of a network for video with its classifier, as for `run` (docs/models.md).
    #[arg(long, value_name = "FILE|random[:SEED]", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    how: WeightArguments,

    /// How many classes are shown, the likeliest first.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    top: usize,

    /// Average over so many clips of every input, spread over it as the project of the weights has them. By default as many
    /// as it tests with.
    #[arg(long, value_name = "N", value_parser = positive)]
    clips: Option<usize>,

    /// Average over so many squares of every frame: 1, the middle, or 3, at the beginning, in the middle and at the end of the
    /// longer side. By default as many as the project of the weights tests with. How large they are says --crop.
    #[arg(long, value_name = "1|3", value_parser = crop_count)]
    crops: Option<usize>,

    /// The names of the classes: one a line, or as JSON a list of them, or a dictionary of their numbers, from 0 on. Without
    /// it those of Kinetics-400 where there are 400 classes, else their numbers.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Also draw which parts of which frames speak for the first class: the channels of the last stage, each times its weight
    /// in the class, over the frames of the clip in the middle. Of one input.
    #[arg(long, value_name = "OUT.png|OUT.svg")]
    heatmap: Option<PathBuf>,

    #[command(flatten)]
    memory: MemoryArguments,

    #[command(flatten)]
    preprocess: PreprocessArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d classify video.mp4 --weights r3d_18.pth
  resnet3d classify *.mp4 --weights SLOW_8x8_R50.pyth --clips 1 --crops 1 --json
  resnet3d classify frames/ --weights r3d50_KM_200ep.pth --labels classes.txt --top 10
  resnet3d classify video.mp4 --weights r2plus1d_18.pth --heatmap why.png
  resnet3d classify video.mp4 --weights r3d_18.pth --start 120 --frames 16 --stride 2 --clips 1";

/// Reads a number of crops.
fn crop_count(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("wanted 1, the middle, or 3, along the longer side; --crop says how large".to_owned()),
    }
}

/// What `--json` prints of an input.
#[derive(Debug, Serialize)]
struct Report {
    input: String,
    family: Option<String>,
    clips: usize,
    crops: usize,
    top: Vec<Score>,
    /// Of videos, what was; absent if nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<Damage>,
}

/// A class.
#[derive(Debug, Serialize)]
struct Score {
    index: usize,
    label: Option<String>,
    score: f64,
}

/// The scores of one view, and where its features are wanted, what they are of.
struct Seen {
    softmax: Vec<f64>,
    drawn: Option<(Clip, FeatureMap)>,
}

impl Arguments {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        if self.heatmap.is_some() && self.inputs.len() > 1 {
            wrong_usage("--heatmap draws one input, and there are several");
        }
        let labels_file = self.labels.as_deref().map(|path| ("--labels", path));
        let inputs = self.inputs.iter().map(|input| ("INPUT", input.as_path()));
        let inputs: Vec<_> = inputs.chain(self.weights.file()).chain(common.config_file()).chain(labels_file).collect();
        let outputs = Outputs::new([("--heatmap", self.heatmap.as_deref())], &inputs)?;
        let choice = common.choice()?;
        let gpu = common.open()?;
        self.inputs.iter().try_for_each(|path| input::check(path))?;

        let model = Model::load(&self.weights, choice, &self.how)?;
        let taps = Taps::Named(vec!["pred".to_owned()]);
        tap_names(&model.body()?, &taps)?;
        let labels = Labels::new(self.labels.as_deref(), model.network.classes().unwrap_or(0))?;
        if let Some(family) = model.family.filter(|_| common.verbose > 0 && !model.assumed.is_empty()) {
            note(&format!("taken to be as {} publishes it: {}", family, model.assumed.join("; ")));
        }
        let options = self.views(self.preprocess.load_options(model.preprocess, model.sampling))?;
        let network_options =
            Options::default().precision(common.precision).taps(taps).memory_limit(self.memory.memory_limit);
        // Every clip of every input goes through this one.
        let mut backbone = GpuBackbone::new(&gpu, &model.network, &model.weights, network_options)?;

        let mut reports = Vec::new();
        let mut picture = None;
        for path in &self.inputs {
            let mut seen = BTreeMap::new();
            let (viewed, damage) = look(&gpu, &mut backbone, path, &options, self.heatmap.is_some(), &mut seen)?;
            for (index, viewed) in viewed.iter().enumerate() {
                if common.verbose > 0 {
                    note(&describe_views(viewed));
                }
                let clips = viewed.clips.len().max(1);
                // Views of a plan that was given up are beyond its clips.
                let mut own: Vec<Seen> = Vec::new();
                for clip in 0..clips {
                    own.extend((0..viewed.crops).filter_map(|crop| seen.remove(&[index, clip, crop])));
                }
                let top = self.top(&own, &labels, &viewed.name);
                if let (None, Some(out), Some(first)) = (&picture, &self.heatmap, top.first()) {
                    let drawn = own.into_iter().find_map(|seen| seen.drawn);
                    picture = drawn.map(|drawn| draw(&model, &options, first, &drawn, out)).transpose()?;
                }
                reports.push(Report {
                    input: viewed.name.clone(),
                    family: model.family.map(|family| family.to_string()),
                    clips,
                    crops: viewed.crops,
                    top,
                    damaged: damage.iter().filter(|damage| damage.input == viewed.name).cloned().collect(),
                });
            }
        }
        let picture = picture.as_ref().map(|picture| picture as &dyn Contents);
        outputs.write(&picture.into_iter().collect::<Vec<_>>())?;
        if common.json {
            return outputs.print_json(&reports);
        }
        let mut above = Facts::default();
        above
            .add("adapter", adapter_line(&gpu))
            .add("network", describe(&model.network))
            .add("family", model.family.map_or("not said".to_owned(), |family| family.to_string()));
        if let Some(sampling) = &options.sampling {
            above.add("a clip", sampling.describe());
        }
        let mut text = above.to_string();
        for report in &reports {
            text += &format!("\n{}", report.text());
        }
        if let Some(path) = &self.heatmap {
            text += &format!("\nheatmap  {}\n", path.display());
        }
        outputs.print(&text)
    }

    /// How inputs are read as the views that are asked for.
    fn views(&self, options: LoadOptions) -> Result<LoadOptions> {
        let several = self.clips.is_some_and(|clips| clips > 1) || self.crops == Some(3);
        let sampling = match (options.sampling, options.selection.count) {
            (Some(sampling), _) => Some(sampling),
            // Frames that are asked for of weights that want none in particular.
            (None, Some(frames)) if several => Some(
                Sampling::new(frames, options.selection.stride, None, Rule::Strided)
                    .start(options.selection.start)
                    .exact(true),
            ),
            (None, None) if several => {
                let wanted = "the number of frames of a clip (--frames N), to take several clips or crops";
                return Err(Failure::clip(wanted, "weights that do not say it, or all frames asked for").into());
            }
            (None, _) => None,
        };
        let sampling = sampling.map(|sampling| {
            // A side that is asked for goes before the project's.
            let crop = if self.preprocess.has_crop() { None } else { sampling.crop };
            let clips = self.clips.map_or(sampling.clips, Some);
            sampling.clips(clips).crops(self.crops.unwrap_or(sampling.crops)).crop(crop)
        });
        Ok(options.sampling(sampling))
    }

    /// The likeliest classes by the mean of `seen`.
    fn top(&self, seen: &[Seen], labels: &Labels, input: &str) -> Vec<Score> {
        let classes = seen.first().map_or(0, |seen| seen.softmax.len());
        let mean = |class: usize| seen.iter().map(|seen| seen.softmax[class]).sum::<f64>() / seen.len() as f64;
        let mut scores: Vec<(usize, f64)> = (0..classes).map(|class| (class, mean(class))).collect();
        if scores.iter().any(|(_, score)| !score.is_finite()) {
            log::warn!("{input}: there are scores that are not finite");
        }
        // Of equal ones the first.
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let score = |(index, score)| Score { index, label: labels.name(index).map(str::to_owned), score };
        scores.into_iter().take(self.top).map(score).collect()
    }
}

/// Sends the views of one input through the network.
fn look(
    gpu: &GpuContext,
    backbone: &mut GpuBackbone,
    path: &Path,
    options: &LoadOptions,
    draws: bool,
    seen: &mut BTreeMap<[usize; 3], Seen>,
) -> Result<(Vec<Viewed>, Vec<Damage>)> {
    let progress = Progress::counting("classifying").with_kernels(gpu);
    let mut shape = None;
    let mut take = |view: View| {
        if shape.replace(view.values.shape()) != Some(view.values.shape()) {
            note(&memory_line(backbone.plan(view.values.shape())?));
        }
        let features = backbone.forward(&view.values)?;
        let softmax = features.get("pred").map(|pred| softmax(&pred.data)).unwrap_or_default();
        let is_middle = view.input == 0 && view.clip == view.clips / 2 && view.crop == view.crops / 2;
        let drawn = (draws && is_middle).then(|| features.last().clone());
        let drawn = drawn.map(|feature| (view.values, feature));
        seen.insert([view.input, view.clip, view.crop], Seen { softmax, drawn });
        Ok(())
    };
    Ok(load_views(path, options, &mut |state| progress.at(state.frames, state.expected), &mut take)?)
}

/// The shares of scores.
fn softmax(scores: &[f32]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = scores.iter().map(|&score| (f64::from(score) - f64::from(most)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The picture of what speaks for `first` in a clip, as the bytes of the file `out`.
fn draw(
    model: &Model,
    options: &LoadOptions,
    first: &Score,
    (clip, feature): &(Clip, FeatureMap),
    out: &Path,
) -> Result<Vec<u8>> {
    let _progress = Progress::start("drawing the heatmap");
    let classifier = model.weights.tensors().find(|(name, _)| *name == "pred_w").map(|(_, tensor)| tensor);
    let of_class = classifier.and_then(|tensor| {
        let classes = *tensor.shape().first()?;
        tensor.data().chunks_exact(tensor.data().len().checked_div(classes)?.max(1)).nth(first.index)
    });
    let backdrop = Backdrop::new(clip, None, &options.preprocess)?;
    let activation = Activation { name: &feature.name, shape: feature.shape, data: &feature.data };
    let label = first.label.clone().unwrap_or_else(|| format!("class {}", first.index));
    let label = format!("{label} ({:.1} %)", first.score * 100.0);
    let picture = class_heatmap(&backdrop, &activation, of_class.unwrap_or_default(), &label)?;
    let png = picture.to_png()?;
    let is_svg = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    Ok(if is_svg { svg::of_png(&png, picture.width(), picture.height()).into_bytes() } else { png })
}

/// What an input was taken for, in a few words.
fn describe_views(viewed: &Viewed) -> String {
    let rate = viewed.rate.map(|rate| format!(" at {rate:.2} fps")).unwrap_or_default();
    let of = viewed.there.map(|there| format!(" of {there} frames{rate}")).unwrap_or_default();
    let ends = |clip: &Vec<usize>| match clip[..] {
        [first, .., last] => format!("{first}-{last}"),
        _ => clip.first().map_or_else(String::new, usize::to_string),
    };
    let clips = if viewed.clips.is_empty() {
        "a ready clip".to_owned()
    } else {
        format!("frames {}", viewed.clips.iter().map(ends).collect::<Vec<_>>().join(", "))
    };
    format!("{}: {clips}{of}, {} of each", viewed.name, count(viewed.crops, "crop"))
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

impl Report {
    /// For people: what was averaged, and a line for each class.
    fn text(&self) -> String {
        let mut rows = table(&[">score", ">class", "label"]);
        for Score { index, label, score } in &self.top {
            rows.add_row([format!("{:.2} %", score * 100.0), index.to_string(), label.clone().unwrap_or_default()]);
        }
        let [clips, crops] = [count(self.clips, "clip"), count(self.crops, "crop")];
        format!("{} (mean of {clips}, {crops} each)\n{}\n", self.input, lines(&rows).join("\n"))
    }
}
