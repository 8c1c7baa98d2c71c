//! The cache of pipelines: its files do not change results, whatever they contain.

mod common;

use common::{contexts, fixture};
use resnet3d_wgpu::low_level::gpu::Compilation;
use resnet3d_wgpu::{ContextOptions, FeatureMaps, GpuBackbone, GpuContext, Options, Shape};
use std::path::{Path, PathBuf};

/// A forward on a new device that caches in `directory`.
fn forward(backend: &GpuContext, directory: &Path) -> FeatureMaps {
    let case = fixture("p01_bottleneck_conv4");
    let all = resnet3d_wgpu::low_level::gpu::list_adapters();
    let summary = all.iter().find(|adapter| adapter.backend() == backend.backend()).unwrap();
    let gpu = GpuContext::open(summary).unwrap().cached_in(directory);
    let mut backbone = GpuBackbone::new(&gpu, &case.config, &case.weights, Options::default()).unwrap();
    backbone.forward(&case.clip).unwrap()
}

fn only_file(directory: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let file = entries.next().expect("a file");
    assert_eq!(entries.next(), None, "one file only");
    file
}

/// Another thread can watch the progress.
#[test]
fn compiling_can_be_watched() {
    let case = fixture("p01_bottleneck_conv4");
    for gpu in contexts() {
        assert_eq!(gpu.compilation(), None);
        let mut backbone = GpuBackbone::new(&gpu, &case.config, &case.weights, Options::default()).unwrap();
        let seen: Vec<Compilation> = std::thread::scope(|scope| {
            let preparing = scope.spawn(|| backbone.prepare(case.clip.shape()));
            let running = || (!preparing.is_finished()).then(|| gpu.compilation());
            let seen = std::iter::from_fn(running).flatten().collect();
            preparing.join().unwrap().unwrap();
            seen
        });
        assert!(seen.len() > 1 && seen[0].total > 1, "{} on {}", seen.len(), gpu.backend());
        assert!(seen.windows(2).all(|pair| pair[0].done <= pair[1].done && pair[0].total == pair[1].total));
        assert!(seen.iter().all(|compilation| compilation.done <= compilation.total));
        assert_eq!(gpu.compilation(), None, "nothing is left under way");
        backbone.prepare(Shape { t: 2, ..case.clip.shape() }).unwrap();
        assert_eq!(gpu.compilation(), None);
    }
}

#[test]
fn damaged_and_foreign_files_are_misses_and_replaced() {
    for gpu in contexts() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("made/when/needed");
        let want = forward(&gpu, &directory);
        if gpu.backend() != "vulkan" {
            assert!(!directory.exists(), "{} has no such data", gpu.backend());
            continue;
        }
        let file = only_file(&directory);
        let good = std::fs::read(&file).unwrap();
        assert!(good.starts_with(b"resnet3d pipelines 1\n"));
        let modified = file.metadata().unwrap().modified().unwrap();
        assert!(forward(&gpu, &directory) == want, "with the cache");
        assert_eq!(file.metadata().unwrap().modified().unwrap(), modified, "nothing new is not written");

        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let version = String::from_utf8_lossy(&good).find(env!("CARGO_PKG_VERSION")).expect("the version is in it");
        let mut other_version = good.clone();
        other_version[version] ^= 1;
        let bad =
            [Vec::new(), good[..good.len() - 1].to_vec(), flipped, other_version, b"{}".to_vec(), vec![0xff; 4096]];
        for bytes in bad {
            std::fs::write(&file, &bytes).unwrap();
            assert!(forward(&gpu, &directory) == want, "{} bytes", bytes.len());
            assert_eq!(std::fs::read(&file).unwrap(), good, "replaced by what the driver has made");
        }
    }
}

#[test]
fn a_directory_that_cannot_be_one_is_no_error() {
    let gpu = &contexts()[0];
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, b"mine").unwrap();
    forward(gpu, &file.join("below"));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn without_a_directory_there_is_no_file() {
    assert!(format!("{:?}", ContextOptions::default()).contains("cache: None"));
}
