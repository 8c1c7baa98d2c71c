//! Videos from the command line, and programs in the place of ffmpeg that are not what they should be.
#![cfg(unix)]

use crate::common::golden_path;
use crate::harness::{NARROW, command, json, listing, read_tensors, run, succeed};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A video of 10 frames of 64x48 pixels in a directory of its own.
fn video() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("video.mkv");
    let made = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x48:rate=10:duration=1",
            "-c:v",
            "ffv1",
        ])
        .arg(&path)
        .status();
    assert!(made.expect("the tests need ffmpeg; on Debian: apt-get install ffmpeg").success());
    (directory, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn videos_are_clips_for_clip_run_and_bench() {
    let (directory, video) = video();
    let at = |name: &str| directory.path().join(name);
    let chosen = ["--start", "1", "--frames", "3", "--stride", "3", "--size", "24"];
    let (ready, features, benched) = (at("ready.safetensors"), at("features.safetensors"), at("benched.safetensors"));
    let report = json(["clip", text(&video), "--output", text(&ready)].iter().chain(&chosen));
    assert_eq!(report["clip"], serde_json::json!([1, 3, 3, 24, 32]));
    assert_eq!(report["preprocess"], "detectron");
    assert_eq!(read_tensors(&ready).1["preprocess"], "detectron");

    let network = ["--weights", "random:3", "--config", NARROW];
    let picture = at("heatmap.png");
    let from_video = ["run", "--input", text(&video), "--output", text(&features), "--heatmap", text(&picture)];
    succeed(from_video.iter().chain(&network).chain(&chosen));
    let wanted = read_tensors(&features).0;
    assert!(image::open(&picture).unwrap().width() > 100);
    succeed(["run", "--input", text(&ready), "--output", text(&features)].iter().chain(&network));
    assert_eq!(read_tensors(&features).0, wanted);
    let bench = ["bench", "--runs", "1", "--input", text(&video), "--output", text(&benched)];
    assert_eq!(json(bench.iter().chain(&network).chain(&chosen))["clip"], report["clip"]);
    assert_eq!(read_tensors(&benched).0, wanted);
}

#[test]
fn a_clip_says_how_it_was_preprocessed_and_is_not_run_otherwise() {
    let (directory, video) = video();
    let at = |name: &str| directory.path().join(name);
    let (ready, features, picture) = (at("ready.safetensors"), at("features.safetensors"), at("heatmap.png"));
    let sizes = ["--size", "32", "--crop", "24", "--frames", "2"];
    succeed(["clip", text(&video), "--output", text(&ready), "--preprocess", "imagenet"].iter().chain(&sizes));
    let (tensors, metadata) = read_tensors(&ready);
    let (shape, values) = &tensors["data"];
    assert_eq!((shape.as_slice(), metadata["preprocess"].as_str()), ([1, 3, 2, 24, 24].as_slice(), "imagenet"));
    assert!(values.iter().all(|value| (-2.2..2.7).contains(value)), "on the scale of deviations");

    let own = ["--weights", "random", "--config", NARROW, "--output", text(&features), "--heatmap", text(&picture)];
    let with = |input: &Path, further: &[&str]| run(["run", "--input", text(input)].iter().chain(&own).chain(further));
    assert_eq!(with(&ready, &[]).code, 0);
    let drawn = std::fs::read(&picture).unwrap();
    let both = [&["--preprocess", "imagenet"], &sizes[..]].concat();
    assert_eq!(with(&video, &both).code, 0);
    assert!(drawn == std::fs::read(&picture).unwrap(), "a ready clip is drawn as the video that became it");
    assert_eq!(with(&ready, &["--preprocess", "imagenet"]).code, 0);
    for (options, mentions) in [
        (
            ["--preprocess", "detectron"],
            ["preprocessed as detectron", "ready.safetensors, which was preprocessed as imagenet"],
        ),
        (["--frames", "1"], ["to choose some of them", "ready.safetensors"]),
    ] {
        let refused = with(&ready, &options);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(mentions.iter().all(|mention| refused.stderr.contains(mention)), "{}", refused.stderr);
    }
}

#[test]
fn weights_say_how_pixels_are_normalised() {
    let (directory, video) = video();
    let at = |name: &str| directory.path().join(name);
    let (features, ready) = (at("features.safetensors"), at("ready.safetensors"));
    let weights = golden_path("torchvision_basic.safetensors");
    let own = ["--weights", text(&weights), "--inflate", "center-only", "--output", text(&features)];
    let with = |input: &Path, further: &[&str]| {
        let ran = run(["run", "--input", text(input), "--json"].iter().chain(&own).chain(further));
        (ran.code, ran.stdout, ran.stderr)
    };
    let chosen = ["--size", "32", "--frames", "2"];
    let values = |further: &[&str]| {
        let (code, report, stderr) = with(&video, &[&chosen, further].concat());
        assert_eq!(code, 0, "{stderr}");
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        (report["preprocess"].as_str().unwrap().to_owned(), read_tensors(&features).0)
    };
    let (name, default) = values(&[]);
    assert_eq!(name, "imagenet", "torchvision's weights");
    assert_eq!(values(&["--preprocess", "imagenet"]).1, default);
    assert_ne!(values(&["--preprocess", "detectron"]).1, default);

    succeed(["clip", text(&video), "--output", text(&ready)].iter().chain(&chosen));
    let (code, _, stderr) = with(&ready, &[]);
    assert!(code == 1 && stderr.contains("preprocessed as imagenet"), "{stderr}");
    assert_eq!(with(&ready, &["--preprocess", "detectron"]).0, 0, "whoever says so gets it");
}

/// The program `name` as the machine has it.
fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file()).unwrap()
}

/// A directory with programs of these names: links to others, or shell scripts.
fn programs(programs: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, what) in programs {
        let path = directory.path().join(name);
        match what.strip_prefix("#!") {
            None => symlink(installed(what), path).unwrap(),
            Some(_) => {
                std::fs::write(&path, what).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
    directory
}

/// Runs `clip` on `video` with nothing but `programs` on the PATH; the exit code and standard error.
fn clip_with(video: &Path, found: &[(&str, &str)], further: &[&str]) -> (Option<i32>, String) {
    let programs = programs(found);
    let output = video.with_file_name("clip.safetensors");
    let mut command = command(["clip", text(video), "--output", text(&output)].iter().chain(further));
    let ran = command.env("PATH", programs.path()).output().unwrap();
    (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn a_machine_without_ffmpeg_is_told_what_to_install() {
    let (directory, video) = video();
    for (found, absent) in [(&[][..], "ffprobe"), (&[("ffprobe", "ffprobe")][..], "ffmpeg")] {
        let (code, said) = clip_with(&video, found, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("error: cannot use the program {absent}")), "{said}");
        assert!(said.contains("apt-get install ffmpeg") && !said.contains("panicked"), "{said}");
        assert_eq!(listing(directory.path()), ["video.mkv"]);
    }
}

#[test]
fn programs_that_are_not_ffmpeg_are_found_out() {
    let (directory, video) = video();
    const PROBE: (&str, &str) = ("ffprobe", "ffprobe");
    type Found = &'static [(&'static str, &'static str)];
    let cases: [(Found, &[&str]); 6] = [
        (&[("ffprobe", "true")], &["ffprobe", "not understood"]),
        (&[("ffprobe", "false")], &["video.mkv", "exit status: 1"]),
        (&[("ffprobe", "#!/bin/sh\nexec yes"), ("yes", "yes")], &["ffprobe", "does not end"]),
        (&[PROBE, ("ffmpeg", "true")], &["video.mkv", "at least one frame"]),
        (&[PROBE, ("ffmpeg", "false")], &["video.mkv", "exit status: 1"]),
        (&[PROBE, ("ffmpeg", "#!/bin/sh\nexec yes"), ("yes", "yes")], &["no picture"]),
    ];
    for (found, mentions) in cases {
        let (code, said) = clip_with(&video, found, &[]);
        assert_eq!(code, Some(1), "{found:?}: {said}");
        let all = mentions.iter().all(|mention| said.contains(mention));
        assert!(all && said.matches("error: ").count() == 1 && !said.contains("panicked"), "{found:?}: {said}");
        assert_eq!(listing(directory.path()), ["video.mkv"]);
    }
}

#[test]
fn an_ffmpeg_that_hangs_or_dies_leaves_nothing_behind() {
    let (directory, video) = video();
    let frame = r"printf 'P6\n4 4\n255\n'; head -c 48 /dev/zero;";
    let cases: [(&str, &[&str], Option<&str>); 4] = [
        ("exec sleep 1000 video.mkv", &["--frames", "2"], None),
        ("kill -9 $$", &[], Some("signal: 9")),
        ("printf 'P6\\n4 4\\n255\\nhalf'; exit 2", &[], Some("2 frames and a part of one")),
        ("exit 0", &["--frames", "3"], Some("got 2 frames")),
    ];
    for (rest, further, wanted) in cases {
        let script = format!("#!/bin/sh\n{frame} {frame} {rest}\n");
        let found = [("ffprobe", "ffprobe"), ("ffmpeg", script.as_str()), ("head", "head"), ("sleep", "sleep")];
        let (code, said) = clip_with(&video, &found, further);
        assert_eq!(code, Some(i32::from(wanted.is_some())), "{rest}: {said}");
        assert!(said.contains(wanted.unwrap_or_default()), "{rest}: {said}");
        // Only Linux has this list; elsewhere it is empty.
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!line.contains(text(directory.path())), "{rest} left {line:?}");
        }
        let _ = std::fs::remove_file(directory.path().join("clip.safetensors"));
        assert_eq!(listing(directory.path()), ["video.mkv"]);
    }
}

#[test]
fn an_ffmpeg_before_5_1_will_do() {
    let (directory, video) = video();
    let script = format!(
        "#!/bin/sh\nfor option; do\n  if [ \"$option\" = -fps_mode ]; then\n    echo \"Unrecognized option 'fps_mode'.\" >&2\n    \
         echo 'Error splitting the argument list: Option not found' >&2\n    exit 1\n  fi\ndone\nexec {} \"$@\"\n",
        text(&installed("ffmpeg"))
    );
    let (code, said) = clip_with(&video, &[("ffprobe", "ffprobe"), ("ffmpeg", &script)], &["--size", "48"]);
    assert_eq!(code, Some(0), "{said}");
    let older = read_tensors(&directory.path().join("clip.safetensors")).0;
    succeed(["clip", text(&video), "--output", text(&directory.path().join("newer.safetensors")), "--size", "48"]);
    assert_eq!(older, read_tensors(&directory.path().join("newer.safetensors")).0);
}
