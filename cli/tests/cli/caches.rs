//! The location of caches.

use crate::common::fixture_path;
use crate::harness::{NARROW, command, json, keys, listing, run};
use std::path::Path;

/// Runs a small network with the given variables, such as `HOME` and the directories of caches.
fn run_with(further: &[&str], variables: &[(&str, &Path)], directory: &Path) {
    let file = fixture_path("p01_bottleneck_conv4.safetensors");
    let output = directory.join("features.safetensors");
    let arguments = ["run", "--backend", "vulkan", "--weights", "FILE", "--input", "FILE", "--output", "OUT"];
    let arguments = arguments.map(|argument| match argument {
        "FILE" => file.to_str().unwrap(),
        "OUT" => output.to_str().unwrap(),
        other => other,
    });
    let mut command = command(arguments.iter().chain(further));
    command.env_remove("RESNET3D_CACHE_DIR").env_remove("XDG_CACHE_HOME").envs(variables.iter().copied());
    let ran = command.output().expect("the program starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// Only Vulkan hands out compiled pipelines.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs Vulkan, which not every system has beside its own interface")]
fn caches_are_where_they_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let [option, variable, system] = ["option", "variable", "system"].map(|name| directory.path().join(name));
    let option_text = option.to_str().unwrap();

    // Mesa also keeps a cache in the home directory, which is moved elsewhere.
    let mesa = ("MESA_SHADER_CACHE_DIR", directory.path());
    run_with(&["--no-cache"], &[("HOME", &home), ("RESNET3D_CACHE_DIR", &variable), mesa], directory.path());
    assert!(!variable.exists() && listing(&home).is_empty(), "with --no-cache");
    let variables = [("HOME", home.as_path()), ("RESNET3D_CACHE_DIR", &variable), mesa];
    run_with(&["--cache-dir", option_text], &variables, directory.path());
    assert!(!variable.exists() && listing(&home).is_empty(), "with --cache-dir");
    assert_eq!(listing(&option).len(), 1);
    run_with(&[], &variables, directory.path());
    assert!(listing(&home).is_empty());
    assert_eq!(listing(&variable), listing(&option));
    if cfg!(target_os = "linux") {
        run_with(&[], &[("HOME", &home), ("XDG_CACHE_HOME", &system), mesa], directory.path());
        assert_eq!(listing(&system.join("resnet3d")), listing(&option));
        assert!(listing(&home).is_empty());
        run_with(&[], &[("HOME", &home), mesa], directory.path());
        assert_eq!(listing(&home.join(".cache/resnet3d")), listing(&option));
    }
    let ran = run(["adapters", "--no-cache", "--cache-dir", option_text]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn tuning_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().to_str().unwrap();
    let bench = ["bench", "--clip", "1x3x2x32x32", "--config", NARROW, "--runs", "3", "--tune", "--cache-dir", cache];
    let first = json(bench);
    assert_eq!(keys(&first["tuning"]), ["changed", "gain", "operators", "table_latency_ms"]);
    let operators = first["tuning"]["operators"].as_array().unwrap();
    assert!(operators.len() > 3);
    for operator in operators {
        assert!(operator["chosen_ms"].as_f64() <= operator["table_ms"].as_f64(), "{operator}");
    }
    assert!(listing(directory.path()).iter().any(|name| name.starts_with("tuning_")));
    let again = json(bench);
    assert!(again["tuning"]["operators"].as_array().unwrap().is_empty());
    assert_eq!(again["tuning"]["changed"], first["tuning"]["changed"]);
    assert!(json(&bench[..7]).get("tuning").is_none(), "only where it is asked for");
}
