//! Blocking calls, for callers that are not asynchronous: a façade over the asynchronous core. They do not exist in a
//! browser, where blocking the thread would wait for ever.

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

/// The time limit of a run, after which the device is considered hung: a fixed time, plus the time that a device a
/// hundred times slower than lavapipe on two cores would need for the work.
const TIMEOUT: Duration = Duration::from_secs(600);
const SLOWEST_MACS_PER_SECOND: u64 = 100_000_000;

/// How long to wait for a callback that another thread's poll is delivering, and how long to sleep between checks.
const DELIVERY: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

/// The time limit of a run of `plan`.
fn timeout(plan: &Plan) -> Duration {
    TIMEOUT + Duration::from_secs(plan.macs() / SLOWEST_MACS_PER_SECOND)
}

/// Runs a future that waits only for this thread, or for native wgpu calls that answer at once.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Like [`list_adapters_async`], on this thread.
pub fn list_adapters() -> Vec<AdapterSummary> {
    now(list_adapters_async())
}

impl ContextOptions {
    /// Like [`ContextOptions::adapters_async`], on this thread.
    pub fn adapters(&self) -> Vec<AdapterSummary> {
        now(self.adapters_async())
    }

    /// Like [`ContextOptions::open_async`], on this thread.
    ///
    /// # Errors
    /// The errors of [`ContextOptions::open_async`].
    pub fn open(&self, summary: &AdapterSummary) -> Result<GpuContext> {
        now(self.open_async(summary))
    }
}

/// Runs a future of this crate that waits only for the device, and sleeps while the device works.
///
/// # Errors
/// The errors of the future; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
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
            // Another thread that polls the device has the callback and has not run it yet.
            std::thread::sleep(MOMENT);
        }
    }
}

impl GpuContext {
    /// Like [`GpuContext::new_async`], on this thread. It takes from milliseconds to a second or two, most of it for
    /// drivers to load.
    ///
    /// # Errors
    /// The errors of [`GpuContext::new_async`].
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

    /// Like [`GpuContext::open_async`], on this thread.
    ///
    /// # Errors
    /// The errors of [`GpuContext::open_async`].
    pub fn open(summary: &AdapterSummary) -> Result<Self> {
        now(Self::open_async(summary))
    }

    /// The reason why the device is lost, if it is: a fault of the driver, a reset, an unplugged card, or a caller that
    /// has destroyed it. A lost device does not come back. Make a new context, from a new list of adapters, and new
    /// backbones on it.
    ///
    /// This creates and drops a tiny buffer on the device.
    pub fn lost(&self) -> Option<String> {
        now(self.loss())
    }

    /// Waits for submitted work, at most for `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if it takes longer, or the device fails meanwhile.
    pub(super) fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>, timeout: Duration) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) })
    }
}

impl Executor {
    /// Like [`Executor::new_async`], on this thread.
    ///
    /// # Errors
    /// The errors of [`Executor::new_async`].
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

    /// Like [`Executor::submit_async`], on this thread. It waits only if two runs are in flight.
    ///
    /// # Errors
    /// The errors of [`Executor::submit_async`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes
    /// too long.
    pub fn submit(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<Ticket> {
        while let Some(oldest) = self.run_to_wait_for() {
            oldest.wait()?;
        }
        now(self.submit_async(inputs, timing))
    }

    /// Runs the plan on `inputs` and waits for its outputs, see [`Executor::submit_async`].
    ///
    /// # Errors
    /// The errors of [`Executor::submit`].
    pub fn run(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<RunOutputs> {
        self.submit(inputs, timing)?.wait()
    }

    /// Fills all activation buffers and workspaces with `value`. It is for tests that a run does not depend on their
    /// contents.
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
    /// The errors of [`Ticket::outputs`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
    pub fn wait(self) -> Result<RunOutputs> {
        self.0.wait()?;
        now(self.outputs())
    }
}

impl Flight {
    /// Waits until the run has finished.
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
        // If several threads poll a device, another one may have the callbacks and not have run them yet.
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

/// Runs `work` and returns its result, or the error that wgpu reports.
pub(super) fn scoped<T>(gpu: &GpuContext, work: impl FnOnce() -> Result<T>) -> Result<T> {
    now(gpu.scoped(work).result())
}
