//! Runs the program, and reads and writes its files.

use resnet3d_wgpu::Shape;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// The result of a run of the program.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The command of the program, without variables of the machine's environment that would change the result.
pub fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnet3d"));
    command.args(arguments).env_remove("RUST_LOG");
    command.env("RESNET3D_CACHE_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // Otherwise Mesa complains without a display.
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    command
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    let output = command(arguments).output().expect("the program starts");
    Ran {
        code: output.status.code().expect("the program ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("standard output is text"),
        stderr: String::from_utf8(output.stderr).expect("standard error is text"),
    }
}

/// Runs the program, which must succeed. Returns its standard output.
#[track_caller]
pub fn succeed<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let ran = run(arguments);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

/// Runs the program with `--json`, which must succeed. Returns the JSON.
#[track_caller]
pub fn json<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> serde_json::Value {
    let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
    let stdout = succeed(arguments.chain(["--json".into()]));
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// The sorted keys of a JSON object.
#[track_caller]
pub fn keys(value: &serde_json::Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A safetensors file: its float32 tensors and its metadata.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub fn read_tensors(path: &Path) -> (Tensors, HashMap<String, String>) {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        (name, (view.shape().to_vec(), values))
    });
    (tensors.collect(), header.metadata().clone().unwrap_or_default())
}

pub fn write_tensors(path: &Path, tensors: &Tensors, metadata: &HashMap<String, String>) {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name.as_str(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), &bytes[name.as_str()]).unwrap();
        (name.as_str(), view)
    });
    std::fs::write(path, safetensors::serialize(views, Some(metadata.clone())).unwrap()).unwrap();
}

/// Writes an `.npy` of float32 values.
pub fn write_npy(path: &Path, shape: Shape, values: &[f32]) {
    let axes: [usize; 5] = shape.into();
    let axes = axes.map(|axis| axis.to_string()).join(", ");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

/// The sorted file names in a directory.
pub fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A network that is small enough for quick runs.
pub const NARROW: &str = r#"{"block_counts": [1, 1, 1], "feat_dims": [4, 4, 8, 8], "width_per_group": 4}"#;
