//! The layers: operations, bytes and time of each, and how close each is to the ceilings of the adapter.

use super::report::Summary;
use crate::svg::short;
use crate::text::{lines, milliseconds, table};
use resnet3d_wgpu::low_level::gpu::{Bound, Ceilings};
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::plan::Plan;
use resnet3d_wgpu::low_level::plan::Step;
use serde::Serialize;
use std::time::Duration;

/// The work of a step, the same in every run.
#[derive(Clone, Debug)]
pub struct Work {
    pub name: String,
    pub method: Method,
    /// Multiply-adds, counted as direct convolution.
    pub macs: u64,
    /// Multiply-adds that the kernels compute.
    actual_macs: u64,
    bytes: u64,
}

impl Work {
    /// The work of every step of `plan`.
    pub fn of(plan: &Plan) -> Vec<Self> {
        let work = |step: &Step| Self {
            name: plan.graph().operators()[step.operator].name.clone(),
            method: step.method,
            macs: plan.operator_macs(step.operator),
            actual_macs: plan.step_macs(step),
            bytes: plan.step_bytes(step),
        };
        plan.steps().iter().map(work).collect()
    }
}

/// A timed step: an operator, or a conversion of layouts.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Name of the operator.
    pub name: String,
    /// The name of the method; for a single kernel, that of the kernel.
    pub kernel: &'static str,
    #[serde(skip)]
    pub method: Method,
    /// Median of the time on the device.
    pub gpu_ms: f64,
    /// Share of the time of all layers.
    pub time_share: f64,
    /// 10^9 operations a second, two for each multiply-add of the direct convolution.
    pub gflops: f64,
    /// The same for the computed multiply-adds: with the padding to whole tiles; fewer with Winograd's method.
    pub actual_gflops: f64,
    /// Bytes moved: inputs, weights and outputs once, workspaces twice.
    pub bytes: u64,
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
    /// Computed operations per byte moved.
    pub intensity: f64,
    /// Share of the ceiling at this intensity.
    pub ceiling_share: f64,
    /// The nearer ceiling.
    pub bound: Bound,
}

/// `macs` multiply-adds in `ms` milliseconds as GFLOP/s, with two operations per multiply-add.
pub fn gflops(macs: u64, ms: f64) -> f64 {
    if ms > 0.0 { 2.0 * macs as f64 / ms / 1e6 } else { 0.0 }
}

/// The layers with their median times. Each of `runs` has a time for each of `work`; without runs there are no layers.
pub fn timed(work: &[Work], runs: &[Vec<Duration>], ceilings: &Ceilings) -> Vec<Layer> {
    let time = |index: usize| {
        let times = runs.iter().filter_map(|steps| steps.get(index).copied().map(milliseconds));
        Summary::of(times.collect()).map(|summary| summary.median)
    };
    let Some(times) = (0..work.len()).map(time).collect::<Option<Vec<f64>>>() else {
        return Vec::new();
    };
    let total: f64 = times.iter().sum();
    let layer = |(work, &gpu_ms): (&Work, &f64)| {
        let actual_gflops = gflops(work.actual_macs, gpu_ms);
        let gb_per_s = if gpu_ms > 0.0 { work.bytes as f64 / gpu_ms / 1e6 } else { 0.0 };
        let (ceiling_share, bound) = ceilings.share(actual_gflops, gb_per_s);
        Layer {
            name: work.name.clone(),
            kernel: work.method.name(),
            method: work.method,
            gpu_ms,
            time_share: if total > 0.0 { gpu_ms / total } else { 0.0 },
            gflops: gflops(work.macs, gpu_ms),
            actual_gflops,
            bytes: work.bytes,
            gb_per_s,
            intensity: if work.bytes > 0 { 2.0 * work.actual_macs as f64 / work.bytes as f64 } else { 0.0 },
            ceiling_share,
            bound,
        }
    };
    work.iter().zip(&times).map(layer).collect()
}

/// A table with a line for each layer, and an explanation of the columns.
pub fn text(layers: &[Layer], ceilings: &Ceilings) -> String {
    let mut rows = table(&["layer", "kernel", ">ms", ">time", ">GFLOP/s", ">done", ">MB", ">GB/s", ">ceiling", ""]);
    for layer in layers {
        let rate = |gflops: f64| if gflops > 0.0 { format!("{gflops:.1}") } else { String::new() };
        rows.add_row([
            layer.name.clone(),
            layer.kernel.to_owned(),
            format!("{:.2}", layer.gpu_ms),
            format!("{:.1}%", layer.time_share * 100.0),
            rate(layer.gflops),
            rate(layer.actual_gflops),
            format!("{:.1}", layer.bytes as f64 / 1e6),
            format!("{:.2}", layer.gb_per_s),
            format!("{:.0}%", layer.ceiling_share * 100.0),
            match layer.bound {
                Bound::Compute => "",
                Bound::Memory => "m",
            }
            .to_owned(),
        ]);
    }
    format!(
        "{}\n\n\
         GFLOP/s  counted as direct convolution; done: the computed multiply-adds, with the padding to tiles\n\
         MB       inputs, weights, outputs, and workspaces twice (written and read)\n\
         ceiling  share of the adapter's ceiling: {} GFLOP/s of multiply-adds in registers, or (m) {} GB/s\n         \
         through storage buffers, whichever is nearer; the two ceilings meet at {} FLOP/B\n",
        lines(&rows).join("\n"),
        short(ceilings.gflops),
        short(ceilings.gb_per_s),
        short(ceilings.ridge()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet3d_wgpu::low_level::graph::Body;
    use resnet3d_wgpu::low_level::kernels::{AdapterClass, Target};
    use resnet3d_wgpu::low_level::plan::PlanOptions;
    use resnet3d_wgpu::{BackboneConfig, Shape};

    const CEILINGS: Ceilings = Ceilings { gflops: 200.0, gb_per_s: 10.0 };

    fn work() -> Vec<Work> {
        let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
        let options = PlanOptions { target: Target::typical(AdapterClass::Software), ..PlanOptions::default() };
        Work::of(&Plan::new(&body.graph, &[Shape::new(1, 3, 8, 224, 224)], &options).unwrap())
    }

    #[test]
    fn layers_have_the_median_of_their_times_and_shares_of_it() {
        let work = work();
        let runs: Vec<Vec<Duration>> =
            [30, 10, 20].map(|ms| (0..work.len()).map(|_| Duration::from_millis(ms)).collect()).into();
        let layers = timed(&work, &runs, &CEILINGS);
        assert_eq!(layers.len(), work.len());
        for (layer, work) in layers.iter().zip(&work) {
            assert_eq!((layer.gpu_ms, layer.bytes), (20.0, work.bytes), "{}", layer.name);
            assert!((layer.time_share - 1.0 / work_len(&layers)).abs() < 1e-9);
            assert!((layer.gb_per_s - work.bytes as f64 / 20e6).abs() < 1e-9);
            assert!((layer.gflops - work.macs as f64 * 2.0 / 20e6).abs() < 1e-9);
            assert!((layer.actual_gflops - layer.intensity * layer.gb_per_s).abs() < 1e-6);
            let (share, bound) = CEILINGS.share(layer.actual_gflops, layer.gb_per_s);
            assert_eq!((layer.ceiling_share, layer.bound), (share, bound), "{}", layer.name);
        }
        assert!(timed(&work, &[], &CEILINGS).is_empty());
    }

    fn work_len(layers: &[Layer]) -> f64 {
        layers.len() as f64
    }

    #[test]
    fn tables_fit_a_page() {
        let work = work();
        let runs = vec![vec![Duration::from_micros(123_456); work.len()]];
        let text = text(&timed(&work, &runs, &CEILINGS), &CEILINGS);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 116, "{widest}:\n{text}");
        assert!(text.contains("200 GFLOP/s") && text.contains("10 GB/s") && text.contains("20 FLOP/B"), "{text}");
    }
}
