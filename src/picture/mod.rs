//! Pictures that show where in a clip the network responds, and a synthetic scene to try it on.
//!
//! [`heatmap()`] draws activations over the frames that they belong to; [`maps`] computes the values behind it;
//! [`scene`] renders a short clip of one moving disc, so that the right answer to "does it respond to motion" is known.

mod backdrop;
mod canvas;
pub mod heatmap;
pub mod maps;
pub mod scene;

pub use backdrop::Backdrop;
pub use canvas::Picture;
pub use heatmap::{class_heatmap, heatmap};
pub use maps::{Activation, FrameMaps, HeatmapMode, activation_map, change_map, class_map};
pub use scene::Scene;
