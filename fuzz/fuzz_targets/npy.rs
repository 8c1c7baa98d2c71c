//! Reads any bytes as an `.npy` file, with a ready clip or pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet3d_wgpu::clip::files::{LoadOptions, load};
use resnet3d_wgpu::clip::preprocess::{Preprocess, Size};
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory for temporary files").keep();
    directory.join("clip.npy")
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file can be written");
    // Small frames make the search fast.
    let preprocess = Preprocess::default().size(Size::Shorter(16)).max_size(32);
    if let Ok(clip) = load(&*FILE, &LoadOptions::default().preprocess(preprocess)) {
        assert_eq!(clip.data().len(), clip.shape().len());
        // A picture of one pixel (three bytes) becomes at most 3x16x32 values; a float has at least two bytes.
        assert!(clip.data().len() <= bytes.len() * 16 * 32, "more values than the file can have");
    }
});
