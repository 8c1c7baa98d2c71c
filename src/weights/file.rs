//! Access to a weight file by byte ranges: from memory, or from an open file that is read on demand.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A file whose bytes can be read by range.
#[derive(Debug)]
pub(crate) struct WeightFile {
    path: PathBuf,
    len: usize,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    InMemory(Vec<u8>),
    /// Locked because reading moves the file's position.
    OnDisk(Mutex<File>),
}

impl WeightFile {
    /// A file of these `bytes`, called `path` in messages.
    pub fn from_bytes(path: PathBuf, bytes: Vec<u8>) -> Self {
        Self { path, len: bytes.len(), bytes: Bytes::InMemory(bytes) }
    }

    /// Opens a file. A file that cannot seek, such as a pipe, is read into memory.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::file("read", path))?;
        let metadata = file.metadata().map_err(Error::file("read", path))?;
        if !metadata.is_file() {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(Error::file("read", path))?;
            return Ok(Self::from_bytes(path.to_owned(), bytes));
        }
        let too_large = |_| Error::file("read", path)(ErrorKind::FileTooLarge.into());
        let len = usize::try_from(metadata.len()).map_err(too_large)?;
        Ok(Self { path: path.to_owned(), len, bytes: Bytes::OnDisk(Mutex::new(file)) })
    }

    /// The path, or the name that messages use.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if the bytes cannot be read, or if the range ends beyond the file,
    /// which may have been truncated since it was opened.
    pub fn range(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let failed = Error::file("read", &self.path);
        let missing = || IoError::from(ErrorKind::UnexpectedEof);
        if range.start > range.end || range.end > self.len {
            return Err(failed(missing()));
        }
        match &self.bytes {
            Bytes::InMemory(bytes) => bytes.get(range).map(Cow::Borrowed).ok_or_else(|| failed(missing())),
            Bytes::OnDisk(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let mut bytes = vec![0; range.len()];
                let read = file.seek(SeekFrom::Start(range.start as u64)).and_then(|_| file.read_exact(&mut bytes));
                read.map(|()| Cow::Owned(bytes)).map_err(failed)
            }
        }
    }

    /// At least the first `len` bytes, or the whole file if it is shorter. A file in memory returns all bytes.
    ///
    /// # Errors
    /// As [`WeightFile::range`].
    pub fn head(&self, len: usize) -> Result<Cow<'_, [u8]>> {
        match &self.bytes {
            Bytes::InMemory(bytes) => Ok(Cow::Borrowed(bytes)),
            Bytes::OnDisk(_) => self.range(0..len.min(self.len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_same_from_memory_and_from_disk() {
        let bytes: Vec<u8> = (0..100).collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, &bytes).unwrap();
        let files = [WeightFile::from_bytes(path.clone(), bytes.clone()), WeightFile::open(&path).unwrap()];
        for file in &files {
            assert_eq!((file.len(), file.path()), (100, path.as_path()));
            for range in [0..0, 0..100, 7..9, 99..100, 100..100] {
                assert_eq!(*file.range(range.clone()).unwrap(), bytes[range]);
            }
            assert!(file.head(10).unwrap().starts_with(&bytes[..10]));
            #[expect(clippy::reversed_empty_ranges)]
            for range in [0..101, 101..101, 9..8, 0..usize::MAX] {
                let error = file.range(range).unwrap_err();
                assert_eq!((error.action(), error.path()), (Some("read"), Some(path.as_path())), "{error}");
            }
        }
        assert_eq!(files[1].head(10).unwrap().len(), 10);
        assert_eq!(files[1].head(1000).unwrap().len(), 100);
        std::fs::write(&path, &bytes[..50]).unwrap();
        assert!(files[1].range(40..50).is_ok());
        assert!(files[1].range(40..60).is_err_and(|error| error.kind() == crate::ErrorKind::File));
        assert!(
            WeightFile::open(&directory.path().join("none")).is_err_and(|error| error.kind() == crate::ErrorKind::File)
        );
        assert!(WeightFile::open(directory.path()).is_err_and(|error| error.kind() == crate::ErrorKind::File));
    }
}
