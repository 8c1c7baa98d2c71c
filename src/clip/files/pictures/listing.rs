//! The frames of a directory, and their order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::extension;
use super::KINDS;
use crate::error::{Error, ErrorRepr, Result};

/// The extensions of supported pictures.
const READ: &[&str] = &["bmp", "dib", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// The extensions of unsupported pictures. The user may expect these files to be in the clip.
const NOT_READ: &[&str] = &[
    "apng", "arw", "avif", "cr2", "cr3", "dds", "dng", "exr", "gif", "hdr", "heic", "heif", "ico", "j2k", "jp2", "jpf",
    "jpx", "jxl", "jxr", "nef", "pam", "pbm", "pcx", "pfm", "pgm", "pnm", "ppm", "psd", "qoi", "svg", "tga", "xpm",
];

/// Whether a file with this name is read as a picture.
pub(in super::super) fn is_frame(path: &Path) -> bool {
    READ.contains(&extension(path).as_str())
}

/// Whether a file with this name is read as a frame of its directory. Hidden files are not.
pub fn is_frame_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && is_frame(path)
}

/// The frame files in order. Warns of other files that look like pictures.
///
/// # Errors
/// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are none, or if two may be the same frame.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = |error| Error::file("list", directory)(error);
    let (mut frames, mut passed_over) = (Vec::new(), Vec::new());
    for entry in directory.read_dir().map_err(list)? {
        let path = entry.map_err(list)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // macOS writes such a file, which is not a picture, for every file on a foreign disk.
        if name.starts_with("._") {
            continue;
        }
        let frame = is_frame_name(&path);
        // A dangling link counts as a frame, which then cannot be read.
        let readable =
            path.is_file() || path.symlink_metadata().is_ok_and(|entry| entry.is_symlink()) && !path.exists();
        if frame && readable {
            frames.push(path);
        } else if is_frame(&path) || NOT_READ.contains(&extension(&path).as_str()) {
            passed_over.push(path);
        }
    }
    passed_over.sort();
    if frames.is_empty() {
        return Err(ErrorRepr::Clip {
            wanted: format!("a directory with {KINDS} frames ({}) as {}", extensions(), directory.display()),
            given: match &*passed_over {
                [] => "none in it".to_owned(),
                passed_over => format!("none in it, but {}", others(passed_over)),
            },
        }
        .into());
    }
    if !passed_over.is_empty() {
        log::warn!(
            "{}: ignored {}: frames are {KINDS} files that are not hidden",
            directory.display(),
            others(&passed_over)
        );
    }
    check_unique(directory, &frames)?;
    sort(&mut frames);
    Ok(frames)
}

/// The extensions of frames as a list.
fn extensions() -> String {
    READ.iter().map(|extension| format!(".{extension}")).collect::<Vec<_>>().join(", ")
}

/// The number of files and the name of one, as text.
fn others(paths: &[PathBuf]) -> String {
    let first = paths[0].file_name().unwrap_or_default().display();
    match paths.len() {
        1 => format!("1 file with the name of a picture ({first})"),
        count => format!("{count} files with names of pictures (such as {first})"),
    }
}

/// Refuses files that differ only in their extension: the same frame saved twice, or a picture and its mask.
fn check_unique(directory: &Path, frames: &[PathBuf]) -> Result<()> {
    let mut stems: BTreeMap<&OsStr, Vec<&OsStr>> = BTreeMap::new();
    for path in frames {
        stems.entry(path.file_stem().unwrap_or_default()).or_default().push(path.file_name().unwrap_or_default());
    }
    let mut twice = stems.into_values().filter(|names| names.len() > 1);
    let Some(mut names) = twice.next() else { return Ok(()) };
    names.sort();
    let more = match twice.count() {
        0 => String::new(),
        1 => ", and 1 more pair".to_owned(),
        more => format!(", and {more} more pairs"),
    };
    Err(ErrorRepr::Clip {
        wanted: format!("one file for each frame in {}", directory.display()),
        given: format!(
            "{} and {}{more}: move the files that are not frames of this clip to another directory",
            names[0].display(),
            names[1].display()
        ),
    }
    .into())
}

/// Sorts `frames` by the numbers in their names, `frame9.png` before `frame10.png`.
fn sort(frames: &mut Vec<PathBuf>) {
    let decimals: Option<Vec<Decimal>> = frames.iter().map(|path| Decimal::of(path)).collect();
    match decimals.filter(|decimals| are_fractions(decimals)) {
        Some(decimals) => {
            log::info!("the names of the frames are decimal numbers, and the frames are sorted by them");
            let mut keyed: Vec<(Decimal, PathBuf)> = decimals.into_iter().zip(std::mem::take(frames)).collect();
            keyed.sort_by(|(a, a_path), (b, b_path)| a.compare(b).then_with(|| a_path.cmp(b_path)));
            frames.extend(keyed.into_iter().map(|(_, path)| path));
        }
        None => alphanumeric_sort::sort_path_slice(frames),
    }
}

/// A name that ends in a number, perhaps with a fraction: `t0.05.png`.
struct Decimal {
    /// The text before the number.
    prefix: String,
    /// The integer digits without leading zeros.
    whole: String,
    /// The fractional digits as written; empty if there are none.
    fraction: String,
}

impl Decimal {
    fn of(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let (before, last) = split_digits(stem)?;
        let split = before.strip_suffix('.').and_then(split_digits);
        let (prefix, whole, fraction) = match split {
            Some((prefix, whole)) => (prefix, whole, last),
            None => (before, last, ""),
        };
        let whole = whole.trim_start_matches('0').to_owned();
        Some(Self { prefix: prefix.to_owned(), whole, fraction: fraction.to_owned() })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(&other.whole));
        whole.then_with(|| self.fraction.trim_end_matches('0').cmp(other.fraction.trim_end_matches('0')))
    }
}

/// Splits `text` before the digits at its end; `None` if there are none.
fn split_digits(text: &str) -> Option<(&str, &str)> {
    let before = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
    Some((before, &text[before.len()..])).filter(|(_, digits)| !digits.is_empty())
}

/// Whether the digits after the point are a fraction (0.05, 0.5, 1.25) and not a counter (1.9, 1.10). If all have the
/// same number of digits, both give the same order. Otherwise, a number in its shortest form does not end in 0, but
/// every tenth counter does.
fn are_fractions(decimals: &[Decimal]) -> bool {
    let fractions = || decimals.iter().map(|decimal| &decimal.fraction).filter(|fraction| !fraction.is_empty());
    let Some(first) = fractions().next() else { return false };
    let one_prefix = decimals.iter().all(|decimal| decimal.prefix == decimals[0].prefix);
    let one_width = fractions().all(|fraction| fraction.len() == first.len());
    one_prefix && (one_width || fractions().all(|fraction| fraction.len() == 1 || !fraction.ends_with('0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        // Each list is in the expected order.
        let orders: [&[&str]; 13] = [
            &["frame1.PNG", "frame9.png", "frame10.jpg"],
            &["0.05.png", "0.5.png", "1.25.png", "1.3.png", "10.0.png"],
            &["t0.png", "t0.5.png", "t1.png", "t1.5.png", "t10.png"],
            &["frame_0.033.jpg", "frame_0.1.jpg", "frame_0.3.jpg", "frame_1.jpg"],
            &["0.00.png", "0.10.png", "0.90.png", "1.00.png", "12.05.png"],
            &["00.125.png", "00.25.png", "1.5.png"],
            &["1.png", "1.0625.png", "1.125.png", "2.png"],
            // Counters after a point: of a scene, of a camera.
            &["1.8.png", "1.9.png", "1.10.png", "1.11.png", "2.1.png"],
            &["shot.1.png", "shot.9.png", "shot.10.png"],
            &["cam1.99.png", "cam1.100.png", "cam2.1.png"],
            // Names that are not a single number.
            &["a0.3.png", "a0.25.png", "b0.3.png"],
            &["0.3s.png", "0.25s.png"],
            &["99999999999999999999998.5.png", "99999999999999999999998.75.png", "100000000000000000000000.0.png"],
        ];
        for wanted in orders {
            let mut frames: Vec<PathBuf> = wanted.iter().map(PathBuf::from).collect();
            for _ in 0..frames.len() {
                frames.rotate_left(1);
                let mut sorted = frames.clone();
                sort(&mut sorted);
                assert_eq!(sorted, wanted.iter().map(PathBuf::from).collect::<Vec<_>>());
                sorted.reverse();
                sort(&mut sorted);
                assert_eq!(sorted, wanted.iter().map(PathBuf::from).collect::<Vec<_>>());
            }
        }
    }
}
