//! `resnet3d convert`: converts weights of any format to a safetensors file of blobs.

use crate::arguments::WeightArguments;
use crate::cli::Common;
use crate::network::{describe, load, network_for, open};
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::text::{Facts, lines, mib, table};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::weights::{Loaded, Origin, Storage};
use resnet3d_wgpu::{Checkpoint, Network};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Convert weights to a safetensors file that names its network and needs no further options.
///
/// Tensors get the names of blobs, batch norms are folded into scale and bias, 2-D weights are inflated, and tensors
/// that the network does not use are left out. The metadata of the file holds the network (`config`) and the
/// preprocessing that it wants (`preprocess`, `sampling`). The file is written completely or not at all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Weights: safetensors, an archive of torch.save (.pth, .pt, .pyth, …) or a Caffe2 .pkl. The tensors have the
    /// names of blobs or those of a known project (docs/weights.md, docs/models.md).
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// The file for the converted weights; `-` is standard output, and then the report goes to standard error.
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,

    #[command(flatten)]
    how: WeightArguments,

    /// Store float16 instead of float32.
    #[arg(long)]
    f16: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d convert model_final.pkl r18.safetensors --inflate center-only
  resnet3d convert resnet50.safetensors r50.safetensors --inflate mean-repeat --f16
  resnet3d convert R-101.pkl r101-image.safetensors --config '{\"preset\": \"r101-conv5\", \"time_kernel_dim\": 1}'";

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        let inputs: Vec<_> = [("IN", self.input.as_path())].into_iter().chain(common.config_file()).collect();
        let outputs = Outputs::new([("OUT", Some(self.output.as_path()))], &inputs)?;
        let choice = common.choice()?;
        let progress = Progress::start("converting weights");
        let checkpoint = open(&self.input, self.how.family)?;
        let network = network_for(&checkpoint, &self.input, choice)?;
        let loaded = load(&checkpoint, &self.input, &network, &self.how.options())?;
        // For a body of the reference the configuration says everything, whichever project the weights come from.
        let family = checkpoint.family().filter(|_| matches!(network, Network::Described(_)));
        let sampling = checkpoint.sampling().filter(|_| matches!(network, Network::Described(_)));
        let storage = if self.f16 { Storage::F16 } else { Storage::F32 };
        let file = loaded.weights.to_safetensors(&network, family, checkpoint.normalization(), sampling, storage)?;
        outputs.write(&[&file])?;
        drop(progress);
        let report =
            Report { arguments: self, checkpoint: &checkpoint, network: &network, loaded: &loaded, bytes: file.size() };
        if common.json { outputs.print_json(&report.json()) } else { outputs.print(&report.text()) }
    }
}

/// The report of a conversion.
struct Report<'a> {
    arguments: &'a Arguments,
    checkpoint: &'a Checkpoint,
    network: &'a Network,
    loaded: &'a Loaded,
    bytes: usize,
}

impl Report<'_> {
    fn count(&self, of: impl Fn(&Origin) -> bool) -> usize {
        self.loaded.origins.iter().filter(|origin| of(origin)).count()
    }

    fn renamed(&self) -> usize {
        self.count(Origin::renamed)
    }

    fn folded(&self) -> usize {
        self.count(|origin| origin.folded)
    }

    fn inflated(&self) -> usize {
        self.count(|origin| origin.inflated.is_some())
    }

    fn preprocess(&self) -> Option<String> {
        self.checkpoint.normalization().map(|name| name.to_string())
    }

    /// A line for each parameter, a line for each dropped name, and the totals.
    fn text(&self) -> String {
        let mut rows = table(&["blob", ">shape", "made from", ">shape", "of", "done"]);
        for origin in &self.loaded.origins {
            rows.add_row([
                origin.blob.clone(),
                shape(&origin.shape),
                sources(origin),
                shape(&origin.given),
                origin.element.clone(),
                done(origin),
            ]);
        }
        let mut text = lines(&rows).join("\n") + "\n";
        if !self.loaded.dropped.is_empty() {
            let mut rows = table(&["dropped", "what it is"]);
            for dropped in &self.loaded.dropped {
                rows.add_row([&dropped.name, &dropped.what]);
            }
            text += &format!("\n{}\n", lines(&rows).join("\n"));
        }
        let mut facts = Facts::default();
        facts
            .add("names", self.checkpoint.naming().to_string())
            .add("network", describe(self.network))
            .add("pixels", self.preprocess().unwrap_or_else(|| "unknown".to_owned()))
            .add(
                "blobs",
                format!(
                    "{}: {} renamed, {} folded, {} inflated; {} names dropped",
                    self.loaded.origins.len(),
                    self.renamed(),
                    self.folded(),
                    self.inflated(),
                    self.loaded.dropped.len()
                ),
            )
            .add("written", format!("{} ({})", self.arguments.output.display(), mib(self.bytes as u64)));
        format!("{text}\n{facts}")
    }

    fn json(&self) -> Value {
        let blobs = self.loaded.origins.iter().map(|origin| {
            json!({
                "name": origin.blob,
                "shape": origin.shape,
                "shape_in_file": origin.given,
                "sources": origin.sources,
                "element": origin.element,
                "renamed": origin.renamed(),
                "folded": origin.folded,
                "inflated": origin.inflated.map(|(mode, _)| mode.to_string()),
                "transposed": origin.transposed,
            })
        });
        let dropped = self.loaded.dropped.iter().map(|dropped| json!({"name": dropped.name, "what": dropped.what}));
        json!({
            "input": self.arguments.input.display().to_string(),
            "output": self.arguments.output.display().to_string(),
            "names": self.checkpoint.naming().to_string(),
            "config": self.network,
            "preprocess": self.preprocess(),
            "storage": if self.arguments.f16 { "f16" } else { "f32" },
            "bytes": self.bytes,
            "renamed": self.renamed(),
            "folded": self.folded(),
            "inflated": self.inflated(),
            "blobs": blobs.collect::<Vec<_>>(),
            "dropped": dropped.collect::<Vec<_>>(),
        })
    }
}

/// Extents separated by `x`.
fn shape(axes: &[usize]) -> String {
    axes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// The tensor that a blob is made from; for a batch norm, the first of four tensors.
fn sources(origin: &Origin) -> String {
    match origin.sources.as_slice() {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    }
}

/// The conversions of a tensor, as text.
fn done(origin: &Origin) -> String {
    let inflated = match origin.inflated {
        Some((mode, kt)) => Some(format!("inflated to {kt} ({mode})")),
        None => (origin.given.len() == 4).then(|| "time axis of 1".to_owned()),
    };
    let done = [
        origin.renamed().then(|| "renamed".to_owned()),
        origin.transposed.then(|| "transposed".to_owned()),
        origin.folded.then(|| "folded".to_owned()),
        inflated,
    ];
    done.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
