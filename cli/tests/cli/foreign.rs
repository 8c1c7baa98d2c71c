//! Files from other sources: how they are recognised and used, and the messages about them.

use crate::common::{fixture_path, golden_path};
use crate::harness::{NARROW, Ran, Tensors, read_tensors, run, succeed, write_npy, write_tensors};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames, Preprocess, Size, preprocess};
use resnet3d_wgpu::{BackboneConfig, Shape, Weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

/// The hint of a failure.
fn hint(ran: &Ran) -> &str {
    ran.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default()
}

#[test]
fn what_is_plainly_no_weights_is_called_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 97800000\n";
    let cases: [(&str, &[u8], &str, &str); 7] = [
        ("lfs.safetensors", lfs.as_bytes(), "a pointer of Git LFS", "git lfs pull"),
        ("lfs.pkl", lfs.as_bytes(), "a pointer of Git LFS", "git lfs pull"),
        ("page.safetensors", b"<html>403</html>", "an HTML page", "download the file itself"),
        ("empty.pkl", b"", "an empty file", "no bytes"),
        ("model.safetensors.index.json", b"{\"weight_map\": {}}", "an index of several files", "join them"),
        ("zipped.pkl", b"\x1f\x8b\x08\0\0\0\0\0\0", "a gzip archive", "gunzip"),
        ("class.pkl", b"\x80\x02}ccollections\ndefaultdict\n)R.", "collections.defaultdict", "numpy.asarray"),
    ];
    let output = at("out.safetensors");
    for (name, bytes, says, helps) in cases {
        std::fs::write(at(name), bytes).unwrap();
        let (weights, input) = (at(name), fixture_path("p01_bottleneck_conv4.safetensors"));
        let run_it = run(["run", "--weights", text(&weights), "--input", text(&input), "--output", text(&output)]);
        let convert = run(["convert", text(&weights), text(&output)]);
        for ran in [run_it, convert] {
            assert_eq!(ran.code, 1, "{name}");
            assert!(ran.stderr.contains(says) && ran.stderr.contains(name), "{name}: {}", ran.stderr);
            assert!(hint(&ran).contains(helps) && !hint(&ran).contains("damaged"), "{name}: {}", ran.stderr);
        }
    }
    let lone_byte: &[u8] = b"{\"preset\": \"\xe9\"}";
    for (name, bytes, says, helps) in [
        ("lfs.json", lfs.as_bytes(), "a pointer of Git LFS", "git lfs pull"),
        ("page.json", b"<html>403</html>", "an HTML page", "download the file itself"),
        ("empty.json", b"", "an empty file", "no bytes"),
        ("index.json", b"{\"weight_map\": {}}", "an index of several files", "join them"),
        ("latin1.json", lone_byte, "bytes that are not text", "of another kind"),
    ] {
        std::fs::write(at(name), bytes).unwrap();
        let ran = run(["plan", "--clip", "1x3x2x32x32", "--config", text(&at(name))]);
        assert_eq!(ran.code, 1, "{name}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains(name), "{name}: {}", ran.stderr);
        assert!(hint(&ran).contains(helps), "{name}: {}", ran.stderr);
    }
    std::fs::write(at("marked.json"), "\u{feff}{\"preset\": \"r34-conv4\"}").unwrap();
    succeed(["plan", "--clip", "1x3x2x32x32", "--config", text(&at("marked.json"))]);
    // An ambiguous network runs after it is named, but the warning stays.
    let image = r#"{"block_counts": [1, 1, 1], "feat_dims": [4, 4, 8, 8], "width_per_group": 4, "time_kernel_dim": 1}"#;
    let config = BackboneConfig::from_json(image).unwrap();
    let weights = Weights::random(&config, 1).unwrap();
    let mut tensors: Tensors = weights
        .tensors()
        .map(|(name, tensor)| (name.to_owned(), (tensor.shape().to_vec(), tensor.data().to_vec())))
        .collect();
    tensors.insert("pred_w".to_owned(), (vec![1], vec![0.0]));
    let c2d = at("c2d.safetensors");
    write_tensors(&c2d, &tensors, &HashMap::new());
    let ran = run(["convert", text(&c2d), text(&output)]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("video-nonlocal-net") && ran.stderr.contains("--family pyslowfast"), "{}", ran.stderr);
    let ran = run(["convert", text(&c2d), text(&at("c2d_named.safetensors")), "--config", image]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("video-nonlocal-net"), "{}", ran.stderr);

    // The message about a model that torch.save wrote as an object is the same for both kinds of archives.
    let whole = "torch.save(model.state_dict(), 'weights.pth')";
    for (name, says, helps) in [
        ("whole.pth", "an object of __main__.Whole instead of a dictionary of tensors", whole),
        ("whole_legacy.pth", "a whole model, as torch.save(model) writes it", whole),
        ("script.pt", "a TorchScript archive", "torch.jit.load"),
    ] {
        let ran = run(["convert", text(&golden_path("torch").join(name)), text(&output)]);
        assert_eq!(ran.code, 1, "{name}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains(name), "{name}: {}", ran.stderr);
        assert!(hint(&ran).contains(helps), "{name}: {}", ran.stderr);
    }
    assert!(!output.exists());
}

#[test]
fn a_safetensors_file_is_one_by_any_name() {
    let directory = tempfile::tempdir().unwrap();
    let (renamed, output) = (directory.path().join("renamed.pkl"), directory.path().join("out.safetensors"));
    std::fs::copy(golden_path("torchvision_basic.safetensors"), &renamed).unwrap();
    let ran = run(["convert", text(&renamed), text(&output), "--inflate", "center-only"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("renamed.pkl") && ran.stderr.contains("a safetensors file"), "{}", ran.stderr);
}

/// Outputs are the same to the byte, whatever the order of hash maps in a run.
#[test]
fn the_same_run_writes_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (fixture, golden) =
        (fixture_path("p01_bottleneck_conv4.safetensors"), golden_path("torchvision_basic.safetensors"));
    let bytes = [1u8; 2 * 6 * 8 * 3];
    let view = TensorView::new(Dtype::U8, vec![2, 6, 8, 3], &bytes).unwrap();
    std::fs::write(at("frames.safetensors"), safetensors::serialize([("frames.0", view)], None).unwrap()).unwrap();
    let frames = at("frames.safetensors");
    let output = at("out.safetensors");
    let commands = [
        vec!["run", "--weights", text(&fixture), "--input", text(&fixture), "--taps", "all", "--output"],
        vec!["bench", "--clip", "1x3x1x16x16", "--runs", "1", "--config", NARROW, "--output"],
        vec!["convert", text(&golden), "--inflate", "center-only"],
        vec!["clip", text(&frames), "--size", "6", "--output"],
    ];
    for command in commands {
        let mut seen = Vec::new();
        for _ in 0..4 {
            succeed(command.iter().chain(&[text(&output)]));
            seen.push(std::fs::read(&output).unwrap());
        }
        assert!(seen.iter().all(|bytes| *bytes == seen[0]), "{}", command.join(" "));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_text_are_names() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let directory = tempfile::tempdir().unwrap();
    let latin1 = |start: &str, end: &str| {
        directory.path().join(OsString::from_vec([start.as_bytes(), b"\xe9", end.as_bytes()].concat()))
    };
    let (weights, config) = (latin1("weights", ".safetensors"), latin1("config", ".json"));
    let (input, output) = (latin1("clip", ".npy"), latin1("out", ".safetensors"));
    let fixture = fixture_path("p01_bottleneck_conv4.safetensors");
    std::fs::copy(&fixture, &weights).unwrap();
    std::fs::write(&config, &read_tensors(&fixture).1["config"]).unwrap();
    write_npy(&input, Shape::new(1, 3, 1, 16, 16), &[-1.0; 3 * 256]);
    let path = |option: &str, path: &Path| [OsString::from(option), path.into()];
    let (weights, config) = (path("--weights", &weights), path("--config", &config));
    let (input, output) = (path("--input", &input), path("--output", &output));
    let arguments = |first: &[&str], options: &[&[OsString; 2]]| -> Vec<OsString> {
        first.iter().map(OsString::from).chain(options.iter().flat_map(|option| (*option).clone())).collect()
    };
    succeed(arguments(&["run"], &[&weights, &config, &input, &output]));
    assert_eq!(read_tensors(Path::new(&output[1])).0["res4_1_sum"].0[0], 1);
    succeed(arguments(&["bench", "--runs", "1"], &[&weights, &input, &output]));
    succeed(arguments(&["plan", "--clip", "1x3x1x16x16"], &[&config]));
    let absent = path("--weights", &latin1("absent", ".safetensors"));
    let ran = run(arguments(&["run"], &[&absent, &input, &output]));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("cannot read") && ran.stderr.contains("absent"), "{}", ran.stderr);
}

/// An `.npy` of bytes.
fn write_bytes(path: &Path, shape: &str, bytes: &[u8]) {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    std::fs::write(path, [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), bytes].concat()).unwrap();
}

#[test]
fn arrays_of_pictures_are_preprocessed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let bytes: Vec<u8> = (0..2 * 6 * 8 * 3).map(|i| (i * 37 % 251) as u8).collect();
    write_bytes(&at("pictures.npy"), "(2, 6, 8, 3)", &bytes);
    let view = TensorView::new(Dtype::U8, vec![2, 6, 8, 3], &bytes).unwrap();
    std::fs::write(at("pictures.safetensors"), safetensors::serialize([("frames.0", view)], None).unwrap()).unwrap();
    let options = Preprocess::default().size(Size::Shorter(6));
    let wanted = |order| {
        let clip = preprocess(&[Frames::new([2, 6, 8], order, bytes.clone()).unwrap()], &options).unwrap();
        (<[usize; 5]>::from(clip.shape()).to_vec(), clip.data().to_vec())
    };
    let (bgr, rgb) = (wanted(ChannelOrder::Bgr), wanted(ChannelOrder::Rgb));
    let warning = "which is OpenCV's order";
    for (name, further, clip, warns) in [
        ("pictures.npy", &[][..], &rgb, false),
        ("pictures.npy", &["--channel-order", "rgb"], &rgb, false),
        ("pictures.npy", &["--channel-order", "bgr"], &bgr, false),
        ("pictures.safetensors", &[], &bgr, true),
        ("pictures.safetensors", &["--channel-order", "bgr"], &bgr, false),
        ("pictures.safetensors", &["--channel-order", "rgb"], &rgb, false),
    ] {
        let (input, output) = (at(name), at("clip.safetensors"));
        let arguments = ["clip", text(&input), "--output", text(&output), "--size", "6"];
        let ran = run(arguments.iter().chain(further));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stderr.contains(warning), warns, "{name} {further:?}: {}", ran.stderr);
        let (tensors, metadata) = read_tensors(&output);
        assert_eq!((&tensors["data"], metadata["preprocess"].as_str()), (clip, "detectron"), "{name} {further:?}");
    }
    // `run` with torchvision's weights, which need another normalisation.
    let run_on = |input: &str, further: &[&str]| {
        let (weights, input, output) =
            (golden_path("torchvision_basic.safetensors"), at(input), at("features.safetensors"));
        let arguments = ["run", "--weights", text(&weights), "--inflate", "center-only", "--input", text(&input)];
        let ran = run(arguments.iter().chain(&["--output", text(&output), "--size", "32"]).chain(further));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        (read_tensors(&output).0, ran)
    };
    let (features, ran) = run_on("pictures.npy", &[]);
    assert!(ran.stdout.contains("imagenet"), "{}", ran.stdout);
    assert_eq!(run_on("pictures.safetensors", &["--channel-order", "rgb"]).0, features);
}

#[test]
fn pixels_that_nobody_normalised_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let shape = Shape::new(1, 3, 1, 16, 16);
    let mut values: Vec<f32> = (0..3 * 256).map(|i| (i % 256) as f32).collect();
    write_npy(&at("pixels.npy"), shape, &values);
    let tensors = Tensors::from([("data".to_owned(), (vec![1, 3, 1, 16, 16], values.clone()))]);
    write_tensors(&at("pixels.safetensors"), &tensors, &HashMap::new());
    let said = HashMap::from([("preprocess".to_owned(), "detectron".to_owned())]);
    write_tensors(&at("white.safetensors"), &tensors, &said);
    values[700] = -0.5;
    write_npy(&at("clip.npy"), shape, &values);
    for (name, warns) in
        [("pixels.npy", true), ("pixels.safetensors", true), ("white.safetensors", false), ("clip.npy", false)]
    {
        let (input, output) = (at(name), at("out.safetensors"));
        let ran =
            run(["run", "--weights", "random", "--config", NARROW, "--input", text(&input), "--output", text(&output)]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let warned = ran.stderr.contains("no value of this clip is below 0") && ran.stderr.contains("uint8");
        assert_eq!(warned, warns, "{name}: {}", ran.stderr);
    }
    // For other arrays, the hint says how to store pictures, and does not suggest floats.
    write_bytes(&at("grey.npy"), "(2, 6, 8)", &[0; 96]);
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 6, 8, 3), }";
    let length = [u8::try_from(header.len()).unwrap(), 0];
    std::fs::write(at("long.npy"), [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes()].concat()).unwrap();
    for (name, says) in [("grey.npy", "3 axes, [2, 6, 8]"), ("long.npy", "<i8")] {
        let (input, output) = (at(name), at("failed.safetensors"));
        let ran = run(["clip", text(&input), "--output", text(&output)]);
        assert_eq!(ran.code, 1);
        assert!(
            ran.stderr.contains(says) && hint(&ran).contains("uint8, frames x height x width x 3"),
            "{}",
            ran.stderr
        );
    }
}
