#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod atomic_file;
pub mod backbone;
mod cache;
pub mod clip;
pub mod config;
pub mod content;
mod error;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod network;
#[cfg(feature = "picture")]
pub mod picture;
pub mod plan;
pub mod reference;
pub mod shape;
pub mod tensor_file;
pub mod tuning;
pub mod verify;
pub mod weights;

pub use backbone::{Feature, Features, GpuBackbone, Options, Precision, Taps};
pub use clip::Clip;
pub use config::{BackboneConfig, Transformation};
pub use error::{Error, ErrorKind, Result};
pub use gpu::{Backend, ContextOptions, DeviceLimits, GpuContext, Profile, ShaderChecks, Timing};
pub use graph::{Body, StageInfo, stage_info};
pub use network::Network;
pub use plan::{Plan, PlanLimits, PlanOptions, PlanReport};
pub use shape::Shape;
pub use weights::{Checkpoint, InflateMode, WeightOptions, Weights};
pub use wgpu;
