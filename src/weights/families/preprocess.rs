//! How a project preprocesses the frames for its networks.

use super::{Family, Shapes};
use crate::clip::preprocess::{Normalization, Preprocess, Size};
use crate::weights::cfg::Cfg;

/// How to preprocess the frames of a clip for a network of `family` whose parameters have `shapes`. `counters` says
/// whether its batch norms have `num_batches_tracked`; `cfg` is PySlowFast's configuration and takes precedence over
/// the family's usual preprocessing. `None` for Detectron, whose naming decides instead.
pub(crate) fn preprocess(family: Family, shapes: &Shapes<'_>, counters: bool, cfg: &Cfg) -> Option<Preprocess> {
    let usual = Preprocess::usual;
    Some(match family {
        Family::Torchvision => usual(Normalization::Kinetics),
        // Channel-separated networks were trained on larger frames than R(2+1)D.
        Family::Vmz if shapes.is_depthwise() => {
            Preprocess { size: Size::Shorter(256), crop: Some(224), ..usual(Normalization::Kinetics) }
        }
        Family::Vmz => usual(Normalization::Kinetics),
        Family::PyTorchVideo | Family::PySlowFast if cfg.reversed == Some(true) => {
            usual(Normalization::PyTorchVideoBgr)
        }
        Family::PyTorchVideo | Family::PySlowFast | Family::VideoNonlocalNet => usual(Normalization::PyTorchVideo),
        // The networks of 2017 and 2018: PyTorch had no `num_batches_tracked` yet.
        Family::ThreeDResNets if !counters => usual(Normalization::ActivityNet),
        Family::ThreeDResNets => usual(Normalization::ThreeDResNets),
        Family::I3ResNet => usual(Normalization::ImageNet),
        // mmaction2 took these weights over together with their normalization.
        Family::Mmaction2 if shapes.is_depthwise() => usual(Normalization::Mmaction2Csn),
        Family::Mmaction2 => usual(Normalization::Mmaction2),
        Family::Detectron => return None,
    })
}

/// The mean and deviation in `cfg` if they differ from the values of all published networks. [`preprocess`] uses the
/// published values anyway.
pub(crate) fn unsupported_normalization(family: Family, cfg: &Cfg) -> Option<String> {
    let differ = |configured: &Option<Vec<f64>>, usual: f64| -> bool {
        configured.iter().flatten().any(|value| value.is_nan() || (value - usual).abs() >= 1e-6)
    };
    let of_pyslowfast = matches!(family, Family::PyTorchVideo | Family::PySlowFast);
    if !of_pyslowfast || !differ(&cfg.mean, 0.45) && !differ(&cfg.std, 0.225) {
        return None;
    }
    let show = |values: &Option<Vec<f64>>| values.as_ref().map_or("not set".to_owned(), |values| format!("{values:?}"));
    Some(format!("DATA.MEAN is {}, DATA.STD is {}", show(&cfg.mean), show(&cfg.std)))
}
