//! Failures of a device as errors: error scopes around calls of wgpu, and lost devices.

use super::GpuContext;
use crate::error::{Error, ErrorKind, ErrorRepr, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The reason why a device was lost, once it is lost and wgpu has reported it.
#[derive(Clone, Debug, Default)]
pub(super) struct LossReason(Arc<OnceLock<String>>);

impl LossReason {
    /// Listens to the loss of `device`. A device has one listener, so this is not called for a caller's device.
    pub fn listen(device: &wgpu::Device) -> Self {
        let reason = Self::default();
        let told = Arc::clone(&reason.0);
        device.set_device_lost_callback(move |why, message| {
            let text = match why {
                wgpu::DeviceLostReason::Destroyed => "it was destroyed".to_owned(),
                wgpu::DeviceLostReason::Unknown => message,
            };
            log::warn!("a device is lost: {text}");
            let _ = told.set(text);
        });
        reason
    }
}

/// The error that an error scope has caught, once wgpu reports it.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_arch = "wasm32")]
pub(super) type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// Runs `work` within error scopes of a device. `work` is not a future: a scope that is open across an await would
/// catch the errors of other work, and in browsers wgpu panics if two such scopes overlap. What the scopes have caught
/// is returned as futures, innermost first.
pub(super) fn within_scopes<T>(
    device: &wgpu::Device,
    filters: [wgpu::ErrorFilter; 3],
    work: impl FnOnce() -> T,
) -> (T, [Caught; 3]) {
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let result = work();
    let [outer, middle, inner] = scopes;
    // The elements of an array are evaluated in order.
    (result, [Box::pin(inner.pop()), Box::pin(middle.pop()), Box::pin(outer.pop())])
}

/// The result of some calls of wgpu, before it is known whether wgpu has reported an error for them.
#[must_use = "its errors have to be asked for"]
pub(super) struct Scoped<'a, T> {
    gpu: &'a GpuContext,
    result: Result<T>,
    caught: [Caught; 3],
}

impl<T> Scoped<'_, T> {
    /// The result of the calls, before their errors are known.
    pub fn peek(&self) -> Option<&T> {
        self.result.as_ref().ok()
    }

    /// The result, or the error that wgpu has reported.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; [`ErrorKind::DeviceLost`]; [`ErrorKind::Device`]; those of the calls.
    pub async fn result(self) -> Result<T> {
        let Self { gpu, result, caught } = self;
        // An error of the device explains a failed result better than the result itself. Lack of memory, whose scope is
        // the innermost, explains the validation errors that follow from it.
        let mut error = None;
        for caught in caught {
            error = error.or(caught.await);
        }
        let result = match error {
            Some(error @ wgpu::Error::OutOfMemory { .. }) => {
                let (adapter, reason) = (gpu.adapter_name().to_owned(), chain(&error));
                Err(ErrorRepr::OutOfMemory { adapter, reason }.into())
            }
            Some(error) => Err(gpu.fault(error)),
            None => result,
        };
        match result {
            Err(error) => Err(gpu.explained(error).await),
            whole => whole,
        }
    }
}

impl GpuContext {
    /// Runs `work` and catches the errors that wgpu reports meanwhile (memory, internal, validation).
    pub(super) fn scoped<T>(&self, work: impl FnOnce() -> Result<T>) -> Scoped<'_, T> {
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];
        let (result, caught) = within_scopes(&self.device, filters, work);
        Scoped { gpu: self, result, caught }
    }

    /// `error`, or the loss of the device, if it is lost: wgpu does not report a loss, and it explains every other
    /// failure.
    pub(super) async fn explained(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Device => self.alive().await.err().unwrap_or(error),
            _ => error,
        }
    }

    /// The reason why the device is lost, if it is, see [`GpuContext::lost`].
    pub(super) async fn loss(&self) -> Option<String> {
        let told = || self.loss.0.get().cloned();
        // A browser reports a loss only through the callback: a lost device accepts all calls there.
        if cfg!(target_arch = "wasm32") {
            return told();
        }
        // A loss is the only failure that wgpu reports to no error scope. Without the device's only callback there is
        // no other report.
        let filters = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal];
        let (dead, caught) = within_scopes(&self.device, filters, || {
            // A buffer that the host can map is mapped at once, and leaves no work for the next submission.
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let label = Some("resnet3d.probe");
            let desc = wgpu::BufferDescriptor { label, size: 4, usage, mapped_at_creation: true };
            guarded(|| self.device.create_buffer(&desc).get_mapped_range_mut(..).is_err()).unwrap_or(true)
        });
        let mut errors = 0;
        for caught in caught {
            errors += usize::from(caught.await.is_some());
        }
        (dead && errors == 0).then(|| {
            // The reason may not have been reported yet: callbacks run during a poll.
            let _ = self.poll(wgpu::PollType::Poll);
            told().unwrap_or_else(|| "wgpu accepts nothing for it any more".to_owned())
        })
    }

    /// An [`ErrorKind::Device`] for this adapter.
    pub(super) fn fault(&self, reason: impl std::fmt::Display) -> Error {
        ErrorRepr::Device { adapter: self.adapter_name().to_owned(), reason: reason.to_string() }.into()
    }

    /// Fails if the device is lost. It is for work that would not notice.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost).
    pub(super) async fn alive(&self) -> Result<()> {
        match self.loss().await {
            Some(reason) => Err(ErrorRepr::DeviceLost { adapter: self.adapter_name().to_owned(), reason }.into()),
            None => Ok(()),
        }
    }

    /// Polls the device, which runs the callbacks of finished work. In a browser callbacks run without it.
    pub(super) fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        // wgpu 30 panics if the driver reports a lost device during this call.
        match guarded(|| self.device.poll(poll)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.fault(error)),
            Err(reason) => Err(self.fault(reason)),
        }
    }
}

/// The result of `call`, a call of wgpu, or the message if it panics. wgpu 30 panics on some failures of a driver. At
/// that point its state is consistent and it holds no lock, so its objects can be used afterwards, or at least dropped.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        format!("wgpu gave up: {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

/// Locks a mutex. If it is poisoned, another thread has panicked; the value is consistent nevertheless.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| error.to_string().trim().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}
