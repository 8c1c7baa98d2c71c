//! A driver that fails: lavapipe with chosen calls of one function failing (`failing_driver.c`).

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Driver {
    /// The value of `VK_ICD_FILENAMES`.
    pub manifest: PathBuf,
    /// The value of `FAILING_DRIVER`: the real driver.
    pub real: PathBuf,
}

/// Compiles the driver.
pub fn build(directory: &Path) -> Driver {
    let manifests =
        ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].iter().filter_map(|path| Path::new(path).read_dir().ok());
    let manifests = manifests.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_lavapipe = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("lvp_icd"));
    let manifest = manifests.into_iter().find(is_lavapipe);
    let manifest = manifest.expect("the test needs lavapipe; on Debian: apt-get install mesa-vulkan-drivers");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let real = PathBuf::from(json["ICD"]["library_path"].as_str().unwrap());
    let library = directory.join("failing_driver.so");
    let source = super::tests().join("common/failing_driver.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wl,-z,nodelete", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cc links Rust programs here, and cannot compile C");
    json["ICD"]["library_path"] = library.to_str().unwrap().into();
    let manifest = directory.join("failing_driver.json");
    std::fs::write(&manifest, json.to_string()).unwrap();
    Driver { manifest, real }
}
