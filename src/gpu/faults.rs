//! What goes wrong on a device, as errors: scopes around calls of wgpu, devices that are lost, waiting that cannot hang.

use super::GpuContext;
use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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

impl GpuContext {
    /// Why the device can do nothing any more, if that is so: it was lost to a fault of the driver, a reset or an unplugged
    /// card, or somebody has destroyed it. A lost device does not come back. Make a new context, from a new list of
    /// adapters, and new backbones on it.
    ///
    /// Asking creates and drops a tiny buffer on the device.
    pub fn lost(&self) -> Option<String> {
        // A loss is the only failure that wgpu tells no error scope. It does not say so otherwise to those who do not have the
        // device's only callback.
        let scopes = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal];
        let scopes = scopes.map(|filter| self.device.push_error_scope(filter));
        let usage = wgpu::BufferUsages::COPY_SRC;
        let label = Some("resnet3d.probe");
        let desc = wgpu::BufferDescriptor { label, size: 4, usage, mapped_at_creation: true };
        let dead = self.device.create_buffer(&desc).get_mapped_range_mut(..).is_err();
        let told = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).count();
        (dead && told == 0).then(|| {
            // What destroyed it may not have been told yet: that happens in a poll.
            let _ = self.poll(wgpu::PollType::Poll);
            self.loss.0.get().cloned().unwrap_or_else(|| "wgpu accepts nothing for it any more".to_owned())
        })
    }

    /// An [`Error::Device`] about this adapter.
    pub(super) fn fault(&self, reason: impl std::fmt::Display) -> Error {
        Error::Device { adapter: self.adapter_name().to_owned(), reason: reason.to_string() }
    }

    /// Runs `work` and turns what wgpu reports meanwhile (memory, internal errors, validation) into an [`Error`]. A lost
    /// device, which wgpu does not report, is found out about where the work has failed.
    pub(super) fn scoped<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];
        let [validation, internal, memory] = filters.map(|filter| self.device.push_error_scope(filter));
        let result = work();
        // Scopes are popped in reverse. A device error explains a failed result better than the result itself, and a lack of
        // memory explains what is invalid for it.
        let errors = [memory, internal, validation].map(|scope| pollster::block_on(scope.pop()));
        let result = match errors.into_iter().flatten().next() {
            Some(error @ wgpu::Error::OutOfMemory { .. }) => {
                let (adapter, reason) = (self.adapter_name().to_owned(), chain(&error));
                Err(Error::OutOfMemory { adapter, reason })
            }
            Some(error) => Err(self.fault(error)),
            None => result,
        };
        result.map_err(|error| match error {
            Error::Device { adapter, reason } => match self.lost() {
                Some(reason) => Error::DeviceLost { adapter, reason },
                None => Error::Device { adapter, reason },
            },
            other => other,
        })
    }

    /// Fails where the device is lost: for work that would not notice.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub(super) fn alive(&self) -> Result<()> {
        match self.lost() {
            Some(reason) => Err(Error::DeviceLost { adapter: self.adapter_name().to_owned(), reason }),
            None => Ok(()),
        }
    }

    /// Waits for what was submitted, or for `timeout`.
    ///
    /// # Errors
    /// [`Error::Device`] if it takes longer, or the device fails meanwhile.
    pub(super) fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>, timeout: Duration) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) })
    }

    fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        // wgpu 30 panics where the driver says in here that the device is lost.
        match guarded(|| self.device.poll(poll)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.fault(error)),
            Err(reason) => Err(self.fault(reason)),
        }
    }
}

/// What `call`, a call of wgpu's, returns, or what it says where it panics: wgpu 30 has no other answer to some failures of
/// a driver. It has put its own affairs in order by then and holds no lock, so that its objects can be used, or at least
/// dropped, after it.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        format!("wgpu gave up: {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| error.to_string().trim().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}
