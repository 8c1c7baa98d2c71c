//! Files that are written whole or not at all.

use std::io::Write;
use std::path::Path;

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
    let path = path.as_ref();
    write(path, bytes).map_err(Error::file("write", path))
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let target = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a directory"));
        }
        Ok(metadata) if !metadata.is_file() => {
            return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        Ok(_) => path.canonicalize()?,
        Err(_) => path.to_owned(),
    };
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".resnet3d-");
    // The default of 0600 is for secrets; this is a result, and the umask takes away what the user wants taken away.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}
