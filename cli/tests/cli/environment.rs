//! Environment variables that change which backends are used, or what libraries print.

use crate::harness::command;
use std::process::Output;

fn adapters(variable: Option<&str>, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(["adapters"].iter().chain(arguments));
    command.env_remove("WGPU_BACKEND");
    if let Some(value) = variable {
        command.env("WGPU_BACKEND", value);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A value without a known backend has no effect, a value that hides all adapters is named in the error, and the option
/// overrides the variable.
#[test]
fn wgpu_s_variable_is_obeyed_and_named() {
    let all = adapters(None, &["--json"]);
    assert_eq!(all.0, 0, "{}", all.2);
    for nothing in ["", "vulcan", "cuda", ","] {
        let ran = adapters(Some(nothing), &["--json"]);
        assert_eq!((ran.0, &ran.1, ran.2.as_str()), (0, &all.1, ""), "{nothing:?}");
    }
    // A backend that this system does not have.
    let absent = if cfg!(target_os = "macos") { "dx12" } else { "metal" };
    let (code, stdout, stderr) = adapters(Some(absent), &[]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains(&format!("among those that WGPU_BACKEND={absent} allows; found: none")), "{stderr}");
    assert!(stderr.contains("hint: unset the variable WGPU_BACKEND") && !stderr.contains("apt-get"), "{stderr}");

    let report: serde_json::Value = serde_json::from_str(&all.1).unwrap();
    let backend = report["adapters"][0]["backend"].as_str().unwrap();
    let only = adapters(Some(backend), &["--json"]);
    let only: serde_json::Value = serde_json::from_str(&only.1).unwrap();
    let backends: Vec<&str> =
        only["adapters"].as_array().unwrap().iter().map(|a| a["backend"].as_str().unwrap()).collect();
    assert!(backends.iter().all(|name| *name == backend), "{backends:?}");
    for hiding in [absent, "dx12", "metal", "gl"].iter().filter(|hiding| **hiding != backend) {
        let ran = adapters(Some(hiding), &["--backend", backend, "--json"]);
        assert_eq!((ran.0, &ran.1), (0, &all.1), "--backend {backend} with WGPU_BACKEND={hiding}: {}", ran.2);
    }
}

/// Mesa's complaint about a variable is not printed: it looks like a message of the program.
#[test]
#[cfg(target_os = "linux")]
fn a_system_without_a_display_is_none_of_the_users_business() {
    use crate::harness::run;
    let quiet = |value: Option<&str>, more: &[(&str, &str)]| {
        let mut command = command(["adapters"]);
        command.env_remove("XDG_RUNTIME_DIR").env_remove("NODEVICE_SELECT").envs(more.iter().copied());
        if let Some(value) = value {
            command.env("XDG_RUNTIME_DIR", value);
        }
        command.output().unwrap()
    };
    let want = run(["adapters"]).stdout;
    for value in [None, Some(""), Some("relative"), Some("/nowhere")] {
        let ran = quiet(value, &[]);
        let (stdout, stderr) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
        assert_eq!((ran.status.code(), stderr.as_str()), (Some(0), ""), "XDG_RUNTIME_DIR: {value:?}");
        assert_eq!(stdout, want, "XDG_RUNTIME_DIR: {value:?}");
    }
    // The test can fail: under another name, the program does not restart itself.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let other = directory.path().join("other");
    std::fs::hard_link(env!("CARGO_BIN_EXE_resnet3d"), &other).unwrap();
    let loud = std::process::Command::new(other).arg("adapters").env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert_eq!(loud.status.code(), Some(0));
    match String::from_utf8_lossy(&loud.stderr).lines().next() {
        Some(line) => println!("what is not to be seen: {line}"),
        None => println!("nothing shown: this system's Mesa does not complain"),
    }
}

/// The restart is invisible to the parent process: exit code, name, process and signals are the same.
#[test]
#[cfg(target_os = "linux")]
fn the_program_stays_the_process_that_was_started() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut failing = command(["adapters", "--adapter", "no such"]);
    let failed = failing.env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stderr));

    let mut long = command(["verify", "--for", "1h"]);
    let mut child = long.env_remove("XDG_RUNTIME_DIR").stderr(std::process::Stdio::null()).spawn().unwrap();
    let environment = format!("/proc/{}/environ", child.id());
    let anew = || {
        std::fs::read(&environment).unwrap_or_default().windows(26).any(|part| part == b"XDG_RUNTIME_DIR=/dev/null\0")
    };
    let mut patience = 60_000;
    while !anew() && patience > 0 {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(1));
        patience -= 1;
    }
    let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
    assert_eq!(name, "resnet3d\n");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert!(patience > 0, "it was not started anew");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15), "{status}");
}
