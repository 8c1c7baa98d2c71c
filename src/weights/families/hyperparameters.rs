//! Hyperparameters of a network that neither names nor shapes of its parameters show: strides, poolings, `eps`.

use super::Family;
use super::describe::Shapes;
use crate::graph::{SlowFrames, Spread};
use crate::network::Pool;
use crate::weights::batch_norm::{EPS_PYTORCH, EPS_VMZ};
use crate::weights::cfg::Cfg;

/// The hyperparameters that a project's code fixes for a network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hyperparameters {
    /// Strides of the stem's convolution.
    pub stem_stride: [usize; 3],
    /// Pooling after the stem.
    pub pool1: Option<Pool>,
    /// Pooling after res2.
    pub pool2: Option<Pool>,
    /// Stride over height and width of the first block of every stage.
    pub space: [usize; 4],
    /// Stride over time of the first block of every stage, if its strided convolution spans frames.
    pub time: [usize; 4],
    /// Whether the first block strides over time even if none of its convolutions spans frames.
    pub time_always: bool,
    /// Whether shortcuts without parameters pad with zeros where a block strides or changes its width.
    pub pads: bool,
    /// `eps` of the batch norms.
    pub eps: f64,
    /// `eps` of the batch norms between the halves of a factored convolution.
    pub eps_mid: f64,
    /// Which frames the slow pathway takes, in networks with two pathways.
    pub slow_frames: Option<SlowFrames>,
}

/// Frames of the clip per frame of the slow pathway, if no configuration gives the number. `ALPHA` is for networks of
/// 8x8 frames, `ALPHA_MMACTION2` for mmaction2's only published network, of 4x16 frames.
const ALPHA: usize = 4;
const ALPHA_MMACTION2: usize = 8;

/// The values of most networks: strides over height and width only.
const USUAL: Hyperparameters = Hyperparameters {
    stem_stride: [1, 2, 2],
    pool1: Some(Pool::MAX_1X3X3),
    pool2: None,
    space: [1, 2, 2, 2],
    time: [1; 4],
    time_always: false,
    pads: false,
    eps: EPS_PYTORCH,
    eps_mid: EPS_PYTORCH,
    slow_frames: None,
};

impl Hyperparameters {
    /// Each hyperparameter in a few words.
    pub fn summary(&self) -> Vec<String> {
        let axes = |[t, h, w]: [usize; 3]| format!("{t}x{h}x{w}");
        let pool = |place: &str, pool: &Option<Pool>| match pool {
            None => format!("no pooling after {place}"),
            Some(Pool { kernel, stride, pad }) => {
                format!("{} pooling after {place} /{}, padded by {}", axes(*kernel), axes(*stride), axes(*pad))
            }
        };
        let strides: Vec<String> = (0..4)
            .map(|stage| format!("res{} {}", stage + 2, axes([self.time[stage], self.space[stage], self.space[stage]])))
            .collect();
        let if_spanning = self.time != [1; 4] && !self.time_always;
        let over_time = if if_spanning { ", over time where the strided convolution spans frames" } else { "" };
        let mid = if self.eps_mid == self.eps { String::new() } else { format!(", {:e} between halves", self.eps_mid) };
        let pathways = self.slow_frames.map(|SlowFrames { alpha, spread }| {
            let which = match spread {
                Spread::Even => "spread evenly",
                Spread::Every => "from the first on",
            };
            format!("one frame in {alpha} for the slow pathway, {which}")
        });
        let always = vec![
            format!("stem /{}", axes(self.stem_stride)),
            pool("the stem", &self.pool1),
            pool("res2", &self.pool2),
            format!("first blocks /{}{over_time}", strides.join(", ")),
            format!("batch norms add {:e}{mid}", self.eps),
        ];
        always.into_iter().chain(pathways).collect()
    }

    /// The hyperparameters of the network of `family` whose parameters have `shapes`; `cfg` is PySlowFast's
    /// configuration.
    pub fn new(family: Family, shapes: &Shapes<'_>, cfg: &Cfg) -> Self {
        let one_pathway = Self::one_pathway(family, shapes, cfg.arch.as_deref());
        let (alpha, spread) = match family {
            Family::Mmaction2 => (ALPHA_MMACTION2, Spread::Every),
            _ => (ALPHA, Spread::Even),
        };
        let slow_frames = SlowFrames { alpha: cfg.alpha.unwrap_or(alpha), spread };
        Self { slow_frames: shapes.has_two_pathways().then_some(slow_frames), ..one_pathway }
    }

    fn one_pathway(family: Family, shapes: &Shapes<'_>, arch: Option<&str>) -> Self {
        let strided = Self { time: [1, 2, 2, 2], ..USUAL };
        // VMZ's R(2+1)D with bottleneck blocks pools after the stem in PyTorch. In Caffe2 it does not: its final
        // average pooling takes maps of 7x7 that come from 112x112 (`r3d_model.py` `create_model`).
        let pools_stem = shapes.weight("res2_0_branch2b_mid").is_some()
            && shapes.weight("res2_0_branch2c").is_some()
            && !shapes.of_caffe2;
        match family {
            Family::Torchvision => Self { pool1: None, ..strided },
            Family::Vmz => Self {
                pool1: (shapes.is_depthwise() || pools_stem).then_some(Pool::MAX_1X3X3),
                eps: EPS_VMZ,
                eps_mid: EPS_VMZ,
                ..strided
            },
            Family::PyTorchVideo if shapes.is_depthwise() => strided,
            Family::PyTorchVideo if shapes.is_factored() => {
                Self { pool1: None, space: [2; 4], time: [1, 1, 2, 2], ..USUAL }
            }
            // The indices of the stages show that the pooling has an index too.
            Family::PyTorchVideo if shapes.pool_has_index => Self { pool2: Some(Pool::MAX_2X1X1), ..USUAL },
            Family::PyTorchVideo => USUAL,
            Family::PySlowFast => {
                let by_shapes = || !shapes.has_two_pathways() && shapes.spans_alike();
                let pools = arch.map_or_else(by_shapes, |arch| matches!(arch, "c2d" | "i3d"));
                Self { pool2: pools.then_some(Pool::MAX_2X1X1), ..USUAL }
            }
            Family::ThreeDResNets => Self { pool1: Some(Pool::MAX_3X3X3), time_always: true, pads: true, ..strided },
            Family::I3ResNet => Self { pool1: Some(Pool::MAX_3X3X3), time_always: true, ..strided },
            Family::Mmaction2 if shapes.is_depthwise() => Self { eps: EPS_VMZ, eps_mid: EPS_VMZ, ..strided },
            Family::Mmaction2 if shapes.is_factored() => Self { eps: EPS_VMZ, ..strided },
            Family::Mmaction2 => match shapes.stem_time() {
                // I3D halves the number of frames in the stem, after the stem and after res2.
                5 => Self {
                    stem_stride: [2, 2, 2],
                    pool1: Some(Pool { stride: [2, 2, 2], ..Pool::MAX_1X3X3 }),
                    pool2: Some(Pool::MAX_2X1X1),
                    ..USUAL
                },
                // C2D has 2-D weights, and its poolings have no padding.
                _ if shapes.has_2d_stem() => {
                    Self { pool1: Some(Pool { pad: [0; 3], ..Pool::MAX_1X3X3 }), pool2: Some(Pool::MAX_2X1X1), ..USUAL }
                }
                _ => USUAL,
            },
            Family::VideoNonlocalNet => {
                Self { pool1: Some(Pool { pad: [0; 3], ..Pool::MAX_1X3X3 }), pool2: Some(Pool::MAX_2X1X1), ..USUAL }
            }
            Family::Detectron => USUAL,
        }
    }
}
