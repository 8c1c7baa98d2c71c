//! The central directory of a zip archive: its entries, and the ranges of their bytes.
//!
//! The reader accepts only what `torch.save` writes: uncompressed entries one after the other, then the directory.
//! Readers of zip archives interpret inconsistent archives in different ways, so inconsistencies are refused: entries
//! that overlap, two entries of one name, a local header that differs from the directory.

use super::refused;
use crate::error::{Error, Result};
use crate::weights::file::WeightFile;
use std::collections::BTreeMap;
use std::ops::Range;

/// The entries of an archive, sorted by name.
pub type Entries = BTreeMap<String, Entry>;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The range of its bytes in the file.
    pub range: Range<usize>,
    /// Whether the bytes are neither compressed nor encrypted.
    pub is_stored: bool,
}

const END: &[u8; 4] = b"PK\x05\x06";
const END_LEN: usize = 22;
const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";
const LOCATOR_64_LEN: usize = 20;
const END_64: &[u8; 4] = b"PK\x06\x06";
const END_64_LEN: usize = 56;
const ENTRY: &[u8; 4] = b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const LOCAL_LEN: usize = 30;
/// The tag of the extra field with the values that do not fit into 32 bits.
const FIELD_64: u16 = 1;
/// The flag of an encrypted entry.
const ENCRYPTED: u16 = 1;
/// The flag of an entry whose lengths and checksum follow its bytes.
const DATA_DESCRIPTOR: u16 = 8;

/// Reads the directory and the local header of each entry.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) if the archive is truncated or inconsistent.
pub fn read(file: &WeightFile) -> Result<Entries> {
    let end = EndRecord::find(file)?;
    let directory = file.range(end.directory.clone())?;
    let mut rest = &*directory;
    let mut headers = Vec::new();
    while !rest.is_empty() {
        let (header, after) = DirectoryHeader::read(rest)
            .ok_or_else(|| damaged(file, format!("a directory truncated after {} entries", headers.len())))?;
        headers.push(header);
        rest = after;
    }
    if headers.len() as u64 != end.entries {
        return Err(damaged(file, format!("a directory of {} entries instead of {}", headers.len(), end.entries)));
    }
    locate(file, headers, end.directory.start)
}

/// Finds the bytes of the entries. They must end before `limit`, where the directory begins.
fn locate(file: &WeightFile, mut headers: Vec<DirectoryHeader<'_>>, limit: usize) -> Result<Entries> {
    headers.sort_by_key(|header| header.local);
    let mut entries = Entries::new();
    let mut previous_end = 0;
    for header in headers {
        let name = header.name().ok_or_else(|| damaged(file, "an entry whose name is not text"))?;
        let inconsistent = |what: &str| damaged(file, format!("an entry {:?} {what}", shown(name)));
        let start = header.check_local(file)?.ok_or_else(|| inconsistent("whose local header does not match"))?;
        let end = usize::try_from(header.packed).ok().and_then(|len| start.checked_add(len));
        let end = end.filter(|&end| end <= limit).ok_or_else(|| inconsistent("that extends into the directory"))?;
        if (header.local as usize) < previous_end {
            return Err(inconsistent("that overlaps another"));
        }
        previous_end = end;
        let is_stored = header.method == 0 && header.flags & ENCRYPTED == 0;
        if is_stored && header.packed != header.unpacked {
            return Err(inconsistent("with two different lengths"));
        }
        if entries.insert(name.to_owned(), Entry { range: start..end, is_stored }).is_some() {
            return Err(inconsistent("twice"));
        }
    }
    Ok(entries)
}

/// A name, truncated for messages.
pub fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

fn damaged(file: &WeightFile, what: impl Into<String>) -> Error {
    refused(file, format!("a zip archive with {}", what.into()), None)
}

/// The record at the end of the file, which locates the directory.
struct EndRecord {
    directory: Range<usize>,
    entries: u64,
}

impl EndRecord {
    fn find(file: &WeightFile) -> Result<Self> {
        let tail_start = file.len() - (END_LEN + LOCATOR_64_LEN + END_64_LEN).min(file.len());
        let tail = file.range(tail_start..file.len())?;
        // A comment may follow the record, and then readers differ in how they find the record. PyTorch writes none.
        let missing = || damaged(file, "no directory at its end: the rest of the file is missing");
        let at = tail.len().checked_sub(END_LEN).ok_or_else(missing)?;
        if !tail[at..].starts_with(END) || !tail.ends_with(&[0, 0]) {
            return Err(missing());
        }
        let fields = &tail[at..];
        let narrow = (u16_at(fields, 10), u32_at(fields, 12), u32_at(fields, 16));
        let (Some(entries), Some(len), Some(offset)) = narrow else {
            return Err(missing());
        };
        let locator = at.checked_sub(LOCATOR_64_LEN).filter(|&locator| tail[locator..].starts_with(LOCATOR_64));
        let (entries, len, offset, directory_end) = match locator {
            None => (u64::from(entries), u64::from(len), u64::from(offset), tail_start + at),
            Some(locator) => {
                let end = locator.checked_sub(END_64_LEN).filter(|&end| tail[end..].starts_with(END_64));
                let wide = end.and_then(|end| {
                    let fields = &tail[end..];
                    Some((u64_at(fields, 32)?, u64_at(fields, 40)?, u64_at(fields, 48)?, tail_start + end))
                });
                let wide = wide.ok_or_else(|| damaged(file, "no zip64 end record before its locator"))?;
                let agrees = |narrow: u64, all: u64, wide: u64| narrow == all || narrow == wide;
                if !agrees(entries.into(), u16::MAX.into(), wide.0)
                    || !agrees(len.into(), u32::MAX.into(), wide.1)
                    || !agrees(offset.into(), u32::MAX.into(), wide.2)
                {
                    return Err(damaged(file, "two end records that contradict each other"));
                }
                wide
            }
        };
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let directory = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let directory = directory.filter(|directory| directory.end == directory_end);
        let directory = directory.ok_or_else(|| damaged(file, "a directory that is not at its end"))?;
        Ok(Self { directory, entries })
    }
}

/// The header of an entry in the directory.
struct DirectoryHeader<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    packed: u64,
    unpacked: u64,
    /// The offset of the local header.
    local: u64,
}

impl<'a> DirectoryHeader<'a> {
    /// The first header of `directory`, and the rest of the directory.
    fn read(directory: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) = directory.split_at_checked(ENTRY_LEN)?;
        if !fixed.starts_with(ENTRY) {
            return None;
        }
        let (name, rest) = rest.split_at_checked(u16_at(fixed, 28)?.into())?;
        let (fields, rest) = rest.split_at_checked(u16_at(fixed, 30)?.into())?;
        let (_comment, rest) = rest.split_at_checked(u16_at(fixed, 32)?.into())?;
        let mut wide = Zip64Field::find(fields)?;
        let unpacked = wide.widen(u32_at(fixed, 24)?)?;
        let packed = wide.widen(u32_at(fixed, 20)?)?;
        let local = wide.widen(u32_at(fixed, 42)?)?;
        Some((Self { name, flags: u16_at(fixed, 8)?, method: u16_at(fixed, 10)?, packed, unpacked, local }, rest))
    }

    fn name(&self) -> Option<&'a str> {
        std::str::from_utf8(self.name).ok()
    }

    /// Where the entry's bytes begin; `None` if the local header does not match.
    fn check_local(&self, file: &WeightFile) -> Result<Option<usize>> {
        let at = usize::try_from(self.local).ok();
        let span = at.and_then(|at| Some((at, at.checked_add(LOCAL_LEN)?.checked_add(self.name.len())?)));
        let Some((at, end)) = span.filter(|(_, end)| *end <= file.len()) else {
            return Ok(None);
        };
        let local = file.range(at..end)?;
        Ok(self.start_after(&local, end))
    }

    /// Where the entry's bytes begin, given the local header with its name, which ends at `end`.
    fn start_after(&self, local: &[u8], end: usize) -> Option<usize> {
        let (fixed, name) = local.split_at_checked(LOCAL_LEN)?;
        let same_name = name == self.name && usize::from(u16_at(fixed, 26)?) == self.name.len();
        let same_kind = u16_at(fixed, 6)? == self.flags && u16_at(fixed, 8)? == self.method;
        // With a data descriptor the local lengths may be zero.
        let same_length = |len: u32, listed: u64| {
            u64::from(len) == listed || len == u32::MAX || (len == 0 && self.flags & DATA_DESCRIPTOR != 0)
        };
        let same_lengths =
            same_length(u32_at(fixed, 18)?, self.packed) && same_length(u32_at(fixed, 22)?, self.unpacked);
        let agrees = fixed.starts_with(LOCAL) && same_name && same_kind && same_lengths;
        agrees.then(|| end.checked_add(u16_at(fixed, 28)?.into())).flatten()
    }
}

/// The extra field with the values that do not fit into 32 bits.
struct Zip64Field<'a>(&'a [u8]);

impl<'a> Zip64Field<'a> {
    /// Finds the field among the extra fields of an entry. The result is empty if there is no such field; `None` if the
    /// fields are damaged.
    fn find(mut fields: &'a [u8]) -> Option<Self> {
        while !fields.is_empty() {
            let len = usize::from(u16_at(fields, 2)?);
            let (field, rest) = fields.get(4..)?.split_at_checked(len)?;
            if u16_at(fields, 0)? == FIELD_64 {
                return Some(Self(field));
            }
            fields = rest;
        }
        Some(Self(&[]))
    }

    /// `narrow`, or the next value of this field if `narrow` is the placeholder for it.
    fn widen(&mut self, narrow: u32) -> Option<u64> {
        if narrow != u32::MAX {
            return Some(narrow.into());
        }
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u16::from_le_bytes(bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u64::from_le_bytes(bytes))
}
