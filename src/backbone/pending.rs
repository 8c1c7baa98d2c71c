//! A forward in flight.

use crate::error::Result;
use crate::features::{FeatureMap, FeatureMaps};
use crate::gpu::{Profile, RunOutputs, Ticket};
use crate::plan::Plan;
use std::sync::Arc;

/// A forward in flight, see [`GpuBackbone::submit_async`](super::GpuBackbone::submit_async). Dropping it gives up its
/// features; the device computes them nevertheless.
#[derive(Debug)]
#[must_use = "it has the features"]
pub struct Pending {
    pub(super) ticket: Ticket,
    outputs: Outputs,
}

/// The names of a run's outputs.
#[derive(Debug)]
pub(super) struct Outputs {
    plan: Arc<Plan>,
    spatial_scale: f64,
}

impl Pending {
    pub(super) fn new(ticket: Ticket, plan: &Arc<Plan>, spatial_scale: f64) -> Self {
        Self { ticket, outputs: Outputs { plan: Arc::clone(plan), spatial_scale } }
    }

    /// The features, once they are ready. In a browser the task is woken then. Natively, awaiting this polls the device
    /// repeatedly; `Pending::wait` sleeps instead.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost) if the device is lost meanwhile,
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if it fails otherwise. The next clip of that shape is prepared
    /// for again.
    pub async fn features(self) -> Result<FeatureMaps> {
        let Self { ticket, outputs } = self;
        Ok(outputs.named(ticket.outputs().await?).0)
    }

    /// Whether the features are ready. Natively this polls the device.
    pub fn is_ready(&self) -> bool {
        self.ticket.is_ready()
    }

    /// The ticket and the names of the outputs.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn into_parts(self) -> (Ticket, Outputs) {
        (self.ticket, self.outputs)
    }
}

impl Outputs {
    /// The outputs of a run, with their names.
    pub fn named(&self, (values, profile): RunOutputs) -> (FeatureMaps, Option<Profile>) {
        let Self { plan, spatial_scale } = self;
        let last = &plan.graph().blob(plan.graph().output()).name;
        let outputs = plan.outputs().iter().zip(values);
        let blobs = outputs
            .map(|(output, data)| FeatureMap { name: output.name.clone(), shape: plan.shape(output.blob), data })
            .collect();
        (FeatureMaps::new(blobs, last, *spatial_scale), profile)
    }
}
