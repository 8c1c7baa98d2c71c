//! Any bytes as an `.npy` file, read as a ready clip or as pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet3d_wgpu::clip::files::{LoadOptions, load};
use resnet3d_wgpu::clip::preprocess::{Preprocess, Size};
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory for files that last a moment").keep();
    directory.join("clip.npy")
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file can be written");
    // Small, so that what is found is found soon.
    let preprocess = Preprocess::default().size(Size::Shorter(16)).max_size(32);
    if let Ok(clip) = load(&*FILE, &LoadOptions::default().preprocess(preprocess)) {
        assert_eq!(clip.data().len(), clip.shape().len());
        // A picture of one pixel, three bytes, becomes 3x16x32 values at most; a float is two bytes at least.
        assert!(clip.data().len() <= bytes.len() * 16 * 32, "values out of nowhere");
    }
});
