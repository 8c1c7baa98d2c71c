//! What network: every choice that shapes a 3D ResNet, whoever published it.
//!
//! A [`Network`] is either the body of *Detect-and-Track*, by that reference's own keys ([`BackboneConfig`]), or a
//! [`Description`]: stem, stages, blocks and units, of which every published 3D ResNet is made. The first expands into the
//! second ([`Network::description`]), to the same graph, blob for blob.
//!
//! [`presets`] has the published networks by their projects' names.

mod expand;
mod json;
pub mod presets;
mod validate;

use crate::config::BackboneConfig;
use crate::error::Result;
use crate::window::Window;
use serde::{Deserialize, Serialize};

/// A network, validated when a [`crate::low_level::graph::Body`] is made of it.
///
/// As JSON it has the keys of [`BackboneConfig`], or those of [`Description`]; `preset` names a published network that the
/// other keys change.
///
/// ```
/// use resnet3d_wgpu::Network;
///
/// let network = Network::from_json(r#"{"preset": "r3d_18", "classes": 400}"#)?;
/// assert_eq!(network.description()?.stages.len(), 4);
/// let body = Network::from_json(r#"{"preset": "r50-conv5", "dilation": 2}"#)?;
/// assert_eq!(body.description()?.stages[3].blocks[0].branch[1].dilation, [1, 2, 2]);
/// # Ok::<(), resnet3d_wgpu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Network {
    /// A body of *Detect-and-Track*, by its own keys.
    Reference(BackboneConfig),
    /// Any network, unit by unit.
    Described(Description),
}

impl Network {
    /// The network, unit by unit.
    ///
    /// # Errors
    /// Those of [`BackboneConfig::validate`].
    pub fn description(&self) -> Result<Description> {
        match self {
            Self::Reference(config) => {
                config.validate()?;
                Ok(expand::reference(config))
            }
            Self::Described(description) => Ok(description.clone()),
        }
    }

    /// The stage after which training stops the gradient; 0 for none.
    pub fn freeze_at(&self) -> usize {
        match self {
            Self::Reference(config) => config.freeze_at,
            Self::Described(description) => {
                description.stages.iter().position(|stage| stage.stop_gradient).map_or(0, |index| index + 2)
            }
        }
    }

    /// How many classes its classifier has; `None` if it has none.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Reference(_) => None,
            Self::Described(description) => description.classes,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::Reference(BackboneConfig::default())
    }
}

impl From<BackboneConfig> for Network {
    fn from(config: BackboneConfig) -> Self {
        Self::Reference(config)
    }
}

impl From<&BackboneConfig> for Network {
    fn from(config: &BackboneConfig) -> Self {
        Self::Reference(config.clone())
    }
}

impl From<Description> for Network {
    fn from(description: Description) -> Self {
        Self::Described(description)
    }
}

impl From<&Description> for Network {
    fn from(description: &Description) -> Self {
        Self::Described(description.clone())
    }
}

impl From<&Network> for Network {
    fn from(network: &Network) -> Self {
        network.clone()
    }
}

/// A network, unit by unit. As JSON, what is left out has the value that is usual, and `repeat` stands for a block that
/// follows itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// What turns the clip into the first stage's input.
    pub stem: Stem,
    /// res2 first.
    pub stages: Vec<Stage>,
    /// A second pathway, which the stem and the stages above hear from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast: Option<Box<FastPathway>>,
    /// Classes of the classifier behind the mean of the last stage. `None` ends the network with that stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// The fast pathway of a SlowFast network (Feichtenhofer et al., ICCV 2019): narrow, and of all frames of a clip, of which the
/// slow one takes one in `alpha`. What is behind its stem, and behind each stage but the last, joins the slow pathway there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FastPathway {
    /// Frames of the clip for each of the slow pathway.
    pub alpha: usize,
    /// Which those are.
    #[serde(default)]
    pub spread: Spread,
    /// Its own stem.
    pub stem: Stem,
    /// Its own stages, as many as the slow pathway's.
    pub stages: Vec<Stage>,
    /// One behind the stem, one behind each stage but the last.
    pub laterals: Vec<Lateral>,
}

/// Where in a clip frames are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Spread {
    /// From the first to the last, as evenly as whole frames allow: `torch.linspace(0, T - 1, T / alpha)` without what is
    /// behind the point (PyTorchVideo, PySlowFast).
    #[default]
    Even,
    /// The first, and every `alpha`-th behind it (mmaction2).
    Every,
}

/// A lateral connection: a convolution over time of a blob of the fast pathway, strided by `alpha`, whose channels come behind
/// those of the slow one's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Lateral {
    /// Output channels.
    pub width: usize,
    /// Taps over time; odd.
    pub kernel: usize,
    /// Whether an affine channel and ReLU follow.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub relu: bool,
}

/// The convolutions of a clip, each with its affine channel and ReLU, and the pooling behind them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stem {
    /// `conv1`; deep stems have more.
    pub convs: Vec<Unit>,
    /// `pool1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

/// Residual blocks one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stage {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Max pooling behind the stage, of its last blob, which stays as it is.
    pub pool: Option<Pool>,
    /// Whether training stops the gradient behind the stage. It changes no value.
    pub stop_gradient: bool,
}

/// `ReLU(branch + shortcut)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Block {
    /// Units one after the other, `branch2a` first; ReLU behind all but the last.
    pub branch: Vec<Unit>,
    /// What is added to the branch.
    pub shortcut: Shortcut,
}

/// The way around a branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shortcut {
    /// The block's input.
    Identity,
    /// `branch1`: a convolution of it with an affine channel (shortcut B).
    Projection(Unit),
    /// Every so many positions of it, as the branch strides, and zeros in the channels that it lacks (shortcut A).
    ZeroPad,
}

/// A convolution and its affine channel.
///
/// Padding is `dilation * (kernel - 1) / 2` on both sides, so that stride 1 keeps the extents.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unit {
    /// Output channels.
    pub width: usize,
    /// Taps over time, height and width; odd.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub kernel: [usize; 3],
    /// Steps between outputs.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 3],
    /// Steps between taps.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation: [usize; 3],
    /// Groups of channels; as many as channels is a depthwise convolution.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// A convolution in front of this one, which is then the second half of a factored one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<FirstHalf>,
}

/// The first half of a factored convolution, for example 1×3×3 in front of 3×1×1 (R(2+1)D): with an affine channel of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FirstHalf {
    /// Channels between the halves.
    pub width: usize,
    /// Taps over time, height and width; odd.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub kernel: [usize; 3],
    /// Steps between outputs.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 3],
    /// Whether ReLU follows.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub relu: bool,
}

/// A window of max pooling; padding never wins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pool {
    /// Extents of the window over time, height and width.
    pub kernel: [usize; 3],
    /// Steps between outputs.
    pub stride: [usize; 3],
    /// Padding on both sides.
    #[serde(default, skip_serializing_if = "are_zeros")]
    pub pad: [usize; 3],
}

impl Unit {
    /// A pointwise convolution to `width` channels.
    pub fn pointwise(width: usize) -> Self {
        Self::new(width, [1; 3])
    }

    /// A convolution to `width` channels.
    pub fn new(width: usize, kernel: [usize; 3]) -> Self {
        Self { width, kernel, stride: [1; 3], dilation: [1; 3], groups: 1, mid: None }
    }

    /// The same with these steps between outputs.
    pub fn strided(self, stride: [usize; 3]) -> Self {
        Self { stride, ..self }
    }

    /// The window of the unit, or of its second half.
    pub fn window(&self) -> Window {
        window(self.kernel, self.stride, self.dilation)
    }

    /// The steps of both halves together.
    pub fn total_stride(&self) -> [usize; 3] {
        let mid = self.mid.as_ref().map_or([1; 3], |mid| mid.stride);
        product(self.stride, mid)
    }
}

impl FirstHalf {
    /// Its window.
    pub fn window(&self) -> Window {
        window(self.kernel, self.stride, [1; 3])
    }
}

impl Lateral {
    /// Its window in a network whose slow pathway takes one frame in `alpha`.
    pub fn window(&self, alpha: usize) -> Window {
        window([self.kernel, 1, 1], [alpha, 1, 1], [1; 3])
    }
}

impl Pool {
    /// Behind the stems of most.
    pub const MAX_1X3X3: Self = Self { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] };

    /// Behind the stems of Hara's.
    pub const MAX_3X3X3: Self = Self { kernel: [3; 3], stride: [2; 3], pad: [1; 3] };

    /// Behind res2 of those that halve the frames there.
    pub const MAX_2X1X1: Self = Self { kernel: [2, 1, 1], stride: [2, 1, 1], pad: [0; 3] };

    /// The window.
    pub fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, pad: self.pad, dilation: [1; 3] }
    }
}

impl Block {
    /// The steps of the branch.
    pub fn stride(&self) -> [usize; 3] {
        self.branch.iter().map(Unit::total_stride).fold([1; 3], product)
    }

    /// Width of the block's output.
    pub fn width(&self) -> usize {
        self.branch.last().map_or(0, |unit| unit.width)
    }
}

impl Description {
    /// The steps of the whole network, or of its slow pathway: how many positions of the clip one of the last stage stands
    /// for, along each axis.
    pub fn stride(&self) -> [usize; 3] {
        // The last stage's blob is the one before its pooling.
        strides(&self.stem, &self.stages).last().map_or([1; 3], |&(blob, _)| blob)
    }
}

/// The steps from the clip to the blob of the stem and of every stage, each without and with the pooling behind it.
fn strides(stem: &Stem, stages: &[Stage]) -> Vec<([usize; 3], [usize; 3])> {
    let pooled =
        |blob: [usize; 3], pool: &Option<Pool>| (blob, pool.as_ref().map_or(blob, |pool| product(blob, pool.stride)));
    let mut all = vec![pooled(stem.convs.iter().map(Unit::total_stride).fold([1; 3], product), &stem.pool)];
    for stage in stages {
        let (_, before) = all[all.len() - 1];
        all.push(pooled(stage.blocks.iter().map(Block::stride).fold(before, product), &stage.pool));
    }
    all
}

fn window(kernel: [usize; 3], stride: [usize; 3], dilation: [usize; 3]) -> Window {
    let pad = std::array::from_fn(|axis| dilation[axis] * (kernel[axis] / 2));
    Window { kernel, stride, pad, dilation }
}

fn product(a: [usize; 3], b: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| a[axis].saturating_mul(b[axis]))
}

fn ones() -> [usize; 3] {
    [1; 3]
}

fn are_ones(value: &[usize; 3]) -> bool {
    *value == [1; 3]
}

fn are_zeros(value: &[usize; 3]) -> bool {
    *value == [0; 3]
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn yes() -> bool {
    true
}
