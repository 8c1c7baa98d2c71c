//! An ONNX file in tract, timed, and its output written for comparison. See the README of `benches/peers`.

use anyhow::Result;
use clap::Parser;
use peer_protocol::{Identity, Values, measure};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

/// An ONNX file in tract: prints one line of JSON with its times.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: peer_protocol::Arguments,

    /// How many threads compute; all cores by default.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let threads = arguments.threads.map_or_else(available_parallelism, Ok)?;
    set_default_executor(Executor::multithread(threads.get()));
    let identity = Identity {
        peer: "tract-onnx",
        version: TRACT_VERSION,
        configuration: "optimised".to_owned(),
        device: format!("CPU, {threads} threads"),
    };
    measure(&arguments.common, &identity, |clip| {
        let network = tract_onnx::onnx()
            .model_for_path(&arguments.common.model)?
            .with_input_fact(0, f32::fact(&clip.shape).into())?
            .into_optimized()?
            .into_runnable()?;
        Ok(move |clip: &Values| {
            let outputs = network.run(tvec!(Tensor::from_shape(&clip.shape, &clip.data)?.into()))?;
            let output = outputs[0].to_plain_array_view::<f32>()?;
            Ok(Values { shape: output.shape().to_vec(), data: output.iter().copied().collect() })
        })
    })
}

/// As in Cargo.toml: tract does not say it.
const TRACT_VERSION: &str = "0.23.9";
