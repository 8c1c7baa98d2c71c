//! Ready clips and frames from NumPy's `.npy` files.
//!
//! The format is small enough to be read here, after its specification (`numpy.lib.format`, versions 1 to 3): readers
//! that evaluate the header as a Python literal can be made to overflow by a hostile one.

use std::path::Path;

use super::Ready;
use super::gather::{Gathering, Picture};
use crate::clip::Clip;
use crate::clip::preprocess::ChannelOrder;
use crate::content;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Reads an array of floats (half, single or double, either byte order, C or Fortran order) with five axes as a ready
/// clip, or the selected frames of an array of bytes, which are pictures (see [`Pictures`]).
///
/// # Errors
/// [`Error::File`] if the file cannot be read, [`Error::Format`] if it is no whole `.npy` file, [`Error::ElementType`]
/// if it holds neither floats nor bytes, [`Error::Shape`], [`Error::Clip`] or [`Error::Size`] if its shape is that of no
/// clip and of no pictures.
pub(super) fn read(path: &Path, into: &mut Gathering<'_>) -> Result<Option<Ready>> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let (header, data) = split(&bytes).ok_or_else(|| {
        let text = content::describe_text(&bytes).map(|text| format!(": {text}")).unwrap_or_default();
        Error::format(path, "a .npy file", format!("no such header, or only a part of it{text}"))
    })?;
    let field = |key: &str| {
        value_of(header, key).ok_or_else(|| Error::format(path, format!("a .npy header with {key:?}"), header.trim()))
    };
    let element = element(path, field("descr")?)?;
    let fortran = field("fortran_order")?.starts_with("True");
    let axes = axes(field("shape")?).ok_or_else(|| Error::format(path, "a tuple of sizes as shape", header.trim()))?;
    let check_length = |values: usize| {
        let wanted = values.saturating_mul(element.size());
        if data.len() == wanted {
            return Ok(());
        }
        let wanted = format!("{wanted} bytes of data for shape {axes:?}");
        Err(Error::format(path, wanted, format!("{} bytes", data.len())))
    };
    let name = path.display().to_string();
    if matches!(element.kind, Kind::Byte) {
        let pictures = Pictures::of(&name, &axes, fortran)?;
        check_length(axes.iter().fold(1, |values: usize, &axis| values.saturating_mul(axis)))?;
        return pictures.read(&name, data, into).map(|()| None);
    }
    let shape = clip_shape(&name, &axes)?;
    check_length(shape.len())?;
    let values = element.values(data);
    let clip = Clip::new(shape, if fortran { from_fortran(&values, shape) } else { values })?;
    Ok(Some(Ready { clip, normalization: None }))
}

/// The axes of a tensor of floats as the shape of a clip.
///
/// # Errors
/// [`Error::Shape`] unless there are five, and if three channels are behind time or last, as pictures have them;
/// [`Error::Size`] if one is zero, or they are too many values. All name `what`.
pub(super) fn clip_shape(what: &str, axes: &[usize]) -> Result<Shape> {
    let clip: Option<[usize; 5]> = axes.try_into().ok();
    let pictures = clip.is_none_or(|axes| axes[1] != 3) && Pictures::of(what, axes, false).is_ok();
    match clip {
        Some(axes) if !pictures => Shape::from(axes).checked(what),
        _ => Err(Error::Shape {
            what: what.to_owned(),
            wanted: "five axes, NxCxTxHxW, of a ready clip".to_owned(),
            given: format!(
                "{} axes, {axes:?}{}",
                axes.len(),
                if pictures { ", as pictures have them, which have to be of bytes (uint8)" } else { "" }
            ),
        }),
    }
}

/// Where an array of bytes has its pictures.
///
/// The usual readers give T×H×W×3 (OpenCV, decord, PyAV, imageio) or T×3×H×W (torchvision, decord's batches in PyTorch),
/// and their transforms 3×T×H×W; with a batch, N comes before. Which axis the channels are tells which it is, as it has
/// three entries. Where more than one has, a reading by which pictures would be three pixels wide or high is passed over;
/// if that leaves several, nobody can tell, and it is an error.
struct Pictures {
    /// N, T, H, W.
    extents: [usize; 4],
    /// How far apart neighbours along N, T, H, W and the channels lie, in bytes.
    strides: [usize; 5],
}

/// The ways that axes are put, and which of the last four are T, H, W and the channels.
const LAYOUTS: [(&str, [usize; 4]); 3] =
    [("TxHxWx3", [0, 1, 2, 3]), ("Tx3xHxW", [0, 2, 3, 1]), ("3xTxHxW", [1, 2, 3, 0])];

impl Pictures {
    fn of(what: &str, axes: &[usize], fortran: bool) -> Result<Self> {
        let refused = |wanted: &str, given: String| Error::Shape {
            what: what.to_owned(),
            wanted: format!("{wanted}, with N before for several clips"),
            given,
        };
        let any = "pictures as TxHxWx3, Tx3xHxW or 3xTxHxW";
        if !matches!(axes.len(), 4 | 5) {
            return Err(refused(any, format!("{} axes, {axes:?}", axes.len())));
        }
        if axes.contains(&0) {
            let wanted = "at least one frame of at least one pixel".to_owned();
            return Err(Error::Clip { wanted, given: format!("{axes:?} in {what}") });
        }
        let (batch, own) = axes.split_at(axes.len() - 4);
        let mut possible: Vec<&(&str, [usize; 4])> = LAYOUTS.iter().filter(|(_, [.., c])| own[*c] == 3).collect();
        let narrow = |(_, [_, h, w, _]): &(&str, [usize; 4])| own[*h] == 3 || own[*w] == 3;
        if !possible.iter().all(|layout| narrow(layout)) {
            possible.retain(|layout| !narrow(layout));
        }
        let layout = match possible.as_slice() {
            [(_, layout)] => layout,
            [] => return Err(refused(any, format!("{axes:?}, without an axis of 3 channels"))),
            several => {
                let names = several.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
                let wanted = "pictures whose channels can be told from other axes of 3, best TxHxWx3";
                return Err(refused(wanted, format!("{axes:?}, which may be {names}")));
            }
        };
        let mut strides = vec![1usize; axes.len()];
        let inner: Vec<usize> = if fortran { (0..axes.len()).collect() } else { (0..axes.len()).rev().collect() };
        for pair in inner.windows(2) {
            strides[pair[1]] = strides[pair[0]].saturating_mul(axes[pair[0]]);
        }
        let at = |axis: usize| batch.len() + layout[axis];
        let (n, n_stride) = if batch.is_empty() { (1, 0) } else { (axes[0], strides[0]) };
        Ok(Self {
            extents: [n, axes[at(0)], axes[at(1)], axes[at(2)]],
            strides: [n_stride, strides[at(0)], strides[at(1)], strides[at(2)], strides[at(3)]],
        })
    }

    /// Takes the selected frames of `data`, which holds as many bytes as the axes say.
    fn read(&self, name: &str, data: &[u8], into: &mut Gathering<'_>) -> Result<()> {
        let [n, t, h, w] = self.extents;
        let [of_n, of_t, of_h, of_w, of_c] = self.strides;
        let selection = into.options().selection;
        let order = into.options().channel_order.unwrap_or_else(|| {
            log::info!("{name}: the channels of its pictures are taken for red, green, blue, as nobody says otherwise");
            ChannelOrder::Rgb
        });
        let mut frame = Vec::with_capacity(3 * h * w);
        for clip in 0..n {
            let name = if n == 1 { name.to_owned() } else { format!("clip {clip} of {name}") };
            selection.check(&name, t)?;
            into.begin(name.clone(), Some(selection.taken_of(t)));
            for index in (0..t).filter(|&index| selection.takes(index)) {
                let start = clip * of_n + index * of_t;
                frame.clear();
                for row in (0..h).map(|y| start + y * of_h) {
                    for pixel in (0..w).map(|x| row + x * of_w) {
                        frame.extend([data[pixel], data[pixel + of_c], data[pixel + 2 * of_c]]);
                    }
                }
                into.push(&name, &Picture { size: [h, w], order, bytes: &frame })?;
            }
        }
        Ok(())
    }
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

/// What follows `'key':` in the header, to its end. The quotes may be double.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let find = |quote: char| header.split_once(&format!("{quote}{key}{quote}"));
    let (_, after) = find('\'').or_else(|| find('"'))?;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// The sizes in a Python tuple such as `(1, 3, 8, 224, 224)`, or of Python 2's long numbers, `(1L, 3L, 8L, 224L, 224L)`.
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

/// The element type from a quoted type string such as `'<f4'`. Without a mark, or with `=` or `|`, the order is this
/// machine's, as numpy has it.
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
    known.ok_or_else(|| Error::ElementType {
        what: path.display().to_string(),
        wanted: "bytes (u1) of pictures, or floats (f2, f4 or f8) of a ready clip",
        given: name.unwrap_or("a structure").to_owned(),
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
