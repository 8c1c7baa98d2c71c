//! What frames a project's networks were trained on, and how it tests them.

use super::{Family, Shapes};
use crate::clip::preprocess::{Normalization, Preprocess, Size};

/// What the frames of a clip become for a network of `family`, whose parameters are of `shapes`; `counters` is whether its
/// batch norms count what they have seen. `None` where the network says it otherwise.
pub(crate) fn pixels(family: Family, shapes: &Shapes<'_>, counters: bool) -> Option<Preprocess> {
    let usual = Preprocess::usual;
    Some(match family {
        Family::Torchvision => usual(Normalization::Kinetics),
        // Channel-separated networks were trained on larger pictures than R(2+1)D.
        Family::Vmz if shapes.is_depthwise() => {
            Preprocess { size: Size::Shorter(256), crop: Some(224), ..usual(Normalization::Kinetics) }
        }
        Family::Vmz => usual(Normalization::Kinetics),
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
