//! Pictures for people: where in a clip the network responds, and a synthetic scene to try it on.
//!
//! [`heatmap()`] draws activations over the frames they belong to; [`maps`] holds the numbers behind it; [`scene`]
//! renders a short clip of one moving disc, so that "does it respond to motion" has a known answer.

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
