//! Whose a network is.

use super::{Family, Shapes};
use crate::error::{Error, ErrorRepr, Result};
use crate::weights::names::Naming;

/// Whose network a file is of, by its names and shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// An image network of one of the projects whose weights are inflated.
    Image,
    /// That family's.
    Of(Family),
    /// One of several families', and why that makes a difference.
    OneOf(&'static [Family], &'static str),
}

impl Whose {
    /// By `naming` and `shapes`, and what PySlowFast's configuration calls the network.
    pub fn find(naming: Naming, shapes: &Shapes<'_>, arch: Option<&str>) -> Self {
        match naming {
            Naming::Torchvision | Naming::Detectron2 | Naming::MaskRcnnBenchmark | Naming::HuggingFace => Self::Image,
            Naming::Caffe2 => caffe2(shapes),
            Naming::TorchvisionVideo => torchvision(shapes),
            Naming::PyTorchVideo => Self::Of(Family::PyTorchVideo),
            // Of two pathways none pools.
            Naming::PySlowFast if arch.is_some() || shapes.has_two_pathways() || !shapes.spans_alike() => {
                Self::Of(Family::PySlowFast)
            }
            Naming::PySlowFast => Self::OneOf(
                &[Family::PySlowFast],
                "an I3D or a C2D of PySlowFast's pools over time behind res2 where its cfg says so, and there is no cfg in the \
                 file: said to be of that family, it pools",
            ),
            Naming::ThreeDResNets => match shapes.weight("conv1") {
                Some([_, 3, 3, 7, 7]) => Self::Of(Family::I3ResNet),
                _ => Self::Of(Family::ThreeDResNets),
            },
            Naming::Mmaction2 => Self::Of(Family::Mmaction2),
            Naming::VmzCaffe2 => Self::Of(Family::Vmz),
        }
    }

    /// The same where `file` is said to be of `family`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if it is not.
    pub fn said_to_be(self, family: Family, file: &str) -> Result<Self> {
        let (fits, is) = match &self {
            // What is converted from torchvision's or Detectron's image networks has no family of its own.
            Self::Image => (matches!(family, Family::Detectron | Family::Torchvision), "an image network".to_owned()),
            Self::Of(own) => (*own == family, format!("one of {}", own.name())),
            Self::OneOf(several, _) => (several.contains(&family), format!("one of {}", list(several))),
        };
        match (fits, self) {
            (true, Self::Image) => Ok(Self::Image),
            (true, _) => Ok(Self::Of(family)),
            (false, _) => Err(ErrorRepr::Unsupported {
                what: format!("{file} as a network of {}", family.name()),
                reason: format!("by its names and shapes it is {is}"),
            }
            .into()),
        }
    }

    /// The error where it has to be known whose it is, and is not.
    pub fn undecided(&self, file: &str) -> Error {
        let (several, why) = match self {
            Self::OneOf(several, why) => (&several[..], *why),
            Self::Image | Self::Of(_) => (Family::ALL, "nothing in it says so"),
        };
        let families = several.iter().map(|family| family.to_string()).collect();
        ErrorRepr::AmbiguousFamily { file: file.to_owned(), why, families }.into()
    }
}

fn list(families: &[Family]) -> String {
    families.iter().map(|family| family.name()).collect::<Vec<_>>().join("|")
}

/// Detectron's networks without time are 4-D, and those with time span frames in the middle of their blocks from res3 on.
/// Where the middle has a time axis of 1, they may be other projects'.
fn caffe2(shapes: &Shapes<'_>) -> Whose {
    // Only PySlowFast's have two pathways.
    if shapes.has_two_pathways() {
        return Whose::Of(Family::PySlowFast);
    }
    let middle = if shapes.weight("res3_0_branch2c").is_some() { "res3_0_branch2b" } else { "res3_0_branch2a" };
    match (shapes.of)(&format!("{middle}_w")).as_deref() {
        Some([_, _, 1, _, _]) => Whose::OneOf(
            &[Family::PySlowFast, Family::VideoNonlocalNet, Family::Detectron],
            "weights by Caffe2's names whose blocks span no frames in the middle are PySlowFast's, video-nonlocal-net's or \
             Detectron's, which stride and pool elsewhere",
        ),
        _ => Whose::Of(Family::Detectron),
    }
}

/// VMZ's and ig65m's classes are torchvision's. What tells them apart is the width between the halves of the second
/// convolution where a stage begins, or a depthwise convolution.
fn torchvision(shapes: &Shapes<'_>) -> Whose {
    let width = |blob: &str| shapes.weight(blob).map(|[width, ..]| width);
    let halves = [width("res3_0_branch2a_mid"), width("res3_0_branch2b_mid")];
    match halves {
        _ if shapes.is_depthwise() => Whose::Of(Family::Vmz),
        [None, Some(_)] => Whose::OneOf(
            &[Family::Torchvision, Family::Vmz],
            "VMZ's R(2+1)D of bottlenecks is published with and without a pooling behind the stem: as vmz it has one and adds \
             1e-3 to variances, as torchvision it has none and adds 1e-5",
        ),
        [Some(first), Some(second)] if first != second => Whose::Of(Family::Vmz),
        _ => Whose::Of(Family::Torchvision),
    }
}
