//! `--tune`: its progress and its results.

use crate::bench::Summary;
use crate::progress::Progress;
use crate::text::{lines, milliseconds, table};
use anyhow::Result;
use resnet3d_wgpu::low_level::tuning::Tuned;
use resnet3d_wgpu::{Clip, GpuBackbone, GpuContext, Shape, Timing};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Tunes `backbone`, a backbone on `gpu`, for clips of `shape` if its options ask for that. Returns what was
/// benchmarked now.
pub fn tune(gpu: &GpuContext, backbone: &mut GpuBackbone, shape: Shape) -> Result<Vec<Tuned>> {
    let progress = Progress::counting("tuning").with_kernels(gpu);
    Ok(backbone.tune(shape, &mut |done, total| progress.at(done, Some(total)))?)
}

/// What `bench --tune --json` prints in addition to the results of the tuned network.
#[derive(Debug, Serialize)]
pub struct TuningReport {
    /// The operators that were benchmarked; empty if the cache had all of them.
    pub operators: Vec<Tuned>,
    /// Operators whose method differs from the fixed table.
    pub changed: Vec<String>,
    /// The latency with the fixed table, in runs that alternate with those of the tuned network.
    pub table_latency_ms: Summary,
    /// How much longer the fixed table took than the tuned network: the median ratio over pairs of successive runs,
    /// minus 1.
    pub gain: f64,
}

impl TuningReport {
    /// The report as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.operators.is_empty() {
            let mut rows = table(&["operator", ">count", ">tried", "table", ">ms", "chosen", ">ms", ">gain"]);
            for tuned in &self.operators {
                let same = tuned.table == tuned.chosen;
                let gain = (tuned.table_ms / tuned.chosen_ms - 1.0) * 100.0;
                let dropped = if tuned.kept { "" } else { ", dropped" };
                rows.add_row([
                    tuned.operator.clone(),
                    tuned.count.to_string(),
                    tuned.candidates.to_string(),
                    tuned.table.to_owned(),
                    format!("{:.3}", tuned.table_ms),
                    if same { "the same".to_owned() } else { tuned.chosen.to_owned() },
                    if same { String::new() } else { format!("{:.3}", tuned.chosen_ms) },
                    if same { String::new() } else { format!("{gain:.0} %{dropped}") },
                ]);
            }
            text += &format!("\n{}\n", lines(&rows).join("\n"));
            if self.operators.iter().any(|tuned| !tuned.kept) {
                text += "dropped: faster alone, but the whole network was not faster\n";
            }
        }
        let changed = if self.changed.is_empty() { "none".to_owned() } else { self.changed.join(", ") };
        text += &format!("\nmethods that differ from the table: {changed}\n");
        text + &format!(
            "with the table {}: the tuned network is {:+.1} % faster, by pairs of runs\n",
            self.table_latency_ms,
            self.gain * 100.0
        )
    }
}

/// The network with the fixed table, for comparison with the tuned network.
pub struct Comparison {
    backbone: GpuBackbone,
    kernels: Vec<&'static str>,
    latencies: Vec<Duration>,
}

impl Comparison {
    /// Prepares the network and warms it up.
    pub fn new(mut backbone: GpuBackbone, clip: &Clip) -> Result<Self> {
        let plan = backbone.plan(clip.shape())?;
        let kernels = plan.steps().iter().map(|step| step.method.name()).collect();
        backbone.forward(clip)?;
        Ok(Self { backbone, kernels, latencies: Vec::new() })
    }

    /// Measures another run.
    pub fn run(&mut self, clip: &Clip) -> Result<()> {
        let started = Instant::now();
        self.backbone.forward_timed(clip, Timing::Total)?;
        self.latencies.push(started.elapsed());
        Ok(())
    }

    /// The report on a tuned network with these operators and kernels, whose runs took the times `tuned`.
    pub fn report(self, operators: Vec<Tuned>, kernels: &[(&str, &str)], tuned: &[Duration]) -> TuningReport {
        let changed = kernels.iter().zip(&self.kernels).filter(|((_, chosen), table)| chosen != *table);
        let ratio = |(table, tuned): (&Duration, &Duration)| table.as_secs_f64() / tuned.as_secs_f64();
        let ratios = Summary::of(self.latencies.iter().zip(tuned).map(ratio).collect());
        let latencies = self.latencies.iter().copied().map(milliseconds).collect();
        TuningReport {
            operators,
            changed: changed.map(|((name, _), _)| (*name).to_owned()).collect(),
            table_latency_ms: Summary::of(latencies).unwrap_or(Summary::NONE),
            gain: ratios.map_or(0.0, |ratios| ratios.median - 1.0),
        }
    }
}
