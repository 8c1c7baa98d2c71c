//! Decodes JPEG with the pixels of libjpeg-turbo, as OpenCV and Pillow do, and fails if a file ends early.
//!
//! The decoder refuses a scan that ends early, but it cannot detect missing scans. So the markers are checked first.

use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::super::gather::{MOST_PIXELS, pixels};
use crate::error::{Error, Result};

/// The maximum number of scans, more than any encoder makes.
const MOST_SCANS: usize = 100;
/// The memory limit of the decoder in bytes.
const MOST_MEMORY: u64 = 2 << 30;

/// Zeros at the end of a file are not data if there are at least this many.
const MANY_ZEROS: usize = 16;

/// The end marker of a picture.
const END: [u8; 2] = [0xff, 0xd9];

/// Decodes a file that begins like a JPEG.
pub(super) fn decode(path: &Path, mut bytes: Vec<u8>) -> Result<RgbImage> {
    let damaged = |given: &str| Error::format(path, "a whole JPEG picture", given);
    let foreign = |error| match error {
        JpegError::UnexpectedEof => damaged("one that ends early"),
        error => damaged(&error.to_string()),
    };
    let outline = Outline::of(&bytes);
    outline.check().map_err(damaged)?;
    if outline.lacks_detail() {
        log::warn!("{}: a progressive JPEG without the scans of the finest detail", path.display());
    }
    if !outline.ended {
        bytes.truncate(outline.end);
        remove_zeros(&mut bytes);
        bytes.extend(END);
    }

    let limits = DecodeLimits {
        max_pixels: MOST_PIXELS as u64,
        max_scans: MOST_SCANS,
        max_memory: Some(MOST_MEMORY),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(&bytes, limits).map_err(foreign)?;
    let frame = decoder.header();
    let (size, channels, precision) = ([frame.height(), frame.width()], frame.components.len(), frame.precision);
    pixels(path.display(), size)?;
    if precision != 8 {
        return Err(Error::format(path, "a JPEG picture of 8 bits per channel", format!("one of {precision}")));
    }
    // A block needs at least one bit, except with arithmetic coding. So the file size bounds the memory.
    let blocks = size[0].div_ceil(8) * size[1].div_ceil(8);
    if blocks.div_ceil(8) > bytes.len() && !decoder.is_arithmetic() {
        return Err(damaged("one that ends early"));
    }
    decoder.set_output_format(if channels == 4 { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    // Smooths pictures that lack their finer coefficients, as libjpeg does.
    decoder.set_block_smoothing(true);
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif);
    let image = decoder.decode_image().map_err(foreign)?;
    let rgb = if channels == 4 { rgb_from_cmyk(&image.data) } else { image.data };
    let picture = u32::try_from(image.width).ok().zip(u32::try_from(image.height).ok());
    let picture = picture.and_then(|(width, height)| RgbImage::from_raw(width, height, rgb));
    let picture = picture.ok_or_else(|| damaged("a picture whose size differs from its header"))?;
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(picture.into_rgb8())
}

/// Removes the zeros at the end if there are many. An interrupted copy leaves them in the space that was allocated for
/// the file. Coded data may end in a few zeros, mostly after 0xff.
fn remove_zeros(bytes: &mut Vec<u8>) {
    let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if bytes.len() - length >= MANY_ZEROS {
        let escaped = bytes[..length].last() == Some(&0xff);
        bytes.truncate(length + usize::from(escaped));
    }
}

/// The colours of four inks as in OpenCV. JPEG stores inks inverted: 255 is no ink.
fn rgb_from_cmyk(inks: &[u8]) -> Vec<u8> {
    let (pixels, _) = inks.as_chunks::<4>();
    let colour = |ink: u8, black: u8| {
        let (ink, black) = (u32::from(ink), u32::from(black));
        (black - (((255 - ink) * black) >> 8)) as u8
    };
    pixels.iter().flat_map(|&[c, m, y, k]| [colour(c, k), colour(m, k), colour(y, k)]).collect()
}

/// The contents of a file according to its markers.
struct Outline {
    components: Vec<Component>,
    /// Whether the coding is arithmetic. Arithmetically coded data do not show where they end.
    arithmetic: bool,
    /// Whether there is an end marker.
    ended: bool,
    /// The number of bytes before a truncated marker segment, or of the whole file.
    end: usize,
}

/// A channel of a picture, and its data in the scans.
struct Component {
    name: u8,
    /// Whether there are any data.
    begun: bool,
    /// One bit for each coefficient of a block: whether the scans include its last bit.
    whole: u64,
}

impl Outline {
    /// Walks the markers of a file.
    fn of(bytes: &[u8]) -> Self {
        let mut outline = Self { components: Vec::new(), arithmetic: false, ended: false, end: bytes.len() };
        let (mut at, mut progressive) = (2, false);
        // In coded data, 0xff is followed by 0 or by a restart number; neither begins a marker segment.
        while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
            let start = at + start;
            let Some(code) = bytes[start..].iter().position(|&byte| byte != 0xff) else { break };
            let (code, after) = (bytes[start + code], start + code + 1);
            at = after;
            match code {
                0xd9 => {
                    outline.ended = true;
                    return outline;
                }
                0x00 | 0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let segment = bytes[after..].first_chunk().and_then(|&length| {
                let length = usize::from(u16::from_be_bytes(length));
                bytes.get(after..after + length)?.get(2..)
            });
            let Some(segment) = segment else {
                outline.end = start;
                return outline;
            };
            at = after + 2 + segment.len();
            match code {
                0xc4 | 0xc8 | 0xcc => {}
                0xc0..=0xcf if outline.components.is_empty() => {
                    progressive = matches!(code, 0xc2 | 0xca);
                    outline.arithmetic = code > 0xc8;
                    let names = segment.get(6..).unwrap_or_default().chunks_exact(3).map(|component| component[0]);
                    outline.components = names.map(|name| Component { name, begun: false, whole: 0 }).collect();
                }
                0xda => outline.note(segment, progressive),
                _ => {}
            }
        }
        outline
    }

    /// Records a scan from its header.
    fn note(&mut self, header: &[u8], progressive: bool) {
        let Some((&count, rest)) = header.split_first() else { return };
        let Some((names, &[first, last, bits])) =
            rest.split_at_checked(2 * usize::from(count)).and_then(|(names, rest)| Some((names, rest.first_chunk()?)))
        else {
            return;
        };
        let coefficients = match (progressive, bits & 15) {
            (false, _) => u64::MAX,
            (true, 0) => (first..=last.min(63)).fold(0, |mask, coefficient| mask | 1 << coefficient),
            (true, _) => 0,
        };
        for name in names.iter().step_by(2) {
            for component in self.components.iter_mut().filter(|component| component.name == *name) {
                component.begun |= first == 0 || !progressive;
                component.whole |= coefficients;
            }
        }
    }

    /// Whether the last bits of some coefficients are in no scan.
    fn lacks_detail(&self) -> bool {
        self.components.iter().any(|component| component.whole != u64::MAX)
    }

    /// Refuses a file that lacks scans. A file with an end marker may lack refinement scans, because it was made that
    /// way.
    fn check(&self) -> Result<(), &'static str> {
        if !self.components.iter().any(|component| component.begun) {
            return Err("one that ends in its headers");
        }
        if !self.components.iter().all(|component| component.begun) || !self.ended && self.lacks_detail() {
            return Err("one that ends early, before the last of its scans");
        }
        if self.arithmetic && !self.ended {
            return Err("one that ends early, without an end marker");
        }
        Ok(())
    }
}
