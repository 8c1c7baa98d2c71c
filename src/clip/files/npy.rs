//! Reads ready clips and frames from NumPy's `.npy` files.
//!
//! This is an implementation of the specification (`numpy.lib.format`, versions 1 to 3). Readers that evaluate the
//! header as a Python literal can overflow on a malicious header.

use std::path::Path;

use super::Ready;
use super::arrays::{Pictures, clip_shape};
use super::gather::Gathering;
use crate::clip::Clip;
use crate::clip::preprocess::ChannelOrder;
use crate::content;
use crate::error::{Error, ErrorRepr, Result};
use crate::shape::Shape;

/// The first bytes of an `.npy` file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads a ready clip from an array of floats with five axes (half, single or double, either byte order, C or Fortran
/// order), or the selected frames of an array of bytes (see [`Pictures`]).
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read,
/// [`ErrorKind::Format`](crate::ErrorKind::Format) if it is not a complete `.npy` file,
/// [`ErrorKind::ElementType`](crate::ErrorKind::ElementType) if it holds neither floats nor bytes,
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape), [`ErrorKind::Clip`](crate::ErrorKind::Clip) or
/// [`ErrorKind::Size`](crate::ErrorKind::Size) if its shape is neither that of a clip nor that of pictures.
pub(super) fn read(path: &Path, into: &mut Gathering<'_>) -> Result<Option<Ready>> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let (header, data) = split(&bytes).ok_or_else(|| {
        let text = content::describe_text(&bytes).map(|text| format!(": {text}")).unwrap_or_default();
        Error::format(path, "a .npy file", format!("no such header, or an incomplete one{text}"))
    })?;
    let field = |key: &str| {
        value_of(header, key).ok_or_else(|| Error::format(path, format!("a .npy header with {key:?}"), header.trim()))
    };
    let element = element(path, field("descr")?)?;
    let fortran = field("fortran_order")?.starts_with("True");
    let axes = axes(field("shape")?).ok_or_else(|| Error::format(path, "a tuple of sizes as shape", header.trim()))?;
    let name = path.display().to_string();
    let of_array = |values: usize| {
        let wanted = values.saturating_mul(element.size());
        let Some((array, rest)) = data.split_at_checked(wanted) else {
            let wanted = format!("{wanted} bytes of data for shape {axes:?}");
            return Err(Error::format(path, wanted, format!("{} bytes", data.len())));
        };
        if !rest.is_empty() {
            // `numpy.save` to an open file appends an array; `numpy.load` reads the first.
            let what = if rest.starts_with(MAGIC) { ", which are another array" } else { "" };
            log::warn!("{name}: ignored {} bytes after the array{what}", rest.len());
        }
        Ok(array)
    };
    if matches!(element.kind, Kind::Byte) {
        let pictures = Pictures::of(&name, &axes, fortran)?;
        let array = of_array(axes.iter().fold(1, |values: usize, &axis| values.saturating_mul(axis)))?;
        let order = into.options().channel_order.unwrap_or_else(|| {
            log::info!("{name}: its pictures are taken for red, green, blue, because no other order is stated");
            ChannelOrder::Rgb
        });
        return pictures.read(&name, array, order, into).map(|()| None);
    }
    let shape = clip_shape(&name, &axes)?;
    let values = element.values(of_array(shape.len())?);
    let clip = Clip::new(shape, if fortran { from_fortran(&values, shape) } else { values })?;
    Ok(Some(Ready { clip, normalization: None }))
}

/// Splits a file into the text of the header and the data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = match version {
        [1, _] => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, _] => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The text after `'key':` to the end of the header. The quotes may be double.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let find = |quote: char| header.split_once(&format!("{quote}{key}{quote}"));
    let (_, after) = find('\'').or_else(|| find('"'))?;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// The sizes in a Python tuple such as `(1, 3, 8, 224, 224)`, also with Python 2's long numbers, `(1L, 3L, 8L, 224L,
/// 224L)`.
fn axes(tuple: &str) -> Option<Vec<usize>> {
    let (inside, _) = tuple.strip_prefix('(')?.split_once(')')?;
    let sizes = inside.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.strip_suffix('L').unwrap_or(size).parse().ok()).collect()
}

/// A byte, or a float of 2, 4 or 8 bytes in either byte order.
#[derive(Clone, Copy)]
struct Element {
    kind: Kind,
    big_endian: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Byte,
    Half,
    Single,
    Double,
}

/// The element type from a quoted type string such as `'<f4'`. Without a prefix, or with `=` or `|`, the byte order is
/// that of this machine, as in NumPy.
fn element(path: &Path, descr: &str) -> Result<Element> {
    let quoted = |quote: char| descr.strip_prefix(quote)?.split_once(quote).map(|(name, _)| name);
    let name = quoted('\'').or_else(|| quoted('"'));
    let known = name.and_then(|name| {
        let (big_endian, kind) = match name.as_bytes().first()? {
            b'<' => (false, &name[1..]),
            b'>' => (true, &name[1..]),
            b'=' | b'|' => (cfg!(target_endian = "big"), &name[1..]),
            _ => (cfg!(target_endian = "big"), name),
        };
        let kind = match kind {
            "u1" | "B" | "uint8" => Kind::Byte,
            "f2" | "e" | "float16" => Kind::Half,
            "f4" | "f" | "float32" => Kind::Single,
            "f8" | "d" | "float64" => Kind::Double,
            _ => return None,
        };
        Some(Element { kind, big_endian })
    });
    known.ok_or_else(|| {
        ErrorRepr::ElementType {
            what: path.display().to_string(),
            wanted: "bytes (u1) of pictures, or floats (f2, f4 or f8) of a ready clip",
            given: name.unwrap_or("a structure").to_owned(),
        }
        .into()
    })
}

impl Element {
    fn size(self) -> usize {
        match self.kind {
            Kind::Byte => 1,
            Kind::Half => 2,
            Kind::Single => 4,
            Kind::Double => 8,
        }
    }

    fn values(self, data: &[u8]) -> Vec<f32> {
        match self.kind {
            Kind::Byte => data.iter().map(|&byte| byte.into()).collect(),
            Kind::Half => self.map(data, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Kind::Single => self.map(data, f32::from_le_bytes),
            Kind::Double => self.map(data, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    fn map<const SIZE: usize>(self, data: &[u8], convert: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
        let (elements, _) = data.as_chunks::<SIZE>();
        let little = |mut bytes: [u8; SIZE]| {
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        elements.iter().map(|&bytes| convert(little(bytes))).collect()
    }
}

/// Converts values from Fortran order to row-major order.
fn from_fortran(values: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { n, c, t, h, w } = shape;
    let mut ordered = Vec::with_capacity(values.len());
    for i in 0..n {
        for channel in 0..c {
            for frame in 0..t {
                for row in 0..h {
                    let start = i + n * (channel + c * (frame + t * row));
                    ordered.extend(values[start..].iter().step_by(n * c * t * h).take(w));
                }
            }
        }
    }
    ordered
}
