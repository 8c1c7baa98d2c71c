//! Timing by the device: timestamp queries around a run or around every step.

use super::GpuContext;
use crate::error::Result;
use std::time::Duration;

/// Which times a run measures on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timing {
    /// Nothing.
    #[default]
    Off,
    /// All steps together.
    Total,
    /// Every step, each in a separate pass. The passes cost a little, so the total is a little larger.
    Layers,
}

/// The times that a run measured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// Time from the start of the first step to the end of the last.
    pub total: Duration,
    /// Time of each step, in the plan's order: the sum over all its dispatches in all micro-batches. Empty unless
    /// [`Timing::Layers`].
    pub steps: Vec<Duration>,
}

/// A query set for a plan, with the buffers for its results.
#[derive(Debug)]
pub(super) struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    pub readback: wgpu::Buffer,
    period_ns: f64,
    passes: usize,
}

impl Timestamps {
    /// Timestamps for at most `passes` passes; `None` if the device has no timestamps, or a query set cannot hold that
    /// many.
    pub fn new(gpu: &GpuContext, passes: usize) -> Option<Self> {
        let supported = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let count = u32::try_from(2 * passes).ok().filter(|count| (1..=wgpu::QUERY_SET_MAX_QUERIES).contains(count))?;
        if !supported {
            return None;
        }
        let size = u64::from(count) * 8;
        let buffer = |label, usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("resnet3d.timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: buffer("resnet3d.timestamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readback: buffer(
                "resnet3d.timestamps.readback",
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            ),
            period_ns: f64::from(gpu.queue.get_timestamp_period()),
            passes,
        })
    }

    /// The number of passes that it can time.
    pub fn passes(&self) -> usize {
        self.passes
    }

    /// The queries that bracket pass number `pass`.
    pub fn around(&self, pass: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass as u32),
            end_of_pass_write_index: Some(2 * pass as u32 + 1),
        }
    }

    /// Copies the timestamps of the first `passes` passes to a buffer that the host can read.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, passes: usize) {
        encoder.resolve_query_set(&self.queries, 0..2 * passes as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, 16 * passes as u64);
    }

    /// Reads the times of a finished run of a plan with `steps` steps. `pass_steps` has the step of each pass. All
    /// passes were timed with `by_step`, otherwise the first and the last. The readback buffer must be mapped.
    pub fn read(&self, gpu: &GpuContext, pass_steps: &[usize], by_step: bool, steps: usize) -> Result<Profile> {
        let timed = timed_passes(pass_steps.len(), by_step);
        let view = self.readback.get_mapped_range(..16 * timed as u64).map_err(|e| gpu.fault(e))?;
        let ticks: Vec<u64> = view.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
        let time = |from: u64, to: u64| Duration::from_nanos((to.saturating_sub(from) as f64 * self.period_ns) as u64);
        let (first, last) = (ticks.first().copied().unwrap_or(0), ticks.last().copied().unwrap_or(0));
        let mut times = vec![Duration::ZERO; if by_step { steps } else { 0 }];
        if by_step {
            for (&step, &[from, to]) in pass_steps.iter().zip(ticks.as_chunks().0) {
                times[step] += time(from, to);
            }
        }
        Ok(Profile { total: time(first, last), steps: times })
    }
}

/// The number of passes, of `passes`, that are timed: all, or the first and the last.
pub(super) fn timed_passes(passes: usize, by_step: bool) -> usize {
    if by_step { passes } else { passes.min(2) }
}
