//! What network a file holds the weights of, from the names and shapes of its tensors.

use super::cfg::Cfg;
use super::families::{Family, Rules, Shapes, Whose, describe, other_values, pixels, sampling};
use super::names::{Branch, Layer, Names, Naming, Place};
use super::raw::{Contents, Kind};
use crate::clip::preprocess::{Normalization, Preprocess};
use crate::clip::sampling::Sampling;
use crate::config::{BackboneConfig, Transformation};
use crate::error::{ErrorRepr, Result};
use crate::network::Network;

/// The most blocks of a stage that are looked for.
const MAX_BLOCKS: usize = 1000;

/// The time kernel of every preset: what 2-D weights are inflated to if nobody says otherwise.
const TIME_KERNEL: usize = 3;

/// What a file says about itself, by whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub names: Names,
    /// Whether these are the names of the file; else they are nobody's that is known, and Caffe2's are looked for.
    pub known: bool,
    /// Whether bottlenecks have their stride on the first 1×1, where the source is known to be one way.
    pub stride_1x1: Option<bool>,
    /// What the frames were that the network was trained on, where that is known.
    pub preprocess: Option<Preprocess>,
    /// Which frames of a video its project takes, where that is known.
    pub sampling: Option<Sampling>,
    /// What its configuration says of pixels that `preprocess` cannot have.
    pub other_values: Option<String>,
    /// Who published it.
    pub whose: Whose,
    /// What its code tells of the network, of families for video.
    rules: Option<Rules>,
}

impl Source {
    /// Looks at the names; `file` is for messages. Names that are nobody's are taken for Caffe2's. `asked` is whose network
    /// it is said to be.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for networks that are known and cannot be run, for
    /// several in one file, and for those of another family than is said.
    pub fn find(contents: &Contents, file: &str, asked: Option<Family>) -> Result<Self> {
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
        // What was converted from a family's file has Caffe2's names and says whose it was.
        let said = contents.family.as_deref().and_then(|name| name.parse().ok()).filter(|_| contents.config.is_some());
        let whose = match said {
            Some(family) => Whose::Of(family),
            None => shapes(contents, &names, |shapes| Whose::find(names.naming, shapes, arch)),
        };
        let whose = match asked {
            Some(asked) => whose.said_to_be(asked, file)?,
            None => whose,
        };
        let rules = match whose {
            Whose::Image | Whose::OneOf(..) | Whose::Of(Family::Detectron) => None,
            Whose::Of(family) => Some(shapes(contents, &names, |shapes| Rules::of(family, shapes, &cfg))),
        };
        match &rules {
            Some(rules) if names.naming.is_of_video() => names.eps = [rules.eps, rules.eps_mid],
            // What was converted of a video network may have a stem of two halves.
            Some(_) => {}
            None if names.naming.is_of_video() => {}
            None => refuse_deep_stems(contents, &names, file)?,
        }
        // Only MSRA's networks, which have no groups, stride on the 1x1; ResNeXts came from Torch.
        let grouped = groups(contents, &names).is_some_and(|groups| groups > 1);
        let converted = contents.author.as_deref() == Some("torchvision");
        let (stride_1x1, normalization) = match names.naming {
            Naming::Caffe2 if contents.kind == Kind::Pickle => {
                (Some(cfg.stride_1x1.unwrap_or(!grouped)), Some(Normalization::Detectron))
            }
            Naming::Caffe2 => (None, None),
            Naming::Torchvision | Naming::HuggingFace => (Some(false), Some(Normalization::ImageNet)),
            Naming::Detectron2 if converted => (Some(false), Some(Normalization::ImageNet)),
            // Detectron2 divides the pixels of its ResNeXts by their deviation and keeps them in BGR: neither of ours.
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
        let family = match whose {
            Whose::Of(family) => Some(family),
            Whose::Image | Whose::OneOf(..) => None,
        };
        let of_family = family
            .and_then(|family| shapes(contents, &names, |shapes| pixels(family, shapes, has_counters(contents), &cfg)));
        let stated_sampling = contents.sampling.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let stated_sampling = stated_sampling.filter(|sampling: &Sampling| sampling.checked().is_ok());
        let of_family_too =
            || family.and_then(|family| shapes(contents, &names, |shapes| sampling(family, shapes, &cfg)));
        let sampling = stated_sampling.or_else(of_family_too);
        let other_values = family.and_then(|family| other_values(family, &cfg));
        let usual = of_family.or(normalization.map(Preprocess::usual));
        let preprocess = match (stated, usual) {
            (Some(stated), Some(usual)) if stated != usual.normalization => Some(Preprocess::usual(stated)),
            (Some(stated), None) => Some(Preprocess::usual(stated)),
            (_, usual) => usual,
        };
        Ok(Self { names, known, stride_1x1, preprocess, sampling, other_values, whose, rules })
    }

    /// The network that the tensors are of: of video families as their code has it, else as [`Source::body`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if they show a network that cannot be built, or that
    /// may be one of two.
    pub fn network(&self, contents: &Contents, file: &str) -> Result<Option<Network>> {
        let description = match (&self.whose, &self.rules) {
            (Whose::OneOf(..), _) => return Err(self.whose.undecided(file)),
            (_, None) => return Ok(self.body(contents, file)?.map(Network::Reference)),
            (_, Some(rules)) => shapes(contents, &self.names, |shapes| describe(shapes, rules)),
        };
        let Some(description) = description else { return Ok(None) };
        match description.validate() {
            Ok(()) => Ok(Some(Network::Described(description))),
            Err(error) => Err(ErrorRepr::Unsupported {
                what: format!("the network of {file}"),
                reason: format!("its tensors are of none that can be built ({error})"),
            }
            .into()),
        }
    }

    /// What neither names nor shapes show of a network for video, and is taken to be its family's.
    pub fn assumed(&self) -> Vec<String> {
        self.rules.as_ref().map(Rules::told).unwrap_or_default()
    }

    /// The body that the tensors are of: counts, widths, groups and time kernel from their names and shapes, a conv4 body
    /// unless Detectron's own configuration names a conv5 one. `None` if they do not show one.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if they show a network that is no such body, or that
    /// may be one of two.
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
        let refused =
            |reason: String| Err(ErrorRepr::Unsupported { what: format!("the network of {file}"), reason }.into());
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

/// The shapes of a file's parameters by the names of blobs.
fn shapes<T>(contents: &Contents, names: &Names, look: impl FnOnce(&Shapes<'_>) -> T) -> T {
    let of = |blob: &str| contents.shape(&names.name_of(blob)).map(<[usize]>::to_vec);
    let of_caffe2 = matches!(names.naming, Naming::Caffe2 | Naming::VmzCaffe2);
    look(&Shapes { of: &of, pool_is_numbered: names.pool_is_numbered, of_caffe2 })
}

/// Whether batch norms count what they have seen, as those of PyTorch's do since 2018.
fn has_counters(contents: &Contents) -> bool {
    contents.names().any(|name| name.ends_with(".num_batches_tracked"))
}

/// Groups of the first block's grouped convolution.
fn groups(contents: &Contents, names: &Names) -> Option<usize> {
    let shape = |branch| contents.shape(&names.weight(Layer::Block { stage: 2, block: 0, branch }));
    let inner = *shape(Branch::A)?.first()?;
    let of_group = *shape(Branch::B)?.get(1)?;
    (of_group > 0 && inner > 0 && inner.is_multiple_of(of_group)).then(|| inner / of_group)
}

/// Refuses networks with attention between their blocks, whatever else of them fits.
fn refuse_non_local(contents: &Contents, file: &str) -> Result<()> {
    // Caffe2's and PySlowFast's, mmaction2's, and those of ports of Caffe2's to PyTorch.
    let is_attention = |module: &str| module.contains("nonlocal") || module == "non_local_block" || module == "nl";
    let non_local = |name: &&str| name.split('.').any(is_attention);
    match contents.names().find(non_local) {
        None => Ok(()),
        Some(name) => Err(ErrorRepr::Unsupported {
            what: format!("a network with non-local blocks ({name}) in {file}"),
            reason: "there is no attention here, and without it the features would be wrong".to_owned(),
        }
        .into()),
    }
}

/// Refuses networks with other convolutions in the stem than one of 7×7, whatever else of them fits.
fn refuse_deep_stems(contents: &Contents, names: &Names, file: &str) -> Result<()> {
    let own = names.weight(Layer::Stem);
    let of_stem = |name: &str| *name != own && names.place(name) == Some(Place::Stem);
    let convolution = |shape: &[usize]| shape.len() >= 4;
    let tensors = contents.tensors.iter().filter(|(name, tensor)| convolution(&tensor.shape) && of_stem(name));
    let mut others: Vec<&str> = tensors.map(|(name, _)| name.as_str()).collect();
    if others.is_empty() {
        return Ok(());
    }
    others.truncate(4);
    Err(ErrorRepr::Unsupported {
        what: format!("a ResNet with a deep stem or another one ({}) in {file}", others.join(", ")),
        reason: format!(
            "the stem of this body is one convolution of 7x7, here {own}, and with others it is another network"
        ),
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

    /// Tensors without values.
    fn contents<'a>(shapes: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Contents {
        let tensors = shapes.into_iter().map(|(name, shape)| {
            (name.to_owned(), RawTensor::dense(Element::F32, shape.to_vec(), Payload::plain(0..0)))
        });
        Contents { tensors: tensors.collect(), ..Contents::default() }
    }

    fn recognise(contents: &Contents) -> Result<Option<Network>> {
        Source::find(contents, "file", None)?.network(contents, "file")
    }

    /// Names and shapes as torchvision has them, by network.
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
            // Res5 is only read where Detectron's configuration asks for it.
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
    fn the_place_of_the_stride_and_the_pixels_are_the_source_s() {
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
            assert_eq!((source.stride_1x1, source.preprocess.map(|own| own.normalization)), want, "{what}");
        }
    }

    /// Of VMZ's R(2+1)D of bottlenecks, the PyTorch port pools behind the stem, and Caffe2's does not.
    #[test]
    fn vmz_s_bottlenecks_pool_in_one_form_only() {
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

    /// What the configuration in a file says of frames goes before what its family usually has.
    /// How many frames the slow pathway is of, by the configuration in the file, else by the family.
    #[test]
    fn the_slow_pathway_s_frames_are_the_configuration_s() {
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
            assert_eq!(source.rules.unwrap().slow_frames, Some(SlowFrames { alpha, spread }), "{names:?} {cfg:?}");
        }
    }

    #[test]
    fn pyslowfast_s_configuration_says_which_frames() {
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
            (source.preprocess.unwrap().normalization, frames, source.other_values)
        };
        use Normalization::{PyTorchVideo, PyTorchVideoBgr};
        assert_eq!(of(None), (PyTorchVideo, [8, 8, 10, 3], None));
        let cfg = "DATA:\n  MEAN:\n  - 0.45\n  - 0.45\n  - 0.45\n  NUM_FRAMES: 16\n  REVERSE_INPUT_CHANNEL: true\n  \
                   SAMPLING_RATE: 5\nTEST:\n  NUM_ENSEMBLE_VIEWS: 1\n  NUM_SPATIAL_CROPS: 1\n";
        assert_eq!(of(Some(cfg)), (PyTorchVideoBgr, [16, 5, 1, 1], None));
        let (normalization, _, other) = of(Some("DATA:\n  MEAN: [0.485, 0.456, 0.406]\n"));
        assert_eq!(normalization, PyTorchVideo);
        assert!(other.unwrap().contains("DATA.MEAN is [0.485, 0.456, 0.406], DATA.STD unsaid"));
    }

    #[test]
    fn what_is_no_such_body_is_none_or_refused() {
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
        assert!(error.contains("res3 is 96 wide"), "{error}");
        let error = changed(&|c| set(c, "layer2.0.conv2.weight", &[64, 128, 3, 3]));
        assert!(error.contains("res3 has a projection although its width stays 64"), "{error}");
        let error = changed(&|c| set(c, "layer2.0.conv1.weight", &[128, 64, 2, 3, 3]));
        assert!(error.contains("time_kernel_dim") && error.contains("odd"), "{error}");
        let error = changed(&|c| set(c, "layer1.0.conv1.weight", &[0, 0, 3, 3]));
        assert!(error.contains("none that can be built"), "{error}");
        let error = changed(&|c| {
            let tensor = c.tensors["conv1.weight"].clone();
            c.tensors.insert("ema.layer1.0.conv1.weight".to_owned(), tensor);
        });
        assert!(error.contains("2 networks") && error.contains("\"ema.\""), "{error}");
    }
}
