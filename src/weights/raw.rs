//! Tensors as they lie in a file: not yet read, of any element type, order of bytes and order of axes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// What the values of a tensor are stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    /// Something that no weight can be, by its name in the file.
    Other(String),
}

impl Element {
    /// The element types that weights can have, for messages.
    pub const WANTED: &str = "F32, F16, BF16 or F64";

    /// The name that messages and tables use.
    pub fn name(&self) -> &str {
        match self {
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::Other(name) => name,
        }
    }
}

/// Where the bytes of a tensor are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Bytes of the file.
    pub range: Range<usize>,
    /// Whether they are the UTF-8 of Latin-1 text, one character for a byte: how Python 3 writes bytes by protocol 2.
    pub latin1: bool,
}

impl Payload {
    /// The bytes, decoded where they have to be; `None` if the range is not in the file or the text is not Latin-1.
    pub fn bytes<'a>(&self, file: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let bytes = file.get(self.range.clone())?;
        if self.latin1 { decode_latin1(bytes).map(Cow::Owned) } else { Some(Cow::Borrowed(bytes)) }
    }
}

/// The bytes that Latin-1 text in UTF-8 stands for; `None` for any other text.
fn decode_latin1(utf8: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(utf8.len());
    let mut rest = utf8;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail.split_first()) {
            (0..0x80, _) => (first, tail),
            (0xc2 | 0xc3, Some((&second @ 0x80..=0xbf, tail))) => (first << 6 | (second & 0x3f), tail),
            _ => return None,
        };
        decoded.push(byte);
        rest = tail;
    }
    Some(decoded)
}

/// How many bytes Latin-1 text in UTF-8 stands for; `None` for any other text.
pub(crate) fn latin1_len(utf8: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(utf8).ok()?;
    let high = utf8.iter().filter(|&&byte| byte >= 0x80).count();
    // Every character beyond ASCII is two bytes exactly if it is below U+0800; Latin-1 ends before that.
    text.chars().all(|c| u32::from(c) < 0x100).then_some(utf8.len() - high / 2)
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawTensor {
    pub element: Element,
    /// The extents, outermost first.
    pub shape: Vec<usize>,
    /// Whether the first axis, not the last, is the innermost in memory.
    pub fortran: bool,
    pub big_endian: bool,
    pub payload: Payload,
}

impl RawTensor {
    /// The values in row-major order, as f64 narrowed by `narrow`; `None` if the element type is none of
    /// [`Element::WANTED`], or the bytes are not what the shape takes.
    pub fn values<T: Copy + Default>(&self, file: &[u8], narrow: fn(f64) -> T) -> Option<Vec<T>> {
        let bytes = self.payload.bytes(file)?;
        let big = self.big_endian;
        let values = match &self.element {
            Element::F32 => each(&bytes, big, |b| narrow(f32::from_le_bytes(b).into())),
            Element::F64 => each(&bytes, big, |b| narrow(f64::from_le_bytes(b))),
            Element::F16 => each(&bytes, big, |b| narrow(half::f16::from_le_bytes(b).to_f64())),
            Element::Bf16 => each(&bytes, big, |b| narrow(half::bf16::from_le_bytes(b).to_f64())),
            Element::Other(_) => return None,
        };
        let len = self.shape.iter().try_fold(1usize, |len, &n| len.checked_mul(n))?;
        if len != values.len() {
            return None;
        }
        Some(if self.fortran { row_major(&values, &self.shape) } else { values })
    }
}

fn each<const N: usize, T>(bytes: &[u8], big_endian: bool, value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let little_endian = |mut chunk: [u8; N]| {
        if big_endian {
            chunk.reverse();
        }
        chunk
    };
    bytes.as_chunks().0.iter().map(|&chunk| value(little_endian(chunk))).collect()
}

/// `values`, which lie with the first axis innermost, with the last axis innermost.
fn row_major<T: Copy + Default>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut index = vec![0; shape.len()];
    let mut sorted = vec![T::default(); values.len()];
    for &value in values {
        let at = index.iter().zip(shape).fold(0, |at, (&i, &n)| at * n + i);
        sorted[at] = value;
        for (i, &n) in index.iter_mut().zip(shape) {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
    sorted
}

/// What a weight file holds, whatever its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub tensors: BTreeMap<String, RawTensor>,
    /// Names that have no tensor, and what they have instead.
    pub others: BTreeMap<String, &'static str>,
    /// Metadata `config` of a safetensors file, unread.
    pub config: Option<String>,
    /// Metadata `preprocess` of a safetensors file, unread.
    pub preprocess: Option<String>,
    /// The configuration that Detectron keeps beside the blobs, as YAML.
    pub cfg: Option<String>,
    /// Who made a Detectron2 file (`__author__`).
    pub author: Option<String>,
    /// Whether it is a pickle.
    pub pickle: bool,
}

impl Contents {
    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().chain(self.others.keys()).map(String::as_str)
    }

    /// The extents of the tensor `name`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(element: Element, shape: &[usize], bytes: &[u8]) -> RawTensor {
        let payload = Payload { range: 0..bytes.len(), latin1: false };
        RawTensor { element, shape: shape.to_vec(), fortran: false, big_endian: false, payload }
    }

    #[test]
    fn latin1_text_is_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        let text: String = all.iter().map(|&byte| char::from(byte)).collect();
        let payload = Payload { range: 0..text.len(), latin1: true };
        assert_eq!(payload.bytes(text.as_bytes()).as_deref(), Some(all.as_slice()));
        assert_eq!(latin1_len(text.as_bytes()), Some(256));
        for other in ["\u{100}".as_bytes(), "€".as_bytes(), b"\xc2", b"\xff", b"\xc0\x80"] {
            assert_eq!((decode_latin1(other), latin1_len(other)), (None, None), "{other:?}");
        }
    }

    #[test]
    fn axes_and_bytes_are_put_in_order() {
        let bytes: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_be_bytes()).collect();
        let mut tensor = tensor(Element::F32, &[2, 3], &bytes);
        tensor.big_endian = true;
        assert_eq!(tensor.values(&bytes, |v| v).unwrap(), [0., 1., 2., 3., 4., 5.]);
        tensor.fortran = true;
        assert_eq!(tensor.values(&bytes, |v| v).unwrap(), [0., 2., 4., 1., 3., 5.]);
        tensor.shape = vec![1, 2, 3];
        assert_eq!(tensor.values(&bytes, |v| v).unwrap(), [0., 2., 4., 1., 3., 5.]);
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_no_values() {
        let bytes = [0; 8];
        assert!(tensor(Element::F32, &[2], &bytes).values(&bytes, |v| v).is_some());
        assert!(tensor(Element::F32, &[3], &bytes).values(&bytes, |v| v).is_none());
        assert!(tensor(Element::F32, &[usize::MAX, 4], &bytes).values(&bytes, |v| v).is_none());
        assert!(tensor(Element::F32, &[2], &bytes).values(&bytes[1..], |v| v).is_none());
        assert!(tensor(Element::Other("i8".to_owned()), &[1], &bytes).values(&bytes, |v| v).is_none());
    }
}
