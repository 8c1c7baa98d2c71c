//! Where the storages of an archive lie in its file.

use crate::weights::pickle::{Heap, Storage, View};
use crate::weights::raw::{Payload, RawTensor};
use std::collections::HashMap;
use std::ops::Range;

/// The bytes of the file that each storage is, by key.
#[derive(Debug, Default)]
pub struct Places {
    places: HashMap<String, Range<usize>>,
}

impl Places {
    /// Says where the storage `key` is; whether that was not yet said.
    pub fn insert(&mut self, key: String, bytes: Range<usize>) -> bool {
        self.places.insert(key, bytes).is_none()
    }

    /// The tensor that `view` is, in the file.
    ///
    /// # Errors
    /// What is wrong with its storage.
    pub fn tensor(&self, pickle: &[u8], heap: &Heap, view: &View) -> Result<RawTensor, String> {
        let storage = heap.storages.get(view.storage).ok_or("a tensor without a storage")?;
        let key = key(pickle, storage)?;
        let place = self.places.get(key).ok_or_else(|| format!("no values of the storage {key:?}"))?;
        if storage.len.checked_mul(storage.size()) != Some(place.len()) {
            return Err(format!(
                "a storage {key:?} of {} bytes, where {} values of {} bytes should be,",
                place.len(),
                storage.len,
                storage.size()
            ));
        }
        // The view was checked to be within the storage.
        let range = place.start + view.range.start..place.start + view.range.end;
        let strides = view.strides.clone();
        Ok(RawTensor { strides, ..RawTensor::dense(view.scalar.element(), view.shape.clone(), Payload::plain(range)) })
    }
}

/// The name of a storage in its file.
///
/// # Errors
/// That it has none that could be one.
pub fn key<'a>(pickle: &'a [u8], storage: &Storage) -> Result<&'a str, String> {
    /// PyTorch's are numbers.
    const LONGEST: usize = 256;
    let bytes = pickle.get(storage.key.clone()).filter(|key| key.len() <= LONGEST);
    bytes.and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(|| "a storage without a key".to_owned())
}
