//! Measures the times of a network, and prints them.

use crate::{Arguments, Values};
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// The library and its device.
#[derive(Debug, Serialize)]
pub struct Identity {
    /// The library.
    pub peer: &'static str,
    /// Version of the library.
    pub version: &'static str,
    /// Its configuration.
    pub configuration: String,
    /// The adapter with its backend and driver, or `CPU` with the number of threads.
    pub device: String,
}

/// The output line.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    identity: &'a Identity,
    clip: &'a [usize],
    prepare_ms: f64,
    first_ms: f64,
    runs_ms: &'a [f64],
}

/// Measures a network according to `arguments`, writes the last blob, and prints one line of JSON.
///
/// `prepare` creates the network, a function from a clip in memory to values in memory. All of that is timed. The first
/// run is separate, because kernels are compiled and chosen in it.
pub fn measure<N>(arguments: &Arguments, identity: &Identity, prepare: impl FnOnce(&Values) -> Result<N>) -> Result<()>
where
    N: FnMut(&Values) -> Result<Values>,
{
    let clip = Values::read_clip(&arguments.clip)?;
    let started = Instant::now();
    let mut network = prepare(&clip)?;
    let prepare_ms = milliseconds(started.elapsed());
    let mut run = || -> Result<(f64, Values)> {
        let started = Instant::now();
        let output = network(&clip)?;
        Ok((milliseconds(started.elapsed()), output))
    };
    let (first_ms, mut output) = run()?;
    let mut runs_ms: Vec<f64> = Vec::new();
    while runs_ms.is_empty()
        || (runs_ms.len() < arguments.runs.get() && runs_ms.iter().sum::<f64>() < arguments.seconds * 1e3)
    {
        let (elapsed, values) = run()?;
        runs_ms.push(elapsed);
        output = values;
    }
    if let Some(path) = &arguments.output {
        output.write(path)?;
    }
    let line = Line { identity, clip: &clip.shape, prepare_ms, first_ms, runs_ms: &runs_ms };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
