//! Weight files: which are accepted, which are refused, and with which messages.

mod common;

use common::{fixture, fixture_path};
use half::{bf16, f16};
use resnet3d_wgpu::weights::Family;
use resnet3d_wgpu::{BackboneConfig, Checkpoint, Error, ErrorKind, WeightOptions, Weights};
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::collections::HashMap;
use std::path::PathBuf;

/// Tensors by name: element type, shape, little-endian bytes.
type Tensors = HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn narrow() -> BackboneConfig {
    let json = r#"{"block_counts": [1, 1, 1], "feat_dims": [2, 2, 3, 4], "width_per_group": 2}"#;
    BackboneConfig::from_json(json).unwrap()
}

fn tensors(config: &BackboneConfig, encode: fn(f32) -> Vec<u8>, dtype: Dtype) -> Tensors {
    let weights = Weights::random(config, 3).unwrap();
    let tensor = |values: &[f32]| values.iter().flat_map(|&v| encode(v)).collect();
    weights.tensors().map(|(name, t)| (name.to_owned(), (dtype, t.shape().to_vec(), tensor(t.data())))).collect()
}

fn f32_tensors() -> Tensors {
    tensors(&narrow(), |v| v.to_le_bytes().to_vec(), Dtype::F32)
}

fn bytes(tensors: &Tensors, metadata: Option<HashMap<String, String>>) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize(views, metadata).unwrap()
}

/// A file in a directory that is removed when dropped.
struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn file(bytes: &[u8]) -> File {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    std::fs::write(&path, bytes).unwrap();
    File { _directory: directory, path }
}

#[test]
fn every_float_width_is_read() {
    let want = Weights::random(narrow(), 3).unwrap();
    /// Element type, the encoding of a value, and the value after rounding.
    type Encoding = (Dtype, fn(f32) -> Vec<u8>, fn(f32) -> f32);
    let encodings: [Encoding; 4] = [
        (Dtype::F32, |v| v.to_le_bytes().to_vec(), |v| v),
        (Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec(), |v| v),
        (Dtype::F16, |v| f16::from_f32(v).to_le_bytes().to_vec(), |v| f16::from_f32(v).to_f32()),
        (Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec(), |v| bf16::from_f32(v).to_f32()),
    ];
    for (dtype, encode, rounded) in encodings {
        let file = file(&bytes(&tensors(&narrow(), encode, dtype), None));
        let got = Weights::load(&file.path, narrow()).unwrap();
        for ((name, got), (_, want)) in got.tensors().zip(want.tensors()) {
            assert!(
                got.data().iter().eq(want.data().iter().map(|&v| rounded(v)).collect::<Vec<_>>().iter()),
                "{dtype:?} {name}"
            );
        }
        assert_eq!(got.tensors().count(), want.tensors().count());
    }
}

#[test]
fn what_the_body_does_not_use_is_ignored_and_listed() {
    let mut tensors = f32_tensors();
    tensors.insert("fc1000_w".to_owned(), (Dtype::I64, vec![1], vec![0; 8]));
    tensors.insert("conv1_w_momentum".to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
    let file = file(&bytes(&tensors, None));
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    assert_eq!(checkpoint.unused(narrow()).unwrap(), ["conv1_w_momentum", "fc1000_w"]);
    assert_eq!(checkpoint.weights(narrow()).unwrap(), Weights::random(narrow(), 3).unwrap());
}

#[test]
fn metadata_names_the_config() {
    let case = fixture("p06_time_stride");
    let checkpoint = Checkpoint::open(&fixture_path("p06_time_stride.safetensors")).unwrap();
    assert_eq!(checkpoint.network().unwrap(), Some(case.config.into()));
    let with = |json: &str| {
        let metadata = HashMap::from([("config".to_owned(), json.to_owned())]);
        Checkpoint::open(&file(&bytes(&f32_tensors(), Some(metadata))).path).unwrap().network()
    };
    assert_eq!(with(&narrow().to_json()).unwrap(), Some(narrow().into()));
    assert!(with(r#"{"depth": 18}"#).is_err_and(|error| error.kind() == ErrorKind::Config));
    // Without metadata, names and shapes determine the network.
    let bare = Checkpoint::open(&file(&bytes(&f32_tensors(), None)).path).unwrap();
    assert_eq!(bare.network().unwrap(), Some(narrow().into()));
    let foreign = Tensors::from([("data".to_owned(), (Dtype::F32, vec![1], vec![0; 4]))]);
    assert_eq!(Checkpoint::open(&file(&bytes(&foreign, None)).path).unwrap().network().unwrap(), None);
}

#[test]
fn what_is_wrong_is_named() {
    struct Case {
        name: &'static str,
        bytes: Vec<u8>,
        error: fn(&Error) -> bool,
        says: &'static [&'static str],
    }
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = f32_tensors();
        change(&mut tensors);
        bytes(&tensors, None)
    };
    let whole = bytes(&f32_tensors(), None);
    let poison = |name: &'static str, value: f32| {
        changed(&move |tensors| {
            let data = &mut tensors.get_mut(name).unwrap().2;
            data[4..8].copy_from_slice(&value.to_le_bytes());
        })
    };
    let cases = [
        Case {
            name: "a missing blob",
            bytes: changed(&|t| drop(t.remove("res3_0_branch2b_w"))),
            error: |e| e.kind() == ErrorKind::MissingBlob,
            says: &["\"res3_0_branch2b_w\" is missing", "[4, 4, 3, 3, 3]"],
        },
        Case {
            name: "weights of basic blocks",
            bytes: changed(&|t| t.retain(|name, _| !name.contains("branch2c"))),
            error: |e| e.kind() == ErrorKind::MissingBlob,
            says: &[
                "\"res2_0_branch2c_w\" is missing",
                "\"transformation\": \"basic\"",
                "9 are missing in all",
                "every tensor of the file is used",
            ],
        },
        Case {
            name: "a blob of another name",
            bytes: changed(&|t| {
                let tensor = t.remove("res3_0_branch2b_w").unwrap();
                t.insert("res3_0_branch2b_weight".to_owned(), tensor);
            }),
            error: |e| e.kind() == ErrorKind::MissingBlob,
            says: &["\"res3_0_branch2b_w\" is missing", "nearest in the file: res3_0_branch2b_weight"],
        },
        Case {
            name: "a 2-D weight where frames are to be spanned",
            bytes: changed(&|t| {
                *t.get_mut("res3_0_branch2b_w").unwrap() = (Dtype::F32, vec![4, 4, 3, 3], vec![0; 576])
            }),
            error: |e| e.kind() == ErrorKind::NeedsInflation,
            says: &[
                "\"res3_0_branch2b_w\" is 2-D, [4, 4, 3, 3]",
                "[4, 4, 3, 3, 3]",
                "center-only, mean-repeat, repeat or center-only-rest-rand",
            ],
        },
        Case {
            name: "a time kernel of another length",
            bytes: changed(&|t| {
                *t.get_mut("res3_0_branch2b_w").unwrap() = (Dtype::F32, vec![4, 4, 5, 3, 3], vec![0; 2880]);
            }),
            error: |e| e.kind() == ErrorKind::Shape,
            says: &["\"res3_0_branch2b_w\"", "[4, 4, 3, 3, 3]", "[4, 4, 5, 3, 3]: a time kernel of 5, and only 2-D"],
        },
        Case {
            name: "a weight of other axes",
            bytes: changed(&|t| t.get_mut("conv1_w").unwrap().1 = vec![2, 3, 49]),
            error: |e| e.kind() == ErrorKind::Shape,
            says: &["\"conv1_w\"", "wanted shape [2, 3, 1, 7, 7]", "got [2, 3, 49]"],
        },
        Case {
            name: "a weight of integers",
            bytes: changed(&|t| t.get_mut("conv1_w").unwrap().0 = Dtype::I32),
            error: |e| e.kind() == ErrorKind::ElementType,
            says: &["\"conv1_w\"", "F32, F16, BF16 or F64", "I32"],
        },
        Case {
            name: "a NaN",
            bytes: poison("res4_0_branch1_w", f32::NAN),
            error: |e| e.kind() == ErrorKind::NonFinite && e.index() == Some(1),
            says: &["\"res4_0_branch1_w\"", "finite", "NaN at flat index 1"],
        },
        Case {
            name: "an infinity",
            bytes: poison("res_conv1_bn_s", f32::NEG_INFINITY),
            error: |e| e.kind() == ErrorKind::NonFinite,
            says: &["\"res_conv1_bn_s\"", "-inf"],
        },
        Case {
            name: "a truncated file",
            bytes: whole[..whole.len() - 1].to_vec(),
            error: |e| e.kind() == ErrorKind::Format,
            says: &["weights.safetensors", "a whole safetensors file"],
        },
        Case {
            name: "a truncated header",
            bytes: whole[..20].to_vec(),
            error: |e| e.kind() == ErrorKind::Format,
            says: &["a whole safetensors file"],
        },
        Case {
            name: "an empty file",
            bytes: Vec::new(),
            error: |e| e.kind() == ErrorKind::Format,
            says: &["a whole safetensors file"],
        },
        Case {
            name: "a picture",
            bytes: b"\x89PNG\r\n\x1a\n and so on".to_vec(),
            error: |e| e.kind() == ErrorKind::Format,
            says: &["a whole safetensors file"],
        },
    ];
    let mut wrong = Vec::new();
    for case in cases {
        let file = file(&case.bytes);
        match Weights::load(&file.path, narrow()) {
            Ok(_) => wrong.push(format!("{}: accepted", case.name)),
            Err(error) => {
                let text = error.to_string();
                if !(case.error)(&error) || case.says.iter().any(|part| !text.contains(part)) {
                    wrong.push(format!("{}: {text}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(Weights::load("no/such/file.safetensors", narrow()).is_err_and(|error| error.action() == Some("read")));
    let zip = Checkpoint::from_bytes("model.pth", b"PK\x03\x04 and so on".to_vec());
    assert!(zip.is_err_and(|error| error.given().unwrap_or_default().contains("the rest of the file is missing")));
}

/// The message when `tensors` are loaded as the narrow network, or as the network that they describe.
fn refused(tensors: &Tensors, own: bool) -> String {
    let load = || {
        let checkpoint = Checkpoint::from_bytes("odd.safetensors", bytes(tensors, None))?;
        let config = if own { checkpoint.network()?.unwrap() } else { narrow().into() };
        checkpoint.load(&config, &WeightOptions::default()).map(drop)
    };
    let error = load().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::AmbiguousFamily), "{error}");
    error.to_string()
}

#[test]
fn blobs_of_another_network_are_refused_by_name() {
    let with = |name: &str, shape: &[usize]| {
        let mut tensors = f32_tensors();
        let values = shape.iter().product::<usize>();
        tensors.insert(name.to_owned(), (Dtype::F32, shape.to_vec(), vec![0; 4 * values]));
        tensors
    };
    for (name, shape) in [
        ("res3_0_branch2d_w", &[3, 3, 1, 1][..]),
        ("res3_0_branch2a_b", &[3]),
        ("res4_0_se_fc1_w", &[1, 4]),
        ("res4_0_branch2b_offset_w", &[18, 4, 3, 3]),
        ("conv1_b", &[2]),
        ("res_conv1_gn_s", &[2]),
        ("conv2_w", &[2, 2, 3, 3]),
        ("conv1_2_w", &[2, 2, 3, 3]),
        ("nonlocal_conv3_0_theta_w", &[1, 2, 1, 1, 1]),
        ("nonlocal_conv4_1_bn_s", &[2]),
    ] {
        let message = refused(&with(name, shape), false);
        assert!(message.contains(name), "{name}: {message}");
    }
    // A body of basic blocks with one convolution too many.
    let basic = BackboneConfig { transformation: resnet3d_wgpu::Transformation::Basic, ..narrow() };
    let mut tensors = tensors(&basic, |v| v.to_le_bytes().to_vec(), Dtype::F32);
    tensors.insert("res2_0_branch2c_w".to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
    let checkpoint = Checkpoint::from_bytes("odd.safetensors", bytes(&tensors, None)).unwrap();
    let error = checkpoint.weights(&basic).unwrap_err().to_string();
    assert!(error.contains("res2_0_branch2c_w") && error.contains("bottleneck"), "{error}");

    // Heads, momentum, later stages and other things are passed over.
    for name in [
        "fc1000_w",
        "pred_w",
        "conv_rpn_w",
        "rpn_cls_logits_w",
        "fpn_res4_0_sum_w",
        "bbox_pred_w",
        "kps_score_w",
        "mask_fcn_logits_w",
        "cls_score_w",
        "conv_fcn1_w",
        "res5_0_branch2a_w",
        "res5_0_se_w",
        "conv1_w_momentum",
        "res3_0_branch2d_w_momentum",
        "res2_0_sum",
        "lr",
    ] {
        let checkpoint = Checkpoint::from_bytes("more.safetensors", bytes(&with(name, &[1, 1, 1, 1]), None)).unwrap();
        checkpoint.weights(narrow()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(checkpoint.unused(narrow()).unwrap(), [name]);
    }
    // Detectron's files have this bias of MSRA's ResNet-50, which Detectron never reads.
    let mut carried = with("conv1_b", &[2]);
    carried.insert("fc1000_w".to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
    let message = refused(&carried, false);
    assert!(message.contains("remove conv1_b from the file"), "{message}");
}

#[test]
fn a_time_axis_of_1_throughout_is_two_networks_until_one_is_named() {
    let image = BackboneConfig { time_kernel_dim: 1, ..narrow() };
    let tensors = tensors(&image, |v| v.to_le_bytes().to_vec(), Dtype::F32);
    let message = refused(&tensors, true);
    for part in ["video-nonlocal-net", "Detectron", "pyslowfast, video-nonlocal-net or detectron"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let checkpoint = Checkpoint::from_bytes("c2d.safetensors", bytes(&tensors, None)).unwrap();
    assert_eq!(checkpoint.weights(&image).unwrap(), Weights::random(&image, 3).unwrap());
    let said =
        Checkpoint::from_bytes("c2d.safetensors", bytes(&tensors, None)).unwrap().of_family(Family::Detectron).unwrap();
    assert_eq!(said.network().unwrap(), Some((&image).into()));
    let metadata = HashMap::from([("config".to_owned(), image.to_json())]);
    let named = Checkpoint::from_bytes("c2d.safetensors", bytes(&tensors, Some(metadata))).unwrap();
    assert_eq!(named.network().unwrap(), Some(image.into()));
}

#[test]
fn names_of_nobody_are_told() {
    let renamed = |rename: fn(&str) -> String| -> Tensors {
        f32_tensors().into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
    };
    let message = refused(&renamed(|name| format!("s1.pathway0_{name}")), false);
    for part in ["Detectron, torchvision, Detectron2, maskrcnn-benchmark", "s1.pathway0_conv1_w, ", "…", "rename"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let message = refused(&Tensors::new(), false);
    assert!(message.contains("it has no tensors"), "{message}");
}

#[test]
fn contents_go_before_names() {
    let good = bytes(&f32_tensors(), None);
    for name in ["weights.pkl", "weights.pth", "weights.bin", "weights"] {
        let checkpoint = Checkpoint::from_bytes(name, good.clone()).unwrap();
        assert_eq!(checkpoint.weights(narrow()).unwrap(), Weights::random(narrow(), 3).unwrap(), "{name}");
    }
    let pickle = std::fs::read(fixture_path("pk01_py2_blobs_cfg.pkl")).unwrap();
    for name in ["weights.safetensors", "weights.bin", "weights"] {
        assert!(Checkpoint::from_bytes(name, pickle.clone()).unwrap().network().unwrap().is_some(), "{name}");
    }
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 97800000\n";
    let index = br#"{"metadata": {"total_size": 1}, "weight_map": {"conv1.weight": "model-1.safetensors"}}"#;
    let old_torch = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let class = b"\x80\x02}U\x05blobsccollections\ndefaultdict\n)Rs.";
    let cases: [(&[u8], &str, &str); 14] = [
        (lfs, "a text file (a pointer of Git LFS)", "git lfs pull"),
        (b"<!DOCTYPE html><html><head><title>Access denied</title>", "an HTML page", "download the file itself"),
        (b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>", "XML", "a server that refused"),
        (index, "an index of several files", "load_file"),
        (b"{\n  \"architectures\": []}", "JSON", "another file"),
        (b"", "an empty file", "no bytes"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "a gzip archive", "gunzip"),
        (b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0w.npy", "numpy.savez", "numpy.load"),
        (b"\x93NUMPY\x01\0", "a numpy array", ""),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture", "a picture"),
        (b"Not Found\n", "a text file that begins with \"Not Found\"", ""),
        (class, "\"collections.defaultdict\"", "pickle.dump({name: numpy.asarray(blob)"),
        (b"PK\x03\x04", "no directory at its end", ""),
        (old_torch, "the end of the file before STOP", ""),
    ];
    for (bytes, says, helps) in cases {
        for name in ["w.safetensors", "w.pkl", "w.pth", "w.bin", "w"] {
            // If nothing else tells that it is a pickle, the name does.
            let error = Checkpoint::from_bytes(name, bytes.to_vec()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(says) && text.contains(name), "{name}: {text}");
            assert!(error.kind() == ErrorKind::Format, "{name}: {error}");
            assert!(error.help().unwrap_or_default().contains(helps), "{name}: {:?}", error.help());
        }
    }
    // A pickle of the oldest protocol is text, but is not reported as a text file.
    for name in ["old.pkl", "old"] {
        let old = Checkpoint::from_bytes(name, b"(dp0\nS'conv1_w'\np1\nNsios\nsystem\n.".to_vec()).unwrap_err();
        assert!(old.to_string().contains("the disallowed instruction INST at byte 21"), "{old}");
        assert!(old.help().is_some_and(|help| help.contains("protocol=2")), "{old}");
    }
}

#[test]
fn the_same_parameters_are_the_same_bytes() {
    let save = || {
        let weights = Weights::random(narrow(), 3).unwrap();
        let detectron = resnet3d_wgpu::clip::preprocess::Normalization::Detectron;
        weights
            .to_safetensors(narrow(), None, Some(detectron), None, resnet3d_wgpu::weights::Storage::F32)
            .unwrap()
            .to_bytes()
    };
    let first = save();
    assert!((0..16).all(|_| save() == first));
}
