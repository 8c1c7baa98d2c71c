//! Reads any bytes as a directory with one frame: a picture of any kind, which its first bytes determine. It is decoded
//! and preprocessed with one of two normalizations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet3d_wgpu::clip::files::{LoadOptions, load};
use resnet3d_wgpu::clip::preprocess::{Normalization, Preprocess, Size};
use std::path::PathBuf;
use std::sync::LazyLock;

static DIRECTORY: LazyLock<PathBuf> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory for temporary files").keep());

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, picture)) = bytes.split_first() else { return };
    std::fs::write(DIRECTORY.join("0.png"), picture).expect("the file can be written");
    let usual = Preprocess::usual(Normalization::ALL[usize::from(choice & 1)]);
    // Small frames make the search fast.
    let preprocess = usual.size(Size::Shorter(16));
    if let Ok(clip) = load(&*DIRECTORY, &LoadOptions::default().preprocess(preprocess)) {
        assert!(clip.data().iter().all(|value| value.is_finite()));
    }
});
