//! Number formats of values on a device.
//!
//! Every blob and every constant has a [`DType`]. Values of callers have [`DType::HOST`]; blobs within a run have the
//! format of the plan. Kernels compute in f32, whatever the format: they convert when they load and store
//! (`shaders/shared/values_f32.wgsl`).

use crate::named::named;
use std::borrow::Cow;

/// A number format of values in buffers and textures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floats.
    #[default]
    F32,
}

named!(DType, "number format": F32 => "f32");

/// The WGSL types for values of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wgsl {
    /// Extensions that a shader has to enable for them.
    pub enables: &'static [&'static str],
    /// Types in storage: of one value, of two values and of four.
    pub values: [&'static str; 3],
    /// The type of a texture whose texels are four values.
    pub texture: &'static str,
}

impl DType {
    /// The format of clips and features, which callers give and get.
    pub const HOST: Self = Self::F32;

    /// Bytes of `values` values. All other sizes in bytes derive from this function.
    pub const fn bytes_of(self, values: usize) -> u64 {
        let each = match self {
            Self::F32 => 4,
        };
        values as u64 * each
    }

    /// The part of a kernel's name that stands for this format.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "",
        }
    }

    /// The WGSL types of this format.
    pub(crate) const fn wgsl(self) -> Wgsl {
        match self {
            Self::F32 => Wgsl {
                enables: &[],
                values: ["f32", "vec2<f32>", "vec4<f32>"],
                texture: "texture_storage_2d<rgba32float, read>",
            },
        }
    }

    /// Converts values of the host to the bytes for a device.
    pub(crate) fn to_device(self, values: &[f32]) -> Cow<'_, [u8]> {
        match self {
            Self::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
        }
    }

    /// Converts bytes of a device to values of the host. Bytes after the last whole value are ignored.
    pub(crate) fn to_host(self, bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&value| f32::from_ne_bytes(value)),
        }
    }
}

/// The number format of an operand or a constant, relative to the plan's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The format of the plan: blobs within a run, and the weights of most methods.
    Plan,
    /// f32, whatever the format of the plan: clips and features, biases, workspaces, weights in the Winograd domain.
    F32,
}

impl Format {
    /// The number format in a plan of format `plan`.
    pub fn of(self, plan: DType) -> DType {
        match self {
            Self::Plan => plan,
            Self::F32 => DType::F32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_to_a_device_and_back() {
        let values = [0.0, -0.0, 1.5, -3.25, 65504.0, f32::INFINITY, f32::NEG_INFINITY];
        for &dtype in DType::ALL {
            let bytes = dtype.to_device(&values);
            assert_eq!(bytes.len() as u64, dtype.bytes_of(values.len()), "{dtype}");
            let back: Vec<f32> = dtype.to_host(&bytes).collect();
            assert_eq!(back.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), values.map(f32::to_bits), "{dtype}");
        }
        assert_eq!((Format::Plan.of(DType::F32), Format::F32.of(DType::F32)), (DType::F32, DType::F32));
    }
}
