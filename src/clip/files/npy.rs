//! Ready clips from NumPy's `.npy` files.
//!
//! The format is small enough to be read here, after its specification (`numpy.lib.format`, versions 1 to 3): readers
//! that evaluate the header as a Python literal can be made to overflow by a hostile one.

use std::path::Path;

use crate::clip::Clip;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Reads an array of floats (half, single or double, either byte order, C or Fortran order) with five axes as a clip.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, [`Error::Format`] if it is no whole `.npy` file, [`Error::ElementType`]
/// if it does not hold floats, [`Error::Shape`] or [`Error::Size`] if its shape is no clip's.
pub(super) fn read(path: &Path) -> Result<Clip> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let (header, data) =
        split(&bytes).ok_or_else(|| Error::format(path, "a .npy file", "no such header, or only a part of it"))?;
    let field = |key: &str| {
        value_of(header, key).ok_or_else(|| Error::format(path, format!("a .npy header with {key:?}"), header.trim()))
    };
    let element = element(path, field("descr")?)?;
    let fortran = field("fortran_order")?.starts_with("True");
    let axes = axes(field("shape")?).ok_or_else(|| Error::format(path, "a tuple of sizes as shape", header.trim()))?;
    let shape = clip_shape(&path.display().to_string(), &axes)?;

    let wanted = shape.len() * element.size();
    if data.len() != wanted {
        return Err(Error::format(
            path,
            format!("{wanted} bytes of data for shape {shape}"),
            format!("{} bytes", data.len()),
        ));
    }
    let values = element.values(data);
    Clip::new(shape, if fortran { from_fortran(&values, shape) } else { values })
}

/// The axes of a tensor as the shape of a clip.
///
/// # Errors
/// [`Error::Shape`] unless there are five; [`Error::Size`] if one is zero, or they are too many values. Both name
/// `what`.
pub(super) fn clip_shape(what: &str, axes: &[usize]) -> Result<Shape> {
    let axes: [usize; 5] = axes.try_into().map_err(|_| Error::Shape {
        what: what.to_owned(),
        wanted: "five axes, NxCxTxHxW".to_owned(),
        given: format!("{} axes, {axes:?}", axes.len()),
    })?;
    Shape::from(axes).checked(what)
}

/// The header's text and the data after it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
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

/// What follows `'key':` in the header, to its end.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = header.split_once(&format!("'{key}'"))?;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// The sizes in a Python tuple such as `(1, 3, 8, 224, 224)`.
fn axes(tuple: &str) -> Option<Vec<usize>> {
    let (inside, _) = tuple.strip_prefix('(')?.split_once(')')?;
    let sizes = inside.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().ok()).collect()
}

/// A float of 2, 4 or 8 bytes in either byte order.
#[derive(Clone, Copy)]
struct Element {
    kind: Kind,
    big_endian: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Half,
    Single,
    Double,
}

/// The element type from a quoted type string such as `'<f4'`.
fn element(path: &Path, descr: &str) -> Result<Element> {
    let name = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(name, _)| name);
    let known = name.and_then(|name| {
        let big_endian = match name.as_bytes().first()? {
            b'<' => false,
            b'>' => true,
            _ => return None,
        };
        let kind = match name.get(1..)? {
            "f2" => Kind::Half,
            "f4" => Kind::Single,
            "f8" => Kind::Double,
            _ => return None,
        };
        Some(Element { kind, big_endian })
    });
    known.ok_or_else(|| Error::ElementType {
        what: path.display().to_string(),
        wanted: "floats (f2, f4 or f8)",
        given: name.unwrap_or("a structure").to_owned(),
    })
}

impl Element {
    fn size(self) -> usize {
        match self.kind {
            Kind::Half => 2,
            Kind::Single => 4,
            Kind::Double => 8,
        }
    }

    fn values(self, data: &[u8]) -> Vec<f32> {
        match self.kind {
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

/// Values whose first axis runs fastest, brought into row-major order.
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
