//! A file with the pipelines that a driver has compiled, for the next process, on backends that support it (Vulkan).
//!
//! A driver is given the bytes of a file only if this module wrote them, see [`Written`]. The format, all numbers
//! little-endian:
//!
//! ```text
//! "resnet3d pipelines 1\n"
//! length of the key u32, key: version of this crate, adapter and driver as text
//! length of the data u64, checksum of key and data u64, data
//! ```

use crate::cache::CacheDirectory;

/// The start of the file; the number is the version of the format.
const MAGIC: &[u8] = b"resnet3d pipelines 1\n";

/// The largest file that is accepted. Some twenty pipelines take a few hundred KiB on the drivers that store most.
const LIMIT: u64 = 64 << 20;

/// The data of a pipeline cache that an earlier process got from wgpu for the same key, as far as the file can prove
/// it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written(Vec<u8>);

impl Written {
    /// The data that [`seal`] has put into `file` for `key`.
    fn open(mut file: Vec<u8>, key: &str) -> Option<Self> {
        let rest = file.strip_prefix(&header(key)[..])?;
        let (len, rest) = rest.split_first_chunk()?;
        let (sum, data) = rest.split_first_chunk()?;
        let whole = u64::from_le_bytes(*len) == data.len() as u64;
        if !whole || u64::from_le_bytes(*sum) != checksum(key, data) {
            return None;
        }
        let start = file.len() - data.len();
        file.drain(..start);
        Some(Self(file))
    }

    /// The data.
    pub fn data(&self) -> &[u8] {
        &self.0
    }
}

/// The contents of a file that holds `data` for `key`.
fn seal(data: &[u8], key: &str) -> Vec<u8> {
    let mut file = header(key);
    file.extend((data.len() as u64).to_le_bytes());
    file.extend(checksum(key, data).to_le_bytes());
    file.extend(data);
    file
}

/// The header of a file for `key`.
fn header(key: &str) -> Vec<u8> {
    [MAGIC, &(key.len() as u32).to_le_bytes(), key.as_bytes()].concat()
}

/// FNV-1a of 64 bits. It detects accidents, not attacks: no checksum without a secret would.
fn checksum(key: &str, data: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    key.as_bytes().iter().chain(data).fold(0xcbf2_9ce4_8422_2325, step)
}

/// The file of one adapter in a directory.
#[derive(Debug)]
pub(super) struct PipelineFile {
    directory: CacheDirectory,
    name: String,
    key: String,
    /// The checksum of the data on disk.
    on_disk: Option<u64>,
}

impl PipelineFile {
    /// The file for an adapter, and its data; `None` if the backend has no such data.
    pub fn open(directory: CacheDirectory, adapter: &wgpu::AdapterInfo) -> Option<(Self, Option<Written>)> {
        let name = wgpu::util::pipeline_cache_key(adapter)?;
        let wgpu::AdapterInfo { name: device, driver, driver_info, .. } = adapter;
        let key = format!("{} {name}\n{device}\n{driver}\n{driver_info}", env!("CARGO_PKG_VERSION"));
        let found = directory.read(&name, LIMIT);
        let was_there = found.is_some();
        let written = found.and_then(|file| Written::open(file, &key));
        match &written {
            Some(written) => log::debug!("{} bytes of compiled pipelines from the cache {name}", written.data().len()),
            None if was_there => log::debug!("the cache {name} is of another version or driver, or damaged"),
            None => {}
        }
        let on_disk = written.as_ref().map(|written| checksum(&key, written.data()));
        Some((Self { directory, name, key, on_disk }, written))
    }

    /// Writes `data`, unless the file holds it already.
    pub fn save(&mut self, data: &[u8]) {
        let sum = checksum(&self.key, data);
        if self.on_disk != Some(sum) {
            self.directory.write(&self.name, &seal(data, &self.key));
            self.on_disk = Some(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_whole_is_opened() {
        let data: Vec<u8> = (0..200).map(|i| (i * 7) as u8).collect();
        let file = seal(&data, "key");
        assert_eq!(Written::open(file.clone(), "key"), Some(Written(data.clone())));
        assert_eq!(Written::open(seal(&[], ""), ""), Some(Written(Vec::new())));
        for key in ["", "ke", "kez", "key2"] {
            assert_eq!(Written::open(file.clone(), key), None, "of another: {key}");
        }
        for len in 0..file.len() {
            assert_eq!(Written::open(file[..len].to_vec(), "key"), None, "cut to {len}");
        }
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(Written::open(damaged, "key"), None, "bit {bit} of byte {at}");
            }
        }
        let longer = [&file[..], b"x"].concat();
        assert_eq!(Written::open(longer, "key"), None);
        let mut huge = file.clone();
        huge[MAGIC.len() + 7..][..8].fill(0xff);
        assert_eq!(Written::open(huge, "key"), None);
    }
}
