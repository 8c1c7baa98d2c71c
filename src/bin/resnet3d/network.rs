//! Which network, and with which weights: `--config` and `--weights` put together.

use crate::arguments::WeightsSource;
use crate::progress::Progress;
use anyhow::{Context as _, Result};
use resnet3d_wgpu::backbone::tap_names;
use resnet3d_wgpu::clip::preprocess::Normalization;
use resnet3d_wgpu::config::PRESETS;
use resnet3d_wgpu::content::read_json;
use resnet3d_wgpu::graph::resnet::Body;
use resnet3d_wgpu::weights::Loaded;
use resnet3d_wgpu::{BackboneConfig, Checkpoint, Error, Taps, WeightOptions, Weights};
use std::ffi::OsStr;
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
    /// How they want pixels to be normalised, if that is known.
    pub normalization: Option<Normalization>,
}

impl Network {
    /// Reads or generates the weights. The network is that of `choice`, else the one that the file shows, else r18-conv4.
    pub fn load(source: &WeightsSource, choice: Option<Choice>, options: &WeightOptions) -> Result<Self> {
        let _progress = Progress::start("reading weights");
        match source {
            WeightsSource::Random(seed) => {
                let config = choice.map(|choice| choice.config).unwrap_or_default();
                Ok(Self { weights: Weights::random(&config, *seed)?, config, unused: Vec::new(), normalization: None })
            }
            WeightsSource::File(path) => {
                let checkpoint = Checkpoint::open(path)?;
                let config = config_for(&checkpoint, path, choice)?;
                let loaded = load(&checkpoint, path, &config, options)?;
                let unused = loaded.dropped.into_iter().map(|dropped| dropped.name).collect();
                Ok(Self { weights: loaded.weights, config, unused, normalization: checkpoint.normalization() })
            }
        }
    }

    /// The network as a graph.
    pub fn body(&self) -> Result<Body> {
        Ok(Body::new(&self.config)?)
    }
}

/// The parameters of `config` from an opened file.
pub fn load(checkpoint: &Checkpoint, path: &Path, config: &BackboneConfig, options: &WeightOptions) -> Result<Loaded> {
    let loaded = checkpoint.load(config, options);
    loaded.with_context(|| format!("{} does not give the weights of this network", path.display()))
}

/// The network to read the file `path` as: the one that was asked for, else the one that it shows, else r18-conv4.
pub fn config_for(checkpoint: &Checkpoint, path: &Path, choice: Option<Choice>) -> Result<BackboneConfig> {
    match choice {
        Some(Choice { config, says_stride: true }) => Ok(config),
        // Where the stride is goes with the weights, and a preset's is that of Detectron's.
        Some(Choice { config, .. }) => {
            Ok(BackboneConfig { stride_1x1: checkpoint.stride_1x1().unwrap_or(config.stride_1x1), ..config })
        }
        None => {
            let own = checkpoint.config();
            let own = own.with_context(|| format!("{} shows no network that can be run", path.display()))?;
            Ok(own.unwrap_or_default())
        }
    }
}

/// Checks `taps` before the weights are read, where the network is known by then.
pub fn check_taps(source: &WeightsSource, choice: Option<&Choice>, taps: &Taps) -> Result<()> {
    let config = match (choice, source) {
        (Some(choice), _) => choice.config.clone(),
        (None, WeightsSource::Random(_)) => BackboneConfig::default(),
        (None, WeightsSource::File(_)) => return Ok(()),
    };
    tap_names(&Body::new(&config)?, taps)?;
    Ok(())
}

/// The file that a value of `--config` names, if it names one.
pub fn config_file(value: &OsStr) -> Option<&Path> {
    let is_text = |text: &str| text.trim_start().starts_with('{') || PRESETS.contains(&text);
    let path = Path::new(value);
    (!value.to_str().is_some_and(is_text) && path.exists()).then_some(path)
}

/// What `--config` asks for.
#[derive(Debug)]
pub struct Choice {
    /// The network.
    pub config: BackboneConfig,
    /// Whether it says itself where bottlenecks stride.
    says_stride: bool,
}

impl Choice {
    /// Reads the value of `--config`: JSON, a preset's name, or a file of JSON.
    pub fn new(value: &OsStr) -> Result<Self> {
        let of_json = |json: &str| -> resnet3d_wgpu::Result<Self> {
            let config = BackboneConfig::from_json(json)?;
            let keys: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
            Ok(Self { config, says_stride: keys.get("stride_1x1").is_some() })
        };
        match value.to_str() {
            Some(text) if text.trim_start().starts_with('{') => return Ok(of_json(text)?),
            Some(text) if PRESETS.contains(&text) => {
                return Ok(Self { config: BackboneConfig::preset(text)?, says_stride: false });
            }
            _ => {}
        }
        // Any other value is the name of a file, which need not be text.
        let Some(path) = config_file(value) else {
            let error = Error::Config {
                field: "--config".to_owned(),
                wanted: format!("a preset ({}), a file, or JSON that starts with '{{'", PRESETS.join(", ")),
                given: format!("{:?}, and there is no such file", Path::new(value).display().to_string()),
            };
            return Err(error.into());
        };
        let json = read_json(path)?;
        of_json(&json).with_context(|| format!("the configuration in {} is no network", path.display()))
    }
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
    if config.transformation == resnet3d_wgpu::Transformation::Bottleneck && !config.stride_1x1 {
        text += ", stride on the 3x3";
    }
    if config.time_stride_on {
        text += ", strides over time";
    }
    text
}
