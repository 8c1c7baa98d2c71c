//! Cache files, which make later starts faster. Nothing depends on them: a file that is missing, unreadable or invalid
//! is a miss, and a failure to write one is only logged.
//!
//! The library writes such files only into the directory in [`ContextOptions::cache`](crate::ContextOptions).

use crate::atomic_file::write_private;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A directory of cache files. The first write creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheDirectory(PathBuf);

impl CacheDirectory {
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Reads a file; `None` if it is missing, has more than `limit` bytes, or somebody else may have written it.
    pub fn read(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let path = self.0.join(name);
        match read(&path, limit) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("the cache {} is not used: {error}", path.display());
                None
            }
        }
    }

    /// Writes a file atomically, readable by its owner only.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        let written = make_private(&self.0).map_err(crate::Error::file("create", &self.0));
        match written.and_then(|()| write_private(&path, bytes)) {
            Ok(()) => log::debug!("wrote {} bytes to the cache {}", bytes.len(), path.display()),
            Err(error) => {
                let reason = std::error::Error::source(&error).map(|source| format!(" ({source})")).unwrap_or_default();
                log::warn!("{error}{reason}: later starts will not be faster");
            }
        }
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let refused = |reason: String| io::Error::other(reason);
    // Checked before opening, because opening a pipe blocks until its other end is open.
    if !path.metadata()?.is_file() {
        return Err(refused("it is not a regular file".to_owned()));
    }
    let file = File::open(path)?;
    // The metadata of the open file, so that it cannot be replaced between the check and the read.
    let metadata = file.metadata()?;
    check_owner(&metadata)?;
    if metadata.len() > limit {
        return Err(refused(format!("it has {} bytes, wanted at most {limit}", metadata.len())));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a file that somebody other than the user of this process or the administrator may have written.
#[cfg(unix)]
fn check_owner(metadata: &std::fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to user {}", metadata.uid())));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("users other than its owner may write to it"));
    }
    Ok(())
}

/// Other systems rely on the permissions of the directory: only the user can access the user's cache directory.
#[cfg(not(unix))]
fn check_owner(_: &std::fs::Metadata) -> io::Result<()> {
    Ok(())
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_files_are_read_back_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirectory::new(directory.path().join("a/b"));
        assert_eq!(cache.read("x", 9), None);
        cache.write("x", b"123456789");
        assert_eq!(cache.read("x", 9).as_deref(), Some(&b"123456789"[..]));
        assert_eq!(cache.read("x", 8), None, "longer than the limit");
        cache.write("x", b"");
        assert_eq!(cache.read("x", 0).as_deref(), Some(&b""[..]));
        let left = std::fs::read_dir(directory.path().join("a/b")).unwrap().count();
        assert_eq!(left, 1, "nothing but the file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let path = directory.path().join("a/b/x");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            for (mode, read) in [(0o644, true), (0o664, false), (0o646, false)] {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(cache.read("x", 9).is_some(), read, "{mode:o}");
            }
        }
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_a_miss_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("x")).unwrap();
        let cache = CacheDirectory::new(directory.path().to_owned());
        assert_eq!(cache.read("x", 9), None);
        cache.write("x", b"1");
        assert!(directory.path().join("x").is_dir());
        // A directory that cannot be created, because a file has its name.
        std::fs::write(directory.path().join("file"), b"").unwrap();
        let cache = CacheDirectory::new(directory.path().join("file"));
        cache.write("x", b"1");
        assert_eq!(cache.read("x", 9), None);
    }
}
