//! Writes features to a file, and their statistics to a table.

use crate::text::{lines, table};
use anyhow::{Context as _, Result};
use resnet3d_wgpu::clip::files::Taken;
use resnet3d_wgpu::low_level::tensor_file::{Entry, Storage, TensorFile};
use resnet3d_wgpu::{FeatureMap, GpuContext, Network, Shape};
use serde::Serialize;
use std::collections::BTreeMap;

/// The safetensors file of `features`: float32 tensors by blob name. The metadata states the network and the adapter,
/// and the frames if the weights determined their choice.
pub fn to_safetensors<'a>(
    features: &[&'a FeatureMap],
    network: &Network,
    spatial_scale: f64,
    gpu: &GpuContext,
    taken: &[Taken],
) -> Result<TensorFile<'a>> {
    let tensors = features.iter().map(|feature| {
        let shape = <[usize; 5]>::from(feature.shape).to_vec();
        Entry { name: &feature.name, shape, values: &feature.data }
    });
    let mut metadata = BTreeMap::from([
        ("config", network.to_json()),
        ("spatial_scale", spatial_scale.to_string()),
        ("adapter", gpu.adapter_name().to_owned()),
        ("backend", gpu.backend().to_owned()),
        ("driver", gpu.driver()),
    ]);
    if !taken.is_empty() {
        metadata.insert("frames", serde_json::to_string(taken).context("the frames have no JSON")?);
    }
    let file = TensorFile::new(tensors.collect(), Storage::F32, &metadata);
    file.context("the features cannot be put into a safetensors file")
}

/// The statistics of a blob.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Name of the blob.
    pub name: String,
    /// Shape of the blob.
    pub shape: Shape,
    /// Mean over all values.
    pub mean: f64,
    /// Standard deviation over all values.
    pub std: f64,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

impl Statistics {
    /// The statistics of `feature`. A value that is not finite makes the mean not finite.
    pub fn of(feature: &FeatureMap) -> Self {
        let count = feature.data.len().max(1) as f64;
        let sum = |of: &dyn Fn(f64) -> f64| feature.data.iter().map(|&v| of(f64::from(v))).sum::<f64>();
        let mean = sum(&|v| v) / count;
        if !mean.is_finite() {
            log::warn!("{} has values that are not finite", feature.name);
        }
        Self {
            name: feature.name.clone(),
            shape: feature.shape,
            mean,
            std: (sum(&|v| (v - mean) * (v - mean)) / count).sqrt(),
            min: feature.data.iter().copied().fold(f32::INFINITY, f32::min),
            max: feature.data.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

/// A table with a line for each blob.
pub fn statistics_table(statistics: &[Statistics]) -> String {
    let mut rows = table(&["blob", ">shape", ">mean", ">std", ">min", ">max"]);
    for blob in statistics {
        rows.add_row([
            blob.name.clone(),
            blob.shape.to_string(),
            format!("{:.5}", blob.mean),
            format!("{:.5}", blob.std),
            format!("{:.5}", blob.min),
            format!("{:.5}", blob.max),
        ]);
    }
    lines(&rows).join("\n") + "\n"
}
