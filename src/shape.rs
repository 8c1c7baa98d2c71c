//! The shape of a clip or blob.

use crate::dtype::DType;
use crate::error::{Error, ErrorRepr, Result};

/// The shape of a dense NCTHW volume: batch, channels, time, height, width, row-major with width innermost.
///
/// Prints and parses as `1x3x8x224x224`; serialises as `[1, 3, 8, 224, 224]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "[usize; 5]", from = "[usize; 5]")]
pub struct Shape {
    /// Clips in the batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Frames.
    pub t: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// The shape `n × c × t × h × w`.
    pub const fn new(n: usize, c: usize, t: usize, h: usize, w: usize) -> Self {
        Self { n, c, t, h, w }
    }

    /// Number of values. It cannot overflow for shapes that passed [`Shape::checked`].
    pub const fn len(&self) -> usize {
        self.n * self.c * self.t * self.h * self.w
    }

    /// Whether any axis is zero.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the values as f32, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes_as(DType::HOST)
    }

    /// Size of the values in the number format `dtype`, in bytes.
    pub(crate) const fn bytes_as(&self, dtype: DType) -> u64 {
        dtype.bytes_of(self.len())
    }

    /// The time, height and width extents.
    pub const fn thw(&self) -> [usize; 3] {
        [self.t, self.h, self.w]
    }

    /// The same shape with another channel count and other extents.
    pub const fn with(&self, c: usize, [t, h, w]: [usize; 3]) -> Self {
        Self { n: self.n, c, t, h, w }
    }

    /// Refuses shapes with a zero axis, or with more values than the u32 indices of the shaders can address.
    ///
    /// # Errors
    /// [`ErrorKind::Size`](crate::ErrorKind::Size), with `what` as its subject.
    pub fn checked(self, what: &str) -> Result<Self> {
        let len = [self.n, self.c, self.t, self.h, self.w].into_iter().try_fold(1usize, usize::checked_mul);
        match len {
            Some(0) => Err(ErrorRepr::Size {
                what: what.to_owned(),
                reason: format!("shape {self} has a zero axis, wanted every axis to be at least 1"),
            }
            .into()),
            // The number of bytes must fit, because drivers compute 32-bit byte offsets.
            Some(len) if len as u64 <= u64::from(u32::MAX) / DType::HOST.bytes_of(1) => Ok(self),
            _ => Err(ErrorRepr::Size {
                what: what.to_owned(),
                reason: format!("shape {self} has too many values, wanted at most 2^30 - 1"),
            }
            .into()),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}x{}x{}x{}x{}", self.n, self.c, self.t, self.h, self.w))
    }
}

impl From<Shape> for [usize; 5] {
    fn from(s: Shape) -> Self {
        [s.n, s.c, s.t, s.h, s.w]
    }
}

impl From<[usize; 5]> for Shape {
    fn from([n, c, t, h, w]: [usize; 5]) -> Self {
        Self { n, c, t, h, w }
    }
}

impl std::str::FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            ErrorRepr::Shape {
                what: "clip".to_owned(),
                wanted: "NxCxTxHxW, for example 1x3x8x224x224".to_owned(),
                given: text.to_owned(),
            }
            .into()
        };
        let axes = text
            .split(['x', 'X', '×'])
            .map(|axis| axis.trim().parse().map_err(|_| wrong()))
            .collect::<Result<Vec<usize>>>()?;
        let axes: [usize; 5] = axes.try_into().map_err(|_| wrong())?;
        Self::from(axes).checked("clip")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let shape: Shape = "1x3x8x224x224".parse().unwrap();
        assert_eq!(shape, Shape::new(1, 3, 8, 224, 224));
        assert_eq!(shape.to_string(), "1x3x8x224x224");
        assert_eq!(shape.bytes(), 3 * 8 * 224 * 224 * 4);
    }

    #[test]
    fn refuses_invalid_shapes() {
        for text in ["", "3x8x224x224", "1x3x0x224x224", "1x3x8x224xa", "1x3x8x224x-1", "65536x65536x65536x65536x2"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
