//! `--tune`: its progress, and what it found.

use crate::bench::Spread;
use crate::progress::Progress;
use crate::text::{lines, milliseconds, table};
use anyhow::Result;
use resnet3d_wgpu::low_level::tuning::Tuned;
use resnet3d_wgpu::{Clip, GpuBackbone, GpuContext, Shape, Timing};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Tunes `backbone`, which is on `gpu`, for clips of `shape`, if it is to be tuned; what was tried just now.
pub fn tune(gpu: &GpuContext, backbone: &mut GpuBackbone, shape: Shape) -> Result<Vec<Tuned>> {
    let progress = Progress::counting("tuning").with_kernels(gpu);
    Ok(backbone.tune(shape, &mut |done, total| progress.at(done, Some(total)))?)
}

/// What `bench --tune --json` prints beside the rest, which is that of the tuned network.
#[derive(Debug, Serialize)]
pub struct TuningReport {
    /// What was tried just now: nothing where a cache knew it all.
    pub operators: Vec<Tuned>,
    /// Operators that run by another method than the fixed table's.
    pub changed: Vec<String>,
    /// The latency with the fixed table, in runs that took turns with the others.
    pub table_latency_ms: Spread,
    /// By how much the fixed table took longer than the tuned network: the median of what pairs of runs, one behind the
    /// other, say, less 1.
    pub gain: f64,
}

impl TuningReport {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.operators.is_empty() {
            let mut rows = table(&["operator", ">like it", ">tried", "table", ">ms", "chosen", ">ms", ">gain"]);
            for own in &self.operators {
                let same = own.table == own.chosen;
                let gain = (own.table_ms / own.chosen_ms - 1.0) * 100.0;
                let dropped = if own.kept { "" } else { ", dropped" };
                rows.add_row([
                    own.operator.clone(),
                    own.count.to_string(),
                    own.candidates.to_string(),
                    own.table.to_owned(),
                    format!("{:.3}", own.table_ms),
                    if same { "the same".to_owned() } else { own.chosen.to_owned() },
                    if same { String::new() } else { format!("{:.3}", own.chosen_ms) },
                    if same { String::new() } else { format!("{gain:.0} %{dropped}") },
                ]);
            }
            text += &format!("\n{}\n", lines(&rows).join("\n"));
            if self.operators.iter().any(|own| !own.kept) {
                text += "dropped: quicker alone, but the network as a whole was not\n";
            }
        }
        let changed = if self.changed.is_empty() { "no operator".to_owned() } else { self.changed.join(", ") };
        text += &format!("\nby another method than the table's: {changed}\n");
        text + &format!(
            "with the table {}: the tuned network is {:+.1} % quicker, run by run\n",
            self.table_latency_ms,
            self.gain * 100.0
        )
    }
}

/// The same network by the fixed table, to compare a tuned one with.
pub struct Comparison {
    backbone: GpuBackbone,
    kernels: Vec<&'static str>,
    latencies: Vec<Duration>,
}

impl Comparison {
    /// Prepared and warmed up.
    pub fn new(mut backbone: GpuBackbone, clip: &Clip) -> Result<Self> {
        let plan = backbone.plan(clip.shape())?;
        let kernels = plan.steps().iter().map(|step| step.method.name()).collect();
        backbone.forward(clip)?;
        Ok(Self { backbone, kernels, latencies: Vec::new() })
    }

    /// One more measured run.
    pub fn run(&mut self, clip: &Clip) -> Result<()> {
        let started = Instant::now();
        self.backbone.forward_timed(clip, Timing::Total)?;
        self.latencies.push(started.elapsed());
        Ok(())
    }

    /// What came of it, beside a tuned network with these operators and kernels, whose runs took as long as `tuned`.
    pub fn report(self, operators: Vec<Tuned>, kernels: &[(&str, &str)], tuned: &[Duration]) -> TuningReport {
        let changed = kernels.iter().zip(&self.kernels).filter(|((_, own), table)| own != *table);
        let ratio = |(table, own): (&Duration, &Duration)| table.as_secs_f64() / own.as_secs_f64();
        let ratios = Spread::of(self.latencies.iter().zip(tuned).map(ratio).collect());
        let latencies = self.latencies.iter().copied().map(milliseconds).collect();
        TuningReport {
            operators,
            changed: changed.map(|((name, _), _)| (*name).to_owned()).collect(),
            table_latency_ms: Spread::of(latencies).unwrap_or(Spread::NONE),
            gain: ratios.map_or(0.0, |ratios| ratios.median - 1.0),
        }
    }
}
