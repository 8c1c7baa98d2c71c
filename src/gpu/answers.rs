//! Callbacks of a device, gathered: buffers that are mapped, work that is done.

use super::GpuContext;
use super::faults::lock;
use crate::error::Result;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Several callbacks that are awaited together.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    missing: usize,
    error: Option<String>,
    wakers: Vec<Waker>,
}

impl Answers {
    /// Asks for all of `buffer` to be mapped, once the work that was submitted no longer uses it.
    pub fn ask_for_mapping(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) {
        let answers = self.one_more();
        buffer.map_async(mode, .., move |result| answers.arrived(result.err().map(|error| error.to_string())));
    }

    /// Asks for the end of all work submitted so far.
    pub fn ask_for_the_end(&self, queue: &wgpu::Queue) {
        let answers = self.one_more();
        queue.on_submitted_work_done(move || answers.arrived(None));
    }

    fn one_more(&self) -> Self {
        lock(&self.0).missing += 1;
        self.clone()
    }

    fn arrived(&self, error: Option<String>) {
        let mut state = lock(&self.0);
        state.missing -= 1;
        state.error = state.error.take().or(error);
        let wakers =
            if state.missing == 0 || state.error.is_some() { std::mem::take(&mut state.wakers) } else { vec![] };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The result, once all callbacks have come or one has failed.
    fn complete(&self, gpu: &GpuContext) -> Option<Result<()>> {
        let state = lock(&self.0);
        match &state.error {
            Some(error) => Some(Err(gpu.fault(error))),
            None => (state.missing == 0).then_some(Ok(())),
        }
    }

    /// Wakes a task when all callbacks have come. A task that asks several times is woken once.
    fn wake_later(&self, waker: &Waker) {
        let mut state = lock(&self.0);
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
    }

    /// Ready when all callbacks have come, or one has come with an error.
    ///
    /// In a browser the callbacks wake the task. Natively, callbacks come while somebody polls the device. This
    /// function polls it, and then asks to be polled again at once, since nothing else is guaranteed to poll.
    pub fn poll(&self, gpu: &GpuContext, task: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(result) = self.complete(gpu) {
            return Poll::Ready(result);
        }
        self.wake_later(task.waker());
        if cfg!(target_arch = "wasm32") {
            // A callback that came before the waker was stored woke no task.
            return self.complete(gpu).map_or(Poll::Pending, Poll::Ready);
        }
        if let Err(error) = gpu.poll(wgpu::PollType::Poll) {
            return Poll::Ready(Err(error));
        }
        match self.complete(gpu) {
            Some(result) => Poll::Ready(result),
            None => {
                task.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As in a browser, where only callbacks wake a task.
    #[test]
    fn a_task_is_woken_once_by_the_last_answer_or_the_first_error() {
        for (errors, woken_after) in [([false, false], 2), ([true, false], 1)] {
            let (answers, count) = (Answers::default(), Arc::new(Count::default()));
            let expected = errors.map(|error| (answers.one_more(), error));
            let waker = Waker::from(Arc::clone(&count));
            (0..3).for_each(|_| answers.wake_later(&waker));
            for (arrived, (answer, error)) in (1..).zip(expected) {
                answer.arrived(error.then(|| "refused".to_owned()));
                assert_eq!(count.0.load(Ordering::Relaxed), usize::from(arrived >= woken_after), "{errors:?}");
            }
        }
    }
}
