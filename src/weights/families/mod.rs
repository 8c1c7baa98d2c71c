//! The families of video networks: how each project names the parameters, and what neither names nor shapes show.
//!
//! [`modules`] and [`mod@vmz_caffe2`] translate a project's names into blob names, and [`publisher`] decides by these
//! names and the shapes which project published the network. [`hyperparameters`] has what only the project's code
//! shows: strides, poolings, `eps` of batch norms. [`mod@describe`] makes a [`crate::network::Description`] from both.
//! [`mod@preprocess`] and [`mod@sampling`] have what the project feeds its networks.

mod describe;
mod hyperparameters;
mod modules;
mod preprocess;
mod publisher;
mod sampling;
mod vmz_caffe2;

pub(crate) use describe::{Shapes, describe};
pub(crate) use hyperparameters::Hyperparameters;
pub(crate) use modules::{Hints, blob_name, lateral_of_caffe2};
pub(crate) use preprocess::{preprocess, unsupported_normalization};
pub(crate) use publisher::Publisher;
pub(crate) use sampling::sampling;
pub(crate) use vmz_caffe2::{FIRST as FIRST_OF_VMZ, file_names as vmz_file_names};

use crate::named::named;

/// The project that published a video network.
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
    /// video-nonlocal-net, whose networks are in Caffe2's form.
    VideoNonlocalNet,
    /// Hara's 3D-ResNets-PyTorch.
    ThreeDResNets,
    /// The inflated ResNets of inflated_convnets_pytorch.
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
