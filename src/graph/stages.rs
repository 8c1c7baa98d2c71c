//! What a feature pyramid needs to know of a body: its stages.

use crate::config::BackboneConfig;
use crate::error::Result;

/// The stages of a body, deepest first, as the reference's `stage_info_ResNet*` list them for its feature pyramid.
#[derive(Clone, Debug, PartialEq)]
pub struct StageInfo {
    /// The last blob of each stage, for example `res4_5_sum`: names for [`crate::Taps::Named`].
    pub blobs: Vec<String>,
    /// Their widths, in channels.
    pub dims: Vec<usize>,
    /// Their scales in height and width against the clip, for example 1/16. They are nominal, see
    /// [`BackboneConfig::spatial_scale`].
    pub spatial_scales: Vec<f64>,
}

/// The stages of the body that `config` describes, deepest first.
///
/// The deepest scale is that of the body, [`BackboneConfig::spatial_scale`]: with a dilated res5 it is `dilation`/32.
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
/// Those of [`BackboneConfig::validate`].
pub fn stage_info(config: &BackboneConfig) -> Result<StageInfo> {
    config.validate()?;
    let stages = (0..config.block_counts.len()).rev();
    let scale = |stage: usize| match stage {
        3 => config.spatial_scale(),
        _ => 0.25 / (1 << stage) as f64,
    };
    Ok(StageInfo {
        blobs: stages.clone().map(|stage| format!("res{}_{}_sum", stage + 2, config.block_counts[stage] - 1)).collect(),
        dims: stages.clone().map(|stage| config.feat_dims[stage + 1]).collect(),
        spatial_scales: stages.map(scale).collect(),
    })
}
