//! `run`, `clip` and `bench`: the values of their results.

use crate::common::{self, fixture, fixture_path, relative_l2, widen};
use crate::harness::{NARROW, Tensors, json, listing, read_tensors, run, succeed, write_npy, write_tensors};
use resnet3d_wgpu::clip::files::save_clip;
use resnet3d_wgpu::picture::Scene;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, Shape};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const P01: &str = "p01_bottleneck_conv4";

fn p01() -> PathBuf {
    fixture_path(&format!("{P01}.safetensors"))
}

/// Runs fixture p01 on itself with further arguments. Returns the output.
#[track_caller]
fn run_p01(directory: &Path, further: &[&str]) -> (Tensors, HashMap<String, String>) {
    let (file, output) = (p01(), directory.join("features.safetensors"));
    let arguments = ["run", "--weights", text(&file), "--input", text(&file), "--output", text(&output)];
    succeed(arguments.iter().chain(further));
    read_tensors(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

#[track_caller]
fn names(tensors: &Tensors) -> Vec<&str> {
    tensors.keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_close(got: &Tensors, want: &Tensors) {
    for (name, (shape, values)) in got {
        let (wanted_shape, wanted) = &want[name];
        assert_eq!(shape, wanted_shape, "{name}");
        common::assert_close(name, values, widen(wanted));
    }
}

#[test]
fn run_agrees_with_the_fixture_on_every_adapter() {
    let expected = fixture(P01);
    let adapters = json(["adapters"]);
    let mut seen = Vec::new();
    for adapter in adapters["adapters"].as_array().unwrap() {
        let (name, backend) = (adapter["name"].as_str().unwrap(), adapter["backend"].as_str().unwrap());
        if !adapter["unusable"].is_null() || seen.contains(&(name, backend)) {
            continue;
        }
        println!("adapter: {name} on {backend}");
        let directory = tempfile::tempdir().unwrap();
        let options = ["--taps", "all", "--adapter", name, "--backend", backend];
        let (tensors, metadata) = run_p01(directory.path(), &options);
        assert_eq!(names(&tensors), ["res2_1_sum", "res3_1_sum", "res4_1_sum"]);
        assert_close(&tensors, &expected.expected);
        assert_eq!(BackboneConfig::from_json(&metadata["config"]).unwrap(), expected.config);
        assert_eq!(metadata["spatial_scale"].parse::<f64>().unwrap(), expected.spatial_scale);
        assert_eq!((metadata["adapter"].as_str(), metadata["backend"].as_str()), (name, backend));
        assert_eq!(listing(directory.path()), ["features.safetensors"]);
        seen.push((name, backend));
    }
    assert!(!seen.is_empty());
}

#[test]
fn taps_choose_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let expected = fixture(P01).expected;
    let (last, _) = run_p01(directory.path(), &[]);
    assert_eq!(names(&last), ["res4_1_sum"]);
    assert_close(&last, &expected);
    let (stages, _) = run_p01(directory.path(), &["--taps", "stages"]);
    assert_eq!(names(&stages), ["res2_1_sum", "res3_1_sum", "res4_1_sum"]);
    let (named, _) = run_p01(directory.path(), &["--taps", "pool1,res3_0_branch2b"]);
    assert_eq!(names(&named), ["pool1", "res3_0_branch2b", "res4_1_sum"]);
    let (unfused, _) = run_p01(directory.path(), &["--no-fusion", "--taps", "res3_0_branch2b,pool1,res2_1_sum"]);
    assert_eq!(names(&unfused), ["pool1", "res2_1_sum", "res3_0_branch2b", "res4_1_sum"]);
    assert_close(&named, &unfused);
}

#[test]
fn verbose_lists_what_a_file_has_too_much() {
    let directory = tempfile::tempdir().unwrap();
    let (file, output) = (p01(), directory.path().join("features.safetensors"));
    let arguments = ["run", "--weights", text(&file), "--input", text(&file), "--output", text(&output)];
    assert!(!run(arguments).stderr.contains("expect.res2_1_sum"));
    let verbose = run(arguments.iter().chain(&["-v"]));
    assert!(verbose.stderr.contains("data, expect.res2_1_sum"), "{}", verbose.stderr);
    assert!(!verbose.stdout.contains("expect."));
    // A line for each batch norm would hide the important lines.
    let weights = fixture_path("video/v01_r3d.pth");
    let clip = weights.with_extension("safetensors");
    let verbose = run(["run", "-v", "--weights", text(&weights), "--input", text(&clip), "--output", text(&output)]);
    assert!(verbose.stderr.contains("counters of batch norms (num_batches_tracked)"), "{}", verbose.stderr);
    assert!(!verbose.stderr.contains(".num_batches_tracked"), "{}", verbose.stderr);
}

#[test]
fn a_given_configuration_overrides_metadata_and_may_be_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (tensors, metadata) = read_tensors(&p01());
    std::fs::write(at("config.json"), &metadata["config"]).unwrap();
    let metadata = HashMap::from([("config".to_owned(), "not ours at all".to_owned())]);
    write_tensors(&at("weights.safetensors"), &tensors, &metadata);
    let (weights, config, output) = (at("weights.safetensors"), at("config.json"), at("out.safetensors"));
    let input = p01();
    let arguments = ["run", "--weights", text(&weights), "--input", text(&input), "--output", text(&output)];
    succeed(arguments.iter().chain(&["--config", text(&config)]));
    assert_close(&read_tensors(&output).0, &fixture(P01).expected);
    let refused = run(arguments);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("weights.safetensors"), "{}", refused.stderr);
}

#[test]
fn clips_come_from_numpy_and_from_frames() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let clip = random::clip(Shape::new(2, 3, 3, 17, 21), 5).unwrap();
    write_npy(&at("clip.npy"), clip.shape(), clip.data());
    save_clip(&clip, None, at("clip.safetensors")).unwrap();
    let scene = Scene { frames: 4, height: 30, width: 40 };
    scene.write_png_frames(at("frames")).unwrap();
    let sizes = ["--size", "24", "--max-size", "40", "--pad-stride", "16"];
    let (frames, ready) = (at("frames"), at("ready.safetensors"));
    succeed(["clip", text(&frames), "--output", text(&ready)].iter().chain(&sizes));
    assert_eq!(read_tensors(&ready).0["data"].0, [1, 3, 4, 32, 32]);

    let features = |input: &str, further: &[&str]| {
        let (input, output) = (at(input), at("features.safetensors"));
        let arguments =
            ["run", "--weights", "random:3", "--config", NARROW, "--input", text(&input), "--output", text(&output)];
        succeed(arguments.iter().chain(further));
        read_tensors(&output).0
    };
    assert_eq!(features("clip.npy", &[]), features("clip.safetensors", &[]));
    assert_eq!(features("frames", &sizes), features("ready.safetensors", &[]));
}

#[test]
fn what_is_passed_over_in_a_directory_of_frames_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    Scene { frames: 2, height: 30, width: 40 }.write_png_frames(at("frames")).unwrap();
    let clip = |common: &[&str]| {
        let (frames, output) = (at("frames"), at("clip.safetensors"));
        run(["clip", text(&frames), "--output", text(&output), "--size", "24"].iter().chain(common))
    };
    // Files without the name of a picture, and extra files of other systems.
    for name in ["notes.txt", "Thumbs.db", ".DS_Store", "._000000.png"] {
        std::fs::write(at("frames").join(name), "no frame").unwrap();
    }
    let silent = clip(&[]);
    assert_eq!((silent.code, silent.stderr.as_str()), (0, ""));
    std::fs::write(at("frames/000002.GIF"), "a picture of another kind").unwrap();
    std::fs::write(at("frames/.000003.png"), "hidden").unwrap();
    std::fs::create_dir(at("frames/old.jpg")).unwrap();
    for common in [&[][..], &["--json"]] {
        let warned = clip(common);
        assert_eq!(warned.code, 0, "{}", warned.stderr);
        for mention in ["WARN", text(&at("frames")), "3 files with names of pictures", ".000003.png", "ignored"] {
            assert!(warned.stderr.contains(mention), "{mention}: {}", warned.stderr);
        }
        assert!(!warned.stdout.contains("WARN"), "{}", warned.stdout);
    }
    assert_eq!(read_tensors(&at("clip.safetensors")).0["data"].0[2], 2);

    // If no frame is left, the error says so.
    for frame in ["frames/000000.png", "frames/000001.png"] {
        std::fs::remove_file(at(frame)).unwrap();
    }
    let refused = clip(&[]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("none in it, but 3 files with names of pictures"), "{}", refused.stderr);
}

#[test]
fn a_heatmap_shows_all_stages_and_writes_no_more_than_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("heatmap.png");
    let height = |further: &[&str]| {
        let (tensors, _) = run_p01(directory.path(), &[&["--heatmap", text(&picture)], further].concat());
        (tensors, image::open(&picture).unwrap().height())
    };
    let (tensors, all) = height(&[]);
    assert_eq!(names(&tensors), ["res4_1_sum"]);
    let (tensors, stages) = height(&["--taps", "all", "--heatmap-mode", "change"]);
    assert_eq!(names(&tensors).len(), 3);
    assert_eq!(all, stages);
    let (_, two) = height(&["--taps", "res2_1_sum"]);
    assert!(two < all, "two rows of {two} pixels, three of {all}");
    assert_eq!(listing(directory.path()), ["features.safetensors", "heatmap.png"]);
}

#[test]
fn clip_agrees_with_the_reference() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("clip.safetensors");
    for name in ["prep01_wide.safetensors", "prep02_two_clips_rgb.safetensors"] {
        let path = fixture_path(name);
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let options: serde_json::Value =
            serde_json::from_str(&header.metadata().as_ref().unwrap()["preprocess"]).unwrap();
        let number = |key: &str| options[key].as_u64().map(|n| n.to_string());
        let mut arguments =
            vec!["clip".to_owned(), text(&path).to_owned(), "--output".into(), text(&output).to_owned()];
        for (option, value) in [
            ("--size", number("target_size")),
            ("--max-size", number("max_size")),
            ("--pad-stride", number("pad_stride")),
            ("--channel-order", options["channel_order"].as_str().map(str::to_owned)),
        ] {
            arguments.extend(value.map(|value| [option.to_owned(), value]).into_iter().flatten());
        }
        succeed(arguments);
        let (shape, got) = &read_tensors(&output).0["data"];
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let expected = file.tensor("expect.data").unwrap();
        assert_eq!(shape, expected.shape(), "{name}");
        let want = expected.data().as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b)));
        let error = relative_l2(widen(got), want);
        assert!(error <= 1e-4, "{name}: relative L2 {error:e}");
    }
}

#[test]
fn bench_runs_on_the_generators_clip() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (input, ran, benched) = (at("clip.npy"), at("ran.safetensors"), at("benched.safetensors"));
    let clip = random::clip(Shape::new(2, 3, 2, 20, 24), 0).unwrap();
    write_npy(&input, clip.shape(), clip.data());
    let network = ["--config", NARROW, "--taps", "all", "--output"];
    succeed(["run", "--weights", "random:0", "--input", text(&input)].iter().chain(&network).chain(&[text(&ran)]));
    let measured = ["bench", "--clip", "1x3x2x20x24", "--batch", "2", "--runs", "1"];
    let report = json(measured.iter().chain(&network).chain(&[text(&benched)]));
    assert_eq!(report["clip"], serde_json::json!([2, 3, 2, 20, 24]));
    assert_eq!(read_tensors(&ran).0, read_tensors(&benched).0);
}
