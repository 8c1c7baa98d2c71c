//! Runs an ONNX file in tract, measures it, and writes its output for comparison. See the README of `benches/peers`.

use anyhow::Result;
use clap::Parser;
use peer_protocol::{Identity, Values, measure};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

/// Run an ONNX file in tract and print its times as one line of JSON.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: peer_protocol::Arguments,

    /// The number of threads. The default is all cores.
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

/// The version in Cargo.toml, because tract does not expose it.
const TRACT_VERSION: &str = "0.23.9";
