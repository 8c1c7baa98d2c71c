//! The network and its weights, from `--config` and `--weights`.

use crate::arguments::{WeightArguments, WeightsSource};
use crate::failure::Failure;
use crate::output::wrong_usage;
use crate::progress::Progress;
use anyhow::{Context as _, Result};
use resnet3d_wgpu::clip::files::Taken;
use resnet3d_wgpu::clip::preprocess::Preprocess;
use resnet3d_wgpu::clip::sampling::Sampling;
use resnet3d_wgpu::low_level::content::read_json;
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::tap_names;
use resnet3d_wgpu::network::{Description, Stage, Stem, presets};
use resnet3d_wgpu::weights::{Family, Loaded};
use resnet3d_wgpu::{BackboneConfig, Checkpoint, Network, Taps, Transformation, WeightOptions, Weights};
use std::ffi::OsStr;
use std::path::Path;

/// A network with its weights.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Its weights.
    pub weights: Weights,
    /// Tensors of the weight file that the network does not use.
    pub unused: Vec<String>,
    /// The project that published the network for video, if it is known.
    pub family: Option<Family>,
    /// Properties of the network that no name and no shape shows; they are assumed to be as published.
    pub assumed: Vec<String>,
    /// The preprocessing that the weights want, if it is known.
    pub preprocess: Option<Preprocess>,
    /// The frames of a video that the weights want, if they are known.
    pub sampling: Option<Sampling>,
}

impl Model {
    /// Reads or generates the weights. The network is that of `choice`, or that of the file, or r18-conv4.
    pub fn load(source: &WeightsSource, choice: Option<Choice>, how: &WeightArguments) -> Result<Self> {
        let _progress = Progress::start("reading weights");
        let path = match source {
            WeightsSource::Random(_) if how.family.is_some() => wrong_usage(
                "--family is the project of a weight file, but the weights are random; choose a network with --config",
            ),
            WeightsSource::Random(seed) => {
                let network = choice.map(|choice| choice.network).unwrap_or_default();
                return Ok(Self {
                    weights: Weights::random(&network, *seed)?,
                    network,
                    unused: Vec::new(),
                    family: None,
                    assumed: Vec::new(),
                    preprocess: None,
                    sampling: None,
                });
            }
            WeightsSource::File(path) => path,
        };
        let checkpoint = open(path, how.family)?;
        // If the user names the network, nothing is assumed.
        let assumed = if choice.is_none() { checkpoint.assumed() } else { Vec::new() };
        let network = network_for(&checkpoint, path, choice)?;
        let loaded = load(&checkpoint, path, &network, &how.options())?;
        let of_video = matches!(network, Network::Described(_));
        Ok(Self {
            weights: loaded.weights,
            unused: loaded.dropped.into_iter().map(|dropped| dropped.name).collect(),
            family: checkpoint.family().filter(|_| of_video),
            network,
            assumed,
            preprocess: checkpoint.preprocess(),
            sampling: checkpoint.sampling().filter(|_| of_video),
        })
    }

    /// The graph of the network.
    pub fn body(&self) -> Result<Body> {
        Ok(Body::new(&self.network)?)
    }
}

/// Opens a weight file, as one of `family` if that is given.
pub fn open(path: &Path, family: Option<Family>) -> Result<Checkpoint> {
    let checkpoint = Checkpoint::open(path)?;
    Ok(match family {
        Some(family) => checkpoint.of_family(family)?,
        None => checkpoint,
    })
}

/// Reads the parameters of `network` from an opened file.
pub fn load(checkpoint: &Checkpoint, path: &Path, network: &Network, options: &WeightOptions) -> Result<Loaded> {
    let loaded = checkpoint.load(network, options);
    loaded.with_context(|| format!("{} does not have the weights of this network", path.display()))
}

/// The network to read the file `path` as: that of `choice`, or that of the file, or r18-conv4.
pub fn network_for(checkpoint: &Checkpoint, path: &Path, choice: Option<Choice>) -> Result<Network> {
    match choice {
        // The position of the stride depends on the weights; presets have that of Detectron's weights.
        Some(Choice { network: Network::Reference(config), says_stride: false }) => {
            let stride_1x1 = checkpoint.stride_1x1().unwrap_or(config.stride_1x1);
            Ok(BackboneConfig { stride_1x1, ..config }.into())
        }
        Some(Choice { network, .. }) => Ok(network),
        None => {
            let network = checkpoint.network();
            let network = network.with_context(|| format!("{} has no network that can run", path.display()))?;
            Ok(network.unwrap_or_default())
        }
    }
}

/// Checks `taps` before the weights are read, if the network is already known.
pub fn check_taps(source: &WeightsSource, choice: Option<&Choice>, taps: &Taps) -> Result<()> {
    let network = match (choice, source) {
        (Some(choice), _) => choice.network.clone(),
        (None, WeightsSource::Random(_)) => Network::default(),
        (None, WeightsSource::File(_)) => return Ok(()),
    };
    tap_names(&Body::new(network)?, taps)?;
    Ok(())
}

/// The file that a value of `--config` names, if it is a file.
pub fn config_file(value: &OsStr) -> Option<&Path> {
    let is_text = |text: &str| text.trim_start().starts_with('{') || Network::preset(text).is_ok();
    let path = Path::new(value);
    (!value.to_str().is_some_and(is_text) && path.exists()).then_some(path)
}

/// The value of `--config`.
#[derive(Debug)]
pub struct Choice {
    /// The network.
    pub network: Network,
    /// Whether the value has the key `stride_1x1`.
    says_stride: bool,
}

impl Choice {
    /// Reads the value of `--config`: JSON, a preset's name, or a file of JSON.
    pub fn new(value: &OsStr) -> Result<Self> {
        let of_json = |json: &str| -> resnet3d_wgpu::Result<Self> {
            let network = Network::from_json(json)?;
            let keys: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
            Ok(Self { network, says_stride: keys.get("stride_1x1").is_some() })
        };
        match value.to_str() {
            Some(text) if text.trim_start().starts_with('{') => return Ok(of_json(text)?),
            Some(text) if let Ok(network) = Network::preset(text) => return Ok(Self { network, says_stride: false }),
            _ => {}
        }
        // Any other value is the name of a file, which need not be valid Unicode.
        let Some(path) = config_file(value) else {
            let presets = presets::all().collect::<Vec<_>>().join(", ");
            let wanted = format!("a preset ({presets}), a file, or JSON that starts with '{{'");
            let given = format!("{:?}, but there is no such file", Path::new(value).display().to_string());
            return Err(Failure::config("--config", &wanted, &given).into());
        };
        let json = read_json(path)?;
        of_json(&json).with_context(|| format!("the configuration in {} is not a network", path.display()))
    }
}

/// Preprocessing as text, for example `kinetics, 128x171, center crop 112`.
pub fn describe_pixels(preprocess: &Preprocess) -> String {
    let size = preprocess.size;
    let crop = preprocess.crop.map(|side| format!(", center crop {side}")).unwrap_or_default();
    format!("{}, {size}{crop}", preprocess.normalization)
}

/// The used frames of an input, as text.
pub fn describe_taken(taken: &Taken, wanted: Option<&Sampling>) -> String {
    let rate = taken.fps.map(|fps| format!(" at {fps:.2} fps")).unwrap_or_default();
    let how = wanted.map(|sampling| format!(": {}", sampling.describe())).unwrap_or_default();
    format!("{}: frames {} of {}{rate}{how}", taken.input, list(taken.frames.iter().copied()), taken.of)
}

/// A network as text, for example `bottleneck blocks 2,2,2, widths 64,64,128,256, time kernel 3`.
pub fn describe(network: &Network) -> String {
    // Presets match whatever the number of classes is.
    let matches = |preset: Network| match (preset, network) {
        (Network::Described(mut preset), Network::Described(network)) => {
            preset.classes = network.classes;
            preset == *network
        }
        (preset, _) => preset == *network,
    };
    let preset = presets::all().find(|name| Network::preset(name).is_ok_and(matches));
    let name = preset.map(|name| format!("{name}: ")).unwrap_or_default();
    name + &match network {
        Network::Reference(config) => describe_body(config),
        Network::Described(description) => describe_units(description),
        _ => "neither a body nor units".to_owned(),
    }
}

fn list(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

fn describe_body(config: &BackboneConfig) -> String {
    let mut text = format!(
        "{} blocks {}, widths {}, time kernel {}",
        config.transformation,
        list(config.block_counts.iter().copied()),
        list(config.feat_dims.iter().copied()),
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
    if config.transformation == Transformation::Bottleneck && !config.stride_1x1 {
        text += ", stride on the 3x3";
    }
    if config.time_stride_on {
        text += ", strides over time";
    }
    text
}

fn describe_units(network: &Description) -> String {
    let classes = network.classes.map(|n| format!(", {n} classes")).unwrap_or_default();
    let fast = network.fast.as_deref().map(|fast| {
        format!("; fast pathway, {} frames per slow frame: {}", fast.alpha, describe_pathway(&fast.stem, &fast.stages))
    });
    format!(
        "{}, total stride {}{}{classes}",
        describe_pathway(&network.stem, &network.stages),
        axes(network.stride()),
        fast.unwrap_or_default()
    )
}

fn describe_pathway(stem: &Stem, stages: &[Stage]) -> String {
    let convs = stem.convs.iter().map(|unit| match &unit.mid {
        Some(mid) => format!("{} + {}", axes(mid.kernel), axes(unit.kernel)),
        None => axes(unit.kernel),
    });
    let counts = list(stages.iter().map(|stage| stage.blocks.len()));
    let widths = list(stages.iter().filter_map(|stage| Some(stage.blocks.last()?.branch.last()?.width)));
    format!("stem {}, blocks {counts}, widths {widths}", convs.collect::<Vec<_>>().join(", "))
}

fn axes([t, h, w]: [usize; 3]) -> String {
    format!("{t}x{h}x{w}")
}
