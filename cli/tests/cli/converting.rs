//! `convert`, and weights from other sources in `run`.

use crate::common::{assert_close, fixture, fixture_path, golden_path, relative_l2, widen};
use crate::harness::{Tensors, json, keys, read_tensors, run, succeed};
use resnet3d_wgpu::BackboneConfig;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

/// The features of all stages that `weights` give for the clip in `input`.
#[track_caller]
fn features(weights: &Path, input: &Path, further: &[&str]) -> Tensors {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("features.safetensors");
    let arguments =
        ["run", "--weights", text(weights), "--input", text(input), "--output", text(&output), "--taps", "all"];
    succeed(arguments.iter().chain(further));
    read_tensors(&output).0
}

#[test]
fn a_converted_checkpoint_gives_the_same_features() {
    let directory = tempfile::tempdir().unwrap();
    for (name, mode) in [("pk01_py2_blobs_cfg", "center-only"), ("pk02_py3_bare_extras", "mean-repeat")] {
        let (pickle, input) = (fixture_path(&format!("{name}.pkl")), fixture_path(&format!("{name}.safetensors")));
        let converted = directory.path().join("converted.safetensors");
        let before = succeed(["convert", text(&pickle), text(&converted), "--inflate", mode]);
        assert!(before.contains("45: 0 renamed, 0 folded, 8 inflated"), "{before}");
        let (tensors, metadata) = read_tensors(&converted);
        assert_eq!(tensors.len(), 45);
        assert_eq!(metadata["preprocess"], "detectron");
        let case = fixture(name);
        assert_eq!(BackboneConfig::from_json(&metadata["config"]).unwrap(), case.config);

        let direct = features(&pickle, &input, &["--inflate", mode]);
        assert_eq!(features(&converted, &input, &[]), direct, "{name}");
        for (blob, (_, values)) in &direct {
            assert_close(&format!("{name} {blob}"), values, widen(&case.expected[blob].1));
        }
    }
}

#[test]
fn the_table_says_what_was_renamed_folded_inflated_and_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let (golden, output) =
        (golden_path("torchvision_bottleneck.safetensors"), directory.path().join("out.safetensors"));
    let arguments = ["convert", text(&golden), text(&output), "--inflate", "mean-repeat"];
    let table = succeed(arguments);
    for words in [
        "conv1_w 4x3x1x7x7 conv1.weight 4x3x7x7 F32 renamed, time axis of 1",
        "res_conv1_bn_b 4 bn1.bias and 3 more 4 F32 renamed, folded",
        "res3_0_branch2b_w 8x8x3x3x3 layer2.0.conv2.weight 8x8x3x3 F32 renamed, inflated to 3 (mean-repeat)",
        "res3_0_branch1_bn_s 32 layer2.0.downsample.1.weight and 3 more 32 F32 renamed, folded",
        "fc.weight [5, 128]",
        "names torchvision",
        "pixels imagenet",
    ] {
        let found = table.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == words);
        assert!(found, "no line {words:?} in\n{table}");
    }
    assert!(table.contains("stride on the 3x3"), "{table}");

    let report = json(arguments);
    let wanted = [
        "blobs",
        "bytes",
        "config",
        "dropped",
        "folded",
        "inflated",
        "input",
        "names",
        "output",
        "preprocess",
        "renamed",
        "storage",
    ];
    assert_eq!(keys(&report), wanted);
    assert_eq!((&report["storage"], &report["preprocess"]), (&"f32".into(), &"imagenet".into()));
    assert_eq!(report["config"]["stride_1x1"], false);
    let blobs = report["blobs"].as_array().unwrap();
    assert_eq!(report["renamed"], blobs.len());
    assert_eq!(report["folded"].as_u64().unwrap() as usize, blobs.len() / 3 * 2);
    assert_eq!(report["inflated"], 5);
    assert_eq!(read_tensors(&output).1["preprocess"], "imagenet");
}

#[test]
fn half_precision_halves_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (fixture_path("p01_bottleneck_conv4.safetensors"), directory.path().join("half.safetensors"));
    let report = json(["convert", text(&input), text(&output), "--f16"]);
    assert_eq!(report["storage"], "f16");
    let bytes = std::fs::read(&output).unwrap();
    assert_eq!(report["bytes"], bytes.len());
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.tensors().iter().all(|(_, tensor)| tensor.dtype() == Dtype::F16));
    let want = fixture("p01_bottleneck_conv4").expected;
    for (blob, (_, values)) in features(&output, &input, &[]) {
        let error = relative_l2(widen(&values), widen(&want[&blob].1));
        assert!((1e-5..5e-3).contains(&error), "{blob}: {error:e}");
    }
}

#[test]
fn noise_is_chosen_by_the_seed() {
    let directory = tempfile::tempdir().unwrap();
    let pickle = fixture_path("pk01_py2_blobs_cfg.pkl");
    let convert = |further: &[&str]| {
        let output = directory.path().join("out.safetensors");
        let arguments = ["convert", text(&pickle), text(&output), "--inflate", "center-only-rest-rand"];
        succeed(arguments.iter().chain(further));
        read_tensors(&output).0
    };
    let first = convert(&[]);
    assert_eq!(convert(&["--seed", "0"]), first);
    assert_ne!(convert(&["--seed", "1"]), first);
}

#[test]
fn the_stride_goes_with_the_weights_unless_the_configuration_says_otherwise() {
    let golden = golden_path("torchvision_bottleneck.safetensors");
    let config = r#"{"block_counts": [2, 3, 2], "feat_dims": [4, 16, 32, 64], "width_per_group": 4"#;
    let run = |further: &[&str]| features(&golden, &golden, &[&["--inflate", "center-only"], further].concat());
    let recognised = run(&[]);
    assert_eq!(run(&["--config", &format!("{config}}}")]), recognised);
    assert_eq!(run(&["--config", &format!(r#"{config}, "stride_1x1": false}}"#)]), recognised);
    let msra = run(&["--config", &format!(r#"{config}, "stride_1x1": true}}"#)]);
    assert_ne!(msra["res4_1_sum"], recognised["res4_1_sum"]);
    let expected = |name: &str| {
        let bytes = std::fs::read(&golden).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect::<Vec<f32>>()
    };
    for (got, label) in [(&recognised, "expect.res4"), (&msra, "expect_1x1.res4")] {
        assert_close(label, &got["res4_1_sum"].1, widen(&expected(label)));
    }
}

#[test]
fn a_stride_that_the_weights_were_not_trained_with_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let (golden, output) =
        (golden_path("torchvision_bottleneck.safetensors"), directory.path().join("out.safetensors"));
    let json = r#"{"block_counts": [2, 2, 2], "feat_dims": [4, 16, 32, 64], "width_per_group": 4, "stride_1x1": true}"#;
    let ran = run(["convert", text(&golden), text(&output), "--inflate", "repeat", "--config", json]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("stride_1x1 true") && ran.stderr.contains("torchvision"), "{}", ran.stderr);
    // The network also lacks a block that the weights have.
    assert!(ran.stderr.contains("layer2.2.conv1.weight"), "{}", ran.stderr);
}
