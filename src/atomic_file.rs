//! Files that are written whole or not at all.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// What a file is to hold. It may be written in parts, so that no copy of the whole is needed.
pub trait Contents {
    /// Writes all of it, from the start. Every call writes the same bytes.
    ///
    /// # Errors
    /// Those of `file`.
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

/// Writes `bytes` as the file `path`, replacing what was there, whole or not at all.
///
/// The bytes go to a temporary file in the same directory, which then takes the place of the old one. After a failure
/// neither a partial nor the temporary file is left, and an older file is as it was. On Linux the temporary file has no
/// name until it is complete, where the file system can do that, so a process that is killed leaves nothing either. Elsewhere
/// a program may call [`remove_unfinished`] before it is ended.
///
/// In the other respects the file is written as if it were opened for writing: its permissions stay, and so does its
/// owner where the system allows; a file that may not be written to is refused; symbolic links are followed, also where
/// they lead to no file yet. What is there but is no regular file, such as a pipe or `/dev/null`, is written to directly:
/// renaming would put a file in its place.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) with the path asked for.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    Staged::new(path, &bytes)?.commit()
}

/// As [`write_atomically`], for a file that nobody but its owner reads or writes.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) with the path asked for.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::stage(path, &bytes, Mode::Private)?.commit()
}

/// Finds out, before work is spent on what is to go there, whether a file can be written at `path`.
///
/// What is there is not changed, and nothing is left behind.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) with the path asked for.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let nothing: &[u8] = &[];
    Staged::new(path, &nothing).map(drop)
}

/// `path`, and where symbolic links lead from it, one after the other. The last one is no link; there may be no file.
///
/// # Errors
/// If there are more links than any system follows.
pub fn link_chain(path: &Path) -> io::Result<Vec<PathBuf>> {
    // As many as Linux follows.
    const MOST: usize = 40;
    let mut chain = vec![path.to_owned()];
    for _ in 0..MOST {
        let last = &chain[chain.len() - 1];
        let Ok(link) = last.read_link() else { return Ok(chain) };
        // A relative link starts in the directory that it is in.
        chain.push(last.parent().unwrap_or(Path::new("")).join(link));
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link that leads to itself, or too many of them"))
}

/// A file that is wholly on disk but not yet at its place. Several can be staged before the first is committed, so that
/// all of them appear or none does. Dropped without [`Staged::commit`], it leaves nothing behind.
pub struct Staged<'a> {
    path: PathBuf,
    way: Way<'a>,
}

/// How the contents get to their place.
enum Way<'a> {
    /// By giving a file without a name the name of the target.
    #[cfg(target_os = "linux")]
    Link(File, PathBuf),
    /// By renaming the temporary file to the target.
    Rename(tempfile::NamedTempFile, PathBuf, Unfinished),
    /// By writing them into what is there and is no regular file.
    Into(&'a dyn Contents),
}

/// The permissions of a file, where there are such.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Those of the file that is there. A new one is for everybody; the umask takes away what the user wants taken away.
    Kept,
    /// Its owner's alone.
    Private,
}

impl<'a> Staged<'a> {
    /// Puts `contents` on disk beside `path`, see [`write_atomically`].
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) with the path asked for.
    pub fn new(path: impl AsRef<Path>, contents: &'a dyn Contents) -> Result<Self> {
        Self::stage(path.as_ref(), contents, Mode::Kept)
    }

    fn stage(path: &Path, contents: &'a dyn Contents, mode: Mode) -> Result<Self> {
        let way = stage(path, contents, mode, true).map_err(Error::file("write", path))?;
        Ok(Self { path: path.to_owned(), way })
    }

    /// Puts the file at its place.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) with the path asked for.
    pub fn commit(self) -> Result<()> {
        let done = match self.way {
            #[cfg(target_os = "linux")]
            Way::Link(file, target) => unnamed::link(&file, &target),
            Way::Rename(file, target, _unfinished) => file.persist(target).map(drop).map_err(|error| error.error),
            Way::Into(contents) => open_existing(&self.path).and_then(|mut file| contents.write_to(&mut file)),
        };
        done.map_err(Error::file("write", &self.path))
    }
}

/// What is written to directly: at its end, should it be a file that another program has opened already.
fn open_existing(path: &Path) -> io::Result<File> {
    let is_file = path.metadata()?.is_file();
    OpenOptions::new().write(true).append(is_file).open(path)
}

/// Writes `contents` to where they go their way from, into a file without a name if `unnamed` and the system allows.
fn stage<'a>(path: &Path, contents: &'a dyn Contents, mode: Mode, unnamed: bool) -> io::Result<Way<'a>> {
    let (target, existing) = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory"));
        }
        Ok(metadata) if !metadata.is_file() || is_descriptor(path) => return Ok(Way::Into(contents)),
        Ok(metadata) => {
            // Renaming would ask only for permission on the directory.
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
    // Said here, the reason does not name a temporary file that nobody has heard of.
    directory.metadata()?;
    #[cfg(target_os = "linux")]
    if unnamed && let Some(mut file) = unnamed::create(directory, mode, existing.is_some())? {
        fill(&mut file, contents, mode, existing.as_ref())?;
        return Ok(Way::Link(file, target));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = unnamed;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has permissions to set"))]
    let mut builder = temporary();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(first_mode(mode, existing.is_some())));
    let (mut file, unfinished) = Unfinished::make(|| builder.tempfile_in(directory))?;
    fill(file.as_file_mut(), contents, mode, existing.as_ref())?;
    Ok(Way::Rename(file, target, unfinished))
}

/// The temporary files that have a name.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of everything that is being written. For a program that is about to be ended by a signal:
/// what was being written fails when it comes to its place.
pub fn remove_unfinished() {
    for path in unfinished().iter() {
        // It may be at its place already.
        let _ = std::fs::remove_file(path);
    }
}

/// Keeps a temporary file among those that [`remove_unfinished`] removes.
struct Unfinished(PathBuf);

impl Unfinished {
    /// A file that `make` makes; at no time is it there and not among them.
    fn make<T: AsRef<Path>>(make: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Self)> {
        let mut unfinished = unfinished();
        // Without the path of the temporary file, which the error of `tempfile` has in it.
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

/// Where a file is.
fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// How temporary files are called.
fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".resnet3d-");
    builder
}

/// The permissions that a file is created with. What replaces another file gets that one's later; until then it is the
/// owner's alone.
#[cfg(unix)]
fn first_mode(mode: Mode, replaces: bool) -> u32 {
    if mode == Mode::Private || replaces { 0o600 } else { 0o666 }
}

/// Writes a temporary file, and makes it what the existing one is apart from its contents.
fn fill(file: &mut File, contents: &dyn Contents, mode: Mode, existing: Option<&Metadata>) -> io::Result<()> {
    contents.write_to(file)?;
    #[cfg(unix)]
    if let Some(existing) = existing.filter(|_| mode == Mode::Kept) {
        keep_owner(file, existing)?;
        // After the owner, since a change of owner may take permissions away.
        file.set_permissions(existing.permissions())?;
    }
    #[cfg(not(unix))]
    let _ = (mode, existing);
    file.sync_all()
}

/// Gives `file` the owner and the group of `existing`, or as much of it as the system lets this process do: only its
/// administrator may give files away.
#[cfg(unix)]
fn keep_owner(file: &File, existing: &Metadata) -> io::Result<()> {
    use rustix::fs::{Gid, Uid, fchown};
    use std::os::unix::fs::MetadataExt as _;
    let own = file.metadata()?;
    let group = Gid::from_raw(existing.gid());
    if (own.uid(), own.gid()) != (existing.uid(), existing.gid())
        && fchown(file, Some(Uid::from_raw(existing.uid())), Some(group)).is_err()
    {
        let _ = fchown(file, None, Some(group));
    }
    Ok(())
}

/// Whether `path` is an open file of a process, such as `/dev/stdout` or `/proc/self/fd/3`: what it leads to has its
/// reader or writer, who would not see another file in its place.
fn is_descriptor(path: &Path) -> bool {
    let among_descriptors = |path: &PathBuf| {
        let directory = directory_of(path).canonicalize().unwrap_or_default();
        directory == Path::new("/dev/fd") || (directory.starts_with("/proc") && directory.ends_with("fd"))
    };
    cfg!(unix) && link_chain(path).is_ok_and(|chain| chain.iter().any(among_descriptors))
}

/// Files that have no name until they are complete: whatever ends the process, the system takes them away.
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

    /// A file in `directory`; `None` where the file system has no such files, or they cannot get a name later.
    pub fn create(directory: &Path, mode: Mode, replaces: bool) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.write(true).mode(first_mode(mode, replaces)).custom_flags(OFlags::TMPFILE.bits() as i32);
        match options.open(directory) {
            Ok(file) => Ok(name(&file).exists().then_some(file)),
            Err(error) => match Errno::from_io_error(&error) {
                // What kernels and file systems say that do not know of it.
                Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The name that the system has for an open file.
    fn name(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Puts `file` at `target`.
    pub fn link(file: &File, target: &Path) -> io::Result<()> {
        let link_to = |path: &Path| linkat(CWD, name(file), CWD, path, AtFlags::SYMLINK_FOLLOW);
        match link_to(target) {
            // A link replaces nothing. A second name, for a moment, can be renamed.
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

    /// What cannot be written to its end.
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
        let way = stage(path, contents, Mode::Kept, unnamed)?;
        Ok(Staged { path: path.to_owned(), way })
    }

    /// With and without a name for the temporary file, where there is a choice.
    #[test]
    fn files_are_whole_or_as_they_were() {
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
            // What has come between is replaced: the last one wins.
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

    /// Those of other tests would go as well, so this one has a process of its own: see `cli/tests/cli/outputs.rs`. Here, that
    /// what is finished or given up is not among them any more.
    #[test]
    fn files_with_a_name_are_known_until_they_are_finished() {
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

    /// Nothing is to be seen of a file before it is complete.
    #[test]
    #[cfg(target_os = "linux")]
    fn temporary_files_have_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let contents = b"contents".as_slice();
        let staged = Staged::new(&path, &contents).unwrap();
        if matches!(staged.way, Way::Rename(..)) {
            println!("skipped: the file system here has no files without a name");
            return;
        }
        assert!(names(directory.path()).is_empty());
        staged.commit().unwrap();
        assert_eq!(names(directory.path()), ["file"]);
    }
}
