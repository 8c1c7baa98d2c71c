//! What frames a project's networks were trained on, and how it tests them.

use super::{Family, Shapes};
use crate::clip::preprocess::{Normalization, Preprocess, Size};
use crate::weights::cfg::Cfg;

/// What the frames of a clip become for a network of `family`, whose parameters are of `shapes`; `counters` is whether its
/// batch norms count what they have seen, `cfg` PySlowFast's configuration, which goes before what is usual. `None` where
/// the network says it otherwise.
pub(crate) fn pixels(family: Family, shapes: &Shapes<'_>, counters: bool, cfg: &Cfg) -> Option<Preprocess> {
    let usual = Preprocess::usual;
    Some(match family {
        Family::Torchvision => usual(Normalization::Kinetics),
        // Channel-separated networks were trained on larger pictures than R(2+1)D.
        Family::Vmz if shapes.is_depthwise() => {
            Preprocess { size: Size::Shorter(256), crop: Some(224), ..usual(Normalization::Kinetics) }
        }
        Family::Vmz => usual(Normalization::Kinetics),
        Family::PyTorchVideo | Family::PySlowFast if cfg.reversed == Some(true) => {
            usual(Normalization::PyTorchVideoBgr)
        }
        Family::PyTorchVideo | Family::PySlowFast | Family::VideoNonlocalNet => usual(Normalization::PyTorchVideo),
        // The networks of 2017 and 2018, before PyTorch counted.
        Family::ThreeDResNets if !counters => usual(Normalization::ActivityNet),
        Family::ThreeDResNets => usual(Normalization::ThreeDResNets),
        Family::I3ResNet => usual(Normalization::ImageNet),
        // mmaction2 took them over, with what they were trained on.
        Family::Mmaction2 if shapes.is_depthwise() => usual(Normalization::Mmaction2Csn),
        Family::Mmaction2 => usual(Normalization::Mmaction2),
        Family::Detectron => return None,
    })
}

/// What `cfg` says of pixels that [`pixels`] has otherwise: another mean or deviation than all published networks have.
pub(crate) fn other_values(family: Family, cfg: &Cfg) -> Option<String> {
    let differ = |own: &Option<Vec<f64>>, usual: f64| -> bool {
        own.iter().flatten().any(|value| value.is_nan() || (value - usual).abs() >= 1e-6)
    };
    let of_pyslowfast = matches!(family, Family::PyTorchVideo | Family::PySlowFast);
    if !of_pyslowfast || !differ(&cfg.mean, 0.45) && !differ(&cfg.std, 0.225) {
        return None;
    }
    let said = |own: &Option<Vec<f64>>| own.as_ref().map_or("unsaid".to_owned(), |numbers| format!("{numbers:?}"));
    Some(format!("DATA.MEAN is {}, DATA.STD {}", said(&cfg.mean), said(&cfg.std)))
}
