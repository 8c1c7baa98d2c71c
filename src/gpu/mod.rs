//! Running plans on a device: adapters, pipelines, buffers, submission, timing.

mod adapters;
mod ceilings;
mod constants;
mod context;
mod dx12;
mod executor;
mod faults;
mod passes;
mod pipeline_file;
mod pipelines;
mod profile;
mod resource;
mod staging;
mod trusted;

pub use adapters::{AdapterSummary, Backend, ContextOptions, DeviceLimits, list_adapters, preferred_adapter};
pub use ceilings::{Bound, Ceilings};
pub use constants::Constants;
pub use context::GpuContext;
pub use executor::Executor;
pub use pipelines::{Compilation, ShaderChecks, ShaderPatch};
pub use profile::{Profile, Timing};
