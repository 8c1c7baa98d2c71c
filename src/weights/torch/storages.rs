//! The locations of storages in a file.

use crate::weights::pickle::{Heap, Storage, View};
use crate::weights::raw::{Payload, RawTensor};
use std::collections::HashMap;
use std::ops::Range;

/// The range of each storage in the file, by key.
#[derive(Debug, Default)]
pub struct StorageRanges {
    ranges: HashMap<String, Range<usize>>,
}

impl StorageRanges {
    /// Adds the storage `key`. Returns false if it was there already.
    pub fn insert(&mut self, key: String, range: Range<usize>) -> bool {
        self.ranges.insert(key, range).is_none()
    }

    /// The tensor in the file that `view` refers to.
    ///
    /// # Errors
    /// A description of what is wrong with its storage.
    pub fn tensor(&self, pickle: &[u8], heap: &Heap, view: &View) -> Result<RawTensor, String> {
        let storage = heap.storages.get(view.storage).ok_or("a tensor without a storage")?;
        let key = key(pickle, storage)?;
        let bytes = self.ranges.get(key).ok_or_else(|| format!("no values for the storage {key:?}"))?;
        if storage.len.checked_mul(storage.size()) != Some(bytes.len()) {
            return Err(format!(
                "a storage {key:?} of {} bytes instead of {} values of {} bytes",
                bytes.len(),
                storage.len,
                storage.size()
            ));
        }
        // `view` is known to be within the storage.
        let range = bytes.start + view.range.start..bytes.start + view.range.end;
        let strides = view.strides.clone();
        Ok(RawTensor { strides, ..RawTensor::dense(view.scalar.element(), view.shape.clone(), Payload::plain(range)) })
    }
}

/// The key of a storage.
///
/// # Errors
/// An error if the key is too long or not text.
pub fn key<'a>(pickle: &'a [u8], storage: &Storage) -> Result<&'a str, String> {
    /// Ample, because PyTorch's keys are numbers.
    const MAX_LEN: usize = 256;
    let bytes = pickle.get(storage.key.clone()).filter(|key| key.len() <= MAX_LEN);
    bytes.and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(|| "a storage without a key".to_owned())
}
