//! The outputs of a run.

use crate::shape::Shape;

/// A blob that a run returned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FeatureMap {
    /// Blob name, for example `res4_1_sum`.
    pub name: String,
    /// N×C×T×H×W.
    pub shape: Shape,
    /// Float32 values, NCTHW, row-major.
    pub data: Vec<f32>,
}

impl FeatureMap {
    /// The values alone, without a copy.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

/// The blobs that a run returned.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMaps {
    blobs: Vec<FeatureMap>,
    last: usize,
    spatial_scale: f64,
}

impl FeatureMaps {
    /// The feature maps `blobs`, among which `last` is the name of the last blob.
    pub(crate) fn new(blobs: Vec<FeatureMap>, last: &str, spatial_scale: f64) -> Self {
        let last = blobs.iter().position(|blob| blob.name == last).expect("a plan's outputs include the last blob");
        Self { blobs, last, spatial_scale }
    }

    /// The last blob of the body.
    pub fn last(&self) -> &FeatureMap {
        &self.blobs[self.last]
    }

    /// The last blob of the body, without a copy.
    pub fn into_last(mut self) -> FeatureMap {
        self.blobs.swap_remove(self.last)
    }

    /// All blobs: the taps in the order asked for, and the last blob, which comes at the end unless it is a tap.
    pub fn blobs(&self) -> &[FeatureMap] {
        &self.blobs
    }

    /// The same blobs without a copy.
    pub fn into_blobs(self) -> Vec<FeatureMap> {
        self.blobs
    }

    /// The blob `name`, if it was tapped or is the last.
    pub fn get(&self, name: &str) -> Option<&FeatureMap> {
        self.blobs.iter().find(|blob| blob.name == name)
    }

    /// The scale of the last blob's height and width relative to the clip's. For the reference's bodies it is the
    /// nominal scale, see [`BackboneConfig::spatial_scale`](crate::BackboneConfig::spatial_scale), otherwise the
    /// product of the strides.
    pub fn spatial_scale(&self) -> f64 {
        self.spatial_scale
    }
}

impl IntoIterator for FeatureMaps {
    type Item = FeatureMap;
    type IntoIter = std::vec::IntoIter<FeatureMap>;

    fn into_iter(self) -> Self::IntoIter {
        self.blobs.into_iter()
    }
}
