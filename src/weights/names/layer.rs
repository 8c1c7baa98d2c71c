//! The layers of a body, and the blob names of their parameters.

/// A convolution of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Stem,
    /// A convolution in block `block` of stage `stage`, which is 2 for res2.
    Block {
        stage: usize,
        block: usize,
        branch: Branch,
    },
}

/// Which convolution of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Branch {
    A,
    B,
    C,
    Projection,
}

impl Branch {
    pub(super) const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::Projection];

    pub(super) fn caffe2(self) -> &'static str {
        match self {
            Self::A => "branch2a",
            Self::B => "branch2b",
            Self::C => "branch2c",
            Self::Projection => "branch1",
        }
    }
}

/// Which part of a layer a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weight,
    Scale,
    Bias,
}

/// The layer and part of the body's parameter `blob`.
pub(crate) fn parameter(blob: &str) -> Option<(Layer, Part)> {
    let (base, part) = [("_bn_s", Part::Scale), ("_bn_b", Part::Bias), ("_w", Part::Weight)]
        .into_iter()
        .find_map(|(suffix, part)| Some((blob.strip_suffix(suffix)?, part)))?;
    if base == if part == Part::Weight { "conv1" } else { "res_conv1" } {
        return Some((Layer::Stem, part));
    }
    let mut words = base.strip_prefix("res")?.split('_');
    let (stage, block, branch) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    let branch = Branch::ALL.into_iter().find(|b| b.caffe2() == branch)?;
    words.next().is_none().then_some((Layer::Block { stage, block, branch }, part))
}
