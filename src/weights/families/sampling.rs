//! Which frames of a video a project's networks take, and over how many clips and crops it averages the scores.

use super::{Family, Shapes};
use crate::clip::sampling::{Rule, Sampling};
use crate::weights::cfg::Cfg;

/// The sampling for a network of `family` whose parameters have `shapes`: the one with which its project tests
/// published networks, or the one in `cfg`. `None` if the project documents none.
///
/// Frames and steps come from the configurations that are published with the weights: torchvision `VideoClassification`
/// and `references/video_classification`, PyTorchVideo `hub/*.py`, PySlowFast and video-nonlocal-net
/// `configs/Kinetics`, VMZ `c2/tutorials`, Hara's `opts.py`, mmaction2 `configs/recognition`.
pub(crate) fn sampling(family: Family, shapes: &Shapes<'_>, cfg: &Cfg) -> Option<Sampling> {
    let views = |clips, crops, sampling| Sampling { clips, crops, ..sampling };
    let two_pathways = shapes.has_two_pathways();
    let sampling = match family {
        Family::Torchvision => views(Some(5), 1, Sampling::new(16, 1, Some(15), Rule::Resampled)),
        // R(2+1)D is published for 8 and for 32 successive frames, and nothing in a file shows which. 32 frames give
        // better scores, and R(2+1)D-152 is published for 32 only.
        Family::Vmz => {
            let step = if shapes.is_depthwise() { 2 } else { 1 };
            views(Some(10), 1, Sampling::new(32, step, None, Rule::Strided))
        }
        // Networks trained by PySlowFast may have PyTorchVideo's names; their files then contain PySlowFast's
        // configuration.
        Family::PyTorchVideo => {
            let [frames, step] = match () {
                () if two_pathways || shapes.is_depthwise() => [32, 2],
                () if shapes.is_factored() => [16, 4],
                () => [8, 8],
            };
            configured(Sampling::new(frames, step, Some(30), Rule::Subsampled), cfg)
        }
        Family::PySlowFast => {
            let [frames, step] = if two_pathways { [32, 2] } else { [8, 8] };
            configured(Sampling::new(frames, step, Some(30), Rule::Spread), cfg)
        }
        Family::VideoNonlocalNet => views(Some(10), 3, Sampling::new(8, 8, None, Rule::Strided)),
        Family::ThreeDResNets => views(None, 1, Sampling::new(16, 1, None, Rule::Windows)),
        Family::Mmaction2 => {
            let [frames, step] = match shapes.stem_time() {
                _ if two_pathways || shapes.is_depthwise() => [32, 2],
                5 => [32, 2],
                _ => [8, 8],
            };
            // The three square crops are as large as the shorter side, and the single centre crop of a test is smaller.
            Sampling { crop: Some(256), ..views(Some(10), 3, Sampling::new(frames, step, None, Rule::Strided)) }
        }
        Family::I3ResNet | Family::Detectron => return None,
    };
    // The configuration in a file may contain invalid values.
    sampling.checked().is_ok().then_some(sampling)
}

/// The frames of `usual` and ten clips with three crops each, overridden by what `cfg` sets.
fn configured(usual: Sampling, cfg: &Cfg) -> Sampling {
    Sampling {
        frames: cfg.frames.unwrap_or(usual.frames),
        step: cfg.step.unwrap_or(usual.step),
        clips: cfg.clips.or(Some(10)),
        crops: cfg.crops.unwrap_or(3),
        ..usual
    }
}
