//! Which network, and with which weights: `--config` and `--weights` put together.

use crate::arguments::WeightsSource;
use crate::progress::Progress;
use anyhow::{Context as _, Result};
use resnet3d_wgpu::config::PRESETS;
use resnet3d_wgpu::graph::resnet::Body;
use resnet3d_wgpu::{BackboneConfig, Checkpoint, Error, Weights};
use std::path::Path;

/// A network with its weights.
#[derive(Debug)]
pub struct Network {
    /// The network.
    pub config: BackboneConfig,
    /// Its weights.
    pub weights: Weights,
    /// Tensors of the weight file that the network does not use.
    pub unused: Vec<String>,
}

impl Network {
    /// Reads or generates the weights. The network is that of `config`, else the one that the file names, else r18-conv4.
    pub fn load(source: &WeightsSource, config: Option<&str>) -> Result<Self> {
        let config = config.map(config_argument).transpose()?;
        let _progress = Progress::start("reading weights");
        match source {
            WeightsSource::Random(seed) => {
                let config = config.unwrap_or_default();
                Ok(Self { weights: Weights::random(&config, *seed)?, config, unused: Vec::new() })
            }
            WeightsSource::File(path) => {
                let checkpoint = Checkpoint::open(path)?;
                let config = match config {
                    Some(config) => config,
                    None => checkpoint
                        .config()
                        .with_context(|| format!("the metadata of {} has no usable `config`", path.display()))?
                        .unwrap_or_default(),
                };
                let weights = checkpoint
                    .weights(&config)
                    .with_context(|| format!("{} does not hold the weights of this network", path.display()))?;
                Ok(Self { unused: checkpoint.unused(&config)?, weights, config })
            }
        }
    }

    /// The network as a graph.
    pub fn body(&self) -> Result<Body> {
        Ok(Body::new(&self.config)?)
    }
}

/// The network that the value of `--config` means: JSON, a preset's name, or a file of JSON.
pub fn config_argument(text: &str) -> Result<BackboneConfig> {
    if text.trim_start().starts_with('{') {
        return Ok(BackboneConfig::from_json(text)?);
    }
    if PRESETS.contains(&text) {
        return Ok(BackboneConfig::preset(text)?);
    }
    if !Path::new(text).exists() {
        let error = Error::Config {
            field: "--config".to_owned(),
            wanted: format!("a preset ({}), a file, or JSON that starts with '{{'", PRESETS.join(", ")),
            given: format!("{text:?}, and there is no such file"),
        };
        return Err(error.into());
    }
    let json =
        std::fs::read_to_string(text).map_err(|source| Error::File { action: "read", path: text.into(), source })?;
    BackboneConfig::from_json(&json).with_context(|| format!("the configuration in {text} is no network"))
}

/// A network in a few words, for example `bottleneck blocks 2,2,2, widths 64,64,128,256, time kernel 3`.
pub fn describe(config: &BackboneConfig) -> String {
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let preset = PRESETS.iter().find(|name| BackboneConfig::preset(name).is_ok_and(|preset| preset == *config));
    let kind = match config.transformation {
        resnet3d_wgpu::Transformation::Bottleneck => "bottleneck",
        resnet3d_wgpu::Transformation::Basic => "basic",
    };
    let mut text = preset.map(|name| format!("{name}: ")).unwrap_or_default();
    text += &format!(
        "{kind} blocks {}, widths {}, time kernel {}",
        list(&config.block_counts),
        list(&config.feat_dims),
        config.time_kernel_dim
    );
    for (name, value, usual) in [
        ("groups", config.num_groups, 1),
        ("width per group", config.width_per_group, 64),
        ("dilation", config.dilation, 1),
    ] {
        if value != usual {
            text += &format!(", {name} {value}");
        }
    }
    if config.time_stride_on {
        text += ", strides over time";
    }
    text
}
