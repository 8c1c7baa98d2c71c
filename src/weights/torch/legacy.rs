//! Files that `torch.save` wrote before PyTorch 1.6: several pickles, followed by the storages.

use super::storages::{self, StorageRanges};
use super::{pickle_refused, refused};
use crate::error::Result;
use crate::weights::file::WeightFile;
use crate::weights::pickle::{Dialect, Heap, Machine, Outcome, Refusal, Root, Value};
use crate::weights::raw::Contents;
use std::collections::HashMap;
use std::ops::Range;

/// The version of all these files.
const VERSION: i64 = 1001;

/// How many bytes are read first to find the pickles. This is enough for most networks.
const HEAD: usize = 1 << 20;

/// The factor by which the number of bytes grows if they do not contain all pickles.
const GROWTH: usize = 4;

/// The tensors of `file`. Only the pickles and the lengths of the storages are read.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) if it is damaged or holds something other than tensors by name.
pub(crate) fn read(file: &WeightFile) -> Result<Contents> {
    let mut len = HEAD;
    let (head, pickles) = loop {
        let head = file.head(len)?;
        match Pickles::read(&head) {
            Ok(pickles) => break (head, pickles),
            Err(refusal) if refusal.ended && head.len() < file.len() => len = head.len().saturating_mul(GROWTH),
            Err(refusal) => return Err(pickle_refused(file, 0, refusal)),
        }
    };
    let Pickles { object, keys, end } = pickles;
    let storages = storage_ranges(file, &head, &object.heap, &keys, end)?;
    super::contents(file, &head, 0, &object.heap, &object.root, &storages)
}

/// The pickles of a file.
struct Pickles {
    object: Outcome,
    /// The ranges of the storages' keys, in the order of the storages.
    keys: Vec<Range<usize>>,
    /// The byte after the pickles.
    end: usize,
}

impl Pickles {
    fn read(file: &[u8]) -> Result<Self, Refusal> {
        let run = |at| Machine::run(file, at, Dialect::Torch);
        let refuse = |at, what: String, hint| Err(Refusal { at, what, hint, ended: false });
        let magic = run(0)?;
        let version = run(magic.end)?;
        if version.root != Value::Int(VERSION) {
            let what = format!("a version other than {VERSION}, the only one supported,");
            return refuse(magic.end, what, None);
        }
        let system = run(version.end)?;
        let little_endian = Root::new(file, &system.heap, &system.root).and_then(|root| root.get(&["little_endian"]));
        if little_endian == Some(&Value::Bool(false)) {
            return refuse(version.end, "values of a big-endian machine".to_owned(), Some(super::BIG_ENDIAN));
        }
        let object = run(system.end)?;
        let list = run(object.end)?;
        let items = list.heap.items_of(&list.root).unwrap_or_default();
        let keys: Option<Vec<_>> = items
            .iter()
            .map(|key| match key {
                Value::Text(range) => Some(range.clone()),
                Value::Bytes(payload, _) => Some(payload.range.clone()),
                _ => None,
            })
            .collect();
        match (&list.root, keys) {
            (Value::List(_), Some(keys)) => Ok(Self { object, keys, end: list.end }),
            _ => refuse(object.end, format!("{} instead of the keys of storages", list.root.kind()), None),
        }
    }
}

/// Finds the storages with these `keys`. The first begins at byte `at`. Each consists of the number of its elements,
/// then the elements. Only the pickle gives the size of an element.
fn storage_ranges(
    file: &WeightFile,
    head: &[u8],
    heap: &Heap,
    keys: &[Range<usize>],
    mut at: usize,
) -> Result<StorageRanges> {
    const COUNT: usize = size_of::<i64>();
    let refuse = |what: String| refused(file, what, None);
    let mut sizes = HashMap::new();
    for storage in &heap.storages {
        let key = storages::key(head, storage).map_err(refuse)?;
        sizes.insert(key, storage.size());
    }
    let mut ranges = StorageRanges::default();
    for key in keys {
        let key = head.get(key.clone()).and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        let size = sizes.get(key).ok_or_else(|| refuse(format!("a storage {key:?} that no tensor uses")))?;
        let truncated = |what: &str| {
            refuse(format!("the end of the file within {what} of the storage {key:?}, at byte {}", file.len()))
        };
        let start = at.checked_add(COUNT).filter(|&start| start <= file.len());
        let start = start.ok_or_else(|| truncated("the length"))?;
        let mut count = [0; COUNT];
        count.copy_from_slice(&file.range(at..start)?);
        let count = i64::from_le_bytes(count);
        let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(*size));
        let len = len.ok_or_else(|| refuse(format!("a storage {key:?} of {count} values at byte {at}")))?;
        at = start.checked_add(len).filter(|&end| end <= file.len()).ok_or_else(|| truncated("the values"))?;
        if !ranges.insert(key.to_owned(), start..at) {
            return Err(refuse(format!("two storages {key:?}")));
        }
    }
    Ok(ranges)
}
