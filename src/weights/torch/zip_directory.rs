//! The directory of a zip archive: which entries it has, and where their bytes are.
//!
//! Only what `torch.save` writes: entries that are stored as they are, one behind the other, and the directory at the end.
//! Readers of zip archives differ in what they make of one that contradicts itself, so that is refused: entries that
//! overlap, two of one name, another name in front of the bytes than in the directory.

use super::refused;
use crate::error::{Error, Result};
use crate::weights::file::WeightFile;
use std::collections::BTreeMap;
use std::ops::Range;

/// The entries of an archive by name, in the order of those.
pub type Entries = BTreeMap<String, Entry>;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes in the file.
    pub range: Range<usize>,
    /// Whether they are what was packed, and not compressed or encrypted.
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
/// The tag of the field that holds what does not fit into 32 bits.
const FIELD_64: u16 = 1;
/// Of an entry's flags: it is encrypted; lengths and checksum are behind its bytes instead of before.
const ENCRYPTED: u16 = 1;
const LENGTHS_BEHIND: u16 = 8;

/// Reads the directory, and what stands before the bytes of each entry.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) if it is no whole archive, or one that contradicts itself.
pub fn read(file: &WeightFile) -> Result<Entries> {
    let end = End::find(file)?;
    let directory = file.range(end.directory.clone())?;
    let mut rest = &*directory;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, behind) = Listed::read(rest)
            .ok_or_else(|| damaged(file, format!("a directory broken off behind {} entries", entries.len())))?;
        entries.push(entry);
        rest = behind;
    }
    if entries.len() as u64 != end.entries {
        return Err(damaged(
            file,
            format!("a directory of {} entries that should have {}", entries.len(), end.entries),
        ));
    }
    place(file, entries, end.directory.start)
}

/// The places of what is listed, none of them beyond `limit`.
fn place(file: &WeightFile, mut listed: Vec<Listed<'_>>, limit: usize) -> Result<Entries> {
    listed.sort_by_key(|entry| entry.local);
    let mut entries = Entries::new();
    let mut free = 0;
    for entry in listed {
        let name = entry.name().ok_or_else(|| damaged(file, "an entry whose name is no text"))?;
        let odd = |what: &str| damaged(file, format!("an entry {:?} {what}", shown(name)));
        let start = entry.check_local(file)?.ok_or_else(|| odd("with another name or kind before its bytes"))?;
        let end = usize::try_from(entry.packed).ok().and_then(|len| start.checked_add(len));
        let end = end.filter(|&end| end <= limit).ok_or_else(|| odd("beyond the end of the entries"))?;
        if (entry.local as usize) < free {
            return Err(odd("that overlaps another"));
        }
        free = end;
        let is_stored = entry.method == 0 && entry.flags & ENCRYPTED == 0;
        if is_stored && entry.packed != entry.unpacked {
            return Err(odd("of two lengths"));
        }
        if entries.insert(name.to_owned(), Entry { range: start..end, is_stored }).is_some() {
            return Err(odd("twice"));
        }
    }
    Ok(entries)
}

/// As much of a name as messages have room for.
pub fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

fn damaged(file: &WeightFile, what: impl Into<String>) -> Error {
    refused(file, format!("a zip archive with {}", what.into()), None)
}

/// Where the directory is, by what stands at the end of the file.
struct End {
    directory: Range<usize>,
    entries: u64,
}

impl End {
    fn find(file: &WeightFile) -> Result<Self> {
        let tail_start = file.len() - (END_LEN + LOCATOR_64_LEN + END_64_LEN).min(file.len());
        let tail = file.range(tail_start..file.len())?;
        // It may be followed by a comment, and readers differ in where they look for it then. PyTorch's has none.
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
        let (entries, len, offset, behind) = match locator {
            None => (u64::from(entries), u64::from(len), u64::from(offset), tail_start + at),
            Some(locator) => {
                let end = locator.checked_sub(END_64_LEN).filter(|&end| tail[end..].starts_with(END_64));
                let wide = end.and_then(|end| {
                    let fields = &tail[end..];
                    Some((u64_at(fields, 32)?, u64_at(fields, 40)?, u64_at(fields, 48)?, tail_start + end))
                });
                let wide = wide.ok_or_else(|| damaged(file, "no end of more than 32 bits where it says one is"))?;
                let agrees = |narrow: u64, all: u64, wide: u64| narrow == all || narrow == wide;
                if !agrees(entries.into(), u16::MAX.into(), wide.0)
                    || !agrees(len.into(), u32::MAX.into(), wide.1)
                    || !agrees(offset.into(), u32::MAX.into(), wide.2)
                {
                    return Err(damaged(file, "two ends that contradict each other"));
                }
                wide
            }
        };
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let directory = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let directory = directory.filter(|directory| directory.end == behind);
        let directory = directory.ok_or_else(|| damaged(file, "a directory elsewhere than at its end"))?;
        Ok(Self { directory, entries })
    }
}

/// An entry as the directory lists it.
struct Listed<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    packed: u64,
    unpacked: u64,
    /// Where what stands before its bytes begins.
    local: u64,
}

impl<'a> Listed<'a> {
    /// The first entry of `directory`, and what is behind it.
    fn read(directory: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) = directory.split_at_checked(ENTRY_LEN)?;
        if !fixed.starts_with(ENTRY) {
            return None;
        }
        let (name, rest) = rest.split_at_checked(u16_at(fixed, 28)?.into())?;
        let (fields, rest) = rest.split_at_checked(u16_at(fixed, 30)?.into())?;
        let (_comment, rest) = rest.split_at_checked(u16_at(fixed, 32)?.into())?;
        let mut wide = Wide::find(fields)?;
        let unpacked = wide.unless(u32_at(fixed, 24)?)?;
        let packed = wide.unless(u32_at(fixed, 20)?)?;
        let local = wide.unless(u32_at(fixed, 42)?)?;
        Some((Self { name, flags: u16_at(fixed, 8)?, method: u16_at(fixed, 10)?, packed, unpacked, local }, rest))
    }

    fn name(&self) -> Option<&'a str> {
        std::str::from_utf8(self.name).ok()
    }

    /// Where its bytes begin; `None` if what stands before them is not about this entry.
    fn check_local(&self, file: &WeightFile) -> Result<Option<usize>> {
        let at = usize::try_from(self.local).ok();
        let span = at.and_then(|at| Some((at, at.checked_add(LOCAL_LEN)?.checked_add(self.name.len())?)));
        let Some((at, end)) = span.filter(|(_, end)| *end <= file.len()) else {
            return Ok(None);
        };
        let local = file.range(at..end)?;
        Ok(self.start_by(&local, end))
    }

    fn start_by(&self, local: &[u8], end: usize) -> Option<usize> {
        let (fixed, name) = local.split_at_checked(LOCAL_LEN)?;
        let same_name = name == self.name && usize::from(u16_at(fixed, 26)?) == self.name.len();
        let same_kind = u16_at(fixed, 6)? == self.flags && u16_at(fixed, 8)? == self.method;
        // Where they are behind the bytes there is nothing here, or what the directory says.
        let same_length = |len: u32, listed: u64| {
            u64::from(len) == listed || len == u32::MAX || (len == 0 && self.flags & LENGTHS_BEHIND != 0)
        };
        let same_lengths =
            same_length(u32_at(fixed, 18)?, self.packed) && same_length(u32_at(fixed, 22)?, self.unpacked);
        let agrees = fixed.starts_with(LOCAL) && same_name && same_kind && same_lengths;
        agrees.then(|| end.checked_add(u16_at(fixed, 28)?.into())).flatten()
    }
}

/// The field with what does not fit into 32 bits.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    /// Finds it among the fields of an entry, if it is there; `None` if those are damaged.
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

    /// `narrow`, or the next value of the field if that says so.
    fn unless(&mut self, narrow: u32) -> Option<u64> {
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
