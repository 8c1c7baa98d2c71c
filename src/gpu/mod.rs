//! Running plans on a device: adapters, pipelines, buffers, submission, timing.

mod ceilings;
mod constants;
mod context;
mod executor;
mod pipeline_file;
mod pipelines;
mod profile;
mod staging;
mod trusted;

pub use ceilings::{Bound, Ceilings};
pub use constants::Constants;
pub use context::{AdapterSummary, Backend, ContextOptions, GpuContext, list_adapters, preferred_adapter};
pub use executor::Executor;
pub use pipelines::{ShaderChecks, ShaderPatch};
pub use profile::{Profile, Timing};
