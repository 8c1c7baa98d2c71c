//! What the peers written in Rust have in common: arguments, files, measuring, and the line they print.
//!
//! The README of `benches/peers` has the protocol. `protocol.py`, also there, is the same for the peers in Python.

mod files;
mod measure;

pub use files::{Values, read_safetensors};
pub use measure::{Identity, measure};

use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What every peer is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The network: weights by the names of blobs (.safetensors), or an .onnx file, as the peer wants it.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,

    /// A safetensors file with the clip as the float32 tensor `data`, NxCxTxHxW.
    #[arg(long, value_name = "FILE")]
    pub clip: PathBuf,

    /// At most how many runs are measured, after the first one.
    #[arg(long, value_name = "N", default_value = "5")]
    pub runs: NonZeroUsize,

    /// No further run is begun when the measured ones have taken this long; one is always measured.
    #[arg(long, value_name = "S", default_value = "60")]
    pub seconds: f64,

    /// Where the last blob goes, as the tensor `output`.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
