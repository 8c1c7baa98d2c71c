//! Decodes a picture file to 8-bit RGB, with the values of OpenCV's reader.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read as _, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, ImageDecoder as _, ImageFormat, RgbImage};

use super::super::gather::pixels;
use super::super::refused;
use super::{KINDS, jpeg};
use crate::content::Content;
use crate::error::{Error, ErrorRepr, Result};

/// The maximum size of a JPEG or PNG file in bytes, far more than the maximum number of pixels needs.
const MOST_BYTES: u64 = 1 << 30;

/// Decodes a picture. Like OpenCV's reader, this applies the EXIF orientation, drops alpha, and reads the first picture
/// of a file with several.
pub(super) fn decode(path: &Path) -> Result<RgbImage> {
    // Panics of third-party decoders on damaged pictures have been reported more than once. The state that the decoder
    // works on is dropped here, so that nothing can observe it half done.
    catch_unwind(AssertUnwindSafe(|| picture(path)))
        .unwrap_or_else(|_| Err(Error::format(path, wanted(), "a picture whose decoder failed")))
}

/// The expected input of [`decode`], for messages.
fn wanted() -> String {
    format!("a {KINDS} picture")
}

fn picture(path: &Path) -> Result<RgbImage> {
    let failed = |error| Error::file("read", path)(error);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let start = reader.fill_buf().map_err(failed)?;
    if let foreign @ Content::Foreign { .. } = Content::of(start) {
        return Err(refused(path, foreign, &wanted()));
    }
    // The contents determine the format, not the name.
    match image::guess_format(start) {
        Ok(ImageFormat::Jpeg) => {
            let mut bytes = Vec::new();
            if reader.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)? as u64 > MOST_BYTES {
                let reason = "a JPEG file of more than 2^30 bytes".to_owned();
                return Err(ErrorRepr::Size { what: path.display().to_string(), reason }.into());
            }
            jpeg::decode(path, bytes)
        }
        Ok(ImageFormat::Png) => {
            let mut bytes = Vec::new();
            reader.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
            end_png(&mut bytes);
            other(Cursor::new(bytes), ImageFormat::Png, path)
        }
        Ok(format @ (ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Tiff)) => {
            match format {
                ImageFormat::Tiff => check_tiff(path)?,
                ImageFormat::WebP => check_webp(path, start)?,
                _ => {}
            }
            other(reader, format, path)
        }
        Ok(format) => Err(Error::format(path, wanted(), format!("a picture of another kind, {format:?}"))),
        Err(_) => Err(Error::format(path, wanted(), "a file of none of these kinds")),
    }
}

/// Decodes any format except JPEG.
fn other(reader: impl BufRead + Seek, format: ImageFormat, path: &Path) -> Result<RgbImage> {
    let foreign = |error: image::ImageError| match error {
        image::ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::file("read", path)(error)
        }
        error => Error::format(path, wanted(), error),
    };
    let mut decoder = image::ImageReader::with_format(reader, format).into_decoder().map_err(foreign)?;
    let (width, height) = decoder.dimensions();
    pixels(path.display(), [height as usize, width as usize])?;
    let orientation = decoder.orientation().map_err(foreign)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(foreign)?;
    picture.apply_orientation(orientation);
    eight_bits(picture, format)
        .ok_or_else(|| Error::format(path, "a picture of 8 or 16 bits per channel", "one of floats"))
}

/// Completes a PNG that only lacks its end marker or a part of it. The pixels are in the chunks before.
fn end_png(bytes: &mut Vec<u8>) {
    const SIGNATURE: usize = 8;
    /// Length, name and checksum of a chunk.
    const FRAME: usize = 12;
    const END: [u8; FRAME] = *b"\0\0\0\0IEND\xaeB\x60\x82";
    let mut at = SIGNATURE;
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_be_bytes(*length) as usize;
        match bytes.get(at..).and_then(|rest| rest.get(..length.checked_add(FRAME)?)) {
            Some(chunk) if !chunk[4..].starts_with(b"IEND") => at += chunk.len(),
            _ => break,
        }
    }
    if bytes.get(at..).is_some_and(|rest| rest.len() < FRAME && END.starts_with(rest)) {
        bytes.truncate(at);
        bytes.extend(END);
    }
}

/// Refuses a TIFF with JPEG data: the TIFF reader decodes them differently, and accepts data that end early.
fn check_tiff(path: &Path) -> Result<()> {
    use tiff::decoder::Decoder;
    use tiff::tags::{CompressionMethod, Tag};
    let foreign = |error| Error::format(path, wanted(), error);
    let file = BufReader::new(File::open(path).map_err(Error::file("read", path))?);
    let compression = Decoder::new(file).and_then(|mut decoder| decoder.find_tag_unsigned::<u16>(Tag::Compression));
    match compression.map_err(foreign)?.map(CompressionMethod::from_u16_exhaustive) {
        Some(CompressionMethod::JPEG | CompressionMethod::ModernJPEG) => {
            Err(Error::format(path, "a TIFF without JPEG compression, or a JPEG file", "a TIFF with it"))
        }
        _ => Ok(()),
    }
}

/// Refuses a WebP that is shorter than its header (`start`) states. The decoder does not notice every early end.
fn check_webp(path: &Path, start: &[u8]) -> Result<()> {
    let size =
        start.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |&size| u64::from(u32::from_le_bytes(size)));
    let length = path.metadata().map_err(Error::file("read", path))?.len();
    if length < 8 + size {
        return Err(Error::format(path, format!("a WebP picture of {} bytes", 8 + size), format!("{length} bytes")));
    }
    Ok(())
}

/// Converts the picture to 8 bits per channel. 16 bits are converted as in OpenCV: to the upper 8 bits, but by rounding
/// for a TIFF with colours. `None` for floats, whose range is unknown.
fn eight_bits(picture: DynamicImage, format: ImageFormat) -> Option<RgbImage> {
    let (width, height) = (picture.width(), picture.height());
    match picture {
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => None,
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) if format == ImageFormat::Tiff => {
            Some(picture.into_rgb8())
        }
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => {
            let bytes = picture.into_rgb16().iter().map(|&sample| (sample >> 8) as u8).collect();
            RgbImage::from_raw(width, height, bytes)
        }
        picture => Some(picture.into_rgb8()),
    }
}
