//! Running plans on a device: adapters, pipelines, buffers, submission, timing.

mod context;
mod executor;
mod pipelines;
mod profile;
mod trusted;

pub use context::{AdapterSummary, Backend, ContextOptions, GpuContext, list_adapters, preferred_adapter};
pub use executor::{Constants, Executor};
pub use pipelines::{ShaderChecks, ShaderPatch};
pub use profile::{Profile, Timing};
