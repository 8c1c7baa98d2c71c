//! Output files: they do not overwrite inputs, are written completely or not at all, and otherwise behave as usual.

use crate::common::fixture_path;
use crate::harness::{NARROW, Ran, command, read_tensors, run};
use resnet3d_wgpu::picture::Scene;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prepares frames in `fr`, weights in `w.safetensors`, a network in `c.json`, and other names for them.
fn prepare() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for directory in ["fr", "fr2", "demo"] {
        Scene { frames: 2, height: 32, width: 40 }.write_png_frames(at(directory)).unwrap();
    }
    std::fs::copy(fixture_path("p01_bottleneck_conv4.safetensors"), at("w.safetensors")).unwrap();
    std::fs::copy(at("w.safetensors"), at("demo/features.safetensors")).unwrap();
    std::fs::write(at("c.json"), NARROW).unwrap();
    std::fs::hard_link(at("w.safetensors"), at("hard")).unwrap();
    std::fs::hard_link(at("fr/000001.png"), at("hard_frame")).unwrap();
    #[cfg(unix)]
    for (link, to) in [
        ("by_link", "fr"),
        ("link", "w.safetensors"),
        ("to_new_frame", "fr/new.png"),
        ("fr/000002.png", "../store.png"),
        ("fr/000003.png", "../not_yet"),
    ] {
        std::os::unix::fs::symlink(to, at(link)).unwrap();
    }
    std::fs::copy(at("fr/000000.png"), at("store.png")).unwrap();
    root
}

/// Every file below a directory, with its contents.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() && !path.is_symlink() {
            true => tree(&path),
            false => BTreeMap::from([(path.clone(), std::fs::read(&path).unwrap_or_default())]),
        })
        .collect()
}

fn run_in(directory: &Path, arguments: &[&str]) -> Ran {
    let output = command(arguments).current_dir(directory).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn no_output_is_what_an_input_reads() {
    let root = prepare();
    let run = |more: &str| format!("run --weights random --config {} --input fr {more}", NARROW.replace(' ', ""));
    let mut cases = vec![
        (run("--output o --heatmap fr/000001.png"), "--heatmap would overwrite what --input reads"),
        (run("--output fr/000000.png"), "--output would overwrite what --input reads"),
        (run("--output fr/../fr/./000000.png"), "--output would overwrite what --input reads"),
        (run("--output hard_frame"), "--output would overwrite what --input reads"),
        (run("--output o --heatmap fr/heatmap.png"), "--heatmap would add a frame to what --input reads"),
        (run("--output fr/x.JPG"), "--output would add a frame to what --input reads"),
        (
            "run --weights w.safetensors --input fr --output hard".into(),
            "--output would overwrite what --weights reads",
        ),
        ("run --weights random --config c.json --input fr --output c.json".into(), "overwrite what --config reads"),
        ("clip fr fr2 --output fr2/000000.png".into(), "--output would overwrite what INPUT reads"),
        ("clip fr fr2 --output fr/new.png".into(), "--output would add a frame to what INPUT reads"),
        ("clip fr w.safetensors --output hard".into(), "--output would overwrite what INPUT reads"),
        ("convert w.safetensors hard".into(), "OUT would overwrite what IN reads"),
        ("convert w.safetensors c.json --config c.json".into(), "OUT would overwrite what --config reads"),
        ("plan --clip 1x3x2x32x32 --config c.json --svg c.json".into(), "--svg would overwrite what --config reads"),
        ("bench --input fr --output fr/000000.png".into(), "--output would overwrite what --input reads"),
        ("bench --input fr --roofline fr/r.png".into(), "--roofline would add a frame to what --input reads"),
        ("bench --weights w.safetensors --sweep hard".into(), "--sweep would overwrite what --weights reads"),
        ("bench --config c.json --sweep c.json".into(), "--sweep would overwrite what --config reads"),
        ("verify --config c.json --report c.json".into(), "--report would overwrite what --config reads"),
        (
            "demo --output demo --weights demo/features.safetensors".into(),
            "--output would overwrite what --weights reads",
        ),
    ];
    if cfg!(unix) {
        cases.extend([
            (run("--output by_link/000000.png"), "--output would overwrite what --input reads"),
            (run("--output store.png"), "--output would overwrite what --input reads"),
            (run("--output fr/000002.png"), "--output would overwrite what --input reads"),
            (run("--output by_link/new.png"), "--output would add a frame to what --input reads"),
            (run("--output to_new_frame"), "--output would add a frame to what --input reads"),
            (run("--output not_yet"), "--output would add a frame to what --input reads"),
            ("clip by_link --output fr/000000.png".into(), "--output would overwrite what INPUT reads"),
            ("convert link w.safetensors".into(), "OUT would overwrite what IN reads"),
        ]);
    }
    let before = tree(root.path());
    let mut faults = Vec::new();
    for (arguments, mention) in &cases {
        let ran = run_in(root.path(), &arguments.split_whitespace().collect::<Vec<_>>());
        if ran.code != 2 || !ran.stdout.is_empty() || !ran.stderr.contains(mention) {
            faults.push(format!("{arguments}: {}\nwanted: {mention}\n{}", ran.code, ran.stderr));
        }
        if tree(root.path()) != before {
            faults.push(format!("{arguments} has changed a file"));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

/// Other file names are allowed in the directory of the frames, and the next run reads the same frames.
#[test]
fn other_names_are_allowed_beside_frames() {
    let root = prepare();
    let clip = ["clip", "fr2", "--output", "fr2/clip.safetensors", "--size", "32"];
    let mut shapes = Vec::new();
    for _ in 0..2 {
        let ran = run_in(root.path(), &clip);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        shapes.push(read_tensors(&root.path().join("fr2/clip.safetensors")).0["data"].0.clone());
    }
    assert_eq!((shapes[0][2], &shapes[0]), (2, &shapes[1]));
}

/// `-` and the other names of standard output work. The report, as a table or JSON, then goes to standard error.
#[test]
fn an_output_may_be_standard_output() {
    let root = prepare();
    let clip = |output: &str, more: &[&str]| {
        let arguments = ["clip", "fr2", "--size", "32", "--output", output];
        command(arguments.iter().chain(more)).current_dir(root.path()).output().unwrap()
    };
    assert!(clip("file", &[]).status.success());
    let want = std::fs::read(root.path().join("file")).unwrap();
    let names: &[&str] = if cfg!(unix) { &["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] } else { &["-"] };
    for name in names.iter().filter(|name| !name.starts_with("/proc") || cfg!(target_os = "linux")) {
        for more in [&[][..], &["--json"]] {
            let ran = clip(name, more);
            let stderr = String::from_utf8(ran.stderr).unwrap();
            assert!(ran.status.success(), "{name}: {stderr}");
            assert!(ran.stdout == want, "{name}: {} bytes for {}", ran.stdout.len(), want.len());
            let mention = if more.is_empty() { "1x3x2x32x40" } else { "\"output\": " };
            assert!(stderr.contains(mention), "{name}: {stderr}");
        }
    }
    assert!(!root.path().join("-").exists());
    // This works for every command, and the features are a valid file.
    let plan = run_in(root.path(), &["plan", "--clip", "1x3x2x32x32", "--svg", "-"]);
    assert!(plan.stdout.starts_with("<svg") && plan.stdout.trim_end().ends_with("</svg>"), "{}", plan.stdout);
    assert!(plan.stderr.contains("GMAC"), "{}", plan.stderr);
    let arguments = ["run", "--weights", "random", "--config", NARROW, "--input", "fr2", "--size", "32"];
    let ran = command(arguments.iter().chain(&["--output", "-"])).current_dir(root.path()).output().unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success() && stderr.contains("res4_0_sum"), "{stderr}");
    assert!(safetensors::SafeTensors::deserialize(&ran.stdout).unwrap().tensor("res4_0_sum").is_ok());

    let twice = run_in(root.path(), &[&arguments[..], &["--output", "-", "--heatmap", "-"]].concat());
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("--output and --heatmap name the same file"), "{}", twice.stderr);
    let demo = run_in(root.path(), &["demo", "--output", "-"]);
    assert_eq!(demo.code, 2);
    assert!(demo.stderr.contains("a directory"), "{}", demo.stderr);
}

/// The file that standard output is redirected to has only the tensors, without a table before or after them.
#[test]
#[cfg(unix)]
fn an_output_may_be_where_standard_output_goes() {
    let root = prepare();
    let clip = |output: &str| command(["clip", "fr2", "--size", "32", "--output", output]);
    assert!(clip("file").current_dir(root.path()).output().unwrap().status.success());
    let redirected = std::fs::File::create(root.path().join("redirected")).unwrap();
    let ran = clip("redirected").current_dir(root.path()).stdout(redirected).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let read = |name: &str| std::fs::read(root.path().join(name)).unwrap();
    assert!(read("redirected") == read("file"));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("1x3x2x32x40"));
}

#[cfg(unix)]
mod on_unix {
    use super::*;
    use crate::harness::listing;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::os::unix::process::CommandExt as _;

    /// Runs a command that writes one file, and needs neither a GPU nor much time.
    fn plan(directory: &Path, output: &str) -> Ran {
        run_in(directory, &["plan", "--clip", "1x3x2x32x32", "--svg", output])
    }

    #[test]
    fn the_permissions_of_a_file_stay() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plan.svg");
        for mode in [0o600, 0o640, 0o666, 0o755, 0o644] {
            std::fs::write(&path, "older").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let ran = plan(root.path(), "plan.svg");
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, mode);
            assert!(std::fs::read_to_string(&path).unwrap().starts_with("<svg"));
        }
        assert_eq!(listing(root.path()), ["plan.svg"]);
    }

    /// Only root can create a file of another user. The program keeps the owner.
    #[test]
    #[ignore = "needs root; scripts/test runs it if it is root"]
    fn root_keeps_the_owner_of_a_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plan.svg");
        std::fs::write(&path, "older").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        chown(&path, Some(4321), Some(1234)).unwrap();
        assert_eq!(plan(root.path(), "plan.svg").code, 0);
        let metadata = path.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (4321, 1234, 0o644));
        assert_eq!(listing(root.path()), ["plan.svg"]);
    }

    /// The permissions of the file decide, not those of the directory.
    #[test]
    fn a_file_that_may_not_be_written_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plan.svg");
        std::fs::write(&path, "older").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
        // Another user may not be able to reach the program where it was built.
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::set_permissions(elsewhere.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = elsewhere.path().join("resnet3d");
        std::fs::copy(env!("CARGO_BIN_EXE_resnet3d"), &program).unwrap();
        let mut plan = std::process::Command::new(program);
        plan.args(["plan", "--clip", "1x3x2x32x32", "--svg", "plan.svg"]).current_dir(root.path());
        if rustix::process::geteuid().is_root() {
            // Root may write to any file. Another user may not, even the owner.
            chown(root.path(), Some(65534), None).unwrap();
            chown(&path, Some(65534), None).unwrap();
            plan.uid(65534);
        }
        let ran = plan.output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot write plan.svg") && stderr.contains("Permission denied"), "{stderr}");
        assert!(stderr.contains("hint: choose a file that you may write to"), "{stderr}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "older");
        assert_eq!(listing(root.path()), ["plan.svg"]);
    }

    #[test]
    fn links_are_followed_where_they_lead_nowhere_too() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("below")).unwrap();
        for (link, to) in [("first", "below/second"), ("below/second", "../target.svg"), ("round", "round")] {
            symlink(to, at(link)).unwrap();
        }
        for _ in 0..2 {
            let ran = plan(root.path(), "first");
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            assert!(at("first").is_symlink() && at("below/second").is_symlink() && !at("target.svg").is_symlink());
            assert!(std::fs::read_to_string(at("target.svg")).unwrap().starts_with("<svg"));
        }
        let ran = plan(root.path(), "round");
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot write round") && at("round").is_symlink(), "{}", ran.stderr);
        symlink("absent/target.svg", at("deep")).unwrap();
        let ran = plan(root.path(), "deep");
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("hint: create the directory first"), "{}", ran.stderr);
        assert_eq!(listing(root.path()), ["below", "deep", "first", "round", "target.svg"]);
    }

    /// The message does not name the temporary file, and the hint fits.
    #[test]
    fn a_full_disk_is_told_from_a_directory_that_is_not_there() {
        let root = prepare();
        let limited = format!(
            "trap '' XFSZ; ulimit -f 8; exec {} clip fr2 --output older.safetensors",
            env!("CARGO_BIN_EXE_resnet3d")
        );
        std::fs::write(root.path().join("older.safetensors"), "older").unwrap();
        let before = listing(root.path());
        let ran = std::process::Command::new("sh").args(["-c", &limited]).current_dir(root.path()).output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot write older.safetensors") && stderr.contains("File too large"), "{stderr}");
        assert!(stderr.contains("hint: make room") && !stderr.contains(".resnet3d-"), "{stderr}");
        assert_eq!(std::fs::read_to_string(root.path().join("older.safetensors")).unwrap(), "older");
        assert_eq!(listing(root.path()), before);
        if Path::new("/dev/full").exists() {
            let ran = plan(root.path(), "/dev/full");
            assert_eq!(ran.code, 1);
            assert!(ran.stderr.contains("No space left") && ran.stderr.contains("hint: make room"), "{}", ran.stderr);
        }
        for (output, hint) in [("absent/x", "create the directory first"), ("fr2", "choose a name for a file")] {
            let ran = plan(root.path(), output);
            assert!(ran.code == 1 && ran.stderr.contains(&format!("hint: {hint}")), "{}", ran.stderr);
        }
        let ran = plan(root.path(), "c.json/x");
        assert!(ran.code == 1 && ran.stderr.contains("hint: a part of the path"), "{}", ran.stderr);
    }

    /// Builds a library to preload that simulates a system without unnamed files.
    #[cfg(target_os = "linux")]
    fn named_files_only(directory: &Path) -> PathBuf {
        let source = r#"
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <errno.h>
            #include <fcntl.h>
            #include <stdarg.h>
            static int opened(const char *name, const char *path, int flags, va_list more) {
                if ((flags & O_TMPFILE) == O_TMPFILE) {
                    errno = EOPNOTSUPP;
                    return -1;
                }
                int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
                return real(path, flags, flags & O_CREAT ? va_arg(more, int) : 0);
            }
            int open(const char *path, int flags, ...) {
                va_list more;
                va_start(more, flags);
                return opened("open", path, flags, more);
            }
            int open64(const char *path, int flags, ...) {
                va_list more;
                va_start(more, flags);
                return opened("open64", path, flags, more);
            }
        "#;
        let (file, library) = (directory.join("named.c"), directory.join("named.so"));
        std::fs::write(&file, source).unwrap();
        let mut compiler = std::process::Command::new("cc");
        let built =
            compiler.args(["-shared", "-fPIC", "-D_FILE_OFFSET_BITS=32", "-o"]).arg(&library).arg(&file).status();
        assert!(built.is_ok_and(|status| status.success()), "cc links Rust programs here, and cannot compile C");
        library
    }

    /// A signal during the write of the result leaves no temporary file.
    #[test]
    #[cfg(target_os = "linux")]
    fn signals_leave_no_temporary_file() {
        use rustix::fs::{Mode, OFlags};
        use rustix::process::{Pid, Signal, kill_process};
        let root = prepare();
        let named = named_files_only(root.path());
        // Whether the file system has unnamed temporary files. A killed program leaves named ones.
        let has_unnamed = rustix::fs::open(root.path(), OFlags::TMPFILE | OFlags::WRONLY, Mode::RWXU).is_ok();
        let all = [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL];
        let ways = [(true, &all[..3]), (false, &all[..if has_unnamed { 4 } else { 3 }])];
        for frame in 2..40 {
            std::fs::hard_link(root.path().join("fr2/000000.png"), root.path().join(format!("fr2/{frame:06}.png")))
                .unwrap();
        }
        std::fs::create_dir(root.path().join("out")).unwrap();
        let output = root.path().join("out/clip.safetensors");
        // A background job of a shell, or a job of nohup, ignores some signals, and so do its child processes.
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
        let heard = |signal: &Signal| ignored >> (signal.as_raw() - 1) & 1 == 0;
        let ways = ways.into_iter().flat_map(|(named, signals)| signals.iter().map(move |&signal| (named, signal)));
        for (has_name, signal) in ways.filter(|(_, signal)| heard(signal)) {
            let mut clip =
                command(["clip", "fr2", "--size", "512", "--max-size", "999", "--output", "out/clip.safetensors"]);
            if has_name {
                clip.env("LD_PRELOAD", &named);
            }
            let mut child = clip.current_dir(root.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
            // Waits until a part of the result is written.
            let descriptors = PathBuf::from(format!("/proc/{}/fd", child.id()));
            let begun = || {
                let open = descriptors.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
                open.filter(|open| open.read_link().is_ok_and(|to| to.starts_with(root.path().join("out"))))
                    .any(|open| open.metadata().is_ok_and(|metadata| metadata.len() > 0))
            };
            let mut ended = None;
            while ended.is_none() && !begun() {
                ended = child.try_wait().unwrap();
            }
            assert_eq!(ended, None, "it was not seen to write");
            let left = listing(&root.path().join("out"));
            kill_process(Pid::from_child(&child), signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal.as_raw()), "{status}");
            let seen = left.iter().any(|name| name.starts_with(".resnet3d-"));
            assert_eq!(seen, has_name || !has_unnamed, "{left:?}");
            assert!(!output.exists() && listing(&root.path().join("out")).is_empty(), "signal {}", signal.as_raw());
        }
    }
}

/// A clip is written without a complete copy: the program uses little more memory than the clip needs.
#[test]
#[cfg(target_os = "linux")]
fn writing_a_clip_takes_no_second_one() {
    let root = prepare();
    let frames = 150;
    for frame in 2..frames {
        std::fs::hard_link(root.path().join("fr2/000000.png"), root.path().join(format!("fr2/{frame:06}.png")))
            .unwrap();
    }
    let mut clip = command(["clip", "fr2", "--size", "320", "--max-size", "400", "--output", "clip.safetensors"]);
    let mut child = clip.current_dir(root.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most_kib = 0;
    // The peak so far, from the system.
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        most_kib = most_kib.max(peak.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(child.wait().unwrap().success());
    let bytes = root.path().join("clip.safetensors").metadata().unwrap().len();
    assert_eq!(bytes / (frames * 3 * 320 * 400 * 4), 1);
    let ratio = (most_kib << 10) as f64 / bytes as f64;
    println!("{bytes} bytes of clip, at most {most_kib} KiB of memory: {ratio:.2} times");
    assert!((1.0..1.6).contains(&ratio), "{ratio}");
}

/// Two names of the same new file.
#[test]
fn outputs_of_one_name_are_wrong_usage() {
    let root = prepare();
    let arguments = ["bench", "--output", "fr/../o", "--roofline", "o"];
    let ran = run_in(root.path(), &arguments);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--output and --roofline name the same file"), "{}", ran.stderr);
    let text = run(["run", "--help"]).stdout;
    assert!(text.contains("`-` is standard output"), "{text}");
}
