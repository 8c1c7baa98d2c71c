//! Whose a video network is: how its project names the parameters, and what of the network neither names nor shapes show.
//!
//! [`modules`] and [`mod@vmz_caffe2`] turn a project's names into those of blobs, and [`whose`] tells by them and by shapes who published the
//! network; [`rules`] has what its code alone tells: where the strides are, what is pooled, what the batch norms add.
//! [`mod@describe`] makes a [`crate::network::Description`] of both.

mod describe;
mod modules;
mod pixels;
mod rules;
mod sampling;
mod vmz_caffe2;
mod whose;

pub(crate) use describe::{Shapes, describe};
pub(crate) use modules::{Hints, canonical, lateral_of_caffe2};
pub(crate) use pixels::{other_values, pixels};
pub(crate) use rules::Rules;
pub(crate) use sampling::sampling;
pub(crate) use vmz_caffe2::{FIRST as FIRST_OF_VMZ, renamed as renamed_vmz};
pub(crate) use whose::Whose;

use crate::named::named;

/// Who published a video network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// torchvision: r3d_18, mc3_18, r2plus1d_18.
    Torchvision,
    /// VMZ and ig65m: R(2+1)D, CSN, R3D and MCx.
    Vmz,
    /// PyTorchVideo's hub.
    PyTorchVideo,
    /// PySlowFast.
    PySlowFast,
    /// video-nonlocal-net, whose networks are Caffe2's.
    VideoNonlocalNet,
    /// 3D-ResNets-PyTorch, Hara's.
    ThreeDResNets,
    /// Inflated ResNets of inflated_convnets_pytorch.
    I3ResNet,
    /// mmaction2.
    Mmaction2,
    /// Detectron and Detect-and-Track.
    Detectron,
}

named!(Family, "project":
    Torchvision => "torchvision",
    Vmz => "vmz",
    PyTorchVideo => "pytorchvideo",
    PySlowFast => "pyslowfast",
    VideoNonlocalNet => "video-nonlocal-net",
    ThreeDResNets => "3d-resnets",
    I3ResNet => "i3resnet",
    Mmaction2 => "mmaction2",
    Detectron => "detectron",
);
