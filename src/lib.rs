#![doc = include_str!("guide/links.md")]
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod atomic_file;
mod backbone;
mod cache;
pub mod clip;
mod config;
mod content;
#[cfg(not(target_arch = "wasm32"))]
mod deviation;
mod dtype;
mod error;
mod features;
mod gpu;
mod graph;
#[cfg(doc)]
pub mod guide;
mod kernels;
pub mod low_level;
mod named;
pub mod network;
mod options;
#[cfg(feature = "picture")]
pub mod picture;
mod plan;
mod reference;
mod shape;
mod tensor_file;
#[cfg(not(target_arch = "wasm32"))]
mod tuning;
#[cfg(not(target_arch = "wasm32"))]
mod verify;
pub mod weights;
mod window;

pub use backbone::{CLIP_USAGE, FeatureLayout, GpuBackbone, Pending};
pub use clip::{Clip, ClipView};
pub use config::{BackboneConfig, Transformation};
pub use error::{Error, ErrorKind, Result};
pub use features::{FeatureMap, FeatureMaps};
pub use gpu::{Backend, ContextOptions, DeviceLimits, GpuContext, Profile, ShaderChecks, Timing};
pub use graph::{StageInfo, stage_info};
pub use network::Network;
pub use options::{Options, Precision, Taps};
pub use plan::Numerics;
pub use shape::Shape;
pub use weights::{Checkpoint, InflateMode, WeightOptions, Weights};
pub use wgpu;
