//! Writing of safetensors files. The bytes depend only on the contents.

use crate::atomic_file::Contents;
use crate::error::{ErrorRepr, Result};
use half::f16;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a str,
    /// The extents, outermost first.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: &'a [f32],
}

/// The element type of stored values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// float32, unchanged.
    #[default]
    F32,
    /// float16, rounded to nearest.
    F16,
}

impl Storage {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
        }
    }

    /// Bytes per value.
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// The header: the metadata sorted by key, then the tensors in the order of their offsets.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<&'a str, String>,
    #[serde(flatten)]
    tensors: &'a Metadata,
}

/// A safetensors file to be written. Values are encoded while they are written, so no second copy of all values is
/// needed.
pub struct TensorFile<'a> {
    /// The length of the header and its JSON.
    header: Vec<u8>,
    /// The values of the tensors, sorted by name.
    values: Vec<&'a [f32]>,
    storage: Storage,
}

impl<'a> TensorFile<'a> {
    /// A file of `tensors`, sorted by name.
    ///
    /// The crate `safetensors` takes metadata as a `HashMap`, whose order differs in every run. So the header is
    /// assembled here; the crate still serializes the entries of the tensors and does all checks.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for tensors that a safetensors file cannot hold, or
    /// values that float16 cannot represent.
    pub fn new(mut tensors: Vec<Entry<'a>>, storage: Storage, metadata: &BTreeMap<&str, String>) -> Result<Self> {
        if storage == Storage::F16 {
            tensors.iter().try_for_each(check_half)?;
        }
        tensors.sort_by_key(|entry| entry.name);
        let mut end = 0;
        let infos = tensors.iter().map(|entry| {
            let start = end;
            end += storage.size() * entry.values.len();
            let shape = entry.shape.clone();
            (entry.name.to_owned(), TensorInfo { dtype: storage.dtype(), shape, data_offsets: (start, end) })
        });
        let refused = |error: SafeTensorError| ErrorRepr::Unsupported {
            what: "these tensors in a safetensors file".to_owned(),
            reason: error.to_string(),
        };
        let infos = Metadata::new(None, infos.collect()).map_err(refused)?;
        let json = serde_json::to_vec(&Header { metadata, tensors: &infos });
        let mut json = json.map_err(|error| refused(error.into()))?;
        // Padding, so that the tensors begin at a multiple of eight bytes.
        json.resize(json.len().next_multiple_of(8), b' ');
        let header = [&(json.len() as u64).to_le_bytes()[..], &json].concat();
        Ok(Self { header, values: tensors.into_iter().map(|entry| entry.values).collect(), storage })
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> usize {
        self.header.len() + self.storage.size() * self.values.iter().map(|values| values.len()).sum::<usize>()
    }

    /// The contents of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        self.write_to(&mut bytes).expect("writing to a Vec does not fail");
        bytes
    }
}

impl Contents for TensorFile<'_> {
    fn write_to(&self, file: &mut dyn Write) -> io::Result<()> {
        const VALUES_AT_ONCE: usize = 1 << 16;
        file.write_all(&self.header)?;
        let mut bytes = Vec::new();
        for values in self.values.iter().flat_map(|values| values.chunks(VALUES_AT_ONCE)) {
            bytes.clear();
            match self.storage {
                Storage::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
                Storage::F16 => bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
            }
            file.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// Refuses values that float16 cannot represent.
fn check_half(entry: &Entry<'_>) -> Result<()> {
    match entry.values.iter().position(|&value| !f16::from_f32(value).is_finite()) {
        None => Ok(()),
        Some(index) => Err(ErrorRepr::Unsupported {
            what: format!("blob {:?} as float16", entry.name),
            reason: format!("{} at flat index {index} is beyond its largest value, {}", entry.values[index], f16::MAX),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use safetensors::SafeTensors;
    use safetensors::tensor::TensorView;
    use std::collections::HashMap;

    #[test]
    fn the_file_equals_the_crate_s_with_sorted_metadata() {
        let values = [1.0, -0.5, 3.0e-5, 7.0, 65504.0, 0.1];
        let shapes = [("second", vec![2, 2], &values[..4]), ("first", vec![2], &values[4..]), ("none", vec![0], &[])];
        let entries: Vec<Entry<'_>> =
            shapes.clone().map(|(name, shape, values)| Entry { name, shape, values }).into_iter().collect();
        // With at most one entry the order is unique.
        let metadata = BTreeMap::from([("key", "\"value\"".to_owned())]);
        let crate_metadata = HashMap::from([("key".to_owned(), "\"value\"".to_owned())]);
        for storage in [Storage::F32, Storage::F16] {
            let bytes = shapes.clone().map(|(_, _, values)| match storage {
                Storage::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>(),
                Storage::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            });
            let views = || {
                let named = shapes.iter().zip(&bytes);
                named.map(|((name, shape, _), bytes)| {
                    (*name, TensorView::new(storage.dtype(), shape.clone(), bytes).unwrap())
                })
            };
            let file = TensorFile::new(entries.clone(), storage, &metadata).unwrap();
            assert_eq!(file.to_bytes(), safetensors::serialize(views(), Some(crate_metadata.clone())).unwrap());
            assert_eq!(file.size(), file.to_bytes().len());
            let without_metadata = TensorFile::new(entries.clone(), storage, &BTreeMap::new()).unwrap();
            assert_eq!(without_metadata.to_bytes(), safetensors::serialize(views(), None).unwrap());
        }

        let metadata = BTreeMap::from_iter(["b", "d", "a", "c"].map(|key| (key, key.to_owned())));
        let bytes = TensorFile::new(entries, Storage::F32, &metadata).unwrap().to_bytes();
        let start = br#"{"__metadata__":{"a":"a","b":"b","c":"c","d":"d"},"first":{"#;
        assert!(bytes[8..].starts_with(start), "{}", String::from_utf8_lossy(&bytes[8..]));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap().len(), 4);
    }

    #[test]
    fn many_values_are_written_in_chunks() {
        struct ChunkSizes(Vec<usize>);
        impl Write for ChunkSizes {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let values = vec![1.0; 300_000];
        let entry = Entry { name: "large", shape: vec![300_000], values: &values };
        let file = TensorFile::new(vec![entry], Storage::F32, &BTreeMap::new()).unwrap();
        let mut sizes = ChunkSizes(Vec::new());
        file.write_to(&mut sizes).unwrap();
        assert_eq!(sizes.0.iter().sum::<usize>(), file.size());
        assert!(sizes.0.iter().all(|&size| size <= 1 << 18), "{:?}", sizes.0);
    }

    #[test]
    fn invalid_tensors_and_values_are_refused() {
        let refused = |shape: &[usize], values: &[f32], storage| {
            let entry = Entry { name: "short", shape: shape.to_vec(), values };
            match TensorFile::new(vec![entry], storage, &BTreeMap::new()) {
                Err(error) if error.kind() == ErrorKind::Unsupported => error.to_string(),
                _ => panic!("{shape:?} {values:?}"),
            }
        };
        refused(&[2], &[1.0], Storage::F32);
        assert!(refused(&[1], &[1e6], Storage::F16).contains("short"));
    }
}
