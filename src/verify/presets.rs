//! Every published body at full width, compared with the CPU reference.
//!
//! The clip is small, because the reference is slow. The networks are all presets and the variants that the reference's
//! configuration offers.

use crate::config::BackboneConfig;
use crate::deviation::{Deviation, Tolerance};
use crate::error::Result;
use crate::gpu::GpuContext;
use crate::graph::Body;
use crate::reference::{self, Volume};
use crate::shape::Shape;
use crate::weights::{Weights, random};
use crate::{Clip, GpuBackbone, Options, Taps};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The clip that every body runs on.
const CLIP: Shape = Shape::new(1, 3, 4, 64, 64);

/// Further bodies: a name, and the configuration as JSON.
const FURTHER: [(&str, &str); 8] = [
    ("r18-conv4, basic blocks", r#"{"preset": "r18-conv4", "transformation": "basic"}"#),
    ("r18-conv5, basic blocks", r#"{"preset": "r18-conv5", "transformation": "basic"}"#),
    ("r50-conv5, dilation 2", r#"{"preset": "r50-conv5", "dilation": 2}"#),
    ("r50-conv5, strides over time", r#"{"preset": "r50-conv5", "time_stride_on": true}"#),
    ("r50-conv5, stride on the 3x3x3", r#"{"preset": "r50-conv5", "stride_1x1": false}"#),
    ("r50-conv5, images", r#"{"preset": "r50-conv5", "time_kernel_dim": 1}"#),
    ("ResNeXt-50 32x4d, conv5", r#"{"preset": "r50-conv5", "num_groups": 32, "width_per_group": 4}"#),
    ("ResNeXt-101 32x8d, conv5", r#"{"preset": "r101-conv5", "num_groups": 32, "width_per_group": 8}"#),
];

/// A body at full width, with the results of the CPU reference.
#[derive(Debug)]
pub struct PresetCase {
    name: String,
    config: BackboneConfig,
    weights: Weights,
    clip: Clip,
    expected: BTreeMap<String, Volume>,
    reference_time: Duration,
}

/// The result of a body at full width on one adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PresetRow {
    /// The body.
    pub name: String,
    /// Name of the adapter.
    pub adapter: String,
    /// Its backend.
    pub backend: &'static str,
    /// Multiply-adds.
    pub macs: u64,
    /// Trained values.
    pub parameters: u64,
    /// The time to prepare everything, including shaders and packed weights, in milliseconds.
    pub prepare_ms: f64,
    /// The time of the second run in milliseconds.
    pub forward_ms: f64,
    /// The time of the CPU reference in milliseconds.
    pub reference_ms: f64,
    /// The largest deviation of the last blob of any stage.
    pub worst: Deviation,
    /// Whether this deviation is within tolerance.
    pub passed: bool,
}

/// All bodies: names and configurations.
///
/// # Errors
/// None that the configurations here can have.
pub fn bodies() -> Result<Vec<(String, BackboneConfig)>> {
    let presets = BackboneConfig::PRESETS.iter().map(|&name| Ok((name.to_owned(), BackboneConfig::preset(name)?)));
    let further = FURTHER.iter().map(|(name, json)| Ok(((*name).to_owned(), BackboneConfig::from_json(json)?)));
    presets.chain(further).collect()
}

impl PresetCase {
    /// Runs the CPU reference on a body with random weights.
    ///
    /// # Errors
    /// Those of [`Body::new`] and [`reference::execute`].
    pub fn new(name: &str, config: &BackboneConfig, seed: u64) -> Result<Self> {
        let body = Body::new(config)?;
        let weights = Weights::random(config, seed)?;
        let clip = random::clip(CLIP, seed)?;
        let started = Instant::now();
        let stages = body.graph.stages();
        let volumes = reference::execute(&body.graph, &[&clip], &weights, stages)?;
        let names = stages.iter().map(|&id| body.graph.blob(id).name.clone());
        Ok(Self {
            name: name.to_owned(),
            config: config.clone(),
            weights,
            clip,
            expected: names.zip(volumes).collect(),
            reference_time: started.elapsed(),
        })
    }

    /// Runs the body on a device with the default choice of methods.
    ///
    /// # Errors
    /// Those of [`GpuBackbone`].
    pub fn run(&self, gpu: &GpuContext) -> Result<PresetRow> {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let started = Instant::now();
        let options = Options { taps: Taps::Stages, ..Options::default() };
        let tolerance = Tolerance::of(options.precision.into());
        let mut backbone = GpuBackbone::new(gpu, &self.config, &self.weights, options)?;
        let macs = backbone.plan(CLIP)?.macs();
        let prepare = started.elapsed();
        backbone.forward(&self.clip)?;
        let started = Instant::now();
        let features = backbone.forward(&self.clip)?;
        let forward = started.elapsed();
        let deviations = features
            .blobs()
            .iter()
            .map(|blob| Deviation::measure(&blob.name, &blob.data, &self.expected[&blob.name].data, tolerance));
        let worst = deviations.max_by(|a, b| a.of_tolerance.total_cmp(&b.of_tolerance));
        let worst = worst.expect("the last blob is always there");
        Ok(PresetRow {
            name: self.name.clone(),
            adapter: gpu.adapter_name().to_owned(),
            backend: gpu.backend(),
            macs,
            parameters: backbone.body().graph.parameter_count(),
            prepare_ms: milliseconds(prepare),
            forward_ms: milliseconds(forward),
            reference_ms: milliseconds(self.reference_time),
            passed: worst.passed(),
            worst,
        })
    }
}
