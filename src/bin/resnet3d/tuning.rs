//! `--tune`: its progress, and what it found.

use crate::bench::Spread;
use crate::progress::Progress;
use crate::text::{lines, table};
use anyhow::Result;
use resnet3d_wgpu::tuning::Tuned;
use resnet3d_wgpu::{GpuBackbone, Shape};
use serde::Serialize;

/// Tunes `backbone` for clips of `shape`, if it is to be tuned; what was tried just now.
pub fn tune(backbone: &mut GpuBackbone, shape: Shape) -> Result<Vec<Tuned>> {
    let progress = Progress::counting("tuning");
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
                rows.add_row([
                    own.operator.clone(),
                    own.count.to_string(),
                    own.candidates.to_string(),
                    own.table.to_owned(),
                    format!("{:.3}", own.table_ms),
                    if same { "the same".to_owned() } else { own.chosen.to_owned() },
                    if same { String::new() } else { format!("{:.3}", own.chosen_ms) },
                    if same { String::new() } else { format!("{gain:.0} %") },
                ]);
            }
            text += &format!("\n{}\n", lines(&rows).join("\n"));
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
