//! Tensors into a safetensors file whose bytes depend on nothing but what is in it.

use crate::error::{Error, Result};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};
use serde::Serialize;
use std::collections::BTreeMap;

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its extents, outermost first.
    pub shape: Vec<usize>,
    /// Its values, little-endian.
    pub bytes: &'a [u8],
}

/// The header: the metadata in the order of their keys, then the tensors in that of their places.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<&'a str, String>,
    #[serde(flatten)]
    tensors: &'a Metadata,
}

/// The bytes of a safetensors file of `tensors`, all of type `dtype`, in the order of their names.
///
/// The crate `safetensors` takes metadata as a `HashMap`, whose order is another one in every run, so the header is put
/// together here. What the crate knows of tensors is still its own: their entries in the header, and all checks.
///
/// # Errors
/// [`Error::Unsupported`] for tensors that such a file cannot hold.
pub fn serialize(tensors: &[Entry<'_>], dtype: Dtype, metadata: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    let mut sorted: Vec<&Entry<'_>> = tensors.iter().collect();
    sorted.sort_by_key(|entry| entry.name);
    let mut end = 0;
    let infos = sorted.iter().map(|entry| {
        let start = end;
        end += entry.bytes.len();
        (entry.name.to_owned(), TensorInfo { dtype, shape: entry.shape.clone(), data_offsets: (start, end) })
    });
    let refused = |error: SafeTensorError| Error::Unsupported {
        what: "these tensors in a safetensors file".to_owned(),
        reason: error.to_string(),
    };
    let tensors = Metadata::new(None, infos.collect()).map_err(refused)?;
    let header = serde_json::to_vec(&Header { metadata, tensors: &tensors });
    let mut header = header.map_err(|error| refused(error.into()))?;
    // The tensors are to begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = Vec::with_capacity(size_of::<u64>() + header.len() + end);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header);
    for entry in sorted {
        file.extend(entry.bytes);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;
    use safetensors::tensor::TensorView;
    use std::collections::HashMap;

    #[test]
    fn the_file_is_the_crate_s_own_with_metadata_in_order() {
        let bytes: Vec<u8> = (0..24).collect();
        let shapes = [("second", vec![2, 2], &bytes[..16]), ("first", vec![2], &bytes[16..]), ("none", vec![0], &[])];
        let entries = shapes.clone().map(|(name, shape, bytes)| Entry { name, shape, bytes });
        let views = shapes.map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape, bytes).unwrap()));
        // Of one entry there is one order.
        let metadata = BTreeMap::from([("key", "\"value\"".to_owned())]);
        let theirs = HashMap::from([("key".to_owned(), "\"value\"".to_owned())]);
        let own = serialize(&entries, Dtype::F32, &metadata).unwrap();
        assert_eq!(own, safetensors::serialize(views, Some(theirs)).unwrap());

        let metadata = BTreeMap::from_iter(["b", "d", "a", "c"].map(|key| (key, key.to_owned())));
        let own = serialize(&entries, Dtype::F32, &metadata).unwrap();
        let start = br#"{"__metadata__":{"a":"a","b":"b","c":"c","d":"d"},"first":{"#;
        assert!(own[8..].starts_with(start), "{}", String::from_utf8_lossy(&own[8..]));
        assert_eq!(SafeTensors::deserialize(&own).unwrap().tensor("first").unwrap().data(), &bytes[16..]);
        let (_, header) = SafeTensors::read_metadata(&own).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap().len(), 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let entry = Entry { name: "short", shape: vec![2], bytes: &[0; 4] };
        assert!(matches!(serialize(&[entry], Dtype::F32, &BTreeMap::new()), Err(Error::Unsupported { .. })));
    }
}
