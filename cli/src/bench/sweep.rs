//! `--sweep`: the time as a function of the frames of a clip, and of the clips of a batch.

use super::report::Summary;
use crate::progress::Progress;
use crate::text::{lines, milliseconds, table};
use anyhow::Result;
use resnet3d_wgpu::low_level::gpu::{Constants, Executor};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{Clip, GpuContext, ShaderChecks, Shape, Timing, Weights};
use serde::Serialize;
use std::time::{Duration, Instant};

/// The measurements of one axis of the clip at increasing lengths.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    pub points: Vec<Point>,
    pub line: Line,
    /// The largest absolute `off_line` of the points.
    pub largest_off_line: f64,
}

/// The measurement of one length.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Frames of the clip, or clips of the batch.
    pub size: usize,
    /// Shape of the batch.
    pub clip: Shape,
    /// From the clip in memory to the features in memory, by the clock of the host.
    pub latency_ms: Summary,
    /// By the clock of the device; null without timestamp queries.
    pub gpu_ms: Option<Summary>,
    /// Median latency divided by the frames of the batch.
    pub ms_per_frame: f64,
    /// Latency of the line.
    pub line_ms: f64,
    /// Relative difference of the median from the line.
    pub off_line: f64,
}

/// `fixed_ms + size * step_ms`, fitted to the median latencies with the least squares of the *relative* errors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    pub fixed_ms: f64,
    pub step_ms: f64,
}

impl Line {
    /// Fits a line to `points`, each with a size and a positive time. The line through one point is horizontal.
    fn fit(points: &[(f64, f64)]) -> Self {
        let sum = |value: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| value(x, y) / (y * y)).sum::<f64>();
        let (w, wx, wy) = (sum(&|_, _| 1.0), sum(&|x, _| x), sum(&|_, y| y));
        let (wxx, wxy) = (sum(&|x, _| x * x), sum(&|x, y| x * y));
        let determinant = w * wxx - wx * wx;
        let step_ms = if determinant > 0.0 { (w * wxy - wx * wy) / determinant } else { 0.0 };
        Self { fixed_ms: (wy - step_ms * wx) / w, step_ms }
    }

    /// The time for a size.
    pub fn at(&self, size: f64) -> f64 {
        self.fixed_ms + self.step_ms * size
    }
}

impl Series {
    fn new(sizes: Vec<usize>, measurements: Vec<Measurement>) -> Self {
        let summaries: Vec<Summary> = measurements
            .iter()
            .map(|measurement| Summary::of(measurement.latency_ms.clone()).unwrap_or(Summary::NONE))
            .collect();
        let medians = sizes.iter().zip(&summaries).map(|(&size, summary)| (size as f64, summary.median));
        let line = Line::fit(&medians.filter(|(_, median)| *median > 0.0).collect::<Vec<_>>());
        let points: Vec<Point> = sizes
            .into_iter()
            .zip(measurements)
            .zip(summaries)
            .map(|((size, measurement), latency_ms)| {
                let line_ms = line.at(size as f64);
                let clip = measurement.clip.shape();
                Point {
                    size,
                    clip,
                    latency_ms,
                    gpu_ms: Summary::of(measurement.gpu_ms),
                    ms_per_frame: latency_ms.median / (clip.n * clip.t) as f64,
                    line_ms,
                    off_line: latency_ms.median / line_ms - 1.0,
                }
            })
            .collect();
        let largest_off_line = points.iter().map(|point| point.off_line.abs()).fold(0.0, f64::max);
        Self { points, line, largest_off_line }
    }

    /// The point furthest from the line.
    pub fn furthest(&self) -> Option<&Point> {
        self.points.iter().max_by(|a, b| a.off_line.abs().total_cmp(&b.off_line.abs()))
    }

    /// The fitted line as text; `symbol` stands for the size.
    pub fn sentence(&self, symbol: &str) -> String {
        let Line { fixed_ms, step_ms } = self.line;
        let sign = if fixed_ms < 0.0 { "−" } else { "" };
        format!(
            "{sign}{:.1} ms + {symbol} × {step_ms:.2} ms, at most {:.1} % off the line, at {symbol} = {}",
            fixed_ms.abs(),
            self.largest_off_line * 100.0,
            self.furthest().map_or(0, |point| point.size)
        )
    }
}

/// Both series.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// One clip with an increasing number of frames.
    pub frames: Series,
    /// An increasing number of clips with the frames of `Setup::clip`.
    pub batch: Series,
}

/// One shape, ready to run, and the times of its runs.
struct Measurement {
    clip: Clip,
    executor: Executor,
    latency_ms: Vec<f64>,
    gpu_ms: Vec<f64>,
}

impl Measurement {
    fn run(&mut self) -> Result<(Duration, Option<Duration>)> {
        let started = Instant::now();
        let (_, profile) = self.executor.run(&[self.clip.data()], Timing::Total)?;
        Ok((started.elapsed(), profile.map(|profile| profile.total)))
    }
}

/// The network to measure, and the range of the sweep.
pub struct Setup<'a> {
    pub gpu: &'a GpuContext,
    pub body: &'a Body,
    pub weights: &'a Weights,
    pub options: &'a PlanOptions,
    /// The clip that is varied.
    pub clip: Shape,
    /// The maximum number of frames and of clips.
    pub largest: usize,
    /// Measured runs for each size.
    pub runs: u32,
}

/// The powers of two below `largest`, and `largest` itself.
fn sizes(largest: usize) -> Vec<usize> {
    let doubled = std::iter::successors(Some(1), |size: &usize| size.checked_mul(2));
    doubled.take_while(|size| *size < largest).chain([largest]).collect()
}

impl Setup<'_> {
    /// Measures all sizes in turn, so that a machine that is slower for a while affects all of them.
    pub fn sweep(&self) -> Result<Sweep> {
        let sizes = sizes(self.largest);
        let frames = sizes.iter().map(|&t| Shape { n: 1, t, ..self.clip });
        let batch = sizes.iter().map(|&n| Shape { n, ..self.clip });
        let mut all = {
            let _progress = Progress::start("preparing the network").with_kernels(self.gpu);
            // All sizes share one copy of the weights.
            let mut constants = Constants::default();
            frames.chain(batch).map(|shape| self.prepare(shape, &mut constants)).collect::<Result<Vec<_>>>()?
        };
        let progress = Progress::steps("measuring", (u64::from(self.runs) + 2) * all.len() as u64);
        for repetition in 0..self.runs + 2 {
            for measurement in &mut all {
                let (latency, device) = measurement.run()?;
                // The first two runs warm up.
                if repetition >= 2 {
                    measurement.latency_ms.push(milliseconds(latency));
                    measurement.gpu_ms.extend(device.map(milliseconds));
                }
                progress.step();
            }
        }
        let batch = all.split_off(sizes.len());
        Ok(Sweep { frames: Series::new(sizes.clone(), all), batch: Series::new(sizes, batch) })
    }

    fn prepare(&self, shape: Shape, constants: &mut Constants) -> Result<Measurement> {
        let plan = Plan::new(&self.body.graph, &[shape], self.options)?;
        let executor = Executor::new(self.gpu, plan, self.weights, constants, ShaderChecks::default(), None)?;
        Ok(Measurement { clip: random::clip(shape, 0)?, executor, latency_ms: Vec::new(), gpu_ms: Vec::new() })
    }
}

impl Sweep {
    /// A table line for each size, and the fitted lines as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (series, title, symbol) in [(&self.frames, "frames", "T"), (&self.batch, "clips", "N")] {
            let mut rows = table(&[&format!(">{title}"), "clip", ">ms", ">min", ">max", ">ms/frame", ">line", ">off"]);
            for point in &series.points {
                rows.add_row([
                    point.size.to_string(),
                    point.clip.to_string(),
                    format!("{:.2}", point.latency_ms.median),
                    format!("{:.2}", point.latency_ms.min),
                    format!("{:.2}", point.latency_ms.max),
                    format!("{:.2}", point.ms_per_frame),
                    format!("{:.2}", point.line_ms),
                    format!("{:+.1} %", point.off_line * 100.0),
                ]);
            }
            text += &format!("\n{}\n{}\n", lines(&rows).join("\n"), series.sentence(symbol));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_recovered_from_points() {
        let points = |times: [f64; 5]| [1.0, 2.0, 4.0, 8.0, 16.0].into_iter().zip(times).collect::<Vec<_>>();
        let exact = Line::fit(&points([5.0, 7.0, 11.0, 19.0, 35.0]));
        assert!((exact.fixed_ms - 3.0).abs() < 1e-9 && (exact.step_ms - 2.0).abs() < 1e-9, "{exact:?}");
        // Relative errors weigh the same at both ends.
        let bent = Line::fit(&points([11.0, 20.0, 40.0, 80.0, 176.0]));
        let off = |x: f64, y: f64| (y / bent.at(x) - 1.0).abs();
        assert!(off(1.0, 11.0) < 0.06 && off(16.0, 176.0) < 0.08, "{bent:?}");
        assert_eq!(Line::fit(&[(4.0, 3.0)]).at(4.0), 3.0);
    }

    #[test]
    fn sizes_double_up_to_the_last() {
        assert_eq!(sizes(16), [1, 2, 4, 8, 16]);
        assert_eq!(sizes(12), [1, 2, 4, 8, 12]);
    }
}
