//! What network a file holds the weights of, from the names and shapes of its tensors.

use super::cfg::Cfg;
use super::names::{Branch, Layer, Names, Naming};
use super::raw::Contents;
use crate::clip::preprocess::Normalization;
use crate::config::{BackboneConfig, Transformation};
use crate::error::{Error, Result};

/// The most blocks of a stage that are looked for.
const MAX_BLOCKS: usize = 1000;

/// The time kernel of every preset: what 2-D weights are inflated to if nobody says otherwise.
const TIME_KERNEL: usize = 3;

/// What a file says about itself, by whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub names: Names,
    /// Whether bottlenecks have their stride on the first 1×1, where the source is known to be one way.
    pub stride_1x1: Option<bool>,
    /// What the pixels were that the network was trained on, where that is known.
    pub normalization: Option<Normalization>,
}

impl Source {
    /// Looks at the names; `file` is for messages. Names that are nobody's are taken for Caffe2's, so that what is missing
    /// can be said.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for networks that are known and are no such body, and for several in one file.
    pub fn find(contents: &Contents, file: &str) -> Result<Self> {
        let mut found = Names::find(contents);
        if found.len() > 1 {
            let prefixes: Vec<String> = found.iter().map(|names| format!("{:?}", names.prefix)).collect();
            return Err(Error::Unsupported {
                what: format!("{file}, which holds {} networks", found.len()),
                reason: format!("keep one of those whose names begin with {}", prefixes.join(", ")),
            });
        }
        let names = found.pop().unwrap_or_else(Names::caffe2);
        refuse_video_resnets(contents, &names, file)?;
        let cfg = contents.cfg.as_deref().map(Cfg::new).unwrap_or_default();
        // Only MSRA's networks, which have no groups, stride on the 1x1; ResNeXts came from Torch.
        let grouped = groups(contents, &names).is_some_and(|groups| groups > 1);
        let converted = contents.author.as_deref() == Some("torchvision");
        let (stride_1x1, normalization) = match names.naming {
            Naming::Caffe2 if contents.pickle => {
                (Some(cfg.stride_1x1.unwrap_or(!grouped)), Some(Normalization::Detectron))
            }
            Naming::Caffe2 => (None, None),
            Naming::Torchvision => (Some(false), Some(Normalization::ImageNet)),
            Naming::Detectron2 if converted => (Some(false), Some(Normalization::ImageNet)),
            // Detectron2 divides the pixels of its ResNeXts by their deviation and keeps them in BGR: neither of ours.
            Naming::Detectron2 if grouped => (Some(false), None),
            Naming::Detectron2 | Naming::MaskRcnnBenchmark => (Some(!grouped), Some(Normalization::Detectron)),
        };
        let stated = contents.preprocess.as_deref().and_then(Normalization::by_name);
        Ok(Self { names, stride_1x1, normalization: stated.or(normalization) })
    }

    /// The body that the tensors are of: counts, widths, groups and time kernel from their names and shapes, a conv4 body
    /// unless Detectron's own configuration names a conv5 one. `None` if they do not show one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if they show a network that is no such body.
    pub fn config(&self, contents: &Contents, file: &str) -> Result<Option<BackboneConfig>> {
        let cfg = contents.cfg.as_deref().map(Cfg::new).unwrap_or_default();
        let weight = |stage, block, branch| {
            contents.shape(&self.names.weight(Layer::Block { stage, block, branch })).filter(|shape| shape.len() >= 4)
        };
        let count = |stage| (0..MAX_BLOCKS).take_while(|&block| weight(stage, block, Branch::A).is_some()).count();
        let counts = [2, 3, 4, 5].map(count);
        let stages = if cfg.conv5 && counts[3] > 0 { 4 } else { 3 };
        let transformation = match weight(2, 0, Branch::C) {
            Some(_) => Transformation::Bottleneck,
            None => Transformation::Basic,
        };
        let last = match transformation {
            Transformation::Bottleneck => Branch::C,
            Transformation::Basic => Branch::B,
        };
        let stem = contents.shape(&self.names.weight(Layer::Stem)).filter(|shape| shape.len() >= 4);
        let widths: Option<Vec<usize>> = (2..stages + 2).map(|stage| Some(weight(stage, 0, last)?[0])).collect();
        let inner: Option<Vec<usize>> = (2..stages + 2).map(|stage| Some(weight(stage, 0, Branch::A)?[0])).collect();
        let (Some(stem), Some(widths), Some(inner)) = (stem, widths, inner) else {
            return Ok(None);
        };
        let groups = groups(contents, &self.names).unwrap_or(1);
        let spanning = match transformation {
            Transformation::Bottleneck => Branch::B,
            Transformation::Basic => Branch::A,
        };
        let time_kernel_dim = match weight(3, 0, spanning) {
            Some(&[_, _, kt, _, _]) => kt,
            _ => TIME_KERNEL,
        };
        let config = BackboneConfig {
            transformation,
            block_counts: counts[..stages].to_vec(),
            feat_dims: std::iter::once(stem[0]).chain(widths).collect(),
            num_groups: groups,
            width_per_group: inner[0] / groups,
            stride_1x1: self.stride_1x1.unwrap_or(true),
            time_kernel_dim,
            time_stride_on: cfg.time_stride_on.unwrap_or(false),
            dilation: cfg.dilation.unwrap_or(1),
            freeze_at: 2,
        };
        let refused = |reason: String| Err(Error::Unsupported { what: format!("the network of {file}"), reason });
        if let Err(error) = config.validate() {
            return refused(format!("its tensors are of none that can be built ({error})"));
        }
        for (stage, &inner) in inner.iter().enumerate() {
            if inner != config.dim_inner(stage) {
                return refused(format!(
                    "inside, res{} is {inner} wide, where a width that doubles from stage to stage would be {}",
                    stage + 2,
                    config.dim_inner(stage)
                ));
            }
        }
        for stage in 2..stages + 2 {
            let [before, own] = [config.feat_dims[stage - 2], config.feat_dims[stage - 1]];
            if before == own && weight(stage, 0, Branch::Projection).is_some() {
                return refused(format!(
                    "res{stage} has a projection although its width stays {own}, and a stage of this body projects and \
                     strides only where its width changes"
                ));
            }
        }
        Ok(Some(config))
    }
}

/// Groups of the first block's grouped convolution.
fn groups(contents: &Contents, names: &Names) -> Option<usize> {
    let shape = |branch| contents.shape(&names.weight(Layer::Block { stage: 2, block: 0, branch }));
    let inner = *shape(Branch::A)?.first()?;
    let of_group = *shape(Branch::B)?.get(1)?;
    (of_group > 0 && inner.is_multiple_of(of_group)).then(|| inner / of_group)
}

/// Says why PyTorch's ResNets for video cannot be run.
fn refuse_video_resnets(contents: &Contents, names: &Names, file: &str) -> Result<()> {
    let refused = |what: &str, reason: &str| {
        Err(Error::Unsupported { what: format!("{what} ({file})"), reason: reason.to_owned() })
    };
    for (name, tensor) in &contents.tensors {
        let factored = name.ends_with("stem.0.weight") || name.ends_with("layer1.0.conv1.0.weight");
        if tensor.shape.len() == 5 && factored {
            return refused(
                "a video ResNet of torchvision's (r3d_18, mc3_18, r2plus1d_18)",
                "it is another network: its stem spans several frames and has no pooling, res2 spans frames too, and \
                 later stages stride over time; resnet18 and the like from torchvision.models can be inflated instead",
            );
        }
    }
    match contents.shape(&names.weight(Layer::Stem)) {
        Some(&[_, _, kt, _, _]) if kt != 1 && names.naming != Naming::Caffe2 => refused(
            "a ResNet whose stem spans several frames",
            "the stem of this body is 1x7x7: it looks at every frame by itself",
        ),
        _ => Ok(()),
    }
}
