//! Waiting on the calling thread, for callers that are not asynchronous: a façade over what the rest of `gpu` does.
//! Nothing of this is there in a browser, where whoever blocks waits for ever.

use super::constants::Constants;
use super::executor::Executor;
use super::flight::{Flight, RunOutputs, Ticket};
use super::pipelines::{ShaderChecks, ShaderPatch};
use super::profile::Timing;
use super::{AdapterSummary, ContextOptions, GpuContext, list_adapters_async};
use crate::error::Result;
use crate::plan::Plan;
use crate::weights::Weights;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a run may take before the device is given up: so long in any case, and so much longer for its work as a
/// device a hundred times slower than lavapipe on two cores would need.
const TIMEOUT: Duration = Duration::from_secs(600);
const SLOWEST_MACS_PER_SECOND: u64 = 100_000_000;

/// How long an answer may be on its way from a poll of another thread, and how long to sleep before the next look.
const DELIVERY: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

/// How long a run of `plan` may take.
fn timeout(plan: &Plan) -> Duration {
    TIMEOUT + Duration::from_secs(plan.macs() / SLOWEST_MACS_PER_SECOND)
}

/// Runs a future that waits for nothing but what this thread does, or what a native wgpu answers at once.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// As [`list_adapters_async`], on this thread.
pub fn list_adapters() -> Vec<AdapterSummary> {
    now(list_adapters_async())
}

impl ContextOptions {
    /// As [`ContextOptions::adapters_async`], on this thread.
    pub fn adapters(&self) -> Vec<AdapterSummary> {
        now(self.adapters_async())
    }

    /// As [`ContextOptions::open_async`], on this thread.
    ///
    /// # Errors
    /// As [`ContextOptions::open_async`].
    pub fn open(&self, summary: &AdapterSummary) -> Result<GpuContext> {
        now(self.open_async(summary))
    }
}

/// Runs a future of this crate's that waits for nothing but the device, and sleeps while the device works.
///
/// # Errors
/// Those of the future; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
pub(crate) fn drive<T>(gpu: &GpuContext, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    let mut idle_since = Instant::now();
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        let asked = Instant::now();
        gpu.wait(None, TIMEOUT).map_err(|error| now(gpu.explained(error)))?;
        if asked.elapsed() > MOMENT {
            idle_since = Instant::now();
        } else if idle_since.elapsed() > DELIVERY {
            return Err(gpu.fault("an answer was not there when its submission had finished"));
        } else {
            // Another thread that polls the device has the answer in its hands still.
            std::thread::sleep(MOMENT);
        }
    }
}

impl GpuContext {
    /// As [`GpuContext::new_async`], on this thread: from milliseconds to a second or two, most of which drivers take
    /// to load.
    ///
    /// # Errors
    /// As [`GpuContext::new_async`].
    pub fn new(options: ContextOptions) -> Result<Self> {
        now(Self::new_async(options))
    }

    /// Opens every usable adapter that `options` accepts, in the order of preference.
    ///
    /// # Errors
    /// [`ErrorKind::NoAdapter`](crate::ErrorKind::NoAdapter) if there is none;
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if one gives no device.
    pub fn all(options: &ContextOptions) -> Result<Vec<Self>> {
        now(Self::all_async(options))
    }

    /// As [`GpuContext::open_async`], on this thread.
    ///
    /// # Errors
    /// As [`GpuContext::open_async`].
    pub fn open(summary: &AdapterSummary) -> Result<Self> {
        now(Self::open_async(summary))
    }

    /// Why the device can do nothing any more, if that is so: it was lost to a fault of the driver, a reset or an
    /// unplugged card, or somebody has destroyed it. A lost device does not come back. Make a new context, from a new
    /// list of adapters, and new backbones on it.
    ///
    /// Asking creates and drops a tiny buffer on the device.
    pub fn lost(&self) -> Option<String> {
        now(self.loss())
    }

    /// Waits for what was submitted, or for `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if it takes longer, or the device fails meanwhile.
    pub(super) fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>, timeout: Duration) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) })
    }
}

impl Executor {
    /// As [`Executor::new_async`], on this thread.
    ///
    /// # Errors
    /// As [`Executor::new_async`].
    pub fn new(
        gpu: &GpuContext,
        plan: Plan,
        weights: &Weights,
        constants: &mut Constants,
        checks: ShaderChecks,
        patch: Option<ShaderPatch>,
    ) -> Result<Self> {
        drive(gpu, Self::new_async(gpu, plan, weights, constants, checks, patch))
    }

    /// As [`Executor::submit_async`], on this thread: it waits only where two runs are under way.
    ///
    /// # Errors
    /// As [`Executor::submit_async`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
    pub fn submit(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<Ticket> {
        while let Some(oldest) = self.in_the_way() {
            oldest.wait()?;
        }
        now(self.submit_async(inputs, timing))
    }

    /// Runs the plan on `inputs` and waits for its outputs, see [`Executor::submit_async`].
    ///
    /// # Errors
    /// As [`Executor::submit`].
    pub fn run(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<RunOutputs> {
        self.submit(inputs, timing)?.wait()
    }

    /// Fills all activation buffers and workspaces with `value`, to show that a run does not depend on what they held.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device), [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost).
    pub fn fill_activations(&mut self, value: f32) -> Result<()> {
        now(self.fill(value))
    }
}

impl Ticket {
    /// Waits for the outputs.
    ///
    /// # Errors
    /// As [`Ticket::outputs`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
    pub fn wait(self) -> Result<RunOutputs> {
        self.0.wait()?;
        now(self.outputs())
    }
}

impl Flight {
    /// Waits until the run has landed.
    fn wait(&self) -> Result<()> {
        let task = &mut Context::from_waker(Waker::noop());
        if self.poll(task).is_ready() {
            return Ok(());
        }
        let fail = |error| {
            self.fail();
            Err(now(self.run.gpu.explained(error)))
        };
        if let Err(error) = self.run.gpu.wait(Some(self.run.submission.clone()), timeout(&self.run.plan)) {
            return fail(error);
        }
        // Where several threads poll a device, another one may have the answers in its hands still.
        let deadline = Instant::now() + DELIVERY;
        while self.poll(task).is_pending() {
            if Instant::now() > deadline {
                return fail(self.run.gpu.fault("a buffer was not mapped when its submission had finished"));
            }
            std::thread::sleep(MOMENT);
        }
        Ok(())
    }
}

/// Runs `work` and returns what it does, or what wgpu reports of it.
pub(super) fn scoped<T>(gpu: &GpuContext, work: impl FnOnce() -> Result<T>) -> Result<T> {
    now(gpu.scoped(work).result())
}
