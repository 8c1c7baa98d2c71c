//! Weights of every source give the features that PyTorch computes for the goldens of `goldens/make.py`. Detectron's
//! pickles are among the fixtures of `fixtures.rs`.

mod common;

use common::{Comparisons, contexts, golden_path, relative_l2, widen};
use resnet3d_wgpu::clip::preprocess::Normalization;
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::reference;
use resnet3d_wgpu::weights::{Naming, Storage};
use resnet3d_wgpu::{
    BackboneConfig, Checkpoint, Clip, ErrorKind, GpuBackbone, InflateMode, Network, Options, Taps, Transformation,
    WeightOptions, Weights,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// Relative L2 against PyTorch's float64.
const TOLERANCE: f64 = 1e-5;

fn center_only() -> WeightOptions {
    WeightOptions::default().inflate(InflateMode::CenterOnly)
}

/// A golden: the bytes of its file, and its clip.
struct Golden {
    bytes: Vec<u8>,
    clip: Clip,
}

impl Golden {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(golden_path(&format!("{name}.safetensors"))).unwrap();
        let (shape, data) = tensor(&bytes, "data");
        Self { clip: Clip::from_dims(&shape, data).unwrap(), bytes }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::from_bytes("golden.safetensors", self.bytes.clone()).unwrap()
    }

    /// The same weights under other names.
    fn renamed(&self, rename: impl Fn(&str) -> String) -> Checkpoint {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let views: BTreeMap<String, TensorView<'_>> =
            file.tensors().into_iter().map(|(name, view)| (rename(&name), view)).collect();
        let bytes = safetensors::serialize(&views, None).unwrap();
        Checkpoint::from_bytes("renamed.safetensors", bytes).unwrap()
    }

    /// The worst error of the stages that `weights` give on the CPU, against the stages of `label` in the golden.
    fn error(&self, config: &BackboneConfig, weights: &Weights, label: &str) -> f64 {
        let body = Body::new(config).unwrap();
        let stages = body.graph.stages();
        let got = reference::execute(&body.graph, &[&self.clip], weights, stages).unwrap();
        let errors = got.iter().zip(2..).map(|(volume, stage)| {
            let (shape, want) = tensor(&self.bytes, &format!("{label}.res{stage}"));
            assert_eq!(<[usize; 5]>::from(volume.shape).as_slice(), shape);
            relative_l2(volume.data.iter().copied(), widen(&want))
        });
        errors.fold(0.0, f64::max)
    }
}

/// The body of the reference whose weights the file has.
fn body_of(checkpoint: &Checkpoint) -> BackboneConfig {
    match checkpoint.network().unwrap() {
        Some(Network::Reference(config)) => config,
        other => panic!("a body of the reference, not {other:?}"),
    }
}

fn tensor(bytes: &[u8], name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32);
    (view.shape().to_vec(), view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

#[test]
fn torchvision_s_features_are_pytorch_s_on_every_adapter() {
    let contexts = contexts();
    let mut comparisons = Comparisons::default();
    for name in ["torchvision_basic", "torchvision_bottleneck", "torchvision_grouped"] {
        let golden = Golden::read(name);
        let checkpoint = golden.checkpoint();
        let config = body_of(&checkpoint);
        let own = checkpoint.load(&config, &center_only()).unwrap();
        let error = golden.error(&config, &own.weights, "expect");
        assert!(error < 1e-6, "{name} on the CPU: {error:e}");
        for gpu in &contexts {
            let options = Options::default().taps(Taps::Stages);
            let mut backbone = GpuBackbone::new(gpu, &config, &own.weights, options).unwrap();
            let features = backbone.forward(&golden.clip).unwrap();
            assert_eq!(features.blobs().len(), backbone.body().graph.stages().len());
            let mut worst = 0.0f64;
            for (blob, stage) in features.blobs().iter().zip(2..) {
                let (_, want) = tensor(&golden.bytes, &format!("expect.res{stage}"));
                let what = format!("{name} {} on {}", blob.name, gpu.backend());
                worst = worst.max(comparisons.compare(&what, &blob.data, widen(&want)));
            }
            println!("{name} on {}: {worst:.1e}", gpu.backend());
        }
    }
    comparisons.assert_passed();
}

#[test]
fn torchvision_s_networks_are_recognised() {
    for (name, json) in [
        (
            "torchvision_basic",
            r#"{"transformation": "basic", "feat_dims": [6, 6, 12, 24], "width_per_group": 6, "stride_1x1": false}"#,
        ),
        (
            "torchvision_bottleneck",
            r#"{"block_counts": [2, 3, 2], "feat_dims": [4, 16, 32, 64], "width_per_group": 4, "stride_1x1": false}"#,
        ),
        (
            "torchvision_grouped",
            r#"{"block_counts": [1, 1, 1], "feat_dims": [4, 16, 32, 64], "num_groups": 2, "width_per_group": 3,
                "stride_1x1": false}"#,
        ),
    ] {
        let checkpoint = Golden::read(name).checkpoint();
        assert_eq!(checkpoint.network().unwrap(), Some(BackboneConfig::from_json(json).unwrap().into()), "{name}");
        assert_eq!((checkpoint.naming(), checkpoint.stride_1x1()), (Naming::Torchvision, Some(false)));
        assert_eq!(checkpoint.normalization(), Some(Normalization::ImageNet));
    }
}

/// Detectron2's name for a name of torchvision's state dict.
fn detectron2(name: &str) -> String {
    let mut name = if name.starts_with("layer") { name.to_owned() } else { format!("stem.{name}") };
    for stage in 1..=4 {
        name = name.replace(&format!("layer{stage}."), &format!("res{}.", stage + 1));
    }
    for conv in 1..=3 {
        name = name.replace(&format!("bn{conv}."), &format!("conv{conv}.norm."));
    }
    let name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm");
    format!("backbone.bottom_up.{name}")
}

#[test]
fn the_same_weights_by_detectron2_and_maskrcnn_benchmark() {
    let golden = Golden::read("torchvision_bottleneck");
    let maskrcnn = |name: &str| {
        let stem = name.starts_with("conv1.") || name.starts_with("bn1.");
        format!("module.backbone.body.{}{name}", if stem { "stem." } else { "" })
    };
    let cases = [
        (golden.renamed(detectron2), Naming::Detectron2, "expect_1x1"),
        (golden.renamed(maskrcnn), Naming::MaskRcnnBenchmark, "expect_eps0"),
    ];
    for (checkpoint, naming, label) in cases {
        assert_eq!((checkpoint.naming(), checkpoint.stride_1x1()), (naming, Some(true)));
        assert_eq!(checkpoint.normalization(), Some(Normalization::Detectron));
        let config = body_of(&checkpoint);
        assert_eq!(config.block_counts, [2, 3, 2]);
        let weights = checkpoint.load(&config, &center_only()).unwrap().weights;
        let error = golden.error(&config, &weights, label);
        assert!(error < 1e-6, "{naming:?}: {error:e}");
        // The goldens distinguish the two projects, and the two places of the stride.
        for other in ["expect", "expect_1x1", "expect_eps0"] {
            assert!(other == label || golden.error(&config, &weights, other) > 10.0 * TOLERANCE, "{naming:?} {other}");
        }
    }
}

/// The name that Hugging Face's `ResNetForImageClassification` has for a name of torchvision's state dict.
fn hugging_face(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match *parts.as_slice() {
        ["conv1", part] => format!("resnet.embedder.embedder.convolution.{part}"),
        ["bn1", part] => format!("resnet.embedder.embedder.normalization.{part}"),
        ["fc", part] => format!("classifier.1.{part}"),
        [layer, block, .., part] if layer.starts_with("layer") => {
            let stage = layer["layer".len()..].parse::<usize>().unwrap() - 1;
            let base = format!("resnet.encoder.stages.{stage}.layers.{block}");
            match parts[2] {
                "downsample" if parts[3] == "0" => format!("{base}.shortcut.convolution.{part}"),
                "downsample" => format!("{base}.shortcut.normalization.{part}"),
                module => {
                    let kind = if module.starts_with("conv") { "convolution" } else { "normalization" };
                    let index = module.trim_start_matches(char::is_alphabetic).parse::<usize>().unwrap() - 1;
                    format!("{base}.layer.{index}.{kind}.{part}")
                }
            }
        }
        _ => name.to_owned(),
    }
}

#[test]
fn the_same_weights_by_hugging_face_are_the_same_bits() {
    for name in ["torchvision_basic", "torchvision_bottleneck"] {
        let golden = Golden::read(name);
        let (own, theirs) = (golden.checkpoint(), golden.renamed(hugging_face));
        assert_eq!((theirs.naming(), theirs.stride_1x1()), (Naming::HuggingFace, own.stride_1x1()));
        assert_eq!(theirs.normalization(), Some(Normalization::ImageNet));
        let config = body_of(&theirs);
        assert_eq!(config, body_of(&own));
        let load = |checkpoint: &Checkpoint| checkpoint.load(&config, &center_only()).unwrap().weights;
        assert_eq!(load(&theirs), load(&own), "{name}");
        // Blocks with Hugging Face's names may not have extra tensors either.
        let odd = golden.renamed(|name| match name {
            "layer2.0.bn1.num_batches_tracked" => "resnet.encoder.stages.1.layers.0.attention.weight".to_owned(),
            _ => hugging_face(name),
        });
        let error = odd.load(&config, &center_only()).unwrap_err().to_string();
        assert!(error.contains("stages.1.layers.0.attention.weight"), "{error}");
    }
}

#[test]
fn a_file_without_its_first_convolution_still_has_its_names() {
    let golden = Golden::read("torchvision_bottleneck");
    for (rename, missing) in [
        (hugging_face as fn(&str) -> String, "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight"),
        (detectron2, "backbone.bottom_up.res2.0.conv1.weight"),
        (str::to_owned, "layer1.0.conv1.weight"),
    ] {
        let config = body_of(&golden.checkpoint());
        let lacking = golden.renamed(|name| if rename(name) == missing { "lost".to_owned() } else { rename(name) });
        let error = lacking.load(&config, &center_only()).unwrap_err();
        assert_eq!((error.kind(), error.blob()), (ErrorKind::MissingBlob, Some("res2_0_branch2a_w")), "{error}");
        assert!(error.to_string().contains(missing), "{error}");
    }
}

#[test]
fn caffe2_s_batch_norms_fold() {
    // The golden's batch norms under the names of Caffe2, whose eps is a little larger.
    let golden = Golden::read("torchvision_basic");
    let caffe2 = |name: &str| {
        let base = name.replace("layer1.", "res2_").replace("layer2.", "res3_").replace("layer3.", "res4_");
        let base = base.replace(".downsample.0", "_branch1").replace(".downsample.1", "_branch1_bn");
        let base = base.replace(".conv1", "_branch2a").replace(".conv2", "_branch2b");
        let base = base.replace(".bn1", "_branch2a_bn").replace(".bn2", "_branch2b_bn");
        let base = if base.starts_with("bn1.") { format!("res_conv1_{}", base.replace("bn1.", "bn.")) } else { base };
        let norm = base.contains("_bn.");
        let parts = [(".weight", if norm { "_s" } else { "_w" }), (".bias", "_b"), (".running_mean", "_rm")];
        let base = parts.iter().fold(base, |name, (from, to)| name.replace(from, to));
        base.replace(".running_var", "_riv")
    };
    let checkpoint = golden.renamed(caffe2);
    assert_eq!(checkpoint.naming(), Naming::Caffe2);
    let config = body_of(&checkpoint);
    let loaded = checkpoint.load(&config, &center_only()).unwrap();
    let error = golden.error(&config, &loaded.weights, "expect");
    assert!(error < 1e-6, "{error:e}");
    let scale = loaded.origins.iter().find(|origin| origin.blob == "res_conv1_bn_s").unwrap();
    assert!(scale.folded && !scale.renamed());
    let sources = ["res_conv1_bn_s", "res_conv1_bn_b", "res_conv1_bn_rm", "res_conv1_bn_riv"];
    assert_eq!(scale.sources, sources);
    // A variance without its mean does not make an affine channel.
    let half = golden.renamed(|name| caffe2(name).replace("res2_0_branch2a_bn_rm", "lost"));
    let error = half.load(&config, &center_only()).unwrap_err().to_string();
    assert!(error.contains("res2_0_branch2a_bn_rm"), "{error}");
}

#[test]
fn what_was_done_is_told() {
    let golden = Golden::read("torchvision_bottleneck");
    let checkpoint = golden.checkpoint();
    let config = body_of(&checkpoint);
    let loaded = checkpoint.load(&config, &center_only()).unwrap();
    let of = |blob: &str| loaded.origins.iter().find(|origin| origin.blob == blob).unwrap();
    let weight = of("res3_0_branch2b_w");
    assert_eq!(
        (weight.sources.as_slice(), weight.element.as_str()),
        (&["layer2.0.conv2.weight".to_owned()][..], "F32")
    );
    assert_eq!((weight.given.as_slice(), weight.shape.as_slice()), (&[8, 8, 3, 3][..], &[8, 8, 3, 3, 3][..]));
    assert_eq!(weight.inflated, Some((InflateMode::CenterOnly, 3)));
    assert!(weight.renamed() && !weight.folded);
    assert_eq!(of("res2_0_branch2b_w").inflated, None);
    let bias = of("res3_0_branch1_bn_b");
    assert!(bias.folded && bias.renamed());
    assert_eq!(bias.sources[0], "layer2.0.downsample.1.bias");
    let dropped: Vec<&str> = loaded.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
    assert_eq!(dropped, checkpoint.unused(&config).unwrap());
    assert!(dropped.contains(&"fc.weight") && dropped.contains(&"bn1.num_batches_tracked"));
    assert!(dropped.iter().all(|name| !name.starts_with("layer1.") || name.ends_with("num_batches_tracked")));
}

#[test]
fn another_network_is_told_by_what_is_missing() {
    let checkpoint = Golden::read("torchvision_basic").checkpoint();
    let own = body_of(&checkpoint);
    let wrong = BackboneConfig { transformation: Transformation::Bottleneck, ..own.clone() };
    let error = checkpoint.load(&wrong, &center_only()).unwrap_err();
    assert!(error.kind() == ErrorKind::MissingBlob);
    let text = error.to_string();
    for part in [
        "\"res2_0_branch2c_w\"",
        "made from \"layer1.0.conv3.weight\"",
        "\"transformation\": \"basic\"",
        "nearest in the file: layer4.0.conv1.weight",
        "18 are missing in all",
        "are not used: ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let deeper = BackboneConfig { block_counts: vec![2, 2, 3], ..own };
    let text = checkpoint.load(&deeper, &center_only()).unwrap_err().to_string();
    assert!(text.contains("layer3.2.conv1.weight"), "{text}");
}

#[test]
fn parts_that_no_block_of_this_body_has_are_refused() {
    let golden = Golden::read("torchvision_bottleneck");
    let load = |checkpoint: &Checkpoint, config: &BackboneConfig| checkpoint.load(config, &center_only()).map(drop);
    let config = body_of(&golden.checkpoint());
    for (counter, part) in [
        ("layer2.0.bn1.num_batches_tracked", "layer2.0.se.fc1.weight"),
        ("layer1.1.bn1.num_batches_tracked", "layer1.1.conv1.bias"),
        ("bn1.num_batches_tracked", "conv1.bias"),
    ] {
        let odd = golden.renamed(|name| if name == counter { part.to_owned() } else { name.to_owned() });
        let error = load(&odd, &config).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.subject().unwrap().contains(part), "{error}");
        // Stages that the body leaves out may have such tensors.
        let head = golden.renamed(|name| if name == counter { "layer4.0.se.bias".to_owned() } else { name.to_owned() });
        load(&head, &config).unwrap();
    }
    // More convolutions in the stem make it another network, which is refused when the file is opened.
    let deep = |from: &str, to: &str, rename: fn(&str) -> String| {
        let stem = SafeTensors::deserialize(&golden.bytes).unwrap();
        let mut views: BTreeMap<String, TensorView<'_>> =
            stem.tensors().into_iter().map(|(name, view)| (rename(&name), view)).collect();
        views.insert(to.to_owned(), stem.tensor(from).unwrap());
        Checkpoint::from_bytes("deep.safetensors", safetensors::serialize(&views, None).unwrap())
    };
    for (part, rename) in [
        ("conv2.weight", str::to_owned as fn(&str) -> String),
        ("conv1.3.weight", str::to_owned),
        ("backbone.bottom_up.stem.conv2.weight", detectron2),
        ("resnet.embedder.embedder.0.convolution.weight", hugging_face),
    ] {
        let error = deep("layer1.0.conv2.weight", part, rename).map(drop).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.subject().unwrap().contains(part), "{part}: {error}");
        assert!(error.to_string().contains("deep stem"), "{error}");
    }
    // A bottleneck network loaded as one of basic blocks.
    let basic = BackboneConfig { transformation: Transformation::Basic, ..config };
    let text = load(&golden.checkpoint(), &basic).unwrap_err().to_string();
    assert!(text.contains("conv3") && text.contains("bottleneck"), "{text}");
}

#[test]
fn what_is_saved_is_loaded() {
    let checkpoint = Golden::read("torchvision_basic").checkpoint();
    let config = body_of(&checkpoint);
    let weights = checkpoint.load(&config, &center_only()).unwrap().weights;
    for (storage, tolerance) in [(Storage::F32, 0.0), (Storage::F16, 6e-4)] {
        let bytes =
            weights.to_safetensors(&config, None, checkpoint.normalization(), None, storage).unwrap().to_bytes();
        let again = Checkpoint::from_bytes("saved.safetensors", bytes).unwrap();
        assert_eq!(body_of(&again), config);
        assert_eq!(again.normalization(), Some(Normalization::ImageNet));
        assert!(again.unused(&config).unwrap().is_empty());
        let loaded = again.weights(&config).unwrap();
        assert_eq!(loaded.tensors().count(), weights.tensors().count());
        for ((name, got), (_, want)) in loaded.tensors().zip(weights.tensors()) {
            let error = relative_l2(widen(got.data()), widen(want.data()));
            assert!(error <= tolerance, "{name}: {error:e}");
        }
    }
    let graph = Body::new(&config).unwrap().graph;
    let mut tensors: BTreeMap<_, _> = weights.tensors().map(|(name, t)| (name.to_owned(), t.clone())).collect();
    let large = resnet3d_wgpu::weights::Tensor::new(vec![6], vec![0.0, 7e4, 0.0, 0.0, 0.0, 0.0]).unwrap();
    tensors.insert("res_conv1_bn_b".to_owned(), large);
    let weights = Weights::from_tensors(&graph, tensors).unwrap();
    let error = weights.to_safetensors(&config, None, None, None, Storage::F16).err().unwrap().to_string();
    assert!(error.contains("res_conv1_bn_b") && error.contains("70000 at flat index 1"), "{error}");
    let bytes = weights.to_safetensors(&config, None, None, None, Storage::F32).unwrap().to_bytes();
    assert_eq!(Checkpoint::from_bytes("saved", bytes).unwrap().normalization(), None);
}

#[test]
fn inflation_is_bounded() {
    let checkpoint = Golden::read("torchvision_basic").checkpoint();
    let own = body_of(&checkpoint);
    let long = BackboneConfig { time_kernel_dim: 999, ..own.clone() };
    let error = checkpoint.load(&long, &center_only()).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Config, Some("time_kernel_dim")), "{error}");
    // With a time kernel of 1, there is nothing to inflate.
    let image = BackboneConfig { time_kernel_dim: 1, ..own };
    assert!(checkpoint.load(&image, &center_only()).unwrap().origins.iter().all(|origin| origin.inflated.is_none()));
    checkpoint.weights(&image).unwrap();
}
