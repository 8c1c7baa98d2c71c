//! Networks for video, from files as their projects write them: each is recognised from its file, and runs on every
//! adapter.
//!
//! `fixtures/video` has checkpoints of an independent implementation in the projects' formats. `goldens/video` has the
//! results of the projects' code for narrow, untrained networks (`goldens/video.py`).

mod common;

use common::{Comparisons, contexts, fixture_path, golden_path, relative_l2, widen};
use resnet3d_wgpu::clip::preprocess::{Normalization, Preprocess, Size};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::weights::{Family, Naming, Storage, random};
use resnet3d_wgpu::{Checkpoint, Clip, GpuBackbone, Network, Options, Shape, Taps, WeightOptions, Weights};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A checkpoint, a clip, and the values that the network must give.
struct Case {
    name: &'static str,
    checkpoint: Checkpoint,
    clip: Clip,
    expected: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap();
    let values = match view.dtype() {
        Dtype::F16 => view.data().as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
        _ => view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
    };
    (view.shape().to_vec(), values)
}

/// A case with this checkpoint, and with the clip and the values of blobs in the safetensors file at `path`.
fn case(name: &'static str, checkpoint: Checkpoint, path: PathBuf) -> Case {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (shape, values) = tensor(&file, "data");
    let shape: [usize; 5] = shape.try_into().unwrap();
    let expected = file.names().into_iter().filter_map(|name| Some((name.strip_prefix("expect.")?, name)));
    Case {
        name,
        checkpoint,
        clip: Clip::new(Shape::from(shape), values).unwrap(),
        expected: expected.map(|(blob, name)| (blob.to_owned(), tensor(&file, name))).collect(),
    }
}

/// The checkpoints of `fixtures/video`. The family of one must be given.
fn fixtures() -> Vec<Case> {
    [
        ("v01_r3d.pth", None),
        ("v02_r2plus1d.pth", None),
        ("v03_slow.pyth", None),
        ("v04_i3d.pyth", None),
        ("v05_kensho_b.pth", None),
        ("v06_i3d_caffe2.pkl", Some(Family::PySlowFast)),
    ]
    .into_iter()
    .map(|(name, family)| {
        let path = fixture_path(&format!("video/{name}"));
        let checkpoint = Checkpoint::open(&path).unwrap();
        let checkpoint = match family {
            Some(family) => checkpoint.of_family(family).unwrap(),
            None => checkpoint,
        };
        case(name, checkpoint, path.with_extension("safetensors"))
    })
    .collect()
}

/// The networks of `goldens/video` and their families.
const GOLDENS: [(&str, Family); 23] = [
    ("torchvision_mc3", Family::Torchvision),
    ("vmz_r2plus1d", Family::Vmz),
    ("vmz_ir_csn", Family::Vmz),
    ("vmz_ip_csn", Family::Vmz),
    ("pytorchvideo_c2d", Family::PyTorchVideo),
    ("pytorchvideo_csn", Family::PyTorchVideo),
    ("pytorchvideo_r2plus1d", Family::PyTorchVideo),
    ("pyslowfast_slow", Family::PySlowFast),
    ("pyslowfast_i3d", Family::PySlowFast),
    ("pyslowfast_c2d", Family::PySlowFast),
    ("pytorchvideo_slowfast", Family::PyTorchVideo),
    ("pyslowfast_slowfast", Family::PySlowFast),
    ("mmaction2_slowfast", Family::Mmaction2),
    ("hara_basic", Family::ThreeDResNets),
    ("hara_shortcut_a", Family::ThreeDResNets),
    ("hara_resnext", Family::ThreeDResNets),
    ("i3resnet", Family::I3ResNet),
    ("mmaction2_slowonly", Family::Mmaction2),
    ("mmaction2_i3d", Family::Mmaction2),
    ("mmaction2_c2d", Family::Mmaction2),
    ("mmaction2_r2plus1d", Family::Mmaction2),
    ("mmaction2_ir_csn", Family::Mmaction2),
    ("mmaction2_ip_csn", Family::Mmaction2),
];

fn goldens() -> Vec<Case> {
    let cases = GOLDENS.into_iter().map(|(name, family)| {
        let path = golden_path(&format!("video/{name}.safetensors"));
        let mut checkpoint = Checkpoint::open(&path).unwrap();
        if matches!(name, "pyslowfast_i3d" | "pyslowfast_c2d") {
            // The cfg of these networks, which tells what is pooled, is not part of a safetensors file.
            checkpoint = checkpoint.of_family(family).unwrap();
        }
        assert_eq!(checkpoint.family(), Some(family), "{name}");
        case(name, checkpoint, path)
    });
    cases.collect()
}

/// Loads the network of `case` and runs it on every adapter, fused and unfused.
fn check(case: &Case) {
    let network = case.checkpoint.network().unwrap().expect(case.name);
    let loaded = case.checkpoint.load(&network, &WeightOptions::default()).unwrap();
    let names: Vec<String> = case.expected.keys().cloned().collect();
    let mut comparisons = Comparisons::default();
    for gpu in contexts() {
        for fusion in [true, false] {
            let options = Options::default().taps(Taps::Named(names.clone())).fusion(fusion);
            let mut backbone = GpuBackbone::new(&gpu, &network, &loaded.weights, options).unwrap();
            let features = backbone.forward(&case.clip).unwrap();
            let mut worst = 0.0f64;
            for (blob, (shape, want)) in &case.expected {
                let got = features.get(blob).unwrap_or_else(|| panic!("{}: {blob}", case.name));
                assert_eq!(<[usize; 5]>::from(got.shape).as_slice(), shape, "{} {blob}", case.name);
                let what = format!("{} {blob} on {}", case.name, gpu.backend());
                worst = worst.max(comparisons.compare(&what, &got.data, widen(want)));
            }
            println!("{} on {}, fusion {fusion}: {worst:.1e}", case.name, gpu.backend());
        }
    }
    comparisons.assert_passed();
}

/// A converted file states its family and the frames that it needs, and gives the same bits.
fn check_conversion(case: &Case) {
    let checkpoint = &case.checkpoint;
    let network = checkpoint.network().unwrap().unwrap();
    let loaded = checkpoint.load(&network, &WeightOptions::default()).unwrap();
    let file = loaded
        .weights
        .to_safetensors(&network, checkpoint.family(), checkpoint.normalization(), checkpoint.sampling(), Storage::F32)
        .unwrap()
        .to_bytes();
    let again = Checkpoint::from_bytes("converted.safetensors", file).unwrap();
    assert_eq!(again.network().unwrap().unwrap(), network, "{}", case.name);
    assert_eq!((again.family(), again.preprocess()), (checkpoint.family(), checkpoint.preprocess()), "{}", case.name);
    assert_eq!(again.sampling(), checkpoint.sampling(), "{}", case.name);
    assert!(again.assumed().is_empty() && !checkpoint.assumed().is_empty(), "{}", case.name);
    assert_eq!(again.weights(&network).unwrap(), loaded.weights, "{}", case.name);
}

#[test]
fn what_is_converted_is_the_same() {
    fixtures().iter().chain(&goldens()).for_each(check_conversion);
}

#[test]
fn checkpoints_as_the_projects_write_them_are_read_and_right() {
    fixtures().iter().for_each(check);
}

#[test]
fn the_projects_own_networks_are_read_and_right() {
    goldens().iter().for_each(check);
}

/// Caffe2's name for a part of a batch norm.
fn norm_in_caffe2(part: &str) -> Option<&'static str> {
    match part {
        "weight" => Some("s"),
        "bias" => Some("b"),
        "running_mean" => Some("rm"),
        "running_var" => Some("riv"),
        _ => None,
    }
}

/// The name in VMZ's Caffe2 code for `name` in its PyTorch code, according to VMZ's converter
/// (`utilities/model_conversion/convert_models.py`). `blocks` has the number of blocks before each layer, and `numbers`
/// has the numbers of a block's convolutions.
fn in_caffe2(name: &str, blocks: [usize; 4], numbers: [usize; 3], factored_stem: bool) -> Option<String> {
    let (path, part) = name.rsplit_once('.')?;
    let norm = norm_in_caffe2(part)?;
    match (path, factored_stem) {
        ("fc", _) => return Some(format!("last_out_L5_{}", if part == "weight" { "w" } else { "b" })),
        ("stem.0", true) => return Some("conv1_middle_w".to_owned()),
        ("stem.1", true) => return Some(format!("conv1_middle_spatbn_relu_{norm}")),
        ("stem.0", false) | ("stem.3", true) => return Some("conv1_w".to_owned()),
        ("stem.1", false) | ("stem.4", true) => return Some(format!("conv1_spatbn_relu_{norm}")),
        _ => {}
    }
    let words: Vec<&str> = path.strip_prefix("layer")?.splitn(4, '.').collect();
    let [layer, block, conv, rest] = words[..] else { return None };
    let index = blocks[layer.parse::<usize>().ok()? - 1] + block.parse::<usize>().ok()?;
    if conv == "downsample" {
        let whole = format!("shortcut_projection_{index}");
        return Some(if rest == "0" { format!("{whole}_w") } else { format!("{whole}_spatbn_{norm}") });
    }
    let number = numbers[conv.strip_prefix("conv")?.parse::<usize>().ok()? - 1];
    Some(match rest {
        "0" | "0.2" | "0.3" => format!("comp_{index}_conv_{number}_w"),
        "1" => format!("comp_{index}_spatbn_{number}_{norm}"),
        "0.0" => format!("comp_{index}_conv_{number}_middle_w"),
        "0.1" => format!("comp_{index}_spatbn_{number}_middle_{norm}"),
        _ => return None,
    })
}

/// VMZ's networks are the same to the bit with the names of its Caffe2 code and with the names of its PyTorch code.
#[test]
fn vmz_s_names_of_caffe2_give_the_same_networks() {
    for (name, numbers, factored_stem) in
        [("vmz_r2plus1d", [1, 2, 3], true), ("vmz_ir_csn", [1, 3, 4], false), ("vmz_ip_csn", [1, 2, 3], false)]
    {
        let path = golden_path(&format!("video/{name}.safetensors"));
        let own = Checkpoint::open(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let count = |layer: usize| {
            let first = |block: usize| {
                file.names().iter().any(|name| name.starts_with(&format!("layer{layer}.{block}.conv1.0")))
            };
            (0..).take_while(|&block| first(block)).count()
        };
        let [one, two, three] = [1, 2, 3].map(count);
        let blocks = [0, one, one + two, one + two + three];
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if let Some(renamed) = in_caffe2(&name, blocks, numbers, factored_stem) {
                // Caffe2's files also have the momentum of training.
                if renamed.ends_with("_w") {
                    tensors.insert(format!("{renamed}_momentum"), view.clone());
                }
                assert!(tensors.insert(renamed, view).is_none(), "{name}");
            }
        }
        let renamed = Checkpoint::from_bytes("vmz.pkl", safetensors::serialize(tensors, None).unwrap()).unwrap();
        assert_eq!((renamed.naming(), renamed.family()), (Naming::VmzCaffe2, Some(Family::Vmz)), "{name}");
        let network = renamed.network().unwrap().expect(name);
        assert_eq!(Some(&network), own.network().unwrap().as_ref(), "{name}");
        assert_eq!(renamed.preprocess(), own.preprocess(), "{name}");
        assert!(network.classes().is_some(), "{name}");
        assert_eq!(renamed.weights(&network).unwrap(), own.weights(&network).unwrap(), "{name}");
    }
}

/// The name in Caffe2's form for PySlowFast's `name`, according to its reader of such files
/// (`utils/c2_model_loading.py`). `last` is the last block of each stage, res2 first.
fn pyslowfast_in_caffe2(name: &str, last: [usize; 3]) -> Option<String> {
    let (path, part) = name.rsplit_once('.')?;
    let norm = norm_in_caffe2(part)?;
    if path == "head.projection" {
        return Some(format!("pred_{}", if part == "weight" { "w" } else { "b" }));
    }
    let (stage, rest) = path.strip_prefix('s')?.split_at(1);
    let module = |base: String, is_norm: bool| if is_norm { format!("{base}_bn_{norm}") } else { format!("{base}_w") };
    if let Some(own) = rest.strip_prefix("_fuse.") {
        let place = match stage.parse::<usize>().ok()? {
            1 => "t_pool1".to_owned(),
            stage => format!("t_res{stage}_{}_branch2c_bn", last[stage - 2]),
        };
        return Some(module(format!("{place}_subsample"), own == "bn"));
    }
    let (pathway, own) = rest.strip_prefix(".pathway")?.split_once('_')?;
    let pathway = if pathway == "1" { "t_" } else { "" };
    match own {
        "stem.conv" => return Some(format!("{pathway}conv1_w")),
        "stem.bn" => return Some(format!("{pathway}res_conv1_bn_{norm}")),
        _ => {}
    }
    let (block, own) = own.strip_prefix("res")?.split_once('.')?;
    let plain = own.strip_suffix("_bn").unwrap_or(own);
    Some(module(format!("{pathway}res{stage}_{block}_{}", plain.replace('.', "")), plain != own))
}

/// PySlowFast's network of two pathways is the same with names in Caffe2's form as with PyTorch's names. The weights
/// differ only by the eps of the batch norms.
#[test]
fn slowfast_by_caffe2_s_names_is_the_same_network() {
    let path = golden_path("video/pyslowfast_slowfast.safetensors");
    let own = Checkpoint::open(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let renamed =
        file.tensors().into_iter().filter_map(|(name, view)| Some((pyslowfast_in_caffe2(&name, [1, 1, 2])?, view)));
    let renamed: BTreeMap<_, _> = renamed.collect();
    assert!(renamed.contains_key("t_res4_2_branch2c_bn_subsample_bn_s") && renamed.contains_key("t_pool1_subsample_w"));
    let renamed = Checkpoint::from_bytes("slowfast.pkl", safetensors::serialize(renamed, None).unwrap()).unwrap();
    assert_eq!((renamed.naming(), renamed.family()), (Naming::Caffe2, Some(Family::PySlowFast)));
    let network = renamed.network().unwrap().unwrap();
    assert_eq!(Some(&network), own.network().unwrap().as_ref());
    assert!(network.classes().is_some());
    // Caffe2's batch norms add a slightly larger eps to the variance.
    let (weights, want) = (renamed.weights(&network).unwrap(), own.weights(&network).unwrap());
    for parameter in Body::new(&network).unwrap().graph.parameters() {
        let get =
            |weights: &Weights| widen(weights.get(&parameter.name, &parameter.shape).unwrap()).collect::<Vec<_>>();
        let error = relative_l2(get(&weights), get(&want));
        assert!(error < 1e-6, "{}: {error:e}", parameter.name);
    }
}

/// A network with attention is refused with the name of a tensor, never run without it.
#[test]
fn networks_with_non_local_blocks_are_refused() {
    for (golden, name) in [
        ("pyslowfast_i3d", "s3.pathway0_nonlocal1.conv_theta.weight"),
        ("mmaction2_slowonly", "backbone.layer2.0.non_local_block.g.0.conv.weight"),
        ("hara_basic", "module.layer2.1.nl.theta.weight"),
    ] {
        let bytes = std::fs::read(golden_path(&format!("video/{golden}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let values = [0; 16];
        let theta = safetensors::tensor::TensorView::new(Dtype::F32, vec![2, 2, 1, 1, 1], &values).unwrap();
        let tensors = file.tensors().into_iter().chain([(name.to_owned(), theta)]);
        let file = safetensors::serialize(tensors, None).unwrap();
        let error = Checkpoint::from_bytes("nonlocal.safetensors", file).unwrap_err().to_string();
        assert!(error.contains("non-local") && error.contains(name), "{error}");
    }
}

/// The slow pathway takes one frame in `alpha`. For a clip of another length, the error states the nearest length that
/// fits.
#[test]
fn pathways_that_do_not_fit_are_refused() {
    let narrow = |alpha: usize| {
        let pathway = |width: usize| {
            let stem = format!(r#"{{"convs": [{{"width": {width}, "kernel": [1, 3, 3]}}]}}"#);
            (stem, |dim: usize| format!(r#"[{{"blocks": [{{"branch": [{{"width": {dim}}}]}}]}}]"#))
        };
        let ((slow, stages), (fast, _)) = (pathway(4), pathway(2));
        Network::from_json(&format!(
            r#"{{"stem": {slow}, "stages": {}, "alpha": {alpha}, "fast": {{"alpha": 1, "stem": {fast}, "stages": {},
                "laterals": [{{"width": 3, "kernel": 5}}]}}}}"#,
            stages(7),
            stages(2),
        ))
        .unwrap()
    };
    for alpha in [2, 4, 8] {
        let network = narrow(alpha);
        let weights = Weights::random(&network, 1).unwrap();
        for gpu in contexts() {
            let mut backbone = GpuBackbone::new(&gpu, &network, &weights, Options::default()).unwrap();
            let features = backbone.forward(&random::clip(Shape::new(1, 3, 16, 6, 6), 1).unwrap()).unwrap();
            assert_eq!(features.last().shape, Shape::new(1, 7, 16 / alpha, 6, 6));
            let error = backbone.prepare(Shape::new(1, 3, 15, 6, 6)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("one in {alpha} (16 is the nearest)")) && error.contains("15 frames"),
                "{error}"
            );
        }
    }
}

/// Every family states the frames that its weights need.
#[test]
fn every_family_wants_its_own_frames() {
    use Normalization::{ActivityNet, ImageNet, Kinetics, Mmaction2, Mmaction2Csn, PyTorchVideo, ThreeDResNets};
    let wanted = |normalization, size, crop| Some(Preprocess::usual(normalization).size(size).crop(crop));
    let [short, exact] = [Size::Shorter(256), Size::Exact([128, 171])];
    for case in fixtures().iter().chain(&goldens()) {
        let want = match case.name {
            "v01_r3d.pth" | "v02_r2plus1d.pth" | "torchvision_mc3" | "vmz_r2plus1d" => {
                wanted(Kinetics, exact, Some(112))
            }
            "vmz_ir_csn" | "vmz_ip_csn" => wanted(Kinetics, short, Some(224)),
            "v05_kensho_b.pth" | "hara_basic" | "hara_shortcut_a" | "hara_resnext" => {
                wanted(ThreeDResNets, Size::Shorter(112), Some(112))
            }
            "i3resnet" => wanted(ImageNet, short, None),
            "mmaction2_ir_csn" | "mmaction2_ip_csn" => wanted(Mmaction2Csn, short, Some(224)),
            name if name.starts_with("mmaction2") => wanted(Mmaction2, short, Some(224)),
            _ => wanted(PyTorchVideo, short, Some(256)),
        };
        assert_eq!(case.checkpoint.preprocess(), want, "{}", case.name);
    }
    // Frames, step, rate; clips and crops of a test.
    type Frames = (usize, usize, Option<u32>, Option<usize>, usize);
    for case in fixtures().iter().chain(&goldens()) {
        let wanted: Option<Frames> = match case.name {
            "v01_r3d.pth" | "v02_r2plus1d.pth" | "torchvision_mc3" => Some((16, 1, Some(15), Some(5), 1)),
            "vmz_r2plus1d" => Some((32, 1, None, Some(10), 1)),
            "vmz_ir_csn" | "vmz_ip_csn" => Some((32, 2, None, Some(10), 1)),
            "v05_kensho_b.pth" | "hara_basic" | "hara_shortcut_a" | "hara_resnext" => Some((16, 1, None, None, 1)),
            "i3resnet" => None,
            "mmaction2_ir_csn" | "mmaction2_ip_csn" | "mmaction2_i3d" | "mmaction2_slowfast" => {
                Some((32, 2, None, Some(10), 3))
            }
            name if name.starts_with("mmaction2") => Some((8, 8, None, Some(10), 3)),
            "pytorchvideo_csn" | "pytorchvideo_slowfast" | "pyslowfast_slowfast" => {
                Some((32, 2, Some(30), Some(10), 3))
            }
            "pytorchvideo_r2plus1d" => Some((16, 4, Some(30), Some(10), 3)),
            _ => Some((8, 8, Some(30), Some(10), 3)),
        };
        let own = case.checkpoint.sampling();
        let own = own.map(|own| (own.frames, own.step, own.fps, own.clips, own.crops));
        assert_eq!(own, wanted, "{}", case.name);
    }
    // Hara's networks of 2017 lack `num_batches_tracked`, which PyTorch did not count then.
    let bytes = std::fs::read(golden_path("video/hara_basic.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let old = file.tensors().into_iter().filter(|(name, _)| !name.ends_with(".num_batches_tracked"));
    let old = safetensors::serialize(old, None).unwrap();
    let checkpoint = Checkpoint::from_bytes("resnet-34-kinetics.safetensors", old).unwrap();
    assert_eq!(checkpoint.preprocess(), wanted(ActivityNet, Size::Shorter(112), Some(112)));
}

/// Parameters include the classifier's weight and bias, and multiply-adds include its product once.
#[test]
fn presets_have_the_published_counts() {
    for (preset, clip, parameters, gmac) in [
        ("r3d_18", "1x3x16x112x112", 33_371_472, 40.697),
        ("mc3_18", "1x3x16x112x112", 11_695_440, 43.343),
        ("r2plus1d_18", "1x3x16x112x112", 31_505_325, 40.519),
        ("slow_r50", "1x3x8x256x256", 32_454_096, 54.521),
        ("c2d_r50", "1x3x8x256x256", 24_327_632, 25.463),
        ("i3d_r50", "1x3x8x256x256", 28_043_472, 37.106),
        ("csn_r101", "1x3x32x256x256", 22_213_776, 73.757),
        ("r2plus1d_r50", "1x3x16x256x256", 28_107_600, 75.148),
        ("slowfast_r50", "1x3x32x256x256", 34_566_488, 65.712),
        ("slowfast_r101", "1x3x32x256x256", 62_826_968, 125.91),
    ] {
        let network = Network::from_json(&format!(r#"{{"preset": "{preset}", "classes": 400}}"#)).unwrap();
        let body = Body::new(&network).unwrap();
        assert_eq!(body.graph.parameter_count(), parameters, "{preset}");
        let plan = Plan::new(&body.graph, &[clip.parse().unwrap()], &PlanOptions::default()).unwrap();
        let own = plan.macs() as f64 / 1e9;
        assert!((own / gmac - 1.0).abs() < 3e-3, "{preset}: {own:.3} GMAC");
    }
    for (preset, parameters) in [("ir_csn_152", 29_703_568), ("ir_csn_50", 13_131_152)] {
        let network = Network::from_json(&format!(r#"{{"preset": "{preset}", "classes": 400}}"#)).unwrap();
        let counted = Body::new(&network).unwrap().graph.parameter_count();
        assert_eq!(counted, parameters, "{preset}");
    }
}

/// Hara's files are named after the data that they were trained on.
#[test]
fn hara_s_names_set_the_classes() {
    for (name, classes) in
        [("r3d18_K", 700), ("r3d50_km", 1039), ("r3d50_KMS", 1139), ("r3d200_s", 100), ("r3d34_MS", 439)]
    {
        assert_eq!(Network::preset(name).unwrap().classes(), Some(classes), "{name}");
    }
    assert_eq!(Network::preset("r3d18").unwrap().classes(), None);
    for other in ["r3d18_X", "r3d19", "r3d18_", "r3d_18_K"] {
        assert!(Network::preset(other).is_err(), "{other}");
    }
}

/// The classifier and the mean before it are blobs like any other. Without a classifier they do not exist.
#[test]
fn scores_and_their_mean_are_taps() {
    let stem = r#"{"convs": [{"width": 6, "kernel": [3, 7, 7], "stride": [1, 2, 2]}]}"#;
    let block = r#"{"branch": [{"width": 6, "kernel": [3, 3, 3]}, {"width": 6, "kernel": [3, 3, 3]}]}"#;
    let json = |classes: &str| format!(r#"{{"stem": {stem}, "stages": [{{"blocks": [{block}]}}]{classes}}}"#);
    let with = Network::from_json(&json(r#", "classes": 3"#)).unwrap();
    let without = Network::from_json(&json("")).unwrap();
    let weights = Weights::random(&with, 1).unwrap();
    let clip = random::clip(Shape::new(2, 3, 4, 16, 16), 1).unwrap();
    for gpu in contexts() {
        let taps = Taps::Named(vec!["pred".to_owned(), "pool5".to_owned()]);
        let mut backbone = GpuBackbone::new(&gpu, &with, &weights, Options::default().taps(taps.clone())).unwrap();
        let features = backbone.forward(&clip).unwrap();
        assert_eq!(features.last().name, "res2_0_sum");
        assert_eq!(features.get("pred").unwrap().shape, Shape::new(2, 3, 1, 1, 1));
        assert_eq!(features.get("pool5").unwrap().shape, Shape::new(2, 6, 1, 1, 1));
        let none = Weights::random(&without, 1).unwrap();
        let error = GpuBackbone::new(&gpu, &without, &none, Options::default().taps(taps)).unwrap_err();
        assert!(error.to_string().contains("come with a classifier"), "{error}");
    }
}
