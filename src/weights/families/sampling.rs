//! Which frames of a video a project's networks take, and of how many clips and crops it averages the scores.

use super::{Family, Shapes};
use crate::clip::sampling::{Rule, Sampling};
use crate::weights::cfg::Cfg;

/// Those that a network of `family` takes, whose parameters are of `shapes`: as its project tests the ones it publishes, or
/// as `cfg` says. `None` where no project says it.
///
/// Frames and steps are those of the configurations beside the published weights: torchvision `VideoClassification` and
/// `references/video_classification`, PyTorchVideo `hub/*.py`, PySlowFast and video-nonlocal-net `configs/Kinetics`, VMZ
/// `c2/tutorials`, Hara's `opts.py`, mmaction2 `configs/recognition`.
pub(crate) fn sampling(family: Family, shapes: &Shapes<'_>, cfg: &Cfg) -> Option<Sampling> {
    let views = |clips, crops, sampling| Sampling { clips, crops, ..sampling };
    let two_pathways = shapes.has_two_pathways();
    let sampling = match family {
        Family::Torchvision => views(Some(5), 1, Sampling::new(16, 1, Some(15), Rule::Resampled)),
        // R(2+1)D is published for 8 and for 32 successive frames, which nothing in a file shows; 32 is the better of them,
        // and the only one of R(2+1)D-152.
        Family::Vmz => {
            let step = if shapes.is_depthwise() { 2 } else { 1 };
            views(Some(10), 1, Sampling::new(32, step, None, Rule::Strided))
        }
        // What PySlowFast trains may have PyTorchVideo's names, and has its own configuration then.
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
            // Three squares are cut of the whole shorter side, and the middle one of a test is smaller.
            Sampling { crop: Some(256), ..views(Some(10), 3, Sampling::new(frames, step, None, Rule::Strided)) }
        }
        Family::I3ResNet | Family::Detectron => return None,
    };
    // A file may say anything of itself.
    sampling.checked().is_ok().then_some(sampling)
}

/// `usual` frames, ten clips of three crops, as far as `cfg` does not say otherwise.
fn configured(usual: Sampling, cfg: &Cfg) -> Sampling {
    Sampling {
        frames: cfg.frames.unwrap_or(usual.frames),
        step: cfg.step.unwrap_or(usual.step),
        clips: cfg.clips.or(Some(10)),
        crops: cfg.crops.unwrap_or(3),
        ..usual
    }
}
