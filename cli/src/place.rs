//! Resolves paths: whether two paths are the same file, and whether writing a file would change an input.

use resnet3d_wgpu::clip::files::is_frame_name;
use resnet3d_wgpu::low_level::atomic_file::link_chain;
use std::path::{Path, PathBuf};

/// Identifies a file independently of its name.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = same_file::Handle;

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    same_file::Handle::from_path(path).ok()
}

/// The target of a path: an existing file or directory, or the place of a new one.
#[derive(Debug)]
pub struct Place {
    /// The path without links.
    path: PathBuf,
    /// The identity of an existing target.
    identity: Option<Identity>,
}

impl Place {
    /// `None` for pipes, terminals and devices such as `/dev/null`, and for paths that cannot be resolved.
    pub fn of(path: &Path) -> Option<Self> {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
            return None;
        }
        let path = path.canonicalize().ok().or_else(|| {
            let end = link_chain(path).ok()?.pop()?;
            let parent = end.parent().filter(|parent| !parent.as_os_str().is_empty());
            Some(parent.unwrap_or(Path::new(".")).canonicalize().ok()?.join(end.file_name()?))
        })?;
        Some(Self { identity: identity(&path), path })
    }

    /// Whether both are the same file. Hard links count as the same file.
    pub fn is(&self, other: &Self) -> bool {
        self.path == other.path || (self.identity.is_some() && self.identity == other.identity)
    }
}

/// The harm that writing a file does to an input.
#[derive(Debug, PartialEq, Eq)]
pub enum Harm {
    /// The output replaces this file, which the input reads.
    Overwrites(PathBuf),
    /// The output would be read as this frame of the input.
    Adds(PathBuf),
}

impl Harm {
    /// The harm that writing `output` does to `input`, a file or a directory of frames, if any.
    pub fn of(output: &Path, input: &Path) -> Option<Self> {
        let (written, read) = (Place::of(output)?, Place::of(input)?);
        if written.is(&read) {
            return Some(Self::Overwrites(output.to_owned()));
        }
        let frame = |path: PathBuf| {
            // A dangling link is not a frame yet.
            if path.exists() { Self::Overwrites(path) } else { Self::Adds(path) }
        };
        // A link in the chain to the output may be in the directory, and frames may be links to the output.
        let in_directory = |path: &PathBuf| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            is_frame_name(path) && Place::of(parent).is_some_and(|parent| parent.is(&read))
        };
        let mut frames = input.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(|path| is_frame_name(path));
        let link = link_chain(output).ok()?.into_iter().find(in_directory);
        link.or_else(|| frames.find(|path| Place::of(path).is_some_and(|place| place.is(&written)))).map(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_several_names() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("fr")).unwrap();
        std::fs::write(at("fr/0.png"), "").unwrap();
        std::fs::write(at("other"), "").unwrap();
        std::fs::hard_link(at("fr/0.png"), at("hard")).unwrap();
        let overwrites = |output: &str| {
            let harm = Harm::of(&at(output), &at("fr"));
            matches!(harm, Some(Harm::Overwrites(_)))
        };
        let adds = |output: &str| matches!(Harm::of(&at(output), &at("fr")), Some(Harm::Adds(_)));
        for output in ["fr/0.png", "hard", "fr/../fr/0.png"] {
            assert!(overwrites(output), "{output}");
        }
        for output in ["fr/1.png", "fr/1.JPEG", "fr/../fr/./1.png"] {
            assert!(adds(output), "{output}");
        }
        for output in ["other", "new.png", "fr/notes.txt", "fr/.hidden.png", "fr/features.safetensors"] {
            assert_eq!(Harm::of(&at(output), &at("fr")), None, "{output}");
        }
        assert_eq!(Harm::of(&at("hard"), &at("fr/0.png")), Some(Harm::Overwrites(at("hard"))));
        assert_eq!(Harm::of(&at("fr/1.png"), &at("fr/0.png")), None, "next to a file that is the only input");
    }

    #[test]
    #[cfg(unix)]
    fn links_lead_to_frames_and_from_them() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("fr")).unwrap();
        std::fs::write(at("fr/0.png"), "").unwrap();
        std::fs::write(at("store"), "").unwrap();
        for (link, to) in [
            ("by_link", "fr"),
            ("to_frame", "fr/0.png"),
            ("to_new_frame", "fr/new.png"),
            ("fr/1.png", "../store"),
            ("fr/2.png", "../not_yet"),
            ("round", "round"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        for directory in ["fr", "by_link"] {
            let harm = |output: &str| Harm::of(&at(output), &at(directory));
            for output in ["to_frame", "by_link/0.png", "fr/1.png", "store"] {
                assert!(matches!(harm(output), Some(Harm::Overwrites(_))), "{output}");
            }
            for output in ["to_new_frame", "by_link/new.png", "fr/2.png", "not_yet"] {
                assert!(matches!(harm(output), Some(Harm::Adds(_))), "{output}");
            }
            assert_eq!(harm("round"), None);
        }
    }
}
