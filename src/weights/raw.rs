//! Tensors as they are stored in a file: not yet read, with any element type, byte order and strides.

use super::file::WeightFile;
use super::strided;
use crate::error::Result;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    /// An element type that weights cannot have, by its name in the file.
    Other(String),
}

impl Element {
    /// The element types that weights can have, for messages.
    pub const WANTED: &str = "F32, F16, BF16 or F64";

    /// Bytes per value; `None` if weights cannot have this element type.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::F16 | Self::Bf16 => Some(2),
            Self::F32 => Some(4),
            Self::F64 => Some(8),
            Self::Other(_) => None,
        }
    }

    /// The name in messages and tables.
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

/// How the bytes of a tensor are encoded in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Unencoded.
    Plain,
    /// Latin-1 text in UTF-8, one character per byte: how Python 3 writes bytes in protocol 2.
    Latin1,
    /// A Python string literal without its quotes: how Python 2 writes bytes in protocol 0.
    Literal,
    /// Latin-1 in which escapes such as `\u0000` stand for some bytes: how Python 3 writes bytes in protocol 0.
    RawUnicode,
}

/// The location of a tensor's bytes in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// The range in the file.
    pub range: Range<usize>,
    pub encoding: Encoding,
}

impl Payload {
    /// Unencoded bytes.
    pub fn plain(range: Range<usize>) -> Self {
        Self { range, encoding: Encoding::Plain }
    }

    /// The decoded bytes; `None` if they are not valid in their encoding.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read.
    pub fn bytes<'a>(&self, file: &'a WeightFile) -> Result<Option<Cow<'a, [u8]>>> {
        let bytes = file.range(self.range.clone())?;
        Ok(match self.encoding {
            Encoding::Plain => Some(bytes),
            other => other.decode(&bytes).map(Cow::Owned),
        })
    }
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawTensor {
    pub element: Element,
    /// The extents, outermost first.
    pub shape: Vec<usize>,
    /// The distance between neighbours along each axis in elements, 0 if all are the same element; `None` if the tensor
    /// is in row-major order without gaps.
    pub strides: Option<Vec<usize>>,
    pub big_endian: bool,
    /// The bytes from the first element to the last.
    pub payload: Payload,
}

impl RawTensor {
    /// A little-endian tensor in row-major order without gaps.
    pub fn dense(element: Element, shape: Vec<usize>, payload: Payload) -> Self {
        Self { element, shape, strides: None, big_endian: false, payload }
    }

    /// The size of its values in row-major order, in bytes; 0 if weights cannot have the element type.
    pub fn bytes(&self) -> usize {
        let size = self.element.size().unwrap_or(0);
        self.shape.iter().fold(size, |bytes, &axis| bytes.saturating_mul(axis))
    }

    /// Whether the order of the axes in memory differs from their order in the shape.
    pub fn is_transposed(&self) -> bool {
        let axes = self.strides.iter().flatten().zip(&self.shape);
        let strides = axes.filter(|(stride, axis)| **axis > 1 && **stride > 0).map(|(stride, _)| stride);
        !strides.is_sorted_by(|outer, inner| outer >= inner)
    }

    /// The values in row-major order, converted from f64 by `narrow`; `None` if the element type is not among
    /// [`Element::WANTED`], or the number of bytes does not match the shape.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read.
    pub fn values<T>(&self, file: &WeightFile, narrow: fn(f64) -> T) -> Result<Option<Vec<T>>> {
        if matches!(self.element, Element::Other(_)) {
            return Ok(None);
        }
        Ok(self.payload.bytes(file)?.and_then(|bytes| self.decode(&bytes, narrow)))
    }

    fn decode<T>(&self, bytes: &[u8], narrow: fn(f64) -> T) -> Option<Vec<T>> {
        match &self.element {
            Element::F32 => self.gather(bytes, |b| narrow(f32::from_le_bytes(b).into())),
            Element::F64 => self.gather(bytes, |b| narrow(f64::from_le_bytes(b))),
            Element::F16 => self.gather(bytes, |b| narrow(half::f16::from_le_bytes(b).to_f64())),
            Element::Bf16 => self.gather(bytes, |b| narrow(half::bf16::from_le_bytes(b).to_f64())),
            Element::Other(_) => None,
        }
    }

    /// The values in row-major order. `value` decodes each from `N` little-endian bytes.
    fn gather<const N: usize, T>(&self, bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        let (chunks, rest) = bytes.as_chunks::<N>();
        let value = |&chunk: &[u8; N]| {
            let mut chunk = chunk;
            if self.big_endian {
                chunk.reverse();
            }
            value(chunk)
        };
        let span = match &self.strides {
            None => self.shape.iter().try_fold(1usize, |len, &n| len.checked_mul(n)),
            Some(strides) => strided::span(&self.shape, strides),
        };
        if span != Some(chunks.len()) || !rest.is_empty() {
            return None;
        }
        match &self.strides {
            None => Some(chunks.iter().map(value).collect()),
            Some(strides) => strided::row_major(chunks, &self.shape, strides, value),
        }
    }
}

/// The kind of a weight file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Safetensors,
    /// A pickle of arrays, as Detectron and Caffe2 write it.
    Pickle,
    /// An archive of `torch.save`.
    Torch,
}

/// The contents of a weight file of any kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub tensors: BTreeMap<String, RawTensor>,
    /// The kinds of values that are not tensors, by name.
    pub others: BTreeMap<String, &'static str>,
    /// Metadata `config` of a safetensors file, not yet parsed.
    pub config: Option<String>,
    /// Metadata `family` of a safetensors file, not yet parsed.
    pub family: Option<String>,
    /// Metadata `preprocess` of a safetensors file, not yet parsed.
    pub preprocess: Option<String>,
    /// Metadata `sampling` of a safetensors file, not yet parsed.
    pub sampling: Option<String>,
    /// The configuration stored with the tensors, in YAML: Detectron's, or PySlowFast's and PyTorchVideo's.
    pub cfg: Option<String>,
    /// mmaction2's configuration from `meta`, in Python.
    pub meta_config: Option<String>,
    /// `arch` stored with the tensors, such as `resnet-50` in Hara's 3D-ResNets.
    pub arch: Option<String>,
    /// The author of a Detectron2 file (`__author__`).
    pub author: Option<String>,
    pub kind: Kind,
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

    fn file(bytes: &[u8]) -> WeightFile {
        WeightFile::from_bytes("file".into(), bytes.to_vec())
    }

    fn tensor(element: Element, shape: &[usize], bytes: &[u8]) -> RawTensor {
        RawTensor::dense(element, shape.to_vec(), Payload::plain(0..bytes.len()))
    }

    #[test]
    fn strides_and_byte_order_are_decoded() {
        let bytes: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_be_bytes()).collect();
        let file = file(&bytes);
        let values = |tensor: &RawTensor| tensor.values(&file, |v| v).unwrap().unwrap();
        let mut tensor = tensor(Element::F32, &[2, 3], &bytes);
        tensor.big_endian = true;
        assert_eq!(values(&tensor), [0., 1., 2., 3., 4., 5.]);
        assert!(!tensor.is_transposed());
        tensor.strides = Some(vec![1, 2]);
        assert_eq!(values(&tensor), [0., 2., 4., 1., 3., 5.]);
        assert!(tensor.is_transposed());
        tensor.shape = vec![1, 2, 3];
        tensor.strides = Some(vec![1, 1, 2]);
        assert_eq!(values(&tensor), [0., 2., 4., 1., 3., 5.]);
        // The stride of an axis of 1 makes no difference.
        tensor.strides = Some(vec![0, 3, 1]);
        assert_eq!(values(&tensor), [0., 1., 2., 3., 4., 5.]);
        assert!(!tensor.is_transposed());
        // A part of each of two rows, and one broadcast value.
        tensor.payload.range = 4..24;
        (tensor.shape, tensor.strides) = (vec![2, 2], Some(vec![3, 1]));
        assert_eq!(values(&tensor), [1., 2., 4., 5.]);
        tensor.payload.range = 8..12;
        (tensor.shape, tensor.strides) = (vec![2, 2], Some(vec![0, 0]));
        assert_eq!(values(&tensor), [2.; 4]);
        assert_eq!(tensor.bytes(), 16);
    }

    #[test]
    fn bytes_that_do_not_match_the_shape_give_no_values() {
        let whole = file(&[0; 8]);
        let values = |element, shape: &[usize]| tensor(element, shape, &[0; 8]).values(&whole, |v| v).unwrap();
        assert!(values(Element::F32, &[2]).is_some());
        assert!(values(Element::F32, &[3]).is_none());
        assert!(values(Element::F32, &[usize::MAX, 4]).is_none());
        assert!(values(Element::Other("i8".to_owned()), &[1]).is_none());
        assert_eq!(tensor(Element::F32, &[usize::MAX, 4], &[]).bytes(), usize::MAX);
        // A file that was truncated is an error instead.
        let cut = tensor(Element::F32, &[2], &[0; 8]).values(&file(&[0; 7]), |v| v);
        assert!(cut.is_err_and(|error| error.kind() == crate::ErrorKind::File));
    }
}
