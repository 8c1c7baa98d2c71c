//! Files that are written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `bytes` as the file `path`, replacing what was there, whole or not at all.
///
/// The bytes go to a temporary file in the same directory, which is then renamed; after a failure neither a partial nor
/// the temporary file is left, and an older file is as it was. A symbolic link is followed. What is there but is no
/// regular file, such as a pipe or `/dev/null`, is written to directly: renaming would put a file in its place.
///
/// # Errors
/// [`Error::File`] with the path asked for.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    Staged::new(path, bytes)?.commit()
}

/// As [`write_atomically`], for a file that nobody but its owner reads or writes.
///
/// # Errors
/// [`Error::File`] with the path asked for.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::with_mode(path, bytes, 0o600)?.commit()
}

/// Finds out, before work is spent on what is to go there, whether a file can be written at `path`.
///
/// What is there is neither changed nor opened, and nothing is left behind.
///
/// # Errors
/// [`Error::File`] with the path asked for.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    Staged::new(path, &[]).map(drop)
}

/// A file that is wholly on disk but not yet at its place. Several can be staged before the first is committed, so that
/// all of them appear or none does. Dropped without [`Staged::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    way: Way,
}

/// How the bytes get to their place.
#[derive(Debug)]
enum Way {
    /// By renaming the temporary file to the target.
    Rename(tempfile::NamedTempFile, PathBuf),
    /// By writing them into what is there and is no regular file.
    Into(Vec<u8>),
}

impl Staged {
    /// Puts `bytes` on disk beside `path`, see [`write_atomically`].
    ///
    /// # Errors
    /// [`Error::File`] with the path asked for.
    pub fn new(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        // A result is for everybody; the umask takes away what the user wants taken away.
        Self::with_mode(path.as_ref(), bytes, 0o666)
    }

    /// With the permissions `mode`, where there are such.
    fn with_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<Self> {
        let way = stage(path, bytes, mode).map_err(Error::file("write", path))?;
        Ok(Self { path: path.to_owned(), way })
    }

    /// Puts the file at its place.
    ///
    /// # Errors
    /// [`Error::File`] with the path asked for.
    pub fn commit(self) -> Result<()> {
        let done = match self.way {
            Way::Rename(file, target) => file.persist(target).map(drop).map_err(|error| error.error),
            Way::Into(bytes) => {
                let existing = std::fs::OpenOptions::new().write(true).open(&self.path);
                existing.and_then(|mut file| file.write_all(&bytes))
            }
        };
        done.map_err(Error::file("write", &self.path))
    }
}

fn stage(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<Way> {
    let target = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a directory"));
        }
        Ok(metadata) if !metadata.is_file() => return Ok(Way::Into(bytes.to_owned())),
        Ok(_) => path.canonicalize()?,
        Err(_) => path.to_owned(),
    };
    if target.file_name().is_none() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it has no file name"));
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Said here, the reason does not name a temporary file that nobody has heard of.
    directory.metadata()?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".resnet3d-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(Way::Rename(file, target))
}
