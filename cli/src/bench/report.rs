//! The results of `bench`, as text and as JSON.

use super::layers::{self, Layer};
use super::sweep::Sweep;
use crate::text::{Facts, mib};
use crate::tuning::TuningReport;
use resnet3d_wgpu::Shape;
use resnet3d_wgpu::clip::files::Damage;
use resnet3d_wgpu::low_level::gpu::Ceilings;
use serde::Serialize;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    pub adapter: String,
    pub backend: &'static str,
    pub driver: String,
    pub precision: String,
    pub clip: Shape,
    /// The damaged frames of the video; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damage>,
    pub latency_ms: Summary,
    pub gpu_ms: Option<Summary>,
    pub gflops: f64,
    pub first_forward_ms: f64,
    pub prepare_ms: f64,
    pub peak_gpu_bytes: u64,
    pub dispatches: usize,
    /// The ceilings of the adapter, with `--layers`; null otherwise.
    pub ceilings: Option<Ceilings>,
    pub layers: Vec<Layer>,
    /// The result of `--tune`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningReport>,
}

/// What `--sweep --json` prints.
#[derive(Debug, Serialize)]
pub struct SweepReport {
    pub adapter: String,
    pub backend: &'static str,
    pub driver: String,
    pub precision: String,
    /// The clip that was varied.
    pub clip: Shape,
    #[serde(flatten)]
    pub sweep: Sweep,
}

/// The summary of several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Summary {
    /// Zeros, which stand for no measurements.
    pub const NONE: Self = Self { min: 0.0, median: 0.0, max: 0.0 };

    /// Summarizes `values`; `None` if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] };
        Some(Self { min, median, max })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ms median, {:.2} to {:.2}", self.median, self.min, self.max)
    }
}

impl Report {
    /// The report as text.
    pub fn text(&self) -> String {
        let mut facts = Facts::default();
        facts
            .add("clip", self.clip.to_string())
            .add("latency", self.latency_ms.to_string())
            .add("device", self.gpu_ms.map_or("no timestamp queries".to_owned(), |summary| summary.to_string()))
            .add(
                "speed",
                format!(
                    "{:.1} GFLOP/s, {:.1} frames a second",
                    self.gflops,
                    (self.clip.n * self.clip.t) as f64 / self.latency_ms.median * 1e3
                ),
            )
            .add(
                "start",
                format!("{:.1} ms to prepare, {:.1} ms for the first run", self.prepare_ms, self.first_forward_ms),
            )
            .add("memory", format!("{} on the device, {} dispatches", mib(self.peak_gpu_bytes), self.dispatches));
        if let Some(Ceilings { gflops, gb_per_s }) = self.ceilings {
            facts.add("ceilings", format!("{gflops:.1} GFLOP/s, {gb_per_s:.2} GB/s"));
        }
        let tuning = self.tuning.as_ref().map(TuningReport::text).unwrap_or_default();
        match self.ceilings.filter(|_| !self.layers.is_empty()) {
            Some(ceilings) => format!("{facts}\n{}{tuning}", layers::text(&self.layers, &ceilings)),
            None => format!("{facts}{tuning}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_of_sorted_values() {
        assert_eq!(Summary::of(Vec::new()), None);
        let summary = |min, median, max| Some(Summary { min, median, max });
        assert_eq!(Summary::of(vec![3.0, 1.0, 2.0]), summary(1.0, 2.0, 3.0));
        assert_eq!(Summary::of(vec![4.0, 1.0, 2.0, 3.0]), summary(1.0, 2.5, 4.0));
    }
}
