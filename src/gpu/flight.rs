//! A run that is under way: from its submission to its outputs.

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

/// What a run leaves: the values of [`Plan::outputs`] in their order, NCTHW, with the device's timing if it was asked for
/// and the device can.
pub type Ran = (Vec<Vec<f32>>, Option<Profile>);

/// A run that is under way, shared by its [`Ticket`] and by the executor, which wants the staging back.
#[derive(Debug)]
pub(super) struct Flight {
    pub gpu: GpuContext,
    pub plan: Arc<Plan>,
    /// The last submission, for those who wait.
    pub submission: wgpu::SubmissionIndex,
    answers: Answers,
    timing: Timing,
    /// The step of each timed pass.
    passes: Arc<[usize]>,
    /// Set where this run, or another of the executor, has failed.
    failed: Arc<AtomicBool>,
    /// Set where nobody wants the outputs any more.
    abandoned: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    UnderWay(StagingSet),
    /// The staging until the executor takes it, the outputs until the ticket does.
    Landed {
        set: Option<StagingSet>,
        ran: Option<Result<Ran>>,
    },
}

/// What a flight begins with.
pub(super) struct Departure {
    pub gpu: GpuContext,
    pub plan: Arc<Plan>,
    pub submission: wgpu::SubmissionIndex,
    pub set: StagingSet,
    pub timing: Timing,
    pub passes: Arc<[usize]>,
    pub failed: Arc<AtomicBool>,
}

impl Flight {
    /// A run that was just submitted: asks for its buffers to be mapped.
    pub fn new(departure: Departure) -> Arc<Self> {
        let Departure { gpu, plan, submission, set, timing, passes, failed } = departure;
        let answers = Answers::default();
        set.ask_for_mappings(&answers, timing != Timing::Off);
        Arc::new(Self {
            gpu,
            plan,
            submission,
            answers,
            timing,
            passes,
            failed,
            abandoned: AtomicBool::new(false),
            state: Mutex::new(State::UnderWay(set)),
        })
    }

    /// Ready when the run has landed: its outputs are read, unless they are not wanted, or it has failed.
    pub fn poll(&self, task: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        let State::UnderWay(set) = &*state else { return Poll::Ready(()) };
        let answered = match self.answers.poll(&self.gpu, task) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(answered) => answered,
        };
        let wanted = !self.abandoned.load(Ordering::Relaxed);
        let timed = self.timing != Timing::Off;
        let ran = answered.and_then(|()| {
            let ran = if wanted { self.read(set)? } else { Ran::default() };
            set.unmap(timed);
            Ok(ran)
        });
        if ran.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        // After an error buffers may be on their way to the host still: nobody can use them again.
        let ran = Some(ran);
        *state = match std::mem::replace(&mut *state, State::Landed { set: None, ran: None }) {
            State::UnderWay(set) => State::Landed { set: matches!(ran, Some(Ok(_))).then_some(set), ran },
            landed @ State::Landed { .. } => landed,
        };
        Poll::Ready(())
    }

    fn read(&self, set: &StagingSet) -> Result<Ran> {
        let outputs = set.read(&self.gpu, &self.plan)?;
        let timestamps = set.timestamps.as_ref().filter(|_| self.timing != Timing::Off);
        let by_step = self.timing == Timing::Layers;
        let profile = timestamps.map(|own| own.read(&self.gpu, &self.passes, by_step, self.plan.steps().len()));
        Ok((outputs, profile.transpose()?))
    }

    /// The staging of a run that has landed well, once.
    pub fn take_staging(&self) -> Option<StagingSet> {
        match &mut *lock(&self.state) {
            State::UnderWay(_) => None,
            State::Landed { set, .. } => set.take(),
        }
    }

    /// Gives the run up, and the executor: what they hold is not to be used again.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn take_outputs(&self) -> Result<Ran> {
        let gone = || Err(self.gpu.fault("the outputs of this run have been taken"));
        match &mut *lock(&self.state) {
            State::UnderWay(_) => gone(),
            State::Landed { ran, .. } => ran.take().unwrap_or_else(gone),
        }
    }
}

/// A run that was submitted. Dropping it gives up its outputs; the device computes them all the same.
#[derive(Debug)]
#[must_use = "it has the outputs of the run"]
pub struct Ticket(pub(super) Arc<Flight>);

impl Ticket {
    /// The outputs, once they are there. Natively the future polls the device whenever it is polled itself, and asks to be
    /// polled again at once: an executor of futures with nothing else to do spins. `Ticket::wait` sleeps instead.
    ///
    /// After an error the executor of the run is of no use any more: make a new one.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost), or [`ErrorKind::Device`](crate::ErrorKind::Device) if
    /// the device fails otherwise.
    pub async fn outputs(self) -> Result<Ran> {
        poll_fn(|task| self.0.poll(task)).await;
        match self.0.take_outputs() {
            Err(error) => Err(self.0.gpu.explained(error).await),
            ran => ran,
        }
    }

    /// Whether the outputs can be had without waiting. Natively this polls the device.
    pub fn is_ready(&self) -> bool {
        self.0.poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}
