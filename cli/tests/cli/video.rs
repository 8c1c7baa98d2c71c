//! Videos from the command line, and faulty replacements of ffmpeg.
#![cfg(unix)]

use crate::common::golden_path;
use crate::harness::{NARROW, command, json, listing, read_tensors, run, succeed};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A video with 10 frames of 64x48 pixels in a new directory.
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

    let arguments =
        ["--weights", "random", "--config", NARROW, "--output", text(&features), "--heatmap", text(&picture)];
    let with =
        |input: &Path, further: &[&str]| run(["run", "--input", text(input)].iter().chain(&arguments).chain(further));
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
    let arguments = ["--weights", text(&weights), "--inflate", "center-only", "--output", text(&features)];
    let with = |input: &Path, further: &[&str]| {
        let ran = run(["run", "--input", text(input), "--json"].iter().chain(&arguments).chain(further));
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

/// Weights of a network for video determine the frames, unless the user asks for others.
#[test]
fn frames_are_sampled_as_weights_want_them_unless_asked_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (video, features) = (at("video.mkv"), at("features.safetensors"));
    let source = "testsrc2=size=64x48:rate=30:duration=2";
    let arguments = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "ffv1"];
    assert!(Command::new("ffmpeg").args(arguments).arg(&video).status().expect("the tests need ffmpeg").success());
    let weights = golden_path("video/torchvision_mc3.safetensors");
    let with = |weights: &Path, further: &[&str]| {
        let arguments = ["run", "--weights", text(weights), "--input", text(&video), "--output", text(&features)];
        run(arguments.iter().chain(&["--taps", "pred", "--json"]).chain(further))
    };
    let report = |further: &[&str]| -> (serde_json::Value, crate::harness::Tensors) {
        let ran = with(&weights, further);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        (serde_json::from_str(&ran.stdout).unwrap(), read_tensors(&features).0)
    };
    // 60 frames at 30 a second are 30 at 15. The middle 16 of these are every other frame from 14 on.
    let (sampled, default) = report(&[]);
    let wanted: Vec<usize> = (14..46).step_by(2).collect();
    assert_eq!(sampled["frames"][0]["frames"], serde_json::json!(wanted));
    assert_eq!((&sampled["frames"][0]["of"], &sampled["frames"][0]["fps"]), (&60.into(), &30.0.into()));
    assert_eq!(sampled["sampling"]["fps"], 15);
    assert_eq!(sampled["clip"], serde_json::json!([1, 3, 16, 112, 112]));
    let recorded: serde_json::Value = serde_json::from_str(&read_tensors(&features).1["frames"]).unwrap();
    assert_eq!(recorded, sampled["frames"]);
    let asked = ["--start", "14", "--stride", "2", "--frames", "16"];
    assert_eq!(report(&asked).1, default, "what is asked for by hand is the same");
    let said = with(&weights, &["-v"]).stderr;
    assert!(
        said.contains("frames 14,16,18") && said.contains("of 60 at 30.00 fps: 16 frames, successive at 15 fps"),
        "{said}"
    );

    for (further, frames) in [
        (&["--start", "20"][..], (20..52).step_by(2).collect::<Vec<usize>>()),
        (&["--frames", "8"], (22..38).step_by(2).collect()),
        (&["--stride", "3"], (7..55).step_by(3).collect()),
    ] {
        assert_eq!(report(further).0["frames"][0]["frames"], serde_json::json!(frames), "{further:?}");
    }
    let all = report(&["--frames", "all", "--stride", "10"]).0;
    assert_eq!(all["clip"], serde_json::json!([1, 3, 6, 112, 112]));
    assert!(all["frames"].is_null() && all["sampling"].is_null());

    // 120 frames of this rate are needed, but there are only 60.
    let csn = golden_path("video/pytorchvideo_csn.safetensors");
    let small = ["--size", "32", "--crop", "32"];
    let ran = with(&csn, &small);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("60 frames at 30.00 fps are too few"), "{}", ran.stderr);
    assert!(ran.stderr.contains("32 frames, 2 apart at 30 fps: they are taken closer together"), "{}", ran.stderr);
    let ran = with(&csn, &[&small[..], &["--frames", "32"]].concat());
    assert!(ran.code == 1 && ran.stderr.contains("60 frames in"), "{}", ran.stderr);

    // Converted weights need the same frames, and a ready clip is used unchanged.
    let converted = at("converted.safetensors");
    let said = json(["convert", text(&weights), text(&converted)]);
    assert_eq!(said["names"], "torchvision (video)");
    let ran = with(&converted, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(read_tensors(&features).0, default);
    let ready = at("ready.safetensors");
    let sizes = ["--preprocess", "kinetics", "--start", "14", "--stride", "2", "--frames", "5"];
    succeed(["clip", text(&video), "--output", text(&ready)].iter().chain(&sizes));
    let of_ready = ["run", "--weights", text(&weights), "--input", text(&ready), "--output", text(&features)];
    assert_eq!(json(of_ready)["clip"], serde_json::json!([1, 3, 5, 112, 112]));
    let ran = run(of_ready.iter().chain(&["--frames", "5"]));
    assert!(ran.code == 1 && ran.stderr.contains("a ready clip"), "{}", ran.stderr);
}

/// The path of the installed program `name`.
fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file()).unwrap()
}

/// A directory with programs of these names: links to installed programs, or shell scripts.
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

/// Runs `clip` on `video` with only the programs `found` on the PATH. Returns the exit code and standard error.
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
    let cases: [(Found, &[&str]); 10] = [
        (&[("ffprobe", "true")], &["ffprobe", "not understood"]),
        (&[("ffprobe", "false")], &["video.mkv", "exit status: 1"]),
        (&[("ffprobe", "#!/bin/sh\nexec yes"), ("yes", "yes")], &["ffprobe", "does not end"]),
        (&[PROBE, ("ffmpeg", "true")], &["video.mkv", "at least one frame"]),
        (&[PROBE, ("ffmpeg", "false")], &["video.mkv", "exit status: 1"]),
        (
            &[("ffprobe", "#!/bin/sh\necho 'error while loading shared libraries: libx.so' >&2; exit 127")],
            &["cannot use the program ffprobe", "does not run", "libx.so", "try `ffmpeg -version`"],
        ),
        (&[("ffprobe", "#!/bin/sh\nexit 126")], &["cannot use the program ffprobe", "does not run"]),
        (&[PROBE, ("ffmpeg", "#!/bin/sh\nexit 127")], &["cannot use the program ffmpeg", "does not run"]),
        (
            &[PROBE, ("ffmpeg", "#!/bin/sh\necho 'file:video.mkv: Permission denied' >&2; exit 1")],
            &["cannot use the program ffmpeg", "may not open", "video.mkv"],
        ),
        (&[PROBE, ("ffmpeg", "#!/bin/sh\nexec yes"), ("yes", "yes")], &["not a picture"]),
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
        // Only Linux has this directory.
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
        "#!/bin/sh\nfor option; do\n  if [ \"$option\" = -fps_mode ]; then\n    \
         echo \"Unrecognized option 'fps_mode'.\" >&2\n    \
         echo 'Error splitting the argument list: Option not found' >&2\n    exit 1\n  fi\ndone\nexec {} \"$@\"\n",
        text(&installed("ffmpeg"))
    );
    let (code, said) = clip_with(&video, &[("ffprobe", "ffprobe"), ("ffmpeg", &script)], &["--size", "48"]);
    assert_eq!(code, Some(0), "{said}");
    let older = read_tensors(&directory.path().join("clip.safetensors")).0;
    succeed(["clip", text(&video), "--output", text(&directory.path().join("newer.safetensors")), "--size", "48"]);
    assert_eq!(older, read_tensors(&directory.path().join("newer.safetensors")).0);
}

/// Runs ffmpeg in `directory` with blank-separated arguments.
fn ffmpeg(directory: &Path, arguments: &str) {
    let arguments = arguments.split_whitespace();
    let made =
        Command::new("ffmpeg").current_dir(directory).args(["-nostdin", "-v", "error", "-y"]).args(arguments).status();
    assert!(made.expect("the tests need ffmpeg; on Debian: apt-get install ffmpeg").success());
}

/// 24 frames in groups of six, with 200 bytes of zeros in the middle.
fn video_with_a_hole() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hole.mp4");
    let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.96";
    ffmpeg(directory.path(), &format!("{source} -c:v libx264 -pix_fmt yuv420p -qp 10 -g 6 -bf 2 hole.mp4"));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 200].fill(0);
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

#[test]
fn damage_is_told_and_an_option_says_what_becomes_of_it() {
    let (directory, video) = video_with_a_hole();
    let output = directory.path().join("o.safetensors");
    let clip = ["clip", text(&video), "--output", text(&output), "--size", "48"];
    let refused = run(clip);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    for mention in
        ["hole.mp4: wanted a whole video, got 24 frames", " are whole", "hint: ", "--damaged keep", "--damaged drop"]
    {
        assert!(refused.stderr.contains(mention), "{mention:?} is not in {}", refused.stderr);
    }
    assert_eq!(listing(directory.path()), ["hole.mp4"]);

    let network = ["--weights", "random:3", "--config", NARROW];
    let runs = ["run", "--input", text(&video), "--output", text(&output), "--size", "48"];
    let bench = ["bench", "--runs", "1", "--input", text(&video), "--size", "48"];
    for policy in ["keep", "drop"] {
        let option = ["--damaged", policy, "--json"];
        let ran = run(clip.iter().chain(&option));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let damaged = &report["damaged"][0];
        let run = &damaged["frames"][0];
        let [first, last] = [0, 1].map(|at| run[at].as_u64().unwrap());
        assert!((6..=last).contains(&first) && last < 18, "{damaged}");
        let gone = if policy == "drop" { last - first + 1 } else { 0 };
        assert_eq!(report["clip"][2], 24 - gone);
        assert_eq!((&damaged["dropped"], &damaged["looked_at"]), (&serde_json::json!(policy == "drop"), &24.into()));
        let numbers =
            if first == last { format!("frame {first} of 24") } else { format!("frames {first} to {last} of 24") };
        assert!(ran.stderr.contains("hole.mp4") && ran.stderr.contains(&numbers), "{numbers} is not in {}", ran.stderr);
        for command in [&runs[..], &bench[..]] {
            assert_eq!(
                json(command.iter().chain(&network).chain(&option[..2]))["damaged"],
                report["damaged"],
                "{policy}"
            );
        }
    }
    let wrong = run(clip.iter().chain(&["--damaged", "ignore"]));
    assert!(wrong.code == 2 && wrong.stderr.contains("error, keep, drop"), "{}", wrong.stderr);
}

#[test]
fn a_damaged_video_ends_the_same_way_every_time() {
    let (directory, video) = video_with_a_hole();
    let output = directory.path().join("o.safetensors");
    for policy in ["error", "keep", "drop"] {
        let arguments = ["clip", text(&video), "--output", text(&output), "--size", "48", "--damaged", policy];
        let outcome = |mut command: Command| {
            let _ = std::fs::remove_file(&output);
            let ran = command.output().unwrap();
            // Progress is only printed if the work takes a while.
            let said = String::from_utf8(ran.stderr).unwrap();
            let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("reading the clip")).collect();
            (ran.status.code(), ran.stdout, said.join("\n"), std::fs::read(&output).ok())
        };
        let first = outcome(command(arguments));
        assert_eq!(first.0, Some(i32::from(policy == "error")), "{}", first.2);
        for _ in 0..8 {
            let again = outcome(command(arguments));
            assert!(again == first, "{policy}: {}{}", first.2, again.2);
        }
        if cfg!(target_os = "linux") {
            let mut bound = Command::new("taskset");
            bound.args(["-c", "0", env!("CARGO_BIN_EXE_resnet3d")]).args(arguments).env_remove("RUST_LOG");
            assert!(outcome(bound) == first, "{policy}, on one core");
        }
    }
}

/// Decoders that do not report damage decode it differently with different numbers of threads.
#[cfg(target_os = "linux")]
#[test]
fn damage_that_nobody_notices_is_the_same_on_one_core() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(
        here,
        "-f lavfi -i testsrc2=size=160x120:rate=25:duration=0.96 -c:v libvpx -g 12 -b:v 2M -cpu-used 8 whole.webm",
    );
    let whole = std::fs::read(here.join("whole.webm")).unwrap();
    let output = here.join("o.safetensors");
    for part in 3..9 {
        // The noise is short, so that it is within a picture.
        let at = whole.len() * part / 10;
        let mut bytes = whole.clone();
        bytes[at..at + 40].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(here.join("noise.webm"), bytes).unwrap();
        let read = |program: &mut Command| {
            let _ = std::fs::remove_file(&output);
            let video = here.join("noise.webm");
            program.args(["clip", text(&video), "--output", text(&output), "--size", "120", "--damaged", "keep"]);
            let ran = program.output().unwrap();
            (ran.status.code(), std::fs::read(&output).ok())
        };
        let program = env!("CARGO_BIN_EXE_resnet3d");
        let many = read(&mut Command::new(program));
        let one = read(Command::new("taskset").args(["-c", "0", program]));
        assert!(many == one && many.0 == Some(0), "noise at {at} of {}", whole.len());
    }
}

#[test]
fn frames_that_are_fewer_than_the_file_says_or_of_another_size_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let at = |name: &str| here.join(name);
    let source = "-f lavfi -i testsrc2=size=64x48:rate=12:duration=2";
    ffmpeg(here, &format!("{source} -c:v mjpeg -q:v 2 whole.avi"));
    // All bytes of a picture are cleared.
    let mut bytes = std::fs::read(at("whole.avi")).unwrap();
    let first = (0..bytes.len()).find(|&i| bytes[i..].starts_with(b"movi")).unwrap();
    let at_picture = (first..bytes.len()).filter(|&i| bytes[i..].starts_with(b"00dc")).nth(12).unwrap();
    let length = u32::from_le_bytes(bytes[at_picture + 4..at_picture + 8].try_into().unwrap()) as usize;
    bytes[at_picture + 8..at_picture + 8 + length].fill(0);
    std::fs::write(at("hole.avi"), bytes).unwrap();
    ffmpeg(here, &format!("{source} -frames:v 8 -c:v libx264 small.ts"));
    ffmpeg(here, &format!("{source} -frames:v 8 -vf scale=96:80 -c:v libx264 large.ts"));
    let joined = [std::fs::read(at("small.ts")).unwrap(), std::fs::read(at("large.ts")).unwrap()].concat();
    std::fs::write(at("joined.ts"), joined).unwrap();

    ffmpeg(here, &format!("{source} -c:v mpeg4 one.mp4"));
    let one = std::fs::read(at("one.mp4")).unwrap();
    std::fs::write(at("two.mp4"), [one.as_slice(), &one].concat()).unwrap();

    let cases: [(&str, &[&str], usize, &[&str]); 6] = [
        ("two.mp4", &[], 24, &["two.mp4: ignored the data after the first recording"]),
        ("whole.avi", &[], 24, &[]),
        (
            "hole.avi",
            &["--damaged", "keep"],
            23,
            &["hole.avi: 23 of 24 frames", "1 picture could not be decoded, before frame 12"],
        ),
        ("hole.avi", &["--frames", "12"], 12, &[]),
        ("joined.ts", &[], 16, &["joined.ts: from frame 8 on", "96x80 pixels", "scaled to the size of the first"]),
        ("joined.ts", &["--frames", "8"], 8, &[]),
    ];
    for (name, further, frames, mentions) in cases {
        let output = at("o.safetensors");
        let clip = ["clip", text(&at(name)), "--output", text(&output), "--json"].map(str::to_owned);
        let ran = run(clip.iter().map(String::as_str).chain(further.iter().copied()));
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["clip"][2], frames, "{name} {further:?}");
        for mention in mentions {
            assert!(ran.stderr.contains(mention), "{name}: {mention:?} is not in {}", ran.stderr);
        }
        // Progress is only printed if the work takes a while.
        let mut lines = ran.stderr.lines();
        let silent = lines.all(|line| line.starts_with("reading the clip") || line.starts_with("writing the clip"));
        assert!(!mentions.is_empty() || silent, "{name} {further:?}: {}", ran.stderr);
    }
}

#[test]
fn inputs_that_are_no_files_are_what_they_point_to_or_refused() {
    let (directory, video) = video();
    let at = |name: &str| directory.path().join(name);
    let output = at("o.safetensors");
    let clip = |input: &str| command(["clip", input, "--output", text(&output), "--size", "48"]);
    succeed(["clip", text(&video), "--output", text(&output), "--size", "48"]);
    let wanted = std::fs::read(&output).unwrap();
    symlink("/dev/stdin", at("link")).unwrap();
    for input in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", text(&at("link"))] {
        if input.starts_with("/proc") && !cfg!(target_os = "linux") {
            continue;
        }
        std::fs::remove_file(&output).unwrap();
        let ran = clip(input).stdin(std::fs::File::open(&video).unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        if cfg!(target_os = "linux") {
            assert!(ran.status.success() && std::fs::read(&output).unwrap() == wanted, "{input}: {said}");
        } else {
            assert!(ran.status.code() == Some(1) && said.contains("name cannot be found"), "{input}: {said}");
            std::fs::write(&output, &wanted).unwrap();
        }
    }
    assert!(Command::new("mkfifo").arg(at("pipe.npy")).status().unwrap().success());
    std::fs::create_dir(at("directory.mp4")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.mp4")).unwrap();
    let cases = [
        ("/dev/stdin", "a pipe: write its data to a file first"),
        (text(&at("pipe.npy")), "a pipe: write its data to a file first"),
        ("/dev/null", "a device"),
        (text(&at("socket.mp4")), "a socket"),
        (text(&at("directory.mp4")), "none in it"),
        (text(&at("absent.mp4")), "check the path"),
    ]
    .map(|(input, mention)| (input.to_owned(), mention));
    for (input, mention) in cases {
        let ran = clip(&input).stdin(std::process::Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.code() == Some(1) && said.contains(mention) && said.contains(&input), "{input}: {said}");
        assert!(!said.contains("the file is damaged"), "{input}: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_video_that_may_not_be_read_is_not_called_damaged() {
    use std::os::unix::fs::MetadataExt as _;
    let (directory, video) = video();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::set_permissions(&video, std::fs::Permissions::from_mode(0o000)).unwrap();
    let program = directory.path().join("resnet3d");
    std::fs::copy(env!("CARGO_BIN_EXE_resnet3d"), &program).unwrap();
    let output = directory.path().join("o.safetensors");
    let arguments = ["clip", text(&video), "--output", text(&output)];
    // Permissions do not apply to root.
    let ran = if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(arguments).output()
    } else {
        Command::new(&program).args(arguments).output()
    };
    let ran = ran.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let mentions = ["cannot read", "video.mkv", "Permission denied", "check the path and its permissions"];
    assert!(ran.status.code() == Some(1) && mentions.iter().all(|mention| said.contains(mention)), "{said}");
}

/// File names with a special meaning for ffmpeg are taken as plain file names.
#[test]
fn odd_names_are_names() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, "-f lavfi -i testsrc2=size=64x48:rate=10:duration=2 -frames:v 2 -c:v ffv1 -pix_fmt bgr0 video.mkv");
    for name in ["-i.mkv", "http:nowhere.mkv", "%03d.mkv", "two words é.mkv", "a'b\"c;$(d).mkv", "-", "pipe:0"] {
        std::fs::copy(here.join("video.mkv"), here.join(name)).unwrap();
        let by_path = here.join(name);
        // Also with a relative path, so that the name comes first.
        for name in [name, by_path.to_str().unwrap()] {
            let ran = command(["clip", "--output", "clip.safetensors", "--", name]).current_dir(here).output().unwrap();
            assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}
