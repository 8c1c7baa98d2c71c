//! A driver that fails: lavapipe with chosen calls of one function failing (`failing_driver.c`), a process for each.

use super::{CLIP, backbone, clip, this_binary};
use resnet3d_wgpu::{Backend, ContextOptions, Error, GpuContext, Timing};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the processes that run on such a driver.
const CHILD: &str = "RESNET3D_TEST_FAILING_DRIVER";

// VK_ERROR_OUT_OF_HOST_MEMORY and so on.
const NO_HOST_MEMORY: i32 = -1;
const NO_MEMORY: i32 = -2;
const LOST: i32 = -4;
const NOT_MAPPED: i32 = -5;
const TIMEOUT: i32 = 2;

#[test]
fn a_failing_driver_is_a_typed_error() {
    if std::env::var_os(CHILD).is_some() {
        return on_the_failing_driver();
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(driver) = build(directory.path()) else { return };
    let mut kinds = std::collections::BTreeMap::new();
    // What drivers fail at when memory is short or the GPU has been reset. (Where ending a command buffer fails, wgpu 30
    // panics when its device is dropped: nothing that could be caught here.)
    for (function, code) in [
        ("vkAllocateMemory", NO_MEMORY),
        ("vkCreateBuffer", NO_MEMORY),
        ("vkMapMemory", NOT_MAPPED),
        ("vkCreateComputePipelines", NO_MEMORY),
        ("vkCreateShaderModule", NO_HOST_MEMORY),
        ("vkAllocateDescriptorSets", LOST),
        ("vkBeginCommandBuffer", LOST),
        ("vkQueueSubmit", LOST),
        ("vkWaitSemaphores", LOST),
        ("vkGetSemaphoreCounterValue", LOST),
    ] {
        for first in [1, 5, 14] {
            let Some(mut child) = this_binary() else {
                println!("skipped: this was not started as itself");
                return;
            };
            child.args(["--exact", "driver::a_failing_driver_is_a_typed_error", "--nocapture"]).env(CHILD, "1");
            child
                .envs([("VK_ICD_FILENAMES", driver.manifest.as_os_str()), ("FAILING_DRIVER", driver.real.as_os_str())]);
            let output = child.env("FAILING_CALLS", format!("{function}:{first}:1:{code}")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let what = format!("{function} fails with {code} at call {first}");
            let said = said + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{what}: {:?}\n{said}", output.status);
            let kind =
                said.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_else(|| panic!("{what}: {said}"));
            println!("{what}: {kind}");
            *kinds.entry((function, kind.to_owned())).or_insert(0) += 1;
        }
    }
    for (function, kind) in [
        ("vkAllocateMemory", "Device"),
        ("vkCreateBuffer", "OutOfMemory"),
        ("vkQueueSubmit", "DeviceLost"),
        ("vkWaitSemaphores", "DeviceLost"),
        ("vkGetSemaphoreCounterValue", "DeviceLost"),
    ] {
        assert!(kinds.contains_key(&(function, kind.to_owned())), "{function} never led to {kind}: {kinds:?}");
    }
}

/// A run that is given up because the device takes too long leaves nothing behind: the next one of that shape is right.
#[test]
fn a_timeout_does_not_poison_a_shape() {
    if std::env::var_os(CHILD).is_some() {
        return after_a_timeout();
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(driver) = build(directory.path()) else { return };
    let mut given_up = 0;
    for call in 1..12 {
        let Some(mut child) = this_binary() else {
            println!("skipped: this was not started as itself");
            return;
        };
        child.args(["--exact", "driver::a_timeout_does_not_poison_a_shape", "--nocapture"]).env(CHILD, "1");
        child.envs([("VK_ICD_FILENAMES", driver.manifest.as_os_str()), ("FAILING_DRIVER", driver.real.as_os_str())]);
        let output = child.env("FAILING_CALLS", format!("vkWaitSemaphores:{call}:1:{TIMEOUT}")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "call {call}: {:?}\n{said}", output.status);
        given_up += said.matches("given up: ").count();
    }
    assert!(given_up > 3, "a wait of a run was to fail, and that happened {given_up} times");
}

/// Of all runs on a driver with one wait that fails at once, at most one is an error.
fn after_a_timeout() {
    let options = ContextOptions { backend: Some(Backend::Vulkan), ..ContextOptions::default() };
    let gpu = GpuContext::new(options).unwrap();
    let mut backbone = backbone(&gpu);
    // The wait that fails may be this one's.
    let _ = backbone.prepare(CLIP);
    backbone.prepare(CLIP).unwrap();
    let mut good = Vec::new();
    for _ in 0..12 {
        match backbone.forward_timed(&clip(1), Timing::Layers) {
            Ok((features, _)) => good.push(features),
            Err(Error::Device { reason, .. }) => println!("given up: {reason}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(good.len() >= 11 && good.iter().all(|features| *features == good[0]), "{} of 12", good.len());
}

/// Code 1, what happened, what to do; and `verify` writes down what it has found so far.
#[test]
#[cfg(feature = "cli")]
fn the_program_says_what_to_do_about_a_lost_device() {
    let directory = tempfile::tempdir().unwrap();
    let Some(driver) = build(directory.path()) else { return };
    let run = |calls: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resnet3d"));
        command.args(arguments).args(["--backend", "vulkan", "--no-cache"]).env_remove("RUST_LOG");
        command.envs([("VK_ICD_FILENAMES", driver.manifest.as_os_str()), ("FAILING_DRIVER", driver.real.as_os_str())]);
        let output = command.env("FAILING_CALLS", calls).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run("vkQueueSubmit:1:1:-4", &["bench", "--clip", "1x3x2x32x40", "--runs", "1"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("error: device llvmpipe") && stderr.contains("is lost: "), "{stderr}");
    assert!(stderr.contains("hint: run it again"), "{stderr}");

    let report = directory.path().join("report.json");
    let arguments = ["verify", "--cases", "50", "--report", report.to_str().unwrap()];
    let (code, stderr) = run("vkQueueSubmit:40:1:-4", &arguments);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the device was lost") && stderr.contains("runs are not as they should be"), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let adapter = &report["adapters"][0];
    assert_eq!((&report["passed"], &adapter["lost"]), (&false.into(), &true.into()));
    let failure = &adapter["failures"][0];
    assert!(failure["error"].as_str().unwrap().contains("is lost") && failure["seed"] == 1, "{failure}");
}

/// Whatever a call does, results are right or errors typed; and a new context is as good as ever.
fn on_the_failing_driver() {
    let open = || GpuContext::new(ContextOptions { backend: Some(Backend::Vulkan), ..ContextOptions::default() });
    let mut kind = "none";
    let mut good = Vec::new();
    for _ in 0..3 {
        let Ok(gpu) = open().inspect_err(|error| kind = name(error)) else { continue };
        let mut backbone = backbone(&gpu);
        for _ in 0..3 {
            match backbone.forward(&clip(1)) {
                Ok(features) => good.push(features),
                Err(error) => {
                    kind = name(&error);
                    println!("{error}");
                    if matches!(error, Error::DeviceLost { .. }) {
                        assert!(gpu.lost().is_some());
                        break;
                    }
                }
            }
        }
    }
    // One call has failed: all that did not meet it have worked.
    assert!(good.len() >= 6 && good.iter().all(|features| *features == good[0]), "{}", good.len());
    println!("kind: {kind}");
}

fn name(error: &Error) -> &'static str {
    match error {
        Error::OutOfMemory { .. } => "OutOfMemory",
        Error::DeviceLost { .. } => "DeviceLost",
        Error::Device { .. } => "Device",
        Error::NoAdapter { .. } => "NoAdapter",
        other => panic!("{other}"),
    }
}

struct Driver {
    manifest: PathBuf,
    real: PathBuf,
}

/// Compiles the driver; `None`, with a word, where there is no lavapipe to put behind it.
fn build(directory: &Path) -> Option<Driver> {
    let manifests =
        ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].iter().filter_map(|path| Path::new(path).read_dir().ok());
    let manifests = manifests.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let manifest =
        manifests.into_iter().find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("lvp_icd")));
    let Some(manifest) = manifest else {
        println!("skipped: there is no lavapipe to make fail");
        return None;
    };
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let real = PathBuf::from(json["ICD"]["library_path"].as_str().unwrap());
    let library = directory.join("failing_driver.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/failing_driver.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wl,-z,nodelete", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cc links Rust programs here, and cannot compile C");
    json["ICD"]["library_path"] = library.to_str().unwrap().into();
    let manifest = directory.join("failing_driver.json");
    std::fs::write(&manifest, json.to_string()).unwrap();
    Some(Driver { manifest, real })
}
