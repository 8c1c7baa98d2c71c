//! Runs the network on one clip and measures the time.

use crate::network::Model;
use crate::output::note;
use crate::progress::Progress;
use crate::text::{grouped, mib, milliseconds, time};
use crate::tuning::tune;
use anyhow::Result;
use resnet3d_wgpu::low_level::plan::Plan;
use resnet3d_wgpu::{Clip, FeatureMaps, GpuBackbone, GpuContext, Options, Timing};
use serde::{Serialize, Serializer};
use std::time::{Duration, Instant};

/// The times of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// Planning, compiling, packing and uploading weights.
    #[serde(rename = "prepare_ms", serialize_with = "in_milliseconds")]
    pub prepare: Duration,
    /// The first forward pass, from clip to features.
    #[serde(rename = "forward_ms", serialize_with = "in_milliseconds")]
    pub forward: Duration,
    /// The dispatches, by the clock of the device.
    #[serde(rename = "gpu_ms", serialize_with = "in_milliseconds_if_any")]
    pub device: Option<Duration>,
}

fn in_milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    milliseconds(*time).serialize(serializer)
}

fn in_milliseconds_if_any<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(milliseconds).serialize(serializer)
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to prepare, {} forward", time(self.prepare), time(self.forward))?;
        match self.device {
            Some(device) => write!(f, " ({} of it on the device)", time(device)),
            None => Ok(()),
        }
    }
}

/// Runs the network of `model` once on `clip`.
pub fn forward(gpu: &GpuContext, model: &Model, clip: &Clip, options: Options) -> Result<(FeatureMaps, Times)> {
    let mut backbone = GpuBackbone::new(gpu, &model.network, &model.weights, options)?;
    tune(gpu, &mut backbone, clip.shape())?;
    let started = Instant::now();
    let memory = {
        let _progress = Progress::start("preparing the network").with_kernels(gpu);
        memory_line(backbone.plan(clip.shape())?)
    };
    let prepare = started.elapsed();
    note(&memory);
    let _progress = Progress::start("running the network");
    let started = Instant::now();
    let (features, profile) = backbone.forward_timed(clip, Timing::Total)?;
    let times = Times { prepare, forward: started.elapsed(), device: profile.map(|profile| profile.total) };
    Ok((features, times))
}

/// The device memory of a plan, in one line.
pub fn memory_line(plan: &Plan) -> String {
    let count = |count: usize, one: &str, many: &str| {
        format!("{} {}", grouped(count as u64), if count == 1 { one } else { many })
    };
    format!(
        "memory: {} activations + {} workspaces + {} weights, {} in {}",
        mib(plan.memory().peak_bytes()),
        mib(plan.scratch_bytes()),
        mib(plan.weight_bytes()),
        count(plan.dispatches(), "dispatch", "dispatches"),
        count(plan.submissions().len(), "submission", "submissions")
    )
}

/// The adapter in one line.
pub fn adapter_line(gpu: &GpuContext) -> String {
    let driver = gpu.driver();
    let driver = if driver.is_empty() { String::new() } else { format!(", {driver}") };
    format!("{} ({}{driver})", gpu.adapter_name(), gpu.backend())
}
