//! Errors state what was wanted and what was given, and no files are left behind.

use crate::common::fixture_path;
use crate::harness::{NARROW, Tensors, listing, read_tensors, run, write_npy, write_tensors};
use resnet3d_wgpu::Shape;
use std::collections::HashMap;
use std::path::Path;

/// A command that must fail: its arguments, with `@` before the name of a prepared file and `>` before the name of an
/// output, the exit code, and what standard error must mention.
struct Case {
    arguments: Vec<&'static str>,
    code: i32,
    mentions: Vec<&'static str>,
}

fn failure(arguments: &str, mentions: &[&'static str]) -> Case {
    case(arguments, 1, mentions)
}

fn wrong_usage(arguments: &str, mentions: &[&'static str]) -> Case {
    case(arguments, 2, mentions)
}

/// A case with blank-separated arguments. JSON must not contain blanks.
fn case(arguments: &str, code: i32, mentions: &[&'static str]) -> Case {
    let arguments = String::leak(arguments.to_owned()).split_whitespace().collect();
    Case { arguments, code, mentions: mentions.to_vec() }
}

/// Runs all `cases` and reports every case that does not fail as expected.
fn check(prepared: &Path, cases: &[Case]) {
    let mut faults = Vec::new();
    for case in cases {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("taken")).unwrap();
        let arguments: Vec<String> = case
            .arguments
            .iter()
            .map(|argument| match (argument.strip_prefix('@'), argument.strip_prefix('>')) {
                (Some(name), _) => prepared.join(name).display().to_string(),
                (_, Some(name)) => directory.path().join(name).display().to_string(),
                _ => (*argument).to_owned(),
            })
            .collect();
        let ran = run(&arguments);
        let mut fault = |what: String| {
            faults.push(format!("{}\n  {what}\n  stderr: {}", case.arguments.join(" "), ran.stderr.trim_end()));
        };
        if ran.code != case.code {
            fault(format!("wanted exit code {}, got {}", case.code, ran.code));
        }
        if !ran.stdout.is_empty() {
            fault(format!("wanted nothing on standard output, got {}", ran.stdout));
        }
        for mention in &case.mentions {
            if !ran.stderr.contains(mention) {
                fault(format!("wanted {mention:?} on standard error"));
            }
        }
        let line = |start: &str| ran.stderr.lines().filter(|line| line.starts_with(start)).count();
        if line("error: ") != 1 {
            fault("wanted one line that starts with error:".to_owned());
        }
        if case.code == 1 && line("hint: ") != 1 {
            fault("wanted one line that starts with hint:".to_owned());
        }
        if ran.stderr.contains("panicked") {
            fault("it panicked".to_owned());
        }
        let left = listing(directory.path());
        if left != ["taken"] || !listing(&directory.path().join("taken")).is_empty() {
            fault(format!("left behind: {left:?}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Prepares weights and clips from fixture p01, most of them broken.
fn prepare() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let source = fixture_path("p01_bottleneck_conv4.safetensors");
    std::fs::copy(&source, at("good.safetensors")).unwrap();
    let (tensors, metadata) = read_tensors(&source);
    let broken = |name: &str, change: &dyn Fn(&mut Tensors)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        write_tensors(&at(name), &tensors, &metadata);
    };
    broken("missing.safetensors", &|t| drop(t.remove("res3_0_branch2b_w")));
    broken("shape.safetensors", &|t| t.get_mut("conv1_w").unwrap().0.swap(0, 1));
    broken("nan.safetensors", &|t| t.get_mut("res4_0_branch1_bn_s").unwrap().1[3] = f32::NAN);
    broken("infinite.safetensors", &|t| t.get_mut("conv1_w").unwrap().1[0] = f32::INFINITY);
    let garbage = HashMap::from([("config".to_owned(), r#"{"depth": 18}"#.to_owned())]);
    write_tensors(&at("garbage.safetensors"), &tensors, &garbage);
    let good = std::fs::read(&source).unwrap();
    std::fs::write(at("truncated.safetensors"), &good[..good.len() / 2]).unwrap();
    std::fs::write(at("foreign.safetensors"), "this is a poem").unwrap();
    std::fs::write(at("weights.pkl"), "this is no pickle").unwrap();
    std::fs::write(at("evil.pkl"), b"\x80\x02cos\nsystem\nU\x04true\x85R.").unwrap();
    let checkpoint = std::fs::read(fixture_path("pk01_py2_blobs_cfg.pkl")).unwrap();
    std::fs::write(at("cut.pkl"), &checkpoint[..checkpoint.len() / 2]).unwrap();
    std::fs::write(at("flat.pkl"), checkpoint).unwrap();
    std::fs::write(at("model.pth"), b"PK\x03\x04").unwrap();
    let video = Tensors::from([("stem.0.weight".to_owned(), (vec![1, 1, 3, 1, 1], vec![0.0; 3]))]);
    write_tensors(&at("r3d.safetensors"), &video, &HashMap::new());
    std::fs::write(at("empty"), "").unwrap();

    let clip = |name: &str, shape: &[usize]| {
        let values = vec![0.5; shape.iter().product()];
        write_tensors(&at(name), &Tensors::from([("data".to_owned(), (shape.to_vec(), values))]), &HashMap::new());
    };
    clip("flat.safetensors", &[3, 4, 16, 16]);
    clip("nothing.safetensors", &[1, 3, 0, 16, 16]);
    clip("wide.safetensors", &[1, 4, 2, 16, 16]);
    write_npy(&at("zero.npy"), Shape::new(1, 3, 2, 0, 16), &[]);
    write_npy(&at("channels.npy"), Shape::new(1, 2, 1, 8, 8), &[0.0; 128]);
    std::fs::write(at("cut.npy"), &std::fs::read(at("channels.npy")).unwrap()[..100]).unwrap();
    std::fs::write(at("video.mp4"), "video").unwrap();
    std::fs::create_dir(at("no_frames")).unwrap();
    std::fs::write(at("even.json"), r#"{"time_kernel_dim": 4}"#).unwrap();
    std::fs::write(at("broken.json"), r#"{"time_kernel_dim": "#).unwrap();
    directory
}

#[test]
fn bad_weights_clips_and_outputs() {
    let prepared = prepare();
    let weights = |name: &str, mentions| {
        failure(&format!("run --weights @{name} --input @good.safetensors --output >out.safetensors"), mentions)
    };
    let input = |name: &str, mentions| {
        failure(&format!("run --weights @good.safetensors --input @{name} --output >out.safetensors"), mentions)
    };
    let with = |options: &str, mentions| {
        failure(&format!("run --weights @good.safetensors --input @good.safetensors {options}"), mentions)
    };
    check(
        prepared.path(),
        &[
            weights("missing.safetensors", &["missing.safetensors", "res3_0_branch2b_w", "[16, 16, 3, 3, 3]"]),
            weights("shape.safetensors", &["conv1_w", "[8, 3, 1, 7, 7]", "[3, 8, 1, 7, 7]"]),
            weights("nan.safetensors", &["res4_0_branch1_bn_s", "finite", "NaN", "index 3"]),
            weights("infinite.safetensors", &["conv1_w", "finite", "inf", "index 0"]),
            weights("garbage.safetensors", &["garbage.safetensors", "depth", "time_kernel_dim"]),
            weights("truncated.safetensors", &["truncated.safetensors", "a whole safetensors file"]),
            weights("foreign.safetensors", &["foreign.safetensors", "a whole safetensors file"]),
            weights("weights.pkl", &["weights.pkl", "a pickle of numpy arrays", "begins with \"this is no pickle\""]),
            weights("evil.pkl", &["evil.pkl", "os.system", "disallowed", "at byte 2"]),
            weights("cut.pkl", &["cut.pkl", "bytes with"]),
            weights("flat.pkl", &["res3_0_branch2a_w", "2-D", "center-only, mean-repeat, repeat or center-only-rest"]),
            weights("model.pth", &["model.pth", "zip archive with no directory"]),
            weights("r3d.safetensors", &["r3d.safetensors", "names are not those", "PyTorchVideo", "stem.0.weight"]),
            weights("empty", &["empty", "a whole safetensors file"]),
            weights("absent.safetensors", &["cannot read", "absent.safetensors"]),
            weights("no_frames", &["cannot read", "no_frames"]),
            input("flat.safetensors", &["flat.safetensors", "five axes", "[3, 4, 16, 16]"]),
            input("nothing.safetensors", &["1x3x0x16x16", "zero axis"]),
            input("wide.safetensors", &["1x4x2x16x16", "3 channels"]),
            input("zero.npy", &["zero.npy", "1x3x2x0x16", "zero axis"]),
            input("channels.npy", &["1x2x1x8x8", "3 channels"]),
            input("cut.npy", &["cut.npy"]),
            input("video.mp4", &["video.mp4", "a video that ffmpeg can open"]),
            input("weights.pkl", &["weights.pkl", "holds weights"]),
            input("no_frames", &["no_frames", "PNG, JPEG, WebP, BMP or TIFF", "none"]),
            input("foreign.safetensors", &["foreign.safetensors", "safetensors"]),
            input("absent", &["cannot read", "absent"]),
            with("--output >out.safetensors --taps res9_1_sum", &["res9_1_sum", "res4_1_sum", "plan --no-fusion"]),
            with("--output >out.safetensors --heatmap >out.png --taps pool1,", &["empty name"]).usage(),
            with("--output >out.safetensors --adapter nosuch", &["nosuch", "found:"]),
            with("--output >out.safetensors --precision f16", &["f16", "f32"]).usage(),
            with("--output >absent/out.safetensors", &["cannot write", "absent"]),
            with("--output >taken", &["cannot write", "taken", "directory"]),
            with("--output >out.safetensors --heatmap >absent/out.png", &["cannot write", "absent"]),
            with("--output >out.safetensors --heatmap >taken", &["cannot write", "taken", "directory"]),
            with("--output >out.safetensors --config r18-conv4", &["conv1_w", "[64, 3, 1, 7, 7]", "[8, 3, 1, 7, 7]"]),
            with("--output >out --heatmap >out", &["--output", "--heatmap", "same file"]).usage(),
            with("--output @good.safetensors", &["--output", "--input", "overwrite"]).usage(),
            failure("clip @no_frames --output >clip.safetensors", &["no_frames", "none"]),
            failure("clip @video.mp4 --output >clip.safetensors", &["video.mp4"]),
            failure("clip @good.safetensors --output >absent/clip.safetensors", &["cannot write"]),
            failure("convert @flat.pkl >out.safetensors", &["flat.pkl", "res3_0_branch2a_w", "--inflate center-only"]),
            failure("convert @evil.pkl >out.safetensors --inflate repeat", &["os.system"]),
            failure("convert @absent.pkl >out.safetensors", &["cannot read", "absent.pkl"]),
            failure("convert @good.safetensors >absent/out.safetensors", &["cannot write", "absent"]),
            failure("convert @good.safetensors >out.safetensors --config r18-conv4", &["conv1_w", "[64, 3, 1, 7, 7]"]),
            case("convert @good.safetensors @good.safetensors", 2, &["OUT", "IN", "overwrite"]),
            failure("demo --output >demo --adapter nosuch", &["nosuch", "found:"]),
            wrong_usage("demo --output >demo --precision f16", &["f16"]),
            failure("bench --clip 1x3x1x8x8 --output >absent/out.safetensors", &["cannot write"]),
            failure("bench --clip 1x3x1x8x8 --adapter nosuch --json", &["nosuch"]),
            failure("bench --clip 1x3x1x8x8 --roofline >absent/roofline.svg", &["cannot write", "absent"]),
            failure("bench --clip 1x3x1x8x8 --sweep >taken", &["cannot write", "taken", "directory"]),
            failure("bench --sweep >sweep.svg --clip 1x4x1x8x8", &["1x4x1x8x8", "3 channels"]),
            failure("bench --input @flat.safetensors", &["five axes", "[3, 4, 16, 16]"]),
            failure("adapters --adapter nosuch", &["nosuch", "found:"]),
        ],
    );
    assert_eq!(
        std::fs::read(prepared.path().join("good.safetensors")).unwrap(),
        std::fs::read(fixture_path("p01_bottleneck_conv4.safetensors")).unwrap()
    );
}

impl Case {
    /// The same with exit code 2.
    fn usage(self) -> Self {
        Self { code: 2, ..self }
    }
}

#[test]
fn bad_networks() {
    let prepared = prepare();
    let config = |text: &str, mentions| failure(&format!("plan --clip 1x3x2x32x32 --config {text}"), mentions);
    check(
        prepared.path(),
        &[
            config(r#"{"time_kernel_dim":2}"#, &["time_kernel_dim", "odd", "got 2"]),
            config(r#"{"feat_dims":[64,64,0,256]}"#, &["feat_dims", "at least 1", "got 0"]),
            config(r#"{"feat_dims":[64,64,128,9999999]}"#, &["feat_dims", "at most", "9999999"]),
            config(r#"{"feat_dims":[64,64,128,18446744073709551615]}"#, &["feat_dims", "18446744073709551615"]),
            config(r#"{"feat_dims":[64,64,128,18446744073709551616]}"#, &["error: config"]),
            config(r#"{"width_per_group":0}"#, &["width_per_group", "at least 1", "got 0"]),
            config(r#"{"num_groups":1048576,"width_per_group":1048576}"#, &["num_groups", "2^30"]),
            config(r#"{"block_counts":[1,1]}"#, &["block_counts", "three or four", "[1, 1]"]),
            config(r#"{"freeze_at":1}"#, &["freeze_at", "0, 2, 3, 4, 5", "got 1"]),
            config(r#"{"depth":18}"#, &["depth", "time_kernel_dim"]),
            config(r#"{"#, &["config", "JSON"]),
            config("r19-conv4", &["r19-conv4", "r18-conv4", "no such file"]),
            config("@even.json", &["even.json", "time_kernel_dim", "odd", "got 4"]),
            config("@broken.json", &["broken.json", "JSON"]),
            config("@no_frames", &["cannot read", "no_frames"]),
            config("@good.safetensors", &["good.safetensors"]),
            failure(
                "run --weights random --config {\"time_kernel_dim\":2} --input @good.safetensors --output >o",
                &["odd"],
            ),
            failure("bench --config {\"depth\":18}", &["depth"]),
            failure("demo --output >demo --config {\"depth\":18}", &["depth"]),
            failure("plan --clip 1x3x0x224x224", &["1x3x0x224x224", "zero axis"]),
            failure("plan --clip 3x8x224x224", &["NxCxTxHxW", "3x8x224x224"]),
            failure("plan --clip 1x4x8x224x224", &["1x4x8x224x224", "3 channels"]),
            failure("plan --clip 65536x65536x65536x65536x65536", &["2^30"]),
            failure("plan --clip 1x3x8x224x99999999999999999999", &["NxCxTxHxW"]),
            failure("plan --clip 1x3x1x40x600000 --max-binding 2", &["rows of 1 frame ", "in one binding", "2097152"]),
            failure("plan --clip 1x3x8x224x224 --memory-limit 1M", &["1x3x8x224x224", "at least", "1048576"]),
            failure("plan --clip 1x3x2x32x32 --taps res9", &["res9", "res2_1_sum"]),
            failure("plan --clip 1x3x2x32x32 --svg >absent/plan.svg", &["cannot write"]),
            wrong_usage("plan --clip 1x3x2x32x32 --precision f16", &["f16", "f32"]),
        ],
    );
}

/// Missing weights and inputs are not reported, because other errors are found first.
#[test]
fn what_needs_no_input_is_checked_first() {
    let prepared = prepare();
    let absent = if cfg!(target_os = "macos") { "dx12" } else { "metal" };
    let mut cases = Vec::new();
    for command in [
        "run --weights absent.safetensors --input absent.mp4 --output >o",
        "bench --weights absent.safetensors --input absent.mp4",
        "bench --weights absent.safetensors --sweep >sweep.svg",
        "demo --weights absent.safetensors --output >demo",
    ] {
        let with = |more: &str, mentions: &[&'static str]| failure(&format!("{command} {more}"), mentions);
        cases.extend([
            with("--adapter nosuch", &["nosuch", "found:"]),
            with(&format!("--backend {absent} --limits webgpu"), &["no adapter on "]),
            with("--precision f16", &["f16", "f32"]).usage(),
            with("--config {\"depth\":18}", &["depth"]),
            with("--config nowhere.json", &["nowhere.json", "no such file"]),
            with("--cache-dir @good.safetensors", &["cannot keep caches in", "good.safetensors"]),
            with("--cache-dir @good.safetensors/below", &["cannot write", "good.safetensors"]),
        ]);
    }
    for command in
        ["run --weights absent.safetensors --input absent.mp4 --output >o", "bench --weights absent.safetensors"]
    {
        let with = |more: &str, mentions: &[&'static str]| failure(&format!("{command} {more}"), mentions);
        cases.extend([
            with("--config r18-conv4 --taps res9_1_sum", &["res9_1_sum", "res4_1_sum"]),
            with("--size 0", &["--size", "at least 1"]).usage(),
            with("--max-size 0", &["--max-size", "at least 1"]).usage(),
            with("--crop 0", &["--crop", "at least 1"]).usage(),
            with("--pad-stride 0", &["--pad-stride", "at least 1"]).usage(),
        ]);
    }
    cases.extend([
        failure("run --weights random --input absent.mp4 --output >o --taps res9_1_sum", &["res9_1_sum"]),
        failure("run --weights absent --input absent.mp4 --output >o --heatmap >absent/h.png", &["cannot write"]),
        failure("bench --weights absent.safetensors --clip 1x4x1x8x8", &["1x4x1x8x8", "3 channels"]),
        wrong_usage("bench --weights absent --sweep >sweep.svg --clip 2x3x1x8x8", &["--sweep", "2x3x1x8x8"]),
        failure("bench --weights absent --roofline >absent/r.svg", &["cannot write"]),
        failure("clip absent.mp4 --output >absent/clip.safetensors", &["cannot write"]),
        failure("clip absent.mp4 --output >clip.safetensors --config {\"depth\":18}", &["depth"]),
        wrong_usage("clip absent.mp4 --output >clip.safetensors --precision f16", &["f16", "f32"]),
        wrong_usage("clip absent.mp4 --output >clip.safetensors --crop 0", &["--crop", "at least 1"]),
        failure("convert absent.pkl >out.safetensors --config {\"depth\":18}", &["depth"]),
        failure("convert absent.pkl >absent/out.safetensors", &["cannot write"]),
        failure("demo --weights absent.safetensors --output @good.safetensors", &["cannot write", "good.safetensors"]),
        failure("verify --cases 1 --adapter nosuch", &["nosuch", "found:"]),
        failure("verify --presets --adapter nosuch", &["nosuch", "found:"]),
        failure("verify --cases 1 --report >absent/report.json", &["cannot write"]),
        failure("verify --cases 1 --cache-dir @good.safetensors", &["cannot keep caches in"]),
    ]);
    check(prepared.path(), &cases);
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let nothing = run::<&str>([]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (2, ""));
    assert!(nothing.stderr.contains("Usage:"), "{}", nothing.stderr);
    let prepared = prepare();
    check(
        prepared.path(),
        &[
            wrong_usage("--nosuch", &["--nosuch"]),
            wrong_usage("walk", &["walk"]),
            wrong_usage("run --weights random", &["--input", "--output"]),
            wrong_usage("run --weights random:x --input @good.safetensors --output >out", &["random:SEED", "\"x\""]),
            wrong_usage("run --weights random --input @good.safetensors --output >out --inflate often", &["--inflate"]),
            wrong_usage(
                "run --weights random --input @good.safetensors --output >out --family vmz",
                &["--family", "random"],
            ),
            wrong_usage("plan --clip 1x3x1x8x8 --family vmz", &["--weights"]),
            wrong_usage("run --weights random --input @good.safetensors --output >out --heatmap-mode x", &["change"]),
            wrong_usage("convert @good.safetensors", &["OUT.safetensors"]),
            wrong_usage("convert @good.safetensors >out --inflate often", &["often", "center-only-rest-rand"]),
            wrong_usage("convert @good.safetensors >out --seed 1", &["--inflate"]),
            wrong_usage("plan", &["--clip"]),
            wrong_usage("plan --clip 1x3x8x224x224 --max-binding 0", &["--max-binding"]),
            wrong_usage("plan --clip large", &["NxCxTxHxW", "large"]),
            wrong_usage("plan --clip 1x3x8x224x-1", &["NxCxTxHxW", "-1"]),
            wrong_usage("plan --clip 1x3x8x224x224 --class fast", &["fast", "software", "gpu"]),
            wrong_usage("bench --runs 0", &["--runs"]),
            wrong_usage("bench --batch 0", &["--batch"]),
            wrong_usage("bench --output >same --roofline >same", &["--output", "--roofline", "same file"]),
            wrong_usage("bench --input @good.safetensors --roofline @good.safetensors", &["--roofline", "overwrite"]),
            wrong_usage("bench --sweep >sweep.svg --layers", &["--sweep", "--layers"]),
            wrong_usage("bench --sweep >sweep.svg --output >out.safetensors", &["--sweep", "--output"]),
            wrong_usage("bench --sweep >sweep.svg --clip 2x3x1x8x8", &["--sweep", "2x3x1x8x8"]),
            wrong_usage("bench --sweep >sweep.svg --sweep-to 3", &["--sweep-to"]),
            wrong_usage("bench --sweep-to 8", &["--sweep"]),
            wrong_usage("bench --input @good.safetensors --clip 1x3x1x8x8", &["--input", "--clip"]),
            wrong_usage("adapters --backend cuda", &["cuda", "vulkan", "metal", "dx12", "gl"]),
            wrong_usage("adapters --precision f64", &["f64", "f32"]),
            wrong_usage("clip --output >out", &["INPUT"]),
            wrong_usage("clip @no_frames --output >out --channel-order grb", &["bgr", "rgb"]),
            wrong_usage("clip @no_frames --output >out --size big", &["--size", "big"]),
            wrong_usage("clip @no_frames --output >out --frames 0", &["--frames", "at least 1"]),
            wrong_usage("clip @no_frames --output >out --stride=-1", &["--stride"]),
            wrong_usage("clip @no_frames --output >out --preprocess caffe", &["detectron", "imagenet"]),
        ],
    );
}

#[test]
fn an_older_output_survives_a_failure() {
    let prepared = prepare();
    let output = prepared.path().join("features.safetensors");
    let picture = prepared.path().join("heatmap.png");
    for path in [&output, &picture] {
        std::fs::write(path, "older").unwrap();
    }
    let before = listing(prepared.path());
    let clip = prepared.path().join("channels.npy");
    let arguments = ["run", "--weights", "random", "--config", NARROW, "--input", clip.to_str().unwrap()];
    let outputs = ["--output", output.to_str().unwrap(), "--heatmap", picture.to_str().unwrap()];
    assert_eq!(run(arguments.iter().chain(&outputs)).code, 1);
    for path in [&output, &picture] {
        assert_eq!(std::fs::read_to_string(path).unwrap(), "older");
    }
    assert_eq!(listing(prepared.path()), before);
}
