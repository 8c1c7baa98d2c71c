//! Any bytes as an `.npy` file, read as a ready clip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet3d_wgpu::clip::files::{LoadOptions, load};
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory for files that last a moment").keep();
    directory.join("clip.npy")
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file can be written");
    if let Ok(clip) = load(&*FILE, &LoadOptions::default()) {
        assert_eq!(clip.data().len(), clip.shape().len());
        assert!(clip.data().len() * 2 <= bytes.len(), "values out of nowhere");
    }
});
