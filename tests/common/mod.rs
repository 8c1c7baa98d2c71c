//! Shared code of the integration tests: adapters, fixtures, comparisons.
#![allow(dead_code)] // every test binary uses its own part

#[cfg(target_os = "linux")]
pub mod failing_driver;

use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::verify::{Deviation, Report, Tolerance};
use resnet3d_wgpu::{
    BackboneConfig, Clip, ContextOptions, DeviceLimits, FeatureMap, FeatureMaps, GpuContext, WeightOptions, Weights,
};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Contexts on every usable adapter of the machine, which are printed. Without an adapter, the test fails and prints
/// what to install.
pub fn contexts() -> Vec<GpuContext> {
    contexts_within(DeviceLimits::Adapter)
}

/// Like [`contexts`], with these limits.
pub fn contexts_within(limits: DeviceLimits) -> Vec<GpuContext> {
    let contexts = GpuContext::all(&ContextOptions::default().limits(limits))
        .expect("the tests need an adapter; on Debian: apt-get install mesa-vulkan-drivers libegl1 libgl1-mesa-dri");
    for gpu in &contexts {
        println!("adapter: {} on {} ({}), limits {limits}", gpu.adapter_name(), gpu.backend(), gpu.driver());
    }
    contexts
}

/// A network that is small enough for quick runs, with random weights.
pub fn narrow() -> (BackboneConfig, Weights) {
    let json = r#"{"block_counts": [2, 1, 1], "feat_dims": [8, 8, 12, 16], "width_per_group": 4}"#;
    let config = BackboneConfig::from_json(json).unwrap();
    let weights = Weights::random(&config, 3).unwrap();
    (config, weights)
}

/// Runs one test of this binary, ignored or not, in another process. If a loader started this process, as some drivers
/// need, it also starts the other one.
#[cfg(target_os = "linux")]
pub fn this_binary(test: &str) -> std::process::Command {
    use std::os::unix::ffi::OsStrExt as _;
    // The loader and its options, if there is one, the binary, and the arguments of the binary.
    let line = std::fs::read("/proc/self/cmdline").unwrap();
    let words: Vec<&[u8]> = line.strip_suffix(b"\0").unwrap().split(|&byte| byte == 0).collect();
    let given = std::env::args_os().count() - 1;
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(words[1..words.len() - given].iter().map(|word| std::ffi::OsStr::from_bytes(word)));
    command.args(["--include-ignored", "--nocapture", "--exact", test]);
    command
}

/// The names in a directory.
pub fn names_in(directory: &std::path::Path) -> std::collections::BTreeSet<String> {
    let entries = directory.read_dir().unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The directory `tests` of the workspace, for the tests of the library and of the program.
fn tests() -> PathBuf {
    let directories = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|directory| directory.join("tests"));
    directories.into_iter().find(|tests| tests.join("fixtures").is_dir()).expect("the fixtures are in the repository")
}

pub fn fixture_path(name: &str) -> PathBuf {
    tests().join("fixtures").join(name)
}

/// The path of a golden, which a script in `goldens` writes.
pub fn golden_path(name: &str) -> PathBuf {
    tests().join("goldens").join(name)
}

/// A body case of the independent oracle: network, weights, clip, and the expected taps. The weights are in the same
/// file, or are 2-D weights in a pickle beside it, which are inflated.
pub struct Fixture {
    pub config: BackboneConfig,
    pub weights: Weights,
    pub clip: Clip,
    pub dim_out: usize,
    pub spatial_scale: f64,
    /// Blob name to shape and values.
    pub expected: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

pub const BODY_FIXTURES: [&str; 11] = [
    "p01_bottleneck_conv4",
    "p02_basic_conv4",
    "p03_basic_conv5_batch",
    "p04_bottleneck_conv5_dilation2",
    "p05_groups2_stride3x3",
    "p06_time_stride",
    "p07_image_2d",
    "p08_basic_groups_time_stride",
    "p09_equal_dims",
    "pk01_py2_blobs_cfg",
    "pk02_py3_bare_extras",
];

pub fn fixture(name: &str) -> Fixture {
    let path = fixture_path(&format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let config = BackboneConfig::from_json(&metadata["config"]).unwrap();
    let read = |name: &str| {
        let view = file.tensor(name).unwrap();
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        (view.shape().to_vec(), values)
    };
    let (shape, data) = read("data");
    let expected = file.names().into_iter().filter_map(|name| {
        let blob = name.strip_prefix("expect.")?;
        Some((blob.to_owned(), read(name)))
    });
    let weights = match metadata.get("weights_pickle") {
        None => Weights::load(&path, &config),
        Some(pickle) => {
            let inflate = Some(metadata["inflate_mode"].parse().unwrap());
            Weights::load_with(fixture_path(pickle), &config, &WeightOptions::default().inflate(inflate))
        }
    };
    Fixture {
        weights: weights.unwrap(),
        clip: Clip::from_dims(&shape, data).unwrap(),
        dim_out: metadata["dim_out"].parse().unwrap(),
        spatial_scale: metadata["spatial_scale"].parse().unwrap(),
        expected: expected.collect(),
        config,
    }
}

/// Fails if a run of `verify` failed. Prints all failures, each with the command that replays it.
#[track_caller]
pub fn assert_verified(report: &Report, limits: DeviceLimits) {
    let failures = report.failures.iter().map(|failure| {
        let replay = format!("resnet3d verify --seed {} --case {}", failure.seed, failure.number);
        format!("{failure}\n  {replay} --backend {} --adapter {:?} --limits {limits}", report.backend, report.adapter)
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The deviation of a blob from its expected values, by the bounds of `verify` for f32.
pub fn deviation(blob: &str, got: &[f32], want: impl IntoIterator<Item = f64>) -> Deviation {
    Deviation::measure(blob, got, &want.into_iter().collect::<Vec<_>>(), Tolerance::of(DType::F32))
}

/// The blobs of two results in pairs. Fails unless their names, shapes and numbers of values are the same.
#[track_caller]
pub fn side_by_side<'a>(
    one: &'a FeatureMaps,
    other: &'a FeatureMaps,
) -> impl Iterator<Item = (&'a FeatureMap, &'a FeatureMap)> {
    let names = |features: &'a FeatureMaps| features.blobs().iter().map(|blob| (&blob.name, blob.shape));
    assert!(names(one).eq(names(other)), "other blobs");
    assert!(one.blobs().iter().chain(other.blobs()).all(|blob| blob.data.len() == blob.shape.len()), "other lengths");
    one.blobs().iter().zip(other.blobs())
}

/// Fails unless a blob is within tolerance of its expected values, as a whole and value by value.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: impl IntoIterator<Item = f64>) -> Deviation {
    let deviation = deviation(what, got, want);
    assert!(deviation.passed(), "{deviation:?}");
    deviation
}

/// The comparisons of a test with many blobs. All are made before the test fails.
#[derive(Default)]
pub struct Comparisons {
    made: usize,
    failed: Vec<Deviation>,
}

impl Comparisons {
    /// Compares a blob with its expected values, like [`assert_close`], and gives its relative deviation.
    pub fn compare(&mut self, what: &str, got: &[f32], want: impl IntoIterator<Item = f64>) -> f64 {
        let deviation = deviation(what, got, want);
        let relative = deviation.relative;
        self.made += 1;
        self.failed.extend(Some(deviation).filter(|deviation| !deviation.passed()));
        relative
    }

    /// Fails if a blob was not within tolerance, or if none was compared. Prints all that failed.
    #[track_caller]
    pub fn assert_passed(self) {
        let Self { made, failed } = self;
        let lines: Vec<String> = failed.iter().map(|deviation| format!("{deviation:?}")).collect();
        assert!(made > 0 && failed.is_empty(), "{} of {made} blobs failed:\n{}", failed.len(), lines.join("\n"));
    }
}

/// ‖got − want‖₂ / ‖want‖₂.
pub fn relative_l2(got: impl IntoIterator<Item = f64>, want: impl IntoIterator<Item = f64>) -> f64 {
    let (mut error, mut norm, mut count) = (0.0, 0.0, 0);
    let (mut got, mut want) = (got.into_iter(), want.into_iter());
    loop {
        match (got.next(), want.next()) {
            (Some(g), Some(w)) => {
                error += (g - w) * (g - w);
                norm += w * w;
                count += 1;
            }
            (None, None) => break,
            _ => panic!("different lengths"),
        }
    }
    assert!(count > 0 && norm > 0.0, "nothing to compare");
    f64::sqrt(error / norm)
}

pub fn widen(values: &[f32]) -> impl Iterator<Item = f64> + '_ {
    values.iter().map(|&v| f64::from(v))
}
