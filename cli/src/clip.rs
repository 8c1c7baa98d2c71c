//! `resnet3d clip`: makes a ready clip from frames.

use crate::arguments::PreprocessArguments;
use crate::cli::Common;
use crate::input::load;
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::text::{Facts, mib};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::files::{Input, clip_file};
use serde_json::json;
use std::path::PathBuf;

/// Make a ready clip from frames or a video, with the preprocessing of `run`.
///
/// Frames are resized and their values normalised as the weights want it; for Detectron's weights, the pixel means are
/// subtracted and the channels are ordered blue, green, red. The result is a .safetensors file with the float32 tensor
/// `data`, NxCxTxHxW, and the normalisation in its metadata (`preprocess`). Several inputs form a batch.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Video files, directories of PNG, JPEG, WebP, BMP or TIFF frames, .safetensors with uint8 tensors `frames.0`,
    /// `frames.1`, …, or a uint8 .npy (T,H,W,3, T,3,H,W or 3,T,H,W, in .npy with N before for several clips).
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// The file for the clip; `-` is standard output, and then the report goes to standard error.
    #[arg(long, value_name = "CLIP.safetensors")]
    output: PathBuf,

    #[command(flatten)]
    preprocess: PreprocessArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d clip frames/ --output clip.safetensors
  resnet3d clip video.mp4 --frames 32 --stride 2 --output clip.safetensors
  resnet3d clip video.mp4 --preprocess imagenet --size 256 --crop 224 --output clip.safetensors
  resnet3d clip first/ second/ --output batch.safetensors --size 224 --max-size 224 --pad-stride 32";

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        let inputs = self.inputs.iter().map(|input| ("INPUT", input.as_path())).chain(common.config_file());
        let outputs = Outputs::new([("--output", Some(self.output.as_path()))], &inputs.collect::<Vec<_>>())?;
        common.choice()?;
        let Input { clip, normalization, damage, .. } = load(&self.inputs, &self.preprocess.load_options(None, None))?;
        {
            let _progress = Progress::start("writing the clip");
            outputs.write(&[&clip_file(&clip, normalization)?])?;
        }
        if common.json {
            let preprocess = normalization.map(|name| name.to_string());
            let output = self.output.display().to_string();
            let mut report = json!({"clip": clip.shape(), "preprocess": preprocess, "output": output});
            if !damage.is_empty() {
                report["damaged"] = json!(damage);
            }
            return outputs.print_json(&report);
        }
        let mut facts = Facts::default();
        facts
            .add("clip", format!("{} ({})", clip.shape(), mib(clip.shape().bytes())))
            .add("preprocess", normalization.map_or("unknown".to_owned(), |name| name.to_string()))
            .add("written", self.output.display().to_string());
        outputs.print(&facts.to_string())
    }
}
