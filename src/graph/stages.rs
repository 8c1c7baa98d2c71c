//! The stages of a body, for a feature pyramid.

use super::Body;
use super::described::FAST;
use crate::error::Result;
use crate::network::{Description, Network};

/// The stages of a body, deepest first, as the reference's `stage_info_ResNet*` list them for its feature pyramid. With
/// two pathways these are the stages of the slow one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StageInfo {
    /// The last blob of each stage, for example `res4_5_sum`: names for [`crate::Taps::Named`].
    pub blobs: Vec<String>,
    /// Their widths, in channels.
    pub dims: Vec<usize>,
    /// Their scales in height and width relative to the clip, for example 1/16. The scales of the reference's bodies
    /// are nominal, see [`crate::BackboneConfig::spatial_scale`].
    pub spatial_scales: Vec<f64>,
}

/// The stages of `network`, which may be a [`crate::BackboneConfig`], deepest first.
///
/// The deepest scale of the reference's bodies is [`crate::BackboneConfig::spatial_scale`], which is `dilation`/32 with
/// a dilated res5.
///
/// ```
/// use resnet3d_wgpu::{BackboneConfig, stage_info};
///
/// let info = stage_info(&BackboneConfig::preset("r50-conv5")?)?;
/// assert_eq!(info.blobs, ["res5_2_sum", "res4_5_sum", "res3_3_sum", "res2_2_sum"]);
/// assert_eq!(info.dims, [2048, 1024, 512, 256]);
/// assert_eq!(info.spatial_scales, [1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0]);
/// # Ok::<(), resnet3d_wgpu::Error>(())
/// ```
///
/// # Errors
/// The errors of [`Body::new`].
pub fn stage_info(network: impl Into<Network>) -> Result<StageInfo> {
    let network = network.into();
    let graph = Body::new(&network)?.graph;
    let scales: Vec<f64> = match &network {
        Network::Reference(config) => (0..config.block_counts.len())
            .map(|stage| if stage == 3 { config.spatial_scale() } else { 0.25 / (1 << stage) as f64 })
            .collect(),
        Network::Described(description) => (1..=description.stages.len())
            .map(|count| {
                let stages = description.stages[..count].to_vec();
                let [_, height, _] = Description { stages, ..description.clone() }.stride();
                1.0 / height as f64
            })
            .collect(),
    };
    let slow = |name: &str| !name.starts_with(FAST);
    let blobs = graph.stages().iter().rev().map(|&id| graph.blob(id)).filter(|blob| slow(&blob.name));
    Ok(StageInfo {
        blobs: blobs.clone().map(|blob| blob.name.clone()).collect(),
        dims: blobs.map(|blob| blob.channels).collect(),
        spatial_scales: scales.into_iter().rev().collect(),
    })
}
