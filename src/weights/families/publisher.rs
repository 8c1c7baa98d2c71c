//! Which project published a network.

use super::{Family, Shapes};
use crate::error::{Error, ErrorRepr, Result};
use crate::weights::names::Naming;

/// The publisher of the network in a file, by the names and shapes of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// A project for image networks, whose weights are inflated.
    ImageProject,
    /// This family.
    Known(Family),
    /// One of several families, and why the difference matters.
    Ambiguous(&'static [Family], &'static str),
}

impl Publisher {
    /// Decides by `naming`, `shapes`, and `arch`, the architecture that PySlowFast's configuration names.
    pub fn find(naming: Naming, shapes: &Shapes<'_>, arch: Option<&str>) -> Self {
        match naming {
            Naming::Torchvision | Naming::Detectron2 | Naming::MaskRcnnBenchmark | Naming::HuggingFace => {
                Self::ImageProject
            }
            Naming::Caffe2 => caffe2(shapes),
            Naming::TorchvisionVideo => torchvision(shapes),
            Naming::PyTorchVideo => Self::Known(Family::PyTorchVideo),
            // Networks with two pathways never pool over time.
            Naming::PySlowFast if arch.is_some() || shapes.has_two_pathways() || !shapes.spans_alike() => {
                Self::Known(Family::PySlowFast)
            }
            Naming::PySlowFast => Self::Ambiguous(
                &[Family::PySlowFast],
                "PySlowFast's I3D and C2D pool over time after res2 if their cfg says so, and there is no cfg in the \
                 file: with this family given, the network pools",
            ),
            Naming::ThreeDResNets => match shapes.weight("conv1") {
                Some([_, 3, 3, 7, 7]) => Self::Known(Family::I3ResNet),
                _ => Self::Known(Family::ThreeDResNets),
            },
            Naming::Mmaction2 => Self::Known(Family::Mmaction2),
            Naming::VmzCaffe2 => Self::Known(Family::Vmz),
        }
    }

    /// Applies the caller's statement that `file` is of `family`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if names and shapes contradict the statement.
    pub fn with_family(self, family: Family, file: &str) -> Result<Self> {
        let (agrees, found) = match &self {
            // Networks converted from torchvision's or Detectron's image networks belong to no video family.
            Self::ImageProject => {
                (matches!(family, Family::Detectron | Family::Torchvision), "an image network".to_owned())
            }
            Self::Known(known) => (*known == family, format!("one of {}", known.name())),
            Self::Ambiguous(candidates, _) => (candidates.contains(&family), format!("one of {}", list(candidates))),
        };
        match (agrees, self) {
            (true, Self::ImageProject) => Ok(Self::ImageProject),
            (true, _) => Ok(Self::Known(family)),
            (false, _) => Err(ErrorRepr::Unsupported {
                what: format!("{file} as a network of {}", family.name()),
                reason: format!("by its names and shapes it is {found}"),
            }
            .into()),
        }
    }

    /// The error if the family has to be known and is not.
    pub fn ambiguous(&self, file: &str) -> Error {
        let (candidates, why) = match self {
            Self::Ambiguous(candidates, why) => (&candidates[..], *why),
            Self::ImageProject | Self::Known(_) => (Family::ALL, "nothing in it says so"),
        };
        let families = candidates.iter().map(|family| family.to_string()).collect();
        ErrorRepr::AmbiguousFamily { file: file.to_owned(), why, families }.into()
    }
}

fn list(families: &[Family]) -> String {
    families.iter().map(|family| family.name()).collect::<Vec<_>>().join("|")
}

/// Decides for Caffe2's names. Detectron's image networks have 4-D weights, and its video networks span frames in the
/// middle convolution of every block from res3 on. A network whose middle convolution has a time axis of 1 may come
/// from another project.
fn caffe2(shapes: &Shapes<'_>) -> Publisher {
    // Only PySlowFast has networks with two pathways.
    if shapes.has_two_pathways() {
        return Publisher::Known(Family::PySlowFast);
    }
    let middle = if shapes.weight("res3_0_branch2c").is_some() { "res3_0_branch2b" } else { "res3_0_branch2a" };
    match (shapes.of)(&format!("{middle}_w")).as_deref() {
        Some([_, _, 1, _, _]) => Publisher::Ambiguous(
            &[Family::PySlowFast, Family::VideoNonlocalNet, Family::Detectron],
            "weights with Caffe2's names whose middle convolutions span one frame may be PySlowFast's, \
             video-nonlocal-net's or Detectron's, and these projects stride and pool in different places",
        ),
        _ => Publisher::Known(Family::Detectron),
    }
}

/// Decides for the names of torchvision's video networks, which VMZ and ig65m use too. A depthwise convolution shows
/// VMZ, and so does the width between the halves of the second convolution in the first block of a stage.
fn torchvision(shapes: &Shapes<'_>) -> Publisher {
    let width = |blob: &str| shapes.weight(blob).map(|[width, ..]| width);
    let halves = [width("res3_0_branch2a_mid"), width("res3_0_branch2b_mid")];
    match halves {
        _ if shapes.is_depthwise() => Publisher::Known(Family::Vmz),
        [None, Some(_)] => Publisher::Ambiguous(
            &[Family::Torchvision, Family::Vmz],
            "VMZ's R(2+1)D with bottleneck blocks is published with and without a pooling after the stem: as vmz it \
             has one and adds 1e-3 to variances, as torchvision it has none and adds 1e-5",
        ),
        [Some(first), Some(second)] if first != second => Publisher::Known(Family::Vmz),
        _ => Publisher::Known(Family::Torchvision),
    }
}
