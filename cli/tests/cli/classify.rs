//! `classify`: scores with names, averaged over clips and crops.

use crate::common::golden_path;
use crate::harness::{Ran, json, keys, read_tensors, run, succeed};
use resnet3d_wgpu::picture::Scene;
use serde_json::{Value, json as value};
use std::path::{Path, PathBuf};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory that contains a directory with 20 frames of 64x48 pixels.
fn frames() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let frames = directory.path().join("frames");
    Scene { frames: 20, height: 48, width: 64 }.write_png_frames(&frames).unwrap();
    (directory, frames)
}

/// Weights of a narrow network of torchvision with five classes.
fn weights() -> PathBuf {
    golden_path("video/torchvision_mc3.safetensors")
}

/// The classes of a report and their scores.
fn scores(report: &Value) -> Vec<(u64, f64)> {
    let top = report["top"].as_array().unwrap();
    top.iter().map(|class| (class["index"].as_u64().unwrap(), class["score"].as_f64().unwrap())).collect()
}

/// The softmax of `pred` in a file of features.
fn shares(path: &Path) -> Vec<f64> {
    let (_, scores) = &read_tensors(path).0["pred"];
    let powers: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
    powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
}

/// Checks that the classes have the scores `shares`, the most likely first.
#[track_caller]
fn assert_are(got: &[(u64, f64)], shares: &[f64]) {
    assert_eq!(got.len(), shares.len());
    assert!(got.is_sorted_by(|a, b| a.1 >= b.1), "{got:?}");
    for &(class, score) in got {
        let wanted = shares[class as usize];
        assert!((score - wanted).abs() < 1e-6, "class {class}: {score}, wanted {wanted}");
    }
}

#[test]
fn scores_are_the_mean_of_what_each_clip_and_crop_gives() {
    let (directory, frames) = frames();
    let (weights, features) = (weights(), directory.path().join("features.safetensors"));
    let common = ["--weights", text(&weights)];
    let report = json(["classify", text(&frames)].iter().chain(&common));
    let [result] = &report.as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(keys(result), ["clips", "crops", "family", "input", "top"]);
    assert_eq!((&result["input"], &result["family"]), (&text(&frames).into(), &"torchvision".into()));
    // In 20 frames, a clip of 16 can begin at five positions, and torchvision tests all of them.
    assert_eq!((&result["clips"], &result["crops"]), (&5.into(), &1.into()));
    assert_eq!(keys(&result["top"][0]), ["index", "label", "score"]);
    assert!(result["top"][0]["label"].is_null());

    let mut mean = vec![0.0; 5];
    let mut middle = Vec::new();
    for start in ["0", "1", "2", "3", "4"] {
        let arguments =
            ["run", "--input", text(&frames), "--taps", "pred", "--output", text(&features), "--start", start];
        succeed(arguments.iter().chain(&common));
        let shares = shares(&features);
        mean.iter_mut().zip(&shares).for_each(|(mean, share)| *mean += share / 5.0);
        if start == "2" {
            middle = shares;
        }
    }
    assert_are(&scores(result), &mean);
    let one = json(["classify", text(&frames), "--clips", "1"].iter().chain(&common));
    assert_are(&scores(&one[0]), &middle);

    // Three crops of each of two clips give another result than one.
    let more = ["--clips", "2", "--crops", "3", "--top", "2"];
    let six = json(["classify", text(&frames), text(&frames)].iter().chain(&common).chain(&more));
    assert_eq!(six.as_array().unwrap().len(), 2);
    assert_eq!(six[0], six[1]);
    assert_eq!((&six[0]["clips"], &six[0]["crops"], scores(&six[0]).len()), (&2.into(), &3.into(), 2));
    let two = json(["classify", text(&frames), "--clips", "2", "--crops", "1", "--top", "2"].iter().chain(&common));
    assert_ne!(scores(&six[0]), scores(&two[0]));

    // A ready clip counts as one clip, whatever its length.
    let ready = directory.path().join("ready.safetensors");
    let sizes = ["--preprocess", "kinetics", "--frames", "7"];
    succeed(["clip", text(&frames), text(&frames), "--output", text(&ready)].iter().chain(&sizes));
    succeed(
        ["run", "--input", text(&frames), "--taps", "pred", "--output", text(&features)]
            .iter()
            .chain(&common)
            .chain(&["--start", "0", "--frames", "7", "--stride", "1"]),
    );
    let report = json(["classify", text(&ready)].iter().chain(&common));
    assert_eq!(report.as_array().unwrap().len(), 2, "a batch of two");
    for result in report.as_array().unwrap() {
        assert_eq!((&result["clips"], &result["crops"]), (&1.into(), &1.into()));
        assert_are(&scores(result), &shares(&features));
    }
}

#[test]
fn classes_have_names_where_they_are_known() {
    let (directory, frames) = frames();
    let at = |name: &str| directory.path().join(name);
    let weights = weights();
    let with = |labels: &Path| -> Ran {
        let arguments =
            ["classify", text(&frames), "--clips", "1", "--weights", text(&weights), "--labels", text(labels)];
        run(arguments)
    };
    std::fs::write(at("lines.txt"), "a\nb\nc\nd\ne\n").unwrap();
    std::fs::write(at("list.json"), r#"["a", "b", "c", "d", "e"]"#).unwrap();
    let shown: Vec<String> = ["lines.txt", "list.json"]
        .map(|name| {
            let ran = with(&at(name));
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            ran.stdout
        })
        .to_vec();
    assert_eq!(shown[0], shown[1]);
    assert!(
        shown[0].contains("mean of 1 clip, 1 crop each") && shown[0].contains("family   torchvision"),
        "{}",
        shown[0]
    );
    for name in ["a", "b", "c", "d", "e"] {
        assert!(
            shown[0].lines().any(|line| line.ends_with(&format!("  {name}")) && line.contains('%')),
            "{}",
            shown[0]
        );
    }
    std::fs::write(at("four.txt"), "a\nb\nc\nd\n").unwrap();
    std::fs::write(at("packed.txt"), b"\x1f\x8b\x08\0\0\0\0\0\0").unwrap();
    std::fs::write(at("broken.json"), r#"{"a": "b"}"#).unwrap();
    for (name, says) in [
        ("four.txt", "the names of the 5 classes of the network, got 4 names"),
        ("broken.json", "neither of which is a number"),
        ("packed.txt", "wanted names of classes, got a gzip archive"),
        ("absent.txt", "cannot read"),
    ] {
        let ran = with(&at(name));
        assert!(ran.code == 1 && ran.stderr.contains(says) && ran.stderr.contains(name), "{}", ran.stderr);
    }

    // The names of Kinetics-400 are built in.
    let stem = r#"{"convs": [{"width": 4, "kernel": [1, 7, 7], "stride": [1, 4, 4]}]}"#;
    let block = r#"{"branch": [{"width": 4, "kernel": [1, 3, 3]}, {"width": 4, "kernel": [1, 3, 3]}]}"#;
    let config = |classes: &str| format!(r#"{{"stem": {stem}, "stages": [{{"blocks": [{block}]}}]{classes}}}"#);
    let with = |config: &str, further: &[&str]| {
        let arguments =
            ["classify", text(&frames), "--weights", "random:1", "--config", config, "--json", "--size", "32"];
        run(arguments.iter().chain(further))
    };
    let ran = with(&config(r#", "classes": 400"#), &["--frames", "2", "--top", "400"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let top = report[0]["top"].as_array().unwrap();
    let name_of = |class: u64| &top.iter().find(|score| score["index"] == class).unwrap()["label"];
    assert_eq!(
        (top.len(), name_of(0), name_of(5), name_of(399)),
        (400, &value!("abseiling"), &value!("archery"), &value!("zumba"))
    );
    assert!(report[0]["family"].is_null());
    let sum: f64 = top.iter().map(|class| class["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");

    for (config, further, code, says) in [
        (config(""), &["--frames", "2"][..], 1, "classifier"),
        (config(r#", "classes": 3"#), &["--clips", "2"], 1, "--frames N"),
        (config(r#", "classes": 3"#), &["--clips", "2", "--frames", "2", "--stride", "15"], 0, ""),
        (config(r#", "classes": 3"#), &["--clips", "2", "--frames", "21"], 1, "20 frames in"),
        (config(r#", "classes": 3"#), &["--crops", "2"], 2, "--crop states their size"),
        (config(r#", "classes": 3"#), &["--top", "0"], 2, "at least 1"),
    ] {
        let ran = with(&config, further);
        assert!(ran.code == code && ran.stderr.contains(says), "{further:?}: {}", ran.stderr);
    }
}

#[test]
fn the_heatmap_is_of_the_first_class() {
    let (directory, frames) = frames();
    let at = |name: &str| directory.path().join(name);
    let weights = weights();
    let arguments = ["classify", text(&frames), "--weights", text(&weights), "--clips", "2", "--heatmap"];
    for name in ["why.png", "why.svg"] {
        let shown = succeed(arguments.iter().chain(&[text(&at(name))]));
        assert!(shown.contains(name), "{shown}");
    }
    let picture = image::open(at("why.png")).unwrap();
    assert!(picture.width() > 400 && picture.height() > 200);
    let svg = std::fs::read_to_string(at("why.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("data:image/png;base64,iVBOR"), "{}", &svg[..200]);
    // With other weights of the classifier, other parts contribute.
    let before = std::fs::read(at("why.png")).unwrap();
    let (mut tensors, metadata) = read_tensors_of_any(&weights);
    let (_, classifier) = tensors.get_mut("fc.weight").unwrap();
    classifier.iter_mut().for_each(|weight| *weight = -*weight);
    crate::harness::write_tensors(&at("negated.safetensors"), &tensors, &metadata);
    let negated = at("negated.safetensors");
    succeed([
        "classify",
        text(&frames),
        "--weights",
        text(&negated),
        "--clips",
        "2",
        "--heatmap",
        text(&at("why.png")),
    ]);
    assert!(std::fs::read(at("why.png")).unwrap() != before);

    let ran = run(["classify", text(&frames), text(&frames), "--weights", text(&weights), "--heatmap", "why.png"]);
    assert!(ran.code == 2 && ran.stderr.contains("--heatmap draws one input"), "{}", ran.stderr);
}

/// The float tensors of a file with any element type.
fn read_tensors_of_any(path: &Path) -> (crate::harness::Tensors, std::collections::HashMap<String, String>) {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().filter_map(|(name, view)| {
        let values = match view.dtype() {
            safetensors::Dtype::F16 => {
                view.data().as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect()
            }
            safetensors::Dtype::F32 => view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            _ => return None,
        };
        Some((name, (view.shape().to_vec(), values)))
    });
    (tensors.collect(), std::collections::HashMap::new())
}
