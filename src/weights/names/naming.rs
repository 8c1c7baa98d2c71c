//! The known namings of tensors.

use crate::named::named;
use crate::weights::batch_norm::{EPS_CAFFE2, EPS_PYTORCH, EPS_VMZ};

/// Which project's names the tensors of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Naming {
    /// The blobs of Caffe2, Detectron and this crate: `res3_0_branch2b_w`.
    Caffe2,
    /// torchvision, alone or as the body of its detectors: `layer2.0.conv2.weight`.
    Torchvision,
    /// Detectron2: `backbone.bottom_up.res3.0.conv2.weight`.
    Detectron2,
    /// maskrcnn-benchmark: `backbone.body.layer2.0.conv2.weight`, with a `stem`.
    MaskRcnnBenchmark,
    /// Hugging Face's `ResNetModel`: `resnet.encoder.stages.1.layers.0.layer.1.convolution.weight`. The values are
    /// those of torchvision's networks.
    HuggingFace,
    /// torchvision's networks for video, and the networks of VMZ and ig65m that derive from its code:
    /// `layer2.0.conv2.0.weight`, with a `stem`.
    TorchvisionVideo,
    /// PyTorchVideo: `blocks.2.res_blocks.0.branch2.conv_b.weight`.
    PyTorchVideo,
    /// PySlowFast: `s3.pathway0_res0.branch2.b.weight`.
    PySlowFast,
    /// 3D-ResNets-PyTorch and other inflated ResNets: torchvision's names with weights that span frames.
    ThreeDResNets,
    /// mmaction2: `backbone.layer2.0.conv2.conv.weight`.
    Mmaction2,
    /// VMZ's networks in Caffe2's form: `comp_3_conv_2_w`. Blocks are numbered through all stages.
    VmzCaffe2,
}

named!(Naming, "names of tensors":
    Caffe2 => "caffe2",
    Torchvision => "torchvision",
    Detectron2 => "detectron2",
    MaskRcnnBenchmark => "maskrcnn-benchmark",
    HuggingFace => "huggingface",
    TorchvisionVideo => "torchvision (video)",
    PyTorchVideo => "pytorchvideo",
    PySlowFast => "pyslowfast",
    ThreeDResNets => "3d-resnets",
    Mmaction2 => "mmaction2",
    VmzCaffe2 => "vmz (caffe2)",
);

impl Naming {
    /// `eps` of the batch norms, as far as the naming implies it.
    pub(super) fn eps(self) -> f64 {
        match self {
            Self::Caffe2 => EPS_CAFFE2,
            // Its FrozenBatchNorm2d has no eps.
            Self::MaskRcnnBenchmark => 0.0,
            Self::Torchvision
            | Self::Detectron2
            | Self::HuggingFace
            | Self::TorchvisionVideo
            | Self::PyTorchVideo
            | Self::PySlowFast
            | Self::ThreeDResNets
            | Self::Mmaction2 => EPS_PYTORCH,
            Self::VmzCaffe2 => EPS_VMZ,
        }
    }

    /// Whether networks for video have these names, which `families` translates.
    pub(in crate::weights) fn is_of_video(self) -> bool {
        match self {
            Self::TorchvisionVideo
            | Self::PyTorchVideo
            | Self::PySlowFast
            | Self::ThreeDResNets
            | Self::Mmaction2
            | Self::VmzCaffe2 => true,
            Self::Caffe2 | Self::Torchvision | Self::Detectron2 | Self::MaskRcnnBenchmark | Self::HuggingFace => false,
        }
    }
}
