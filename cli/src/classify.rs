//! `resnet3d classify`: the classes that a network for video finds in a video.

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

/// Classify videos with a network for video, and print the scores with the names of the classes.
///
/// The softmax of the scores is averaged over several clips of every input and several crops of every clip. By default,
/// their number and the choice of frames are those of the tests of the project that published the weights. The output
/// states the number of clips and crops. The names of Kinetics-400 are built in and are used for every network with 400
/// classes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Video files, directories of PNG, JPEG, WebP, BMP or TIFF frames, .safetensors or .npy files, as for `run`. A
    /// ready clip is used unchanged and counts as one clip.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Weights of a network for video with its classifier, as for `run` (docs/models.md).
    #[arg(long, value_name = "FILE|random[:SEED]", value_parser = weights_source())]
    weights: WeightsSource,

    #[command(flatten)]
    how: WeightArguments,

    /// The number of classes to print, the most likely first.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    top: usize,

    /// The number of clips of every input to average over, spread over the input as in the project of the weights. The
    /// default is the number in the tests of that project.
    #[arg(long, value_name = "N", value_parser = positive)]
    clips: Option<usize>,

    /// The number of squares of every frame to average over: 1, in the middle, or 3, at the beginning, in the middle
    /// and at the end of the longer side. The default is the number in the tests of the project of the weights. --crop
    /// states their size.
    #[arg(long, value_name = "1|3", value_parser = crop_count)]
    crops: Option<usize>,

    /// The names of the classes: one per line, a JSON list of names, or a JSON dictionary of names and numbers from 0
    /// on. The default is the names of Kinetics-400 for 400 classes, and otherwise the numbers alone.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Also draw which parts of the frames contribute to the first class: the channels of the last stage, each times
    /// its weight for the class, over the frames of the middle clip. Only with a single input.
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
        _ => Err("wanted 1, in the middle, or 3, along the longer side; --crop states their size".to_owned()),
    }
}

/// What `--json` prints for an input.
#[derive(Debug, Serialize)]
struct Report {
    input: String,
    family: Option<String>,
    clips: usize,
    crops: usize,
    top: Vec<Score>,
    /// The damaged frames of a video; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<Damage>,
}

/// A class and its score.
#[derive(Debug, Serialize)]
struct Score {
    index: usize,
    label: Option<String>,
    score: f64,
}

/// The result of one view, with its clip and features if the heatmap needs them.
struct ViewResult {
    softmax: Vec<f64>,
    to_draw: Option<(Clip, FeatureMap)>,
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        if self.heatmap.is_some() && self.inputs.len() > 1 {
            wrong_usage("--heatmap draws one input, but there are several");
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
            note(&format!("assumed to be as {family} publishes it: {}", model.assumed.join("; ")));
        }
        let options = self.views(self.preprocess.load_options(model.preprocess, model.sampling))?;
        let network_options =
            Options::default().precision(common.precision).taps(taps).memory_limit(self.memory.memory_limit);
        // One backbone for every clip of every input.
        let mut backbone = GpuBackbone::new(&gpu, &model.network, &model.weights, network_options)?;

        let mut reports = Vec::new();
        let mut picture = None;
        for path in &self.inputs {
            let mut results = BTreeMap::new();
            let (viewed, damage) =
                classify_views(&gpu, &mut backbone, path, &options, self.heatmap.is_some(), &mut results)?;
            for (index, viewed) in viewed.iter().enumerate() {
                if common.verbose > 0 {
                    note(&describe_views(viewed));
                }
                let clips = viewed.clips.len().max(1);
                // An abandoned choice of clips may leave results with larger clip numbers, which do not count.
                let mut of_input: Vec<ViewResult> = Vec::new();
                for clip in 0..clips {
                    of_input.extend((0..viewed.crops).filter_map(|crop| results.remove(&[index, clip, crop])));
                }
                let top = self.top(&of_input, &labels, &viewed.name);
                if let (None, Some(out), Some(first)) = (&picture, &self.heatmap, top.first()) {
                    let to_draw = of_input.into_iter().find_map(|result| result.to_draw);
                    picture = to_draw.map(|to_draw| draw(&model, &options, first, &to_draw, out)).transpose()?;
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
            .add("family", model.family.map_or("unknown".to_owned(), |family| family.to_string()));
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

    /// The options to read inputs as the views that the options ask for.
    fn views(&self, options: LoadOptions) -> Result<LoadOptions> {
        let several = self.clips.is_some_and(|clips| clips > 1) || self.crops == Some(3);
        let sampling = match (options.sampling, options.selection.count) {
            (Some(sampling), _) => Some(sampling),
            // The user states the frames, and the weights do not.
            (None, Some(frames)) if several => Some(
                Sampling::new(frames, options.selection.stride, None, Rule::Strided)
                    .start(options.selection.start)
                    .exact(true),
            ),
            (None, None) if several => {
                let wanted = "the number of frames of a clip (--frames N), for several clips or crops";
                return Err(Failure::clip(wanted, "weights that do not state it, or --frames all").into());
            }
            (None, _) => None,
        };
        let sampling = sampling.map(|sampling| {
            // A stated size overrides that of the project.
            let crop = if self.preprocess.has_crop() { None } else { sampling.crop };
            let clips = self.clips.map_or(sampling.clips, Some);
            sampling.clips(clips).crops(self.crops.unwrap_or(sampling.crops)).crop(crop)
        });
        Ok(options.sampling(sampling))
    }

    /// The most likely classes by the mean of `results`.
    fn top(&self, results: &[ViewResult], labels: &Labels, input: &str) -> Vec<Score> {
        let classes = results.first().map_or(0, |result| result.softmax.len());
        let mean =
            |class: usize| results.iter().map(|result| result.softmax[class]).sum::<f64>() / results.len() as f64;
        let mut scores: Vec<(usize, f64)> = (0..classes).map(|class| (class, mean(class))).collect();
        if scores.iter().any(|(_, score)| !score.is_finite()) {
            log::warn!("{input}: some scores are not finite");
        }
        // The sort is stable: of equal scores, the first class comes first.
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let score = |(index, score)| Score { index, label: labels.name(index).map(str::to_owned), score };
        scores.into_iter().take(self.top).map(score).collect()
    }
}

/// Runs the network on the views of one input.
fn classify_views(
    gpu: &GpuContext,
    backbone: &mut GpuBackbone,
    path: &Path,
    options: &LoadOptions,
    keeps_features: bool,
    results: &mut BTreeMap<[usize; 3], ViewResult>,
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
        let feature = (keeps_features && is_middle).then(|| features.last().clone());
        let to_draw = feature.map(|feature| (view.values, feature));
        results.insert([view.input, view.clip, view.crop], ViewResult { softmax, to_draw });
        Ok(())
    };
    Ok(load_views(path, options, &mut |state| progress.at(state.frames, state.expected), &mut take)?)
}

/// The softmax of `scores`.
fn softmax(scores: &[f32]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = scores.iter().map(|&score| (f64::from(score) - f64::from(largest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The heatmap of the class `first` over a clip, as the bytes of the file `out`.
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

/// The clips and crops of an input, as text.
fn describe_views(viewed: &Viewed) -> String {
    let rate = viewed.rate.map(|rate| format!(" at {rate:.2} fps")).unwrap_or_default();
    let of = viewed.available.map(|count| format!(" of {count} frames{rate}")).unwrap_or_default();
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
    /// The report as text: what was averaged, and a line for each class.
    fn text(&self) -> String {
        let mut rows = table(&[">score", ">class", "label"]);
        for Score { index, label, score } in &self.top {
            rows.add_row([format!("{:.2} %", score * 100.0), index.to_string(), label.clone().unwrap_or_default()]);
        }
        let [clips, crops] = [count(self.clips, "clip"), count(self.crops, "crop")];
        format!("{} (mean of {clips}, {crops} each)\n{}\n", self.input, lines(&rows).join("\n"))
    }
}
