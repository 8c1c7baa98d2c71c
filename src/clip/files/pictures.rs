//! Reads frames from a directory of picture files.

mod decode;
mod jpeg;
mod listing;

use std::path::Path;

use self::decode::decode;
use self::listing::list;
use super::gather::{Gathering, Picture};
use crate::clip::preprocess::ChannelOrder;
use crate::error::Result;

pub(super) use self::listing::is_frame;
pub use self::listing::is_frame_name;

/// The supported kinds of pictures, for messages.
pub(super) const KINDS: &str = "PNG, JPEG, WebP, BMP or TIFF";

/// Reads the selected picture files of `directory` as one clip.
pub(super) fn read(directory: &Path, into: &mut Gathering<'_>) -> Result<()> {
    let paths = list(directory)?;
    let name = directory.display().to_string();
    // Pictures have no frame rate, so steps count pictures.
    let picks = into.begin(&name, Some(paths.len()), None)?;
    picks.check(&name, paths.len())?;
    for path in paths.iter().enumerate().filter(|(index, _)| picks.takes(*index)).map(|(_, path)| path) {
        let picture = decode(path)?;
        let size = [picture.height() as usize, picture.width() as usize];
        into.push(path.display(), &Picture { size, order: ChannelOrder::Rgb, bytes: picture.as_raw() })?;
    }
    Ok(())
}
