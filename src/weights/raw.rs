//! Tensors as they lie in a file: not yet read, of any element type, order of bytes and order of axes.

use super::file::WeightFile;
use super::strided;
use crate::error::Result;
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

    /// Bytes of a value; `None` of what no weight can be.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::F16 | Self::Bf16 => Some(2),
            Self::F32 => Some(4),
            Self::F64 => Some(8),
            Self::Other(_) => None,
        }
    }

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

/// How the bytes of a tensor are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are.
    Plain,
    /// The UTF-8 of Latin-1 text, one character for a byte: how Python 3 writes bytes by protocol 2.
    Latin1,
    /// A literal of Python's, without its quotes: how Python 2 writes bytes by protocol 0.
    Literal,
    /// Latin-1 in which `\u0000` and the like stand for some bytes: how Python 3 writes bytes by protocol 0.
    RawUnicode,
}

/// Where the bytes of a tensor are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Bytes of the file.
    pub range: Range<usize>,
    pub encoding: Encoding,
}

impl Payload {
    /// Bytes as they are.
    pub fn plain(range: Range<usize>) -> Self {
        Self { range, encoding: Encoding::Plain }
    }

    /// The bytes, decoded where they have to be; `None` if they are not of their encoding.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File)(crate::error::Error::File) if the file cannot be read.
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
    /// How many elements lie between neighbours along each axis, 0 where all are the same one; `None` if the tensor is in
    /// row-major order without gaps.
    pub strides: Option<Vec<usize>>,
    pub big_endian: bool,
    /// From the first element to the last.
    pub payload: Payload,
}

impl RawTensor {
    /// A little-endian tensor in row-major order without gaps.
    pub fn dense(element: Element, shape: Vec<usize>, payload: Payload) -> Self {
        Self { element, shape, strides: None, big_endian: false, payload }
    }

    /// The bytes that its values would be in row-major order; 0 if they cannot be weights.
    pub fn bytes(&self) -> usize {
        let size = self.element.size().unwrap_or(0);
        self.shape.iter().fold(size, |bytes, &axis| bytes.saturating_mul(axis))
    }

    /// Whether an axis lies further in than its place in the shape says.
    pub fn is_transposed(&self) -> bool {
        let axes = self.strides.iter().flatten().zip(&self.shape);
        let strides = axes.filter(|(stride, axis)| **axis > 1 && **stride > 0).map(|(stride, _)| stride);
        !strides.is_sorted_by(|outer, inner| outer >= inner)
    }

    /// The values in row-major order, as f64 narrowed by `narrow`; `None` if the element type is none of
    /// [`Element::WANTED`], or the bytes are not what the shape takes.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File)(crate::error::Error::File) if the file cannot be read.
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

    /// The values in row-major order, each made of `N` bytes that are given to `value` as little-endian ones.
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

/// Whose a weight file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Safetensors,
    /// A pickle of arrays, as Detectron and Caffe2 write it.
    Pickle,
    /// An archive of `torch.save`.
    Torch,
}

/// What a weight file holds, whatever its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub tensors: BTreeMap<String, RawTensor>,
    /// Names that have no tensor, and what they have instead.
    pub others: BTreeMap<String, &'static str>,
    /// Metadata `config` of a safetensors file, unread.
    pub config: Option<String>,
    /// Metadata `family` of a safetensors file, unread.
    pub family: Option<String>,
    /// Metadata `preprocess` of a safetensors file, unread.
    pub preprocess: Option<String>,
    /// Metadata `sampling` of a safetensors file, unread.
    pub sampling: Option<String>,
    /// The configuration beside the tensors, as YAML: Detectron's, or PySlowFast's and PyTorchVideo's.
    pub cfg: Option<String>,
    /// The configuration in `meta`, as Python: mmaction2's.
    pub meta_config: Option<String>,
    /// `arch` beside the tensors: `resnet-50` and the like, as Hara's 3D-ResNets have it.
    pub arch: Option<String>,
    /// Who made a Detectron2 file (`__author__`).
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
    fn axes_and_bytes_are_put_in_order() {
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
        // An axis of one has no neighbours, however far away.
        tensor.strides = Some(vec![0, 3, 1]);
        assert_eq!(values(&tensor), [0., 1., 2., 3., 4., 5.]);
        assert!(!tensor.is_transposed());
        // A part of each of two rows, and one value many times.
        tensor.payload.range = 4..24;
        (tensor.shape, tensor.strides) = (vec![2, 2], Some(vec![3, 1]));
        assert_eq!(values(&tensor), [1., 2., 4., 5.]);
        tensor.payload.range = 8..12;
        (tensor.shape, tensor.strides) = (vec![2, 2], Some(vec![0, 0]));
        assert_eq!(values(&tensor), [2.; 4]);
        assert_eq!(tensor.bytes(), 16);
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_no_values() {
        let whole = file(&[0; 8]);
        let values = |element, shape: &[usize]| tensor(element, shape, &[0; 8]).values(&whole, |v| v).unwrap();
        assert!(values(Element::F32, &[2]).is_some());
        assert!(values(Element::F32, &[3]).is_none());
        assert!(values(Element::F32, &[usize::MAX, 4]).is_none());
        assert!(values(Element::Other("i8".to_owned()), &[1]).is_none());
        assert_eq!(tensor(Element::F32, &[usize::MAX, 4], &[]).bytes(), usize::MAX);
        // A file that has become shorter is another matter.
        let cut = tensor(Element::F32, &[2], &[0; 8]).values(&file(&[0; 7]), |v| v);
        assert!(cut.is_err_and(|error| error.kind() == crate::ErrorKind::File));
    }
}
