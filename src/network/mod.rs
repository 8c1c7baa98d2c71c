//! The configuration of a network: every choice that shapes a 3D ResNet of any project.
//!
//! A [`Network`] is either a body of *Detect-and-Track*, with the keys of that reference ([`BackboneConfig`]), or a
//! [`Description`]: stem, stages, blocks and units, which can express every published 3D ResNet. The first expands into
//! the second ([`Network::description`]) with the same graph, blob for blob.
//!
//! [`presets`] has the published networks under the names that their projects give them.

mod expand;
mod json;
pub mod presets;
mod validate;

use crate::config::BackboneConfig;
use crate::error::Result;
use crate::window::Window;
use serde::{Deserialize, Serialize};

/// A network. Building a [`crate::low_level::graph::Body`] validates it.
///
/// Its JSON has the keys of [`BackboneConfig`] or those of [`Description`]. `preset` names a published network, which
/// the other keys modify.
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
    /// A body of *Detect-and-Track*, with the keys of that reference.
    Reference(BackboneConfig),
    /// Any network, unit by unit.
    Described(Description),
}

impl Network {
    /// The network, unit by unit.
    ///
    /// # Errors
    /// The errors of [`BackboneConfig::validate`].
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

    /// The number of classes; `None` if the network has no classifier.
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

/// A network, unit by unit. In its JSON, omitted keys have their usual values, and `repeat` repeats a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The stem, from the clip to the input of the first stage.
    pub stem: Stem,
    /// The stages, res2 first.
    pub stages: Vec<Stage>,
    /// A second pathway, with lateral connections to the stem and the stages above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast: Option<Box<FastPathway>>,
    /// The number of classes of the classifier, which takes the mean of the last stage. `None`: the network ends with
    /// the last stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// The fast pathway of a SlowFast network (Feichtenhofer et al., ICCV 2019). It is narrow and takes all frames of a
/// clip, while the slow pathway takes one in `alpha`. Lateral connections lead from its stem, and from each stage but
/// the last, to the same place in the slow pathway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FastPathway {
    /// Frames of the clip per frame of the slow pathway.
    pub alpha: usize,
    /// Which frames the slow pathway takes.
    #[serde(default)]
    pub spread: Spread,
    /// The stem of the fast pathway.
    pub stem: Stem,
    /// The stages of the fast pathway, as many as in the slow one.
    pub stages: Vec<Stage>,
    /// The lateral connections: one after the stem, and one after each stage but the last.
    pub laterals: Vec<Lateral>,
}

/// How the frames that the slow pathway takes are spread over the clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Spread {
    /// Evenly from the first frame to the last: `torch.linspace(0, T - 1, T / alpha)`, truncated to integers
    /// (PyTorchVideo, PySlowFast).
    #[default]
    Even,
    /// The first frame and every `alpha`-th after it (mmaction2).
    Every,
}

/// A lateral connection: a convolution over time, with stride `alpha`, of a blob of the fast pathway. Its output
/// channels are appended to those of the slow pathway's blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Lateral {
    /// Output channels.
    pub width: usize,
    /// Kernel over time; odd.
    pub kernel: usize,
    /// Whether an affine channel and ReLU follow.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub relu: bool,
}

/// The first convolutions, each with an affine channel and ReLU, and the pooling after them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stem {
    /// `conv1`, and further convolutions in deep stems.
    pub convs: Vec<Unit>,
    /// `pool1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

/// A sequence of residual blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stage {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Max pooling of the stage's last blob, as the input of the next stage.
    pub pool: Option<Pool>,
    /// Whether training stops the gradient after the stage. This changes no value.
    pub stop_gradient: bool,
}

/// `ReLU(branch + shortcut)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Block {
    /// The units in order, `branch2a` first, with ReLU after all but the last.
    pub branch: Vec<Unit>,
    /// The shortcut that is added to the branch.
    pub shortcut: Shortcut,
}

/// The shortcut of a residual block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shortcut {
    /// The block's input.
    Identity,
    /// `branch1`: a convolution of the block's input with an affine channel (shortcut B).
    Projection(Unit),
    /// The block's input, subsampled with the branch's stride and padded with zero channels (shortcut A).
    ZeroPad,
}

/// A convolution with its affine channel.
///
/// The padding is `dilation * (kernel - 1) / 2` on both sides, so stride 1 keeps the extents.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unit {
    /// Output channels.
    pub width: usize,
    /// Kernel over time, height and width; odd.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub kernel: [usize; 3],
    /// Stride over time, height and width.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 3],
    /// Dilation over time, height and width.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation: [usize; 3],
    /// Groups of channels. One group per channel is a depthwise convolution.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// The first half of a factored convolution, of which this unit is the second half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<FirstHalf>,
}

/// The first half of a factored convolution and its affine channel, for example 1×3×3 in front of 3×1×1 (R(2+1)D).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FirstHalf {
    /// Channels between the halves.
    pub width: usize,
    /// Kernel over time, height and width; odd.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub kernel: [usize; 3],
    /// Stride over time, height and width.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 3],
    /// Whether ReLU follows.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub relu: bool,
}

/// Max pooling. Padding is never the maximum.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pool {
    /// Extents of the window over time, height and width.
    pub kernel: [usize; 3],
    /// Stride over time, height and width.
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

    /// The same unit with this stride.
    pub fn strided(self, stride: [usize; 3]) -> Self {
        Self { stride, ..self }
    }

    /// The window of the convolution; in a factored convolution, of the second half.
    pub fn window(&self) -> Window {
        window(self.kernel, self.stride, self.dilation)
    }

    /// The stride of the unit; in a factored convolution, of both halves together.
    pub fn total_stride(&self) -> [usize; 3] {
        let mid = self.mid.as_ref().map_or([1; 3], |mid| mid.stride);
        product(self.stride, mid)
    }
}

impl FirstHalf {
    /// The window of the convolution.
    pub fn window(&self) -> Window {
        window(self.kernel, self.stride, [1; 3])
    }
}

impl Lateral {
    /// The window of the convolution if the slow pathway takes one frame in `alpha`.
    pub fn window(&self, alpha: usize) -> Window {
        window([self.kernel, 1, 1], [alpha, 1, 1], [1; 3])
    }
}

impl Pool {
    /// The pooling after most stems.
    pub const MAX_1X3X3: Self = Self { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] };

    /// The pooling after the stems of Hara's networks.
    pub const MAX_3X3X3: Self = Self { kernel: [3; 3], stride: [2; 3], pad: [1; 3] };

    /// The pooling after res2 in networks that halve the number of frames there.
    pub const MAX_2X1X1: Self = Self { kernel: [2, 1, 1], stride: [2, 1, 1], pad: [0; 3] };

    /// The window.
    pub fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, pad: self.pad, dilation: [1; 3] }
    }
}

impl Block {
    /// The stride of the branch.
    pub fn stride(&self) -> [usize; 3] {
        self.branch.iter().map(Unit::total_stride).fold([1; 3], product)
    }

    /// Width of the block's output.
    pub fn width(&self) -> usize {
        self.branch.last().map_or(0, |unit| unit.width)
    }
}

impl Description {
    /// The stride from the clip to the output of the last stage, in the slow pathway if there are two.
    pub fn stride(&self) -> [usize; 3] {
        // The output is the blob in front of the last stage's pooling.
        strides(&self.stem, &self.stages).last().map_or([1; 3], |&(blob, _)| blob)
    }
}

/// The strides from the clip to the stem's output and to every stage's output, each without and with the pooling after
/// it.
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
