//! Frames from a directory of PNG or JPEG files.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::extension;
use super::gather::{Gathering, Picture, pixels};
use crate::clip::preprocess::ChannelOrder;
use crate::error::{Error, Result};

/// Reads the selected PNG and JPEG files of `directory` as one clip.
pub(super) fn read(directory: &Path, into: &mut Gathering<'_>) -> Result<()> {
    let paths = list(directory)?;
    let (name, selection) = (directory.display().to_string(), into.options().selection);
    selection.check(&name, paths.len())?;
    into.begin(name, Some(selection.taken_of(paths.len())));
    for path in paths.iter().enumerate().filter(|(index, _)| selection.takes(*index)).map(|(_, path)| path) {
        let picture = decode(path)?;
        let size = [picture.height() as usize, picture.width() as usize];
        into.push(path.display(), &Picture { size, order: ChannelOrder::Rgb, bytes: picture.as_raw() })?;
    }
    Ok(())
}

/// Whether a file of this name is read as a frame of the directory that it is in.
pub fn is_frame_name(path: &Path) -> bool {
    // Hidden files with such names are the droppings of file managers, not frames.
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && matches!(extension(path).as_str(), "png" | "jpg" | "jpeg")
}

/// The files that are frames, in natural order.
fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = |error| Error::file("list", directory)(error);
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in directory.read_dir().map_err(list)? {
        let path = entry.map_err(list)?.path();
        if is_frame_name(&path) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::Clip {
            wanted: format!("a directory with PNG or JPEG frames (.png, .jpg, .jpeg) as {}", directory.display()),
            given: "none in it".to_owned(),
        });
    }
    alphanumeric_sort::sort_path_slice(&mut paths);
    Ok(paths)
}

/// One picture as it is meant to be seen: like OpenCV's reader, this obeys the EXIF orientation and drops any alpha.
fn decode(path: &Path) -> Result<image::RgbImage> {
    let reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(Error::file("read", path))?;
    // Decoders are other people's, and panics of theirs on damaged pictures have been reported more than once. What they
    // work on is dropped here, so nothing can see it half done.
    catch_unwind(AssertUnwindSafe(|| picture(reader, path)))
        .unwrap_or_else(|_| Err(Error::format(path, WANTED, "one that its decoder gave up on")))
}

/// What [`decode`] wants.
const WANTED: &str = "a PNG or JPEG picture";

fn picture(reader: image::ImageReader<BufReader<File>>, path: &Path) -> Result<image::RgbImage> {
    use image::ImageDecoder as _;
    let foreign = |error: image::ImageError| match error {
        image::ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::file("read", path)(error)
        }
        error => Error::format(path, WANTED, error),
    };
    let mut decoder = reader.into_decoder().map_err(foreign)?;
    let (width, height) = decoder.dimensions();
    pixels(path.display(), [height as usize, width as usize])?;
    let orientation = decoder.orientation().map_err(foreign)?;
    let mut picture = image::DynamicImage::from_decoder(decoder).map_err(foreign)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}
