//! Reads and writes safetensors.

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Float32 values in row-major order, and their shape.
#[derive(Clone, Debug)]
pub struct Values {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Values {
    /// Reads a clip, the tensor `data` of the file at `path`.
    pub fn read_clip(path: &Path) -> Result<Self> {
        let clip = read_safetensors(path)?.remove("data");
        let clip = clip.with_context(|| format!("{} has no tensor data", path.display()))?;
        ensure!(clip.shape.len() == 5, "{}: data has {} axes, a clip has 5", path.display(), clip.shape.len());
        Ok(clip)
    }

    /// Writes the values to `path` as the tensor `output`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> = self.data.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, self.shape.clone(), &bytes)?;
        let file = safetensors::serialize([("output", view)], None)?;
        fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Reads all tensors of the file at `path`, which have to be float32.
pub fn read_safetensors(path: &Path) -> Result<HashMap<String, Values>> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = SafeTensors::deserialize(&content).with_context(|| path.display().to_string())?;
    let mut tensors = HashMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            bail!("{}: {name} is {:?}, wanted F32", path.display(), view.dtype());
        }
        let (values, _) = view.data().as_chunks::<4>();
        let data = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensors.insert(name.to_owned(), Values { shape: view.shape().to_vec(), data });
    }
    Ok(tensors)
}
