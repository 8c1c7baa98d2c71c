//! What goes wrong on a device, as errors: scopes around calls of wgpu, and devices that are lost.

use super::GpuContext;
use crate::error::{Error, ErrorKind, ErrorRepr, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Why a device was lost, once it is and if wgpu has told.
#[derive(Clone, Debug, Default)]
pub(super) struct LossReason(Arc<OnceLock<String>>);

impl LossReason {
    /// Has `device` tell. It has one listener: a caller's device keeps its own.
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

/// What an error scope has caught, as wgpu tells it.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_arch = "wasm32")]
pub(super) type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// The error scopes of a device while `work` runs, which is no future: a scope that is open across an await would catch
/// the errors of whatever else runs meanwhile, and wgpu panics in browsers where two such scopes overlap. What the
/// scopes have caught is told later, innermost first.
pub(super) fn within_scopes<T>(
    device: &wgpu::Device,
    filters: [wgpu::ErrorFilter; 3],
    work: impl FnOnce() -> T,
) -> (T, [Caught; 3]) {
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let result = work();
    let [outer, middle, inner] = scopes;
    // An array is made of its elements in their order.
    (result, [Box::pin(inner.pop()), Box::pin(middle.pop()), Box::pin(outer.pop())])
}

/// What some calls of wgpu have returned, before it is known whether wgpu has reported an error for them.
#[must_use = "its errors have to be asked for"]
pub(super) struct Scoped<'a, T> {
    gpu: &'a GpuContext,
    result: Result<T>,
    caught: [Caught; 3],
}

impl<T> Scoped<'_, T> {
    /// What the calls have returned, before their errors are known.
    pub fn peek(&self) -> Option<&T> {
        self.result.as_ref().ok()
    }

    /// The result, or the error that wgpu has reported.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; [`ErrorKind::DeviceLost`]; [`ErrorKind::Device`]; those of the calls.
    pub async fn result(self) -> Result<T> {
        let Self { gpu, result, caught } = self;
        // A device error explains a failed result better than the result itself, and a lack of memory, whose scope is
        // the innermost, explains what is invalid for it.
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
    /// Runs `work` and catches what wgpu reports meanwhile (memory, internal errors, validation).
    pub(super) fn scoped<T>(&self, work: impl FnOnce() -> Result<T>) -> Scoped<'_, T> {
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];
        let (result, caught) = within_scopes(&self.device, filters, work);
        Scoped { gpu: self, result, caught }
    }

    /// `error`, or that the device is lost, which wgpu does not report, and which explains every other failure.
    pub(super) async fn explained(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Device => self.alive().await.err().unwrap_or(error),
            _ => error,
        }
    }

    /// Why the device is lost, if it is: see [`GpuContext::lost`].
    pub(super) async fn loss(&self) -> Option<String> {
        let told = || self.loss.0.get().cloned();
        // A browser tells by its callback alone: a lost device accepts everything there.
        if cfg!(target_arch = "wasm32") {
            return told();
        }
        // A loss is the only failure that wgpu tells no error scope. It does not say so otherwise to those who do not
        // have the device's only callback.
        let filters = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal];
        let (dead, caught) = within_scopes(&self.device, filters, || {
            // One that the host can map is mapped at once, and leaves nothing behind for the next submission.
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
            // What destroyed it may not have been told yet: that happens in a poll.
            let _ = self.poll(wgpu::PollType::Poll);
            told().unwrap_or_else(|| "wgpu accepts nothing for it any more".to_owned())
        })
    }

    /// An [`ErrorKind::Device`] about this adapter.
    pub(super) fn fault(&self, reason: impl std::fmt::Display) -> Error {
        ErrorRepr::Device { adapter: self.adapter_name().to_owned(), reason: reason.to_string() }.into()
    }

    /// Fails where the device is lost: for work that would not notice.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost).
    pub(super) async fn alive(&self) -> Result<()> {
        match self.loss().await {
            Some(reason) => Err(ErrorRepr::DeviceLost { adapter: self.adapter_name().to_owned(), reason }.into()),
            None => Ok(()),
        }
    }

    /// Has wgpu look after what was submitted: callbacks come while it does. In a browser they come by themselves.
    pub(super) fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        // wgpu 30 panics where the driver says in here that the device is lost.
        match guarded(|| self.device.poll(poll)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.fault(error)),
            Err(reason) => Err(self.fault(reason)),
        }
    }
}

/// What `call`, a call of wgpu's, returns, or what it says where it panics: wgpu 30 has no other answer to some
/// failures of a driver. It has put its own affairs in order by then and holds no lock, so that its objects can be
/// used, or at least dropped, after it.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        format!("wgpu gave up: {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

/// What is behind a lock. A poisoned one means that another thread panicked; what is behind it is whole all the same.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| error.to_string().trim().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}
