//! Files that are written whole or not at all.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// The contents of a file to be written. They may be written in parts, so no copy of the whole is needed.
pub trait Contents {
    /// Writes the whole contents. Every call writes the same bytes.
    ///
    /// # Errors
    /// The errors of `file`.
    fn write_to(&self, file: &mut dyn Write) -> io::Result<()>;
}

impl Contents for &[u8] {
    fn write_to(&self, file: &mut dyn Write) -> io::Result<()> {
        file.write_all(self)
    }
}

impl Contents for Vec<u8> {
    fn write_to(&self, file: &mut dyn Write) -> io::Result<()> {
        file.write_all(self)
    }
}

/// Writes `bytes` to the file `path`, whole or not at all. An existing file is replaced.
///
/// The bytes go to a temporary file in the same directory, which then replaces the old one. A failure leaves neither a
/// partial file nor the temporary one, and an older file is unchanged. On Linux, if the file system supports it, the
/// temporary file has no name until it is complete, so a killed process leaves nothing either. Elsewhere a program can
/// call [`remove_unfinished`] before it exits.
///
/// In other respects the file is written as if it were opened for writing: it keeps its permissions, and its owner
/// where the system allows that; a file without write permission is refused; symbolic links are followed, even if their
/// target does not exist yet. Anything but a regular file, such as a pipe or `/dev/null`, is written directly, because
/// renaming would replace it with a file.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) with `path`.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    Staged::new(path, &bytes)?.commit()
}

/// As [`write_atomically`], for a file that only its owner can read and write.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) with `path`.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::stage(path, &bytes, Mode::Private)?.commit()
}

/// Checks that a file can be written at `path`, so that a program fails before it computes the contents.
///
/// The check changes nothing and leaves nothing behind.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) with `path`.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let nothing: &[u8] = &[];
    Staged::new(path, &nothing).map(drop)
}

/// `path` and the targets of the symbolic links that start there, in order. The last path is not a link and need not
/// exist.
///
/// # Errors
/// An error if there are more links than any system follows.
pub fn link_chain(path: &Path) -> io::Result<Vec<PathBuf>> {
    // The limit of Linux.
    const MAX_LINKS: usize = 40;
    let mut chain = vec![path.to_owned()];
    for _ in 0..MAX_LINKS {
        let last = &chain[chain.len() - 1];
        let Ok(link) = last.read_link() else { return Ok(chain) };
        // A relative link starts from the directory that contains it.
        chain.push(last.parent().unwrap_or(Path::new("")).join(link));
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link that leads to itself, or too many of them"))
}

/// A complete file on disk that is not at its path yet. Several files can be staged before the first is committed, so
/// that all of them appear or none does. If it is dropped without [`Staged::commit`], it leaves nothing behind.
pub struct Staged<'a> {
    path: PathBuf,
    commit: Commit<'a>,
}

/// How the contents get to the target.
enum Commit<'a> {
    /// Link the unnamed file to the target.
    #[cfg(target_os = "linux")]
    Link(File, PathBuf),
    /// Rename the temporary file to the target.
    Rename(tempfile::NamedTempFile, PathBuf, Unfinished),
    /// Write directly to the target, which is not a regular file.
    Write(&'a dyn Contents),
}

/// The permissions of a file, on systems that have them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The permissions of the existing file. A new file is readable and writable for everybody, as far as the umask
    /// allows.
    Kept,
    /// Readable and writable for the owner only.
    Private,
}

impl<'a> Staged<'a> {
    /// Writes `contents` to disk in the directory of `path`, see [`write_atomically`].
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) with `path`.
    pub fn new(path: impl AsRef<Path>, contents: &'a dyn Contents) -> Result<Self> {
        Self::stage(path.as_ref(), contents, Mode::Kept)
    }

    fn stage(path: &Path, contents: &'a dyn Contents, mode: Mode) -> Result<Self> {
        let commit = stage(path, contents, mode, true).map_err(Error::file("write", path))?;
        Ok(Self { path: path.to_owned(), commit })
    }

    /// Moves the file to its path.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) with the path.
    pub fn commit(self) -> Result<()> {
        let result = match self.commit {
            #[cfg(target_os = "linux")]
            Commit::Link(file, target) => unnamed::link(&file, &target),
            Commit::Rename(file, target, _unfinished) => file.persist(target).map(drop).map_err(|error| error.error),
            Commit::Write(contents) => open_existing(&self.path).and_then(|mut file| contents.write_to(&mut file)),
        };
        result.map_err(Error::file("write", &self.path))
    }
}

/// Opens a target that is written directly. If the target is a file, another program has it open, and writing appends
/// to it.
fn open_existing(path: &Path) -> io::Result<File> {
    let is_file = path.metadata()?.is_file();
    OpenOptions::new().write(true).append(is_file).open(path)
}

/// Writes `contents` to a temporary file, unless the target is written directly. The file has no name if `unnamed` and
/// if the system supports that.
fn stage<'a>(path: &Path, contents: &'a dyn Contents, mode: Mode, unnamed: bool) -> io::Result<Commit<'a>> {
    let (target, existing) = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory"));
        }
        Ok(metadata) if !metadata.is_file() || is_descriptor(path) => return Ok(Commit::Write(contents)),
        Ok(metadata) => {
            // Renaming needs permission on the directory only, so this checks the permission on the file.
            OpenOptions::new().write(true).open(path)?;
            (path.canonicalize()?, Some(metadata))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut chain = link_chain(path)?;
            (chain.pop().unwrap_or_default(), None)
        }
        Err(error) => return Err(error),
    };
    if target.file_name().is_none() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it has no file name"));
    }
    let directory = directory_of(&target);
    // Fails here if there is no directory, so that the error does not name the temporary file.
    directory.metadata()?;
    #[cfg(target_os = "linux")]
    if unnamed && let Some(mut file) = unnamed::create(directory, mode, existing.is_some())? {
        fill(&mut file, contents, mode, existing.as_ref())?;
        return Ok(Commit::Link(file, target));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = unnamed;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has permissions to set"))]
    let mut builder = temporary();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(first_mode(mode, existing.is_some())));
    let (mut file, unfinished) = Unfinished::make(|| builder.tempfile_in(directory))?;
    fill(file.as_file_mut(), contents, mode, existing.as_ref())?;
    Ok(Commit::Rename(file, target, unfinished))
}

/// The temporary files with names.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of everything that is being written, for a program that a signal is about to end.
/// Committing one of these files afterwards fails.
pub fn remove_unfinished() {
    for path in unfinished().iter() {
        // Ignored, because the file may have been renamed already.
        let _ = std::fs::remove_file(path);
    }
}

/// Registers a temporary file for [`remove_unfinished`].
struct Unfinished(PathBuf);

impl Unfinished {
    /// Creates a file with `make` and registers it. The lock is held in between, so no file is ever unregistered.
    fn make<T: AsRef<Path>>(make: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Self)> {
        let mut unfinished = unfinished();
        // The kind only, because the errors of `tempfile` contain the path of the temporary file.
        let file = make().map_err(|error| io::Error::from(error.kind()))?;
        unfinished.insert(file.as_ref().to_owned());
        let path = file.as_ref().to_owned();
        Ok((file, Self(path)))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().remove(&self.0);
    }
}

/// The directory of a file.
fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A builder for temporary files.
fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".resnet3d-");
    builder
}

/// The permissions with which a file is created. A replacement gets those of the existing file later; until then only
/// the owner has access.
#[cfg(unix)]
fn first_mode(mode: Mode, replaces: bool) -> u32 {
    if mode == Mode::Private || replaces { 0o600 } else { 0o666 }
}

/// Writes a temporary file and gives it the owner and permissions of the existing one.
fn fill(file: &mut File, contents: &dyn Contents, mode: Mode, existing: Option<&Metadata>) -> io::Result<()> {
    contents.write_to(file)?;
    #[cfg(unix)]
    if let Some(existing) = existing.filter(|_| mode == Mode::Kept) {
        keep_owner(file, existing)?;
        // After the owner, because a change of owner may clear permissions.
        file.set_permissions(existing.permissions())?;
    }
    #[cfg(not(unix))]
    let _ = (mode, existing);
    file.sync_all()
}

/// Gives `file` the owner and the group of `existing`, as far as the system allows: only the administrator may change
/// the owner.
#[cfg(unix)]
fn keep_owner(file: &File, existing: &Metadata) -> io::Result<()> {
    use rustix::fs::{Gid, Uid, fchown};
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    let group = Gid::from_raw(existing.gid());
    if (metadata.uid(), metadata.gid()) != (existing.uid(), existing.gid())
        && fchown(file, Some(Uid::from_raw(existing.uid())), Some(group)).is_err()
    {
        let _ = fchown(file, None, Some(group));
    }
    Ok(())
}

/// Whether `path` is an open file of a process, such as `/dev/stdout` or `/proc/self/fd/3`. The process would not see a
/// file that replaces it.
fn is_descriptor(path: &Path) -> bool {
    let among_descriptors = |path: &PathBuf| {
        let directory = directory_of(path).canonicalize().unwrap_or_default();
        directory == Path::new("/dev/fd") || (directory.starts_with("/proc") && directory.ends_with("fd"))
    };
    cfg!(unix) && link_chain(path).is_ok_and(|chain| chain.iter().any(among_descriptors))
}

/// Files that have no name until they are complete. The system removes them if the process ends before then.
#[cfg(target_os = "linux")]
mod unnamed {
    use super::{Mode, Unfinished, directory_of, first_mode, temporary};
    use rustix::fs::{AtFlags, CWD, OFlags, linkat};
    use rustix::io::Errno;
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::{Path, PathBuf};

    /// An unnamed file in `directory`; `None` if the file system does not support unnamed files, or the system cannot
    /// name them later.
    pub fn create(directory: &Path, mode: Mode, replaces: bool) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.write(true).mode(first_mode(mode, replaces)).custom_flags(OFlags::TMPFILE.bits() as i32);
        match options.open(directory) {
            Ok(file) => Ok(name(&file).exists().then_some(file)),
            Err(error) => match Errno::from_io_error(&error) {
                // The errors of kernels and file systems without support.
                Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The path that the system has for an open file.
    fn name(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Links `file` to `target`.
    pub fn link(file: &File, target: &Path) -> io::Result<()> {
        let link_to = |path: &Path| linkat(CWD, name(file), CWD, path, AtFlags::SYMLINK_FOLLOW);
        match link_to(target) {
            // Linking does not replace an existing file, but renaming a temporary link does.
            Err(Errno::EXIST) => {}
            result => return Ok(result?),
        }
        let make = || Ok(temporary().make_in(directory_of(target), |path| Ok(link_to(path)?))?.into_temp_path());
        let (named, _unfinished) = Unfinished::make(make)?;
        named.persist(target).map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents that fail in the middle.
    struct Broken;

    impl Contents for Broken {
        fn write_to(&self, file: &mut dyn Write) -> io::Result<()> {
            file.write_all(b"the first half")?;
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    }

    fn stage_at<'a>(path: &Path, contents: &'a dyn Contents, unnamed: bool) -> io::Result<Staged<'a>> {
        let commit = stage(path, contents, Mode::Kept, unnamed)?;
        Ok(Staged { path: path.to_owned(), commit })
    }

    /// With unnamed temporary files, where supported, and with named ones.
    #[test]
    fn files_are_whole_or_unchanged() {
        for unnamed in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            drop(stage_at(&path, &b"new".as_slice(), unnamed).unwrap());
            assert!(stage_at(&path, &Broken, unnamed).is_err() && names(directory.path()).is_empty());
            for contents in [b"first".as_slice(), b"then".as_slice()] {
                stage_at(&path, &contents, unnamed).unwrap().commit().unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), contents);
                assert!(stage_at(&path, &Broken, unnamed).is_err());
                drop(stage_at(&path, &b"never".as_slice(), unnamed).unwrap());
                assert_eq!(
                    (std::fs::read(&path).unwrap().as_slice(), names(directory.path())),
                    (contents, vec!["file".into()])
                );
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt as _;
                    let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
                    assert!(contents == b"first" || mode() == 0o640, "{:o}", mode());
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
                }
            }
            // A file that was written in between is replaced.
            std::fs::remove_file(&path).unwrap();
            let late = b"late".as_slice();
            let staged = stage_at(&path, &late, unnamed).unwrap();
            std::fs::write(&path, "between").unwrap();
            staged.commit().unwrap();
            assert_eq!((std::fs::read(&path).unwrap().as_slice(), names(directory.path()).len()), (late, 1));
            write_private(&path, b"private").unwrap();
            #[cfg(unix)]
            assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
        }
    }

    /// Checks that committed and dropped files are unregistered. `remove_unfinished` itself would remove the files of
    /// other tests, so `cli/tests/cli/outputs.rs` tests it in a separate process.
    #[test]
    fn named_files_are_registered_until_they_are_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let ours = || unfinished().iter().filter(|path| path.starts_with(directory.path())).count();
        let contents = b"contents".as_slice();
        let staged = stage_at(&path, &contents, false).unwrap();
        assert_eq!(ours(), 1);
        let other = stage_at(&path, &contents, false).unwrap();
        assert_eq!(ours(), 2);
        staged.commit().unwrap();
        drop(other);
        assert!(stage_at(&path, &Broken, false).is_err());
        assert_eq!(ours(), 0);
    }

    /// A file is invisible before it is complete.
    #[test]
    #[cfg(target_os = "linux")]
    fn temporary_files_have_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let contents = b"contents".as_slice();
        // Not every file system supports unnamed files.
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::WRONLY;
        let can_be_unnamed = rustix::fs::open(directory.path(), flags, rustix::fs::Mode::RWXU).is_ok();
        let staged = Staged::new(&path, &contents).unwrap();
        assert_eq!(names(directory.path()).is_empty(), can_be_unnamed);
        staged.commit().unwrap();
        assert_eq!(names(directory.path()), ["file"]);
    }
}
