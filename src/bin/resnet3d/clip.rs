//! `resnet3d clip`: frames into a ready clip.

use crate::arguments::PreprocessArguments;
use crate::cli::Common;
use crate::output::{Outputs, print, print_json};
use crate::progress::Progress;
use crate::text::{Facts, mib};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::files::{load_batch, save_clip};
use serde_json::json;
use std::path::PathBuf;

/// Make a ready clip of frames, as `run` does on the way.
///
/// Frames are resized, the pixel means subtracted, the channels ordered blue, green, red; the result is the float32
/// tensor `data`, NxCxTxHxW, of a .safetensors. Several inputs form a batch.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Directories of PNG or JPEG frames, or .safetensors with uint8 tensors `frames.0`, `frames.1`, … (T,H,W,3).
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Where the clip goes.
    #[arg(long, value_name = "CLIP.safetensors")]
    output: PathBuf,

    #[command(flatten)]
    preprocess: PreprocessArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d clip frames/ --output clip.safetensors
  resnet3d clip first/ second/ --output batch.safetensors --size 224 --max-size 224 --pad-stride 32";

impl Arguments {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<()> {
        let mut outputs = Outputs::default();
        outputs.add("--output", &self.output)?;
        for input in &self.inputs {
            outputs.keep("INPUT", input);
        }
        let clip = {
            let _progress = Progress::start("reading the frames");
            let clip = load_batch(&self.inputs, &self.preprocess.load_options())?;
            save_clip(&clip, &self.output)?;
            clip
        };
        if common.json {
            return print_json(&json!({"clip": clip.shape(), "output": self.output.display().to_string()}));
        }
        let mut facts = Facts::default();
        facts
            .add("clip", format!("{} ({})", clip.shape(), mib(clip.shape().bytes())))
            .add("written", self.output.display().to_string());
        print(&facts.to_string())
    }
}
