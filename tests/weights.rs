//! Weight files: what is accepted, and what is refused in which words.

mod common;

use common::{fixture, fixture_path};
use half::{bf16, f16};
use resnet3d_wgpu::{BackboneConfig, Checkpoint, Error, Weights};
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
    let want = Weights::random(&narrow(), 3).unwrap();
    /// Element type, how a value is written in it, and what is left of the value.
    type Encoding = (Dtype, fn(f32) -> Vec<u8>, fn(f32) -> f32);
    let encodings: [Encoding; 4] = [
        (Dtype::F32, |v| v.to_le_bytes().to_vec(), |v| v),
        (Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec(), |v| v),
        (Dtype::F16, |v| f16::from_f32(v).to_le_bytes().to_vec(), |v| f16::from_f32(v).to_f32()),
        (Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec(), |v| bf16::from_f32(v).to_f32()),
    ];
    for (dtype, encode, rounded) in encodings {
        let file = file(&bytes(&tensors(&narrow(), encode, dtype), None));
        let got = Weights::load(&file.path, &narrow()).unwrap();
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
    assert_eq!(checkpoint.unused(&narrow()).unwrap(), ["conv1_w_momentum", "fc1000_w"]);
    assert_eq!(checkpoint.weights(&narrow()).unwrap(), Weights::random(&narrow(), 3).unwrap());
}

#[test]
fn metadata_names_the_config() {
    let case = fixture("p06_time_stride");
    let checkpoint = Checkpoint::open(&fixture_path("p06_time_stride.safetensors")).unwrap();
    assert_eq!(checkpoint.config().unwrap(), Some(case.config));
    let with = |json: &str| {
        let metadata = HashMap::from([("config".to_owned(), json.to_owned())]);
        Checkpoint::open(&file(&bytes(&f32_tensors(), Some(metadata))).path).unwrap().config()
    };
    assert_eq!(with(&narrow().to_json()).unwrap(), Some(narrow()));
    assert!(matches!(with(r#"{"depth": 18}"#), Err(Error::Config { .. })));
    // Without it, names and shapes do.
    let bare = Checkpoint::open(&file(&bytes(&f32_tensors(), None)).path).unwrap();
    assert_eq!(bare.config().unwrap(), Some(narrow()));
    let foreign = Tensors::from([("data".to_owned(), (Dtype::F32, vec![1], vec![0; 4]))]);
    assert_eq!(Checkpoint::open(&file(&bytes(&foreign, None)).path).unwrap().config().unwrap(), None);
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
            error: |e| matches!(e, Error::MissingBlob { .. }),
            says: &["\"res3_0_branch2b_w\" is missing", "[4, 4, 3, 3, 3]"],
        },
        Case {
            name: "weights of basic blocks",
            bytes: changed(&|t| t.retain(|name, _| !name.contains("branch2c"))),
            error: |e| matches!(e, Error::MissingBlob { .. }),
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
            error: |e| matches!(e, Error::MissingBlob { .. }),
            says: &["\"res3_0_branch2b_w\" is missing", "nearest in the file: res3_0_branch2b_weight"],
        },
        Case {
            name: "a 2-D weight where frames are to be spanned",
            bytes: changed(&|t| {
                *t.get_mut("res3_0_branch2b_w").unwrap() = (Dtype::F32, vec![4, 4, 3, 3], vec![0; 576])
            }),
            error: |e| matches!(e, Error::NeedsInflation { .. }),
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
            error: |e| matches!(e, Error::Shape { .. }),
            says: &["\"res3_0_branch2b_w\"", "[4, 4, 3, 3, 3]", "[4, 4, 5, 3, 3]: a time kernel of 5, and only 2-D"],
        },
        Case {
            name: "a weight of other axes",
            bytes: changed(&|t| t.get_mut("conv1_w").unwrap().1 = vec![2, 3, 49]),
            error: |e| matches!(e, Error::Shape { .. }),
            says: &["\"conv1_w\"", "wanted shape [2, 3, 1, 7, 7]", "got [2, 3, 49]"],
        },
        Case {
            name: "a weight of integers",
            bytes: changed(&|t| t.get_mut("conv1_w").unwrap().0 = Dtype::I32),
            error: |e| matches!(e, Error::ElementType { .. }),
            says: &["\"conv1_w\"", "F32, F16, BF16 or F64", "I32"],
        },
        Case {
            name: "a NaN",
            bytes: poison("res4_0_branch1_w", f32::NAN),
            error: |e| matches!(e, Error::NonFinite { index: 1, .. }),
            says: &["\"res4_0_branch1_w\"", "finite", "NaN at flat index 1"],
        },
        Case {
            name: "an infinity",
            bytes: poison("res_conv1_bn_s", f32::NEG_INFINITY),
            error: |e| matches!(e, Error::NonFinite { .. }),
            says: &["\"res_conv1_bn_s\"", "-inf"],
        },
        Case {
            name: "a truncated file",
            bytes: whole[..whole.len() - 1].to_vec(),
            error: |e| matches!(e, Error::Format { .. }),
            says: &["weights.safetensors", "a whole safetensors file"],
        },
        Case {
            name: "a truncated header",
            bytes: whole[..20].to_vec(),
            error: |e| matches!(e, Error::Format { .. }),
            says: &["a whole safetensors file"],
        },
        Case {
            name: "an empty file",
            bytes: Vec::new(),
            error: |e| matches!(e, Error::Format { .. }),
            says: &["a whole safetensors file"],
        },
        Case {
            name: "a picture",
            bytes: b"\x89PNG\r\n\x1a\n and so on".to_vec(),
            error: |e| matches!(e, Error::Format { .. }),
            says: &["a whole safetensors file"],
        },
    ];
    let mut wrong = Vec::new();
    for case in cases {
        let file = file(&case.bytes);
        match Weights::load(&file.path, &narrow()) {
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
    assert!(matches!(Weights::load("no/such/file.safetensors", &narrow()), Err(Error::File { action: "read", .. })));
    let zip = Checkpoint::from_bytes("model.pth", b"PK\x03\x04 and so on".to_vec());
    assert!(matches!(zip, Err(Error::Unsupported { reason, .. }) if reason.contains("save_file")));
}
