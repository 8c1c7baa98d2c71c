//! A run in flight: from its submission to its outputs.

use super::GpuContext;
use super::answers::Answers;
use super::faults::lock;
use super::profile::{Profile, Timing};
use super::staging::StagingSet;
use crate::error::Result;
use crate::plan::Plan;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// What a run returns: the values of [`Plan::outputs`] in their order, NCTHW, and the device's timing if it was asked
/// for and the device has timestamps.
pub type RunOutputs = (Vec<Vec<f32>>, Option<Profile>);

/// A run in flight, shared by its [`Ticket`] and by the executor, which takes the staging back.
#[derive(Debug)]
pub(super) struct Flight {
    pub run: SubmittedRun,
    answers: Answers,
    /// Set if nobody wants the outputs any more.
    abandoned: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    InFlight(StagingSet),
    /// Holds the staging until the executor takes it, and the outputs until the ticket does.
    Finished {
        set: Option<StagingSet>,
        outputs: Option<Result<RunOutputs>>,
    },
}

/// A run as it was submitted.
#[derive(Debug)]
pub(super) struct SubmittedRun {
    pub gpu: GpuContext,
    pub plan: Arc<Plan>,
    /// The last submission, for callers that wait.
    pub submission: wgpu::SubmissionIndex,
    pub timing: Timing,
    /// The step of each timed pass.
    pub passes: Arc<[usize]>,
    /// Set if this run, or another of the executor, has failed.
    pub failed: Arc<AtomicBool>,
}

impl Flight {
    /// A run that was just submitted with the staging `set`. Asks for the set's buffers to be mapped.
    pub fn new(run: SubmittedRun, set: StagingSet) -> Arc<Self> {
        let answers = Answers::default();
        set.ask_for_mappings(&answers, run.timing != Timing::Off);
        Arc::new(Self { run, answers, abandoned: AtomicBool::new(false), state: Mutex::new(State::InFlight(set)) })
    }

    /// Ready when the run has finished: its outputs are read, unless nobody wants them, or it has failed.
    pub fn poll(&self, task: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        let State::InFlight(set) = &*state else { return Poll::Ready(()) };
        let answered = match self.answers.poll(&self.run.gpu, task) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(answered) => answered,
        };
        let wanted = !self.abandoned.load(Ordering::Relaxed);
        let timed = self.run.timing != Timing::Off;
        let outputs = answered.and_then(|()| {
            let outputs = if wanted { self.read(set)? } else { RunOutputs::default() };
            set.unmap(timed);
            Ok(outputs)
        });
        if outputs.is_err() {
            self.fail();
        }
        // After an error, buffers may still be waiting to be mapped. They cannot be used again.
        let outputs = Some(outputs);
        *state = match std::mem::replace(&mut *state, State::Finished { set: None, outputs: None }) {
            State::InFlight(set) => State::Finished { set: matches!(outputs, Some(Ok(_))).then_some(set), outputs },
            finished @ State::Finished { .. } => finished,
        };
        Poll::Ready(())
    }

    fn read(&self, set: &StagingSet) -> Result<RunOutputs> {
        let SubmittedRun { gpu, plan, timing, passes, .. } = &self.run;
        let outputs = set.read(gpu, plan)?;
        let timestamps = set.timestamps.as_ref().filter(|_| *timing != Timing::Off);
        let by_step = *timing == Timing::Layers;
        let profile = timestamps.map(|timestamps| timestamps.read(gpu, passes, by_step, plan.steps().len()));
        Ok((outputs, profile.transpose()?))
    }

    /// The staging of a run that has succeeded; it can be taken once.
    pub fn take_staging(&self) -> Option<StagingSet> {
        match &mut *lock(&self.state) {
            State::InFlight(_) => None,
            State::Finished { set, .. } => set.take(),
        }
    }

    /// Marks the executor as failed: its buffers cannot be used again.
    pub fn fail(&self) {
        self.run.failed.store(true, Ordering::Relaxed);
    }

    fn take_outputs(&self) -> Result<RunOutputs> {
        let gone = || Err(self.run.gpu.fault("the outputs of this run have been taken"));
        match &mut *lock(&self.state) {
            State::InFlight(_) => gone(),
            State::Finished { outputs, .. } => outputs.take().unwrap_or_else(gone),
        }
    }
}

/// A run that was submitted. Dropping the ticket gives up the outputs; the device computes them nevertheless.
#[derive(Debug)]
#[must_use = "it has the outputs of the run"]
pub struct Ticket(pub(super) Arc<Flight>);

impl Ticket {
    /// The outputs, once they are ready. Natively, the future polls the device whenever it is polled, and asks to be
    /// polled again at once: an executor of futures with nothing else to do spins. `Ticket::wait` sleeps instead.
    ///
    /// After an error the executor of the run cannot be used again. Make a new one.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost), or [`ErrorKind::Device`](crate::ErrorKind::Device) if
    /// the device fails otherwise.
    pub async fn outputs(self) -> Result<RunOutputs> {
        poll_fn(|task| self.0.poll(task)).await;
        match self.0.take_outputs() {
            Err(error) => Err(self.0.run.gpu.explained(error).await),
            outputs => outputs,
        }
    }

    /// Whether the outputs are ready. Natively this polls the device.
    pub fn is_ready(&self) -> bool {
        self.0.poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}
