//! The common part of the peers in Rust: arguments, files, measurement, and the output line.
//!
//! The README of `benches/peers` describes the protocol. `protocol.py` does the same for the peers in Python.

mod files;
mod measure;

pub use files::{Values, read_safetensors};
pub use measure::{Identity, measure};

use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The arguments of every peer.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The network: weights named by blob (.safetensors) or an .onnx file, depending on the peer.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,

    /// A safetensors file with the clip as the float32 tensor `data`, NxCxTxHxW.
    #[arg(long, value_name = "FILE")]
    pub clip: PathBuf,

    /// The maximum number of measured runs after the first one.
    #[arg(long, value_name = "N", default_value = "5")]
    pub runs: NonZeroUsize,

    /// No run begins after the measured runs have taken this many seconds. At least one run is measured.
    #[arg(long, value_name = "S", default_value = "60")]
    pub seconds: f64,

    /// The file for the last blob, as the tensor `output`.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
