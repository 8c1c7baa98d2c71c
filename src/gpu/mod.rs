//! Running plans on a device: adapters, pipelines, buffers, submission, timing.

mod adapters;
mod answers;
#[cfg(not(target_arch = "wasm32"))]
mod blocking;
#[cfg(not(target_arch = "wasm32"))]
mod ceilings;
mod constants;
mod context;
mod dx12;
mod executor;
mod faults;
mod flight;
mod parallel;
mod pipeline_file;
mod pipelines;
mod profile;
mod recording;
mod resource;
mod staging;
mod trusted;

pub use adapters::{AdapterSummary, Backend, ContextOptions, DeviceLimits, list_adapters_async, preferred_adapter};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use blocking::drive;
#[cfg(not(target_arch = "wasm32"))]
pub use blocking::list_adapters;
#[cfg(not(target_arch = "wasm32"))]
pub use ceilings::{Bound, Ceilings};
pub use constants::Constants;
pub use context::GpuContext;
pub use executor::Executor;
pub use flight::{RunOutputs, Ticket};
pub use pipelines::{Compilation, ShaderChecks, ShaderPatch};
pub use profile::{Profile, Timing};
