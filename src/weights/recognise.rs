//! Recognises the network of a weight file by the names and shapes of its tensors.

use super::cfg::Cfg;
use super::families::{
    Family, Hyperparameters, Publisher, Shapes, describe, preprocess, sampling, unsupported_normalization,
};
use super::names::{Branch, Layer, Names, Naming, Place};
use super::raw::{Contents, Kind};
use crate::clip::preprocess::{Normalization, Preprocess};
use crate::clip::sampling::Sampling;
use crate::config::{BackboneConfig, Transformation};
use crate::error::{ErrorRepr, Result};
use crate::network::Network;

/// The maximum number of blocks to look for in a stage.
const MAX_BLOCKS: usize = 1000;

/// The time kernel of every preset, and the default for inflating 2-D weights.
const TIME_KERNEL: usize = 3;

/// Where a file comes from, and what follows from that.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub names: Names,
    /// Whether the file has these names. Otherwise its naming is unknown and `names` are Caffe2's.
    pub known: bool,
    /// Whether bottleneck blocks have their stride on the first 1×1, if the source implies it.
    pub stride_1x1: Option<bool>,
    /// How the network's training frames were preprocessed, if that is known.
    pub preprocess: Option<Preprocess>,
    /// Which frames of a video the project takes, if that is known.
    pub sampling: Option<Sampling>,
    /// The mean and deviation in the file's configuration, if no [`Preprocess`] supports them.
    pub unsupported_normalization: Option<String>,
    /// The project that published the file.
    pub publisher: Publisher,
    /// The hyperparameters that the project's code fixes; `None` for image projects, Detectron and ambiguous
    /// publishers.
    hyperparameters: Option<Hyperparameters>,
}

impl Source {
    /// Finds the source by the names in the file. `file` is its name in messages, and `stated_family` the family that
    /// the caller states. Unknown names are treated as Caffe2's.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for networks that are recognised but cannot be run,
    /// for several networks in one file, and for networks of another family than the stated one.
    pub fn find(contents: &Contents, file: &str, stated_family: Option<Family>) -> Result<Self> {
        let mut found = Names::find(contents);
        if found.len() > 1 {
            let prefixes: Vec<String> = found.iter().map(|names| format!("{:?}", names.prefix)).collect();
            return Err(ErrorRepr::Unsupported {
                what: format!("{file}, which holds {} networks", found.len()),
                reason: format!("keep one of those whose names begin with {}", prefixes.join(", ")),
            }
            .into());
        }
        let found = found.pop();
        let known = found.is_some();
        let mut names = found.unwrap_or_else(Names::caffe2);
        refuse_non_local(contents, file)?;
        let cfg = contents.cfg.as_deref().map(Cfg::new).unwrap_or_default();
        let arch = cfg.arch.as_deref();
        // Converted files have Caffe2's names; their metadata says which family they come from.
        let family_in_metadata =
            contents.family.as_deref().and_then(|name| name.parse().ok()).filter(|_| contents.config.is_some());
        let publisher = match family_in_metadata {
            Some(family) => Publisher::Known(family),
            None => shapes(contents, &names, |shapes| Publisher::find(names.naming, shapes, arch)),
        };
        let publisher = match stated_family {
            Some(family) => publisher.with_family(family, file)?,
            None => publisher,
        };
        let hyperparameters = match publisher {
            Publisher::ImageProject | Publisher::Ambiguous(..) | Publisher::Known(Family::Detectron) => None,
            Publisher::Known(family) => {
                Some(shapes(contents, &names, |shapes| Hyperparameters::new(family, shapes, &cfg)))
            }
        };
        match &hyperparameters {
            Some(Hyperparameters { eps, eps_mid, .. }) if names.naming.is_of_video() => names.eps = [*eps, *eps_mid],
            // A converted video network may have a stem in two halves.
            Some(_) => {}
            None if names.naming.is_of_video() => {}
            None => refuse_deep_stems(contents, &names, file)?,
        }
        // Only MSRA's networks stride on the 1x1, and they have no groups. ResNeXts come from Torch.
        let grouped = groups(contents, &names).is_some_and(|groups| groups > 1);
        let converted = contents.author.as_deref() == Some("torchvision");
        let (stride_1x1, normalization) = match names.naming {
            Naming::Caffe2 if contents.kind == Kind::Pickle => {
                (Some(cfg.stride_1x1.unwrap_or(!grouped)), Some(Normalization::Detectron))
            }
            Naming::Caffe2 => (None, None),
            Naming::Torchvision | Naming::HuggingFace => (Some(false), Some(Normalization::ImageNet)),
            Naming::Detectron2 if converted => (Some(false), Some(Normalization::ImageNet)),
            // For its ResNeXts Detectron2 divides BGR pixels by their deviation, which no normalization here does.
            Naming::Detectron2 if grouped => (Some(false), None),
            Naming::Detectron2 | Naming::MaskRcnnBenchmark => (Some(!grouped), Some(Normalization::Detectron)),
            Naming::TorchvisionVideo
            | Naming::PyTorchVideo
            | Naming::PySlowFast
            | Naming::ThreeDResNets
            | Naming::Mmaction2
            | Naming::VmzCaffe2 => (None, None),
        };
        let stated = contents.preprocess.as_deref().and_then(|name| name.parse().ok());
        let family = match publisher {
            Publisher::Known(family) => Some(family),
            Publisher::ImageProject | Publisher::Ambiguous(..) => None,
        };
        let counters = has_counters(contents);
        let family_preprocess =
            family.and_then(|family| shapes(contents, &names, |shapes| preprocess(family, shapes, counters, &cfg)));
        let stated_sampling = contents.sampling.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let stated_sampling = stated_sampling.filter(|sampling: &Sampling| sampling.checked().is_ok());
        let family_sampling =
            || family.and_then(|family| shapes(contents, &names, |shapes| sampling(family, shapes, &cfg)));
        let sampling = stated_sampling.or_else(family_sampling);
        let unsupported_normalization = family.and_then(|family| unsupported_normalization(family, &cfg));
        let usual = family_preprocess.or(normalization.map(Preprocess::usual));
        let preprocess = match (stated, usual) {
            (Some(stated), Some(usual)) if stated != usual.normalization => Some(Preprocess::usual(stated)),
            (Some(stated), None) => Some(Preprocess::usual(stated)),
            (_, usual) => usual,
        };
        Ok(Self {
            names,
            known,
            stride_1x1,
            preprocess,
            sampling,
            unsupported_normalization,
            publisher,
            hyperparameters,
        })
    }

    /// The network that the tensors show. For a video family its hyperparameters complete the network; for others see
    /// [`Source::body`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the network cannot be built, or
    /// [`ErrorKind::AmbiguousFamily`](crate::ErrorKind::AmbiguousFamily) if it may be one of several.
    pub fn network(&self, contents: &Contents, file: &str) -> Result<Option<Network>> {
        let description = match (&self.publisher, &self.hyperparameters) {
            (Publisher::Ambiguous(..), _) => return Err(self.publisher.ambiguous(file)),
            (_, None) => return Ok(self.body(contents, file)?.map(Network::Reference)),
            (_, Some(hyperparameters)) => shapes(contents, &self.names, |shapes| describe(shapes, hyperparameters)),
        };
        let Some(description) = description else { return Ok(None) };
        match description.validate() {
            Ok(()) => Ok(Some(Network::Described(description))),
            Err(error) => Err(ErrorRepr::Unsupported {
                what: format!("the network of {file}"),
                reason: format!("its tensors show a network that cannot be built ({error})"),
            }
            .into()),
        }
    }

    /// The properties of a video network that neither names nor shapes show. They are assumed from its family.
    pub fn assumed(&self) -> Vec<String> {
        self.hyperparameters.as_ref().map(Hyperparameters::summary).unwrap_or_default()
    }

    /// The body that the tensors show: block counts, widths, groups and time kernel come from their names and shapes.
    /// It is a conv4 body unless Detectron's configuration names a conv5 one. `None` if the tensors show no body.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if they show a network that this body cannot
    /// represent.
    fn body(&self, contents: &Contents, file: &str) -> Result<Option<BackboneConfig>> {
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
        let spanning_frames = match transformation {
            Transformation::Bottleneck => Branch::B,
            Transformation::Basic => Branch::A,
        };
        let time_kernel_dim = match weight(3, 0, spanning_frames) {
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
        let refused =
            |reason: String| Err(ErrorRepr::Unsupported { what: format!("the network of {file}"), reason }.into());
        if let Err(error) = config.validate() {
            return refused(format!("its tensors show a network that cannot be built ({error})"));
        }
        for (stage, &inner) in inner.iter().enumerate() {
            if inner != config.dim_inner(stage) {
                return refused(format!(
                    "the blocks of res{} are {inner} channels wide inside, wanted {}: the width has to double from \
                     stage to stage",
                    stage + 2,
                    config.dim_inner(stage)
                ));
            }
        }
        for stage in 2..stages + 2 {
            let [width_in, width_out] = [config.feat_dims[stage - 2], config.feat_dims[stage - 1]];
            if width_in == width_out && weight(stage, 0, Branch::Projection).is_some() {
                return refused(format!(
                    "res{stage} has a projection although its width stays {width_out}, and a stage of this body \
                     projects and strides only where its width changes"
                ));
            }
        }
        Ok(Some(config))
    }
}

/// Calls `read` with the shapes of a file's parameters by blob name.
fn shapes<T>(contents: &Contents, names: &Names, read: impl FnOnce(&Shapes<'_>) -> T) -> T {
    let of = |blob: &str| contents.shape(&names.name_of(blob)).map(<[usize]>::to_vec);
    let of_caffe2 = matches!(names.naming, Naming::Caffe2 | Naming::VmzCaffe2);
    read(&Shapes { of: &of, pool_has_index: names.pool_has_index, of_caffe2 })
}

/// Whether the batch norms have `num_batches_tracked`, as PyTorch's do since 2018.
fn has_counters(contents: &Contents) -> bool {
    contents.names().any(|name| name.ends_with(".num_batches_tracked"))
}

/// The number of groups in the second convolution of the first block.
fn groups(contents: &Contents, names: &Names) -> Option<usize> {
    let shape = |branch| contents.shape(&names.weight(Layer::Block { stage: 2, block: 0, branch }));
    let inner = *shape(Branch::A)?.first()?;
    let per_group = *shape(Branch::B)?.get(1)?;
    (per_group > 0 && inner > 0 && inner.is_multiple_of(per_group)).then(|| inner / per_group)
}

/// Refuses networks with attention between their blocks, even if everything else is supported.
fn refuse_non_local(contents: &Contents, file: &str) -> Result<()> {
    // The names in Caffe2 and PySlowFast, in mmaction2, and in ports of Caffe2's networks to PyTorch.
    let is_attention = |module: &str| module.contains("nonlocal") || module == "non_local_block" || module == "nl";
    let non_local = |name: &&str| name.split('.').any(is_attention);
    match contents.names().find(non_local) {
        None => Ok(()),
        Some(name) => Err(ErrorRepr::Unsupported {
            what: format!("a network with non-local blocks ({name}) in {file}"),
            reason: "attention is not implemented, and without it the features would be wrong".to_owned(),
        }
        .into()),
    }
}

/// Refuses networks whose stem has convolutions other than the 7×7 one, even if everything else is supported.
fn refuse_deep_stems(contents: &Contents, names: &Names, file: &str) -> Result<()> {
    let conv1 = names.weight(Layer::Stem);
    let is_other = |name: &str| *name != conv1 && names.place(name) == Some(Place::Stem);
    let is_convolution = |shape: &[usize]| shape.len() >= 4;
    let tensors = contents.tensors.iter().filter(|(name, tensor)| is_convolution(&tensor.shape) && is_other(name));
    let mut others: Vec<&str> = tensors.map(|(name, _)| name.as_str()).collect();
    if others.is_empty() {
        return Ok(());
    }
    others.truncate(4);
    Err(ErrorRepr::Unsupported {
        what: format!("a ResNet with a deep stem or another stem ({}) in {file}", others.join(", ")),
        reason: format!("the stem of this body is a single convolution of 7x7, {conv1} in this file"),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackboneConfig;
    use crate::graph::{Body, SlowFrames, Spread};
    use crate::network::Pool;
    use crate::weights::raw::{Element, Payload, RawTensor};
    use std::collections::BTreeMap;

    /// A file's contents with tensors of these shapes and no values.
    fn contents<'a>(shapes: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Contents {
        let tensors = shapes.into_iter().map(|(name, shape)| {
            (name.to_owned(), RawTensor::dense(Element::F32, shape.to_vec(), Payload::plain(0..0)))
        });
        Contents { tensors: tensors.collect(), ..Contents::default() }
    }

    fn recognise(contents: &Contents) -> Result<Option<Network>> {
        Source::find(contents, "file", None)?.network(contents, "file")
    }

    /// The names and shapes of torchvision's networks, by network.
    fn torchvision() -> BTreeMap<String, BTreeMap<String, Vec<usize>>> {
        let path = format!("{}/tests/goldens/shapes.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn of_torchvision(name: &str) -> Contents {
        let shapes = torchvision().remove(name).unwrap();
        contents(shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())))
    }

    #[test]
    fn blobs_show_every_preset() {
        for &preset in BackboneConfig::PRESETS {
            let want = BackboneConfig::preset(preset).unwrap();
            let parameters = Body::new(&want).unwrap().graph.parameters();
            let mut contents = contents(parameters.iter().map(|p| (p.name.as_str(), p.shape.as_slice())));
            // Res5 is read only if Detectron's configuration asks for it.
            if want.block_counts.len() == 4 {
                let Some(Network::Reference(short)) = recognise(&contents).unwrap() else { panic!("{preset}") };
                assert_eq!(short.block_counts, want.block_counts[..3], "{preset}");
                contents.cfg = Some("MODEL:\n  CONV_BODY: FPN.add_fpn_ResNet_conv5_body\n".to_owned());
            }
            assert_eq!(recognise(&contents).unwrap(), Some(want.into()), "{preset}");
        }
    }

    #[test]
    fn torchvision_s_image_networks_are_told_apart() {
        let basic = r#""transformation": "basic""#;
        for (name, json) in [
            ("resnet18", format!(r#"{{"preset": "r18-conv4", {basic}, "stride_1x1": false}}"#)),
            ("resnet34", r#"{"preset": "r34-conv4", "stride_1x1": false}"#.to_owned()),
            ("resnet50", r#"{"preset": "r50-conv4", "stride_1x1": false}"#.to_owned()),
            ("resnet101", r#"{"preset": "r101-conv4", "stride_1x1": false}"#.to_owned()),
            ("resnet152", r#"{"preset": "r50-conv4", "block_counts": [3, 8, 36], "stride_1x1": false}"#.to_owned()),
            (
                "resnext50_32x4d",
                r#"{"preset": "r50-conv4", "num_groups": 32, "width_per_group": 4, "stride_1x1": false}"#.to_owned(),
            ),
            ("wide_resnet50_2", r#"{"preset": "r50-conv4", "width_per_group": 128, "stride_1x1": false}"#.to_owned()),
        ] {
            let contents = of_torchvision(name);
            let want = BackboneConfig::from_json(&json).unwrap();
            assert_eq!(recognise(&contents).unwrap(), Some(want.into()), "{name}");
            let source = Source::find(&contents, name, None).unwrap();
            assert_eq!(source.preprocess, Some(Preprocess::usual(Normalization::ImageNet)));
        }
    }

    #[test]
    fn torchvision_s_video_networks_are_its_presets() {
        for name in ["r3d_18", "mc3_18", "r2plus1d_18"] {
            let want = Network::from_json(&format!(r#"{{"preset": "{name}", "classes": 400}}"#)).unwrap();
            assert_eq!(recognise(&of_torchvision(name)).unwrap(), Some(want), "{name}");
        }
    }

    #[test]
    fn the_place_of_the_stride_and_the_normalization_depend_on_the_source() {
        use Normalization::{Detectron, ImageNet};
        let rename = |from: &str, to: &str| {
            let mut contents = of_torchvision("resnet50");
            let tensors = std::mem::take(&mut contents.tensors);
            contents.tensors = tensors
                .into_iter()
                .map(|(name, tensor)| {
                    let stem = !name.contains("layer") && !name.starts_with("fc");
                    let name = if stem { format!("stem.{name}") } else { name };
                    (format!("backbone.body.{}", name.replace(from, to)), tensor)
                })
                .collect();
            contents
        };
        let blobs = |cfg: Option<&str>, groups: usize| {
            let shapes: [(&str, &[usize]); 2] =
                [("res2_0_branch2a_w", &[64, 64, 1, 1]), ("res2_0_branch2b_w", &[64, 64 / groups, 3, 3])];
            Contents { kind: Kind::Pickle, cfg: cfg.map(str::to_owned), ..contents(shapes) }
        };
        let detectron2 = rename("layer1", "res2");
        let converted = Contents { author: Some("torchvision".to_owned()), ..detectron2.clone() };
        let stated = Contents { preprocess: Some("imagenet".to_owned()), ..blobs(None, 1) };
        let plain = Contents { kind: Kind::Safetensors, ..blobs(None, 1) };
        for (what, contents, want) in [
            ("torchvision", of_torchvision("resnet50"), (Some(false), Some(ImageNet))),
            ("maskrcnn-benchmark", rename("", ""), (Some(true), Some(Detectron))),
            ("Detectron2", detectron2, (Some(true), Some(Detectron))),
            ("Detectron2 from torchvision", converted, (Some(false), Some(ImageNet))),
            ("Detectron", blobs(None, 1), (Some(true), Some(Detectron))),
            ("Detectron that says so", blobs(Some("RESNETS: {STRIDE_1X1: false}"), 1), (Some(false), Some(Detectron))),
            ("Detectron's ResNeXt", blobs(None, 32), (Some(false), Some(Detectron))),
            ("metadata", stated, (Some(true), Some(ImageNet))),
            ("blobs in safetensors", plain, (None, None)),
        ] {
            let source = Source::find(&contents, "file", None).unwrap();
            let normalization = source.preprocess.map(|preprocess| preprocess.normalization);
            assert_eq!((source.stride_1x1, normalization), want, "{what}");
        }
    }

    /// VMZ's R(2+1)D with bottleneck blocks pools after the stem in PyTorch, but not in Caffe2.
    #[test]
    fn vmz_s_bottleneck_networks_pool_in_pytorch_only() {
        let shapes: [&[usize]; 10] = [
            &[3, 3, 1, 7, 7],
            &[4, 3, 3, 1, 1],
            &[4, 4, 1, 1, 1],
            &[6, 4, 1, 3, 3],
            &[4, 6, 3, 1, 1],
            &[8, 4, 1, 1, 1],
            &[8, 4, 1, 1, 1],
            &[4, 8, 1, 1, 1],
            &[8, 4, 1, 1, 1],
            &[8, 8, 1, 1, 1],
        ];
        let torch = [
            "stem.0.weight",
            "stem.3.weight",
            "layer1.0.conv1.0.weight",
            "layer1.0.conv2.0.0.weight",
            "layer1.0.conv2.0.3.weight",
            "layer1.0.conv3.0.weight",
            "layer1.0.downsample.0.weight",
            "layer2.0.conv1.0.weight",
            "layer2.0.conv3.0.weight",
            "layer2.0.downsample.0.weight",
        ];
        let caffe2 = [
            "conv1_middle_w",
            "conv1_w",
            "comp_0_conv_1_w",
            "comp_0_conv_2_middle_w",
            "comp_0_conv_2_w",
            "comp_0_conv_3_w",
            "shortcut_projection_0_w",
            "comp_1_conv_1_w",
            "comp_1_conv_3_w",
            "shortcut_projection_1_w",
        ];
        let second: [&[usize]; 2] = [&[6, 4, 1, 3, 3], &[4, 6, 3, 1, 1]];
        for (names, middle, wanted) in [
            (torch, ["layer2.0.conv2.0.0.weight", "layer2.0.conv2.0.3.weight"], Some(Pool::MAX_1X3X3)),
            (caffe2, ["comp_1_conv_2_middle_w", "comp_1_conv_2_w"], None),
        ] {
            let contents = contents(names.into_iter().zip(shapes).chain(middle.into_iter().zip(second)));
            let source = Source::find(&contents, "file", Some(Family::Vmz)).unwrap();
            let Some(Network::Described(network)) = source.network(&contents, "file").unwrap() else { panic!() };
            assert_eq!(network.stem.pool, wanted, "{}", names[0]);
            assert_eq!(network.stages.len(), 2, "{}", names[0]);
        }
    }

    /// The number of frames of the slow pathway comes from the configuration in the file, or else from the family.
    #[test]
    fn the_configuration_decides_the_slow_pathway_s_frames() {
        let pyslowfast =
            ["s1.pathway0_stem.conv.weight", "s1.pathway1_stem.conv.weight", "s2.pathway0_res0.branch2.a.weight"];
        let mmaction2 =
            ["slow_path.conv1.conv.weight", "fast_path.conv1.conv.weight", "slow_path.layer1.0.conv1.conv.weight"];
        for (names, cfg, alpha, spread) in [
            (pyslowfast, None, 4, Spread::Even),
            (pyslowfast, Some("SLOWFAST:\n  ALPHA: 8\n"), 8, Spread::Even),
            (pyslowfast, Some("SLOWFAST:\n  ALPHA: 0\n"), 4, Spread::Even),
            (mmaction2, None, 8, Spread::Every),
        ] {
            let shapes = names.map(|name| (name, [4, 3, 1, 7, 7]));
            let contents = contents(shapes.iter().map(|(name, shape)| (*name, shape.as_slice())));
            let contents = Contents { cfg: cfg.map(str::to_owned), ..contents };
            let source = Source::find(&contents, "file", None).unwrap();
            let slow_frames = source.hyperparameters.unwrap().slow_frames;
            assert_eq!(slow_frames, Some(SlowFrames { alpha, spread }), "{names:?} {cfg:?}");
        }
    }

    /// The configuration in a file takes precedence over the family's usual frames.
    #[test]
    fn pyslowfast_s_configuration_decides_the_frames() {
        let of = |cfg: Option<&str>| {
            let mut contents = contents([
                ("s1.pathway0_stem.conv.weight", [4, 3, 1, 7, 7].as_slice()),
                ("s2.pathway0_res0.branch2.a.weight", &[4, 4, 1, 1, 1]),
                ("s2.pathway0_res0.branch2.b.weight", &[4, 4, 1, 3, 3]),
                ("s2.pathway0_res0.branch2.c.weight", &[8, 4, 1, 1, 1]),
            ]);
            contents.cfg = cfg.map(str::to_owned);
            let source = Source::find(&contents, "file", Some(Family::PySlowFast)).unwrap();
            let sampling = source.sampling.unwrap();
            let frames = [sampling.frames, sampling.step, sampling.clips.unwrap(), sampling.crops];
            (source.preprocess.unwrap().normalization, frames, source.unsupported_normalization)
        };
        use Normalization::{PyTorchVideo, PyTorchVideoBgr};
        assert_eq!(of(None), (PyTorchVideo, [8, 8, 10, 3], None));
        let cfg = "DATA:\n  MEAN:\n  - 0.45\n  - 0.45\n  - 0.45\n  NUM_FRAMES: 16\n  REVERSE_INPUT_CHANNEL: true\n  \
                   SAMPLING_RATE: 5\nTEST:\n  NUM_ENSEMBLE_VIEWS: 1\n  NUM_SPATIAL_CROPS: 1\n";
        assert_eq!(of(Some(cfg)), (PyTorchVideoBgr, [16, 5, 1, 1], None));
        let (normalization, _, unsupported) = of(Some("DATA:\n  MEAN: [0.485, 0.456, 0.406]\n"));
        assert_eq!(normalization, PyTorchVideo);
        assert!(unsupported.unwrap().contains("DATA.MEAN is [0.485, 0.456, 0.406], DATA.STD is not set"));
    }

    #[test]
    fn other_networks_are_none_or_refused() {
        assert!(recognise(&contents([])).unwrap().is_none());
        assert!(recognise(&contents([("conv1_w", [64, 3, 7, 7].as_slice())])).unwrap().is_none());
        let changed = |change: &dyn Fn(&mut Contents)| {
            let mut contents = of_torchvision("resnet18");
            change(&mut contents);
            recognise(&contents).unwrap_err().to_string()
        };
        let set = |contents: &mut Contents, name: &str, shape: &[usize]| {
            contents.tensors.get_mut(name).unwrap().shape = shape.to_vec();
        };
        let error = changed(&|c| set(c, "layer2.0.conv1.weight", &[96, 64, 3, 3]));
        assert!(error.contains("res3 are 96 channels wide inside, wanted 128"), "{error}");
        let error = changed(&|c| set(c, "layer2.0.conv2.weight", &[64, 128, 3, 3]));
        assert!(error.contains("res3 has a projection although its width stays 64"), "{error}");
        let error = changed(&|c| set(c, "layer2.0.conv1.weight", &[128, 64, 2, 3, 3]));
        assert!(error.contains("time_kernel_dim") && error.contains("odd"), "{error}");
        let error = changed(&|c| set(c, "layer1.0.conv1.weight", &[0, 0, 3, 3]));
        assert!(error.contains("cannot be built"), "{error}");
        let error = changed(&|c| {
            let tensor = c.tensors["conv1.weight"].clone();
            c.tensors.insert("ema.layer1.0.conv1.weight".to_owned(), tensor);
        });
        assert!(error.contains("2 networks") && error.contains("\"ema.\""), "{error}");
    }
}
