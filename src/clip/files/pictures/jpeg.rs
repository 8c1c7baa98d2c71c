//! JPEG, with the pixels of libjpeg-turbo, which OpenCV and Pillow have; and an error where it ends early.
//!
//! The decoder refuses a scan that ends early. Scans that are missing altogether it cannot know of, so the markers are
//! walked here first.

use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::super::gather::{MOST_PIXELS, pixels};
use crate::error::{Error, Result};

/// Of a file that asks for more passes over the picture than any encoder makes.
const MOST_SCANS: usize = 100;
/// The most memory, in bytes, that the decoder may expect to need.
const MOST_MEMORY: u64 = 2 << 30;

/// How many zeros at the end of a file are no data.
const MANY_ZEROS: usize = 16;

/// The end of a picture.
const END: [u8; 2] = [0xff, 0xd9];

/// Decodes a JPEG file, whose first bytes are those of one.
pub(super) fn decode(path: &Path, mut bytes: Vec<u8>) -> Result<RgbImage> {
    let damaged = |given: &str| Error::format(path, "a whole JPEG picture", given);
    let foreign = |error| match error {
        JpegError::UnexpectedEof => damaged("one that ends early"),
        error => damaged(&error.to_string()),
    };
    let outline = Outline::of(&bytes);
    outline.check().map_err(damaged)?;
    if outline.lacks_detail() {
        log::warn!("{}: a progressive JPEG without the scans of its finest detail", path.display());
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
        return Err(Error::format(path, "a JPEG picture of 8 bits a channel", format!("one of {precision}")));
    }
    // A block has at least a bit, unless arithmetic coding makes less of it. So memory is bounded by the file.
    let blocks = size[0].div_ceil(8) * size[1].div_ceil(8);
    if blocks.div_ceil(8) > bytes.len() && !decoder.is_arithmetic() {
        return Err(damaged("one that ends early"));
    }
    decoder.set_output_format(if channels == 4 { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    // As libjpeg does where a picture was made without its finer coefficients.
    decoder.set_block_smoothing(true);
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif);
    let image = decoder.decode_image().map_err(foreign)?;
    let rgb = if channels == 4 { rgb_from_cmyk(&image.data) } else { image.data };
    let picture = u32::try_from(image.width).ok().zip(u32::try_from(image.height).ok());
    let picture = picture.and_then(|(width, height)| RgbImage::from_raw(width, height, rgb));
    let mut picture = DynamicImage::ImageRgb8(picture.ok_or_else(|| damaged("one of another size than it says"))?);
    picture.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(picture.into_rgb8())
}

/// Removes many zeros from the end, which are what an interrupted copy leaves of the room that it was given. Coded data may
/// end in a few, behind 0xff above all.
fn remove_zeros(bytes: &mut Vec<u8>) {
    let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if bytes.len() - length >= MANY_ZEROS {
        let escaped = bytes[..length].last() == Some(&0xff);
        bytes.truncate(length + usize::from(escaped));
    }
}

/// OpenCV's colours of four inks, which JPEG stores inverted: 255 is none.
fn rgb_from_cmyk(inks: &[u8]) -> Vec<u8> {
    let (pixels, _) = inks.as_chunks::<4>();
    let colour = |ink: u8, black: u8| {
        let (ink, black) = (u32::from(ink), u32::from(black));
        (black - (((255 - ink) * black) >> 8)) as u8
    };
    pixels.iter().flat_map(|&[c, m, y, k]| [colour(c, k), colour(m, k), colour(y, k)]).collect()
}

/// What a file's markers say it has.
struct Outline {
    components: Vec<Component>,
    /// Whether coding is arithmetic, whose data do not show where they end.
    arithmetic: bool,
    /// Whether there is an end marker.
    ended: bool,
    /// How many bytes there are up to a marker segment that is cut off, or in all.
    end: usize,
}

/// A channel of a picture, and what the scans hold of it.
struct Component {
    name: u8,
    /// Whether there is anything.
    begun: bool,
    /// One bit for each coefficient of a block: whether there is a scan down to its last bit.
    whole: u64,
}

impl Outline {
    /// Walks the markers of a file.
    fn of(bytes: &[u8]) -> Self {
        let mut outline = Self { components: Vec::new(), arithmetic: false, ended: false, end: bytes.len() };
        let (mut at, mut progressive) = (2, false);
        // In coded data 0xff is followed by 0, or by the number of a restart: neither is the beginning of a segment.
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

    /// Takes note of a scan by its header.
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

    /// Whether there are coefficients whose last bits are in no scan.
    fn lacks_detail(&self) -> bool {
        self.components.iter().any(|component| component.whole != u64::MAX)
    }

    /// Refuses a file that lacks scans. One with an end marker may lack those that refine others: it was made so.
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
