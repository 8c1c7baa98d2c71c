//! The files that a run leaves on the disk: the requested outputs, and a cache if it is enabled. Only for Linux, where
//! variables determine the directories for other files.

use crate::common::{fixture_path, golden_path};
use crate::harness::{NARROW, command};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every file below a directory.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path]) }).collect()
}

/// Runs every command that computes, converts or reports in a new home directory. Returns the files that exist
/// afterwards.
fn files_after(further: &[&str]) -> BTreeSet<String> {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    // Caches of drivers are kept elsewhere.
    let places = [
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_STATE_HOME", "state"),
    ];
    let drivers = tempfile::tempdir().unwrap();
    let fixture = fixture_path("p01_bottleneck_conv4.safetensors");
    let fixture = fixture.to_str().unwrap();
    let video = golden_path("video/torchvision_mc3.safetensors");
    let video = video.to_str().unwrap();
    let commands: [&[&str]; 8] = [
        &["adapters"],
        &["plan", "--clip", "1x3x2x32x32", "--json"],
        &["run", "--weights", fixture, "--input", fixture, "--output", "features.safetensors"],
        &["run", "--weights", fixture, "--input", fixture, "--output", "tapped.safetensors", "--heatmap", "heat.png"],
        &["classify", video, "--weights", video, "--heatmap", "why.png"],
        &["convert", fixture, "weights.safetensors"],
        &["bench", "--clip", "1x3x2x32x32", "--config", NARROW, "--runs", "1"],
        &["verify", "--cases", "1"],
    ];
    for arguments in commands {
        let mut command = command(arguments.iter().chain(further));
        command.env_remove("RESNET3D_CACHE_DIR").current_dir(at("work"));
        command.envs(places.map(|(variable, name)| (variable, at(name))));
        command.env("MESA_SHADER_CACHE_DIR", drivers.path()).env("__GL_SHADER_DISK_CACHE_PATH", drivers.path());
        let ran = command.output().expect("the program starts");
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let inside = |path: PathBuf| path.strip_prefix(root.path()).unwrap().to_string_lossy().into_owned();
    files(root.path()).into_iter().map(inside).collect()
}

#[test]
fn nothing_is_written_but_what_was_asked_for() {
    let asked = ["features.safetensors", "heat.png", "tapped.safetensors", "weights.safetensors", "why.png"];
    let asked = asked.map(|name| format!("work/{name}")).into();
    assert_eq!(files_after(&["--no-cache"]), asked, "with --no-cache");
    // By default, caches are only in the system's directory for caches.
    let more: Vec<String> = files_after(&[]).difference(&asked).cloned().collect();
    println!("caches: {more:?}");
    assert!(more.iter().all(|file| file.starts_with("cache/resnet3d/")), "{more:?}");
}
