//! Number formats of the values on a device.
//!
//! A blob and a constant each have a [`DType`]. What callers give and get is [`DType::HOST`]; blobs inside of a run have the
//! format of the plan. Kernels compute in f32 whatever the format: they convert where they load and store
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

/// What WGSL calls values of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wgsl {
    /// Extensions that a shader has to enable for it.
    pub enables: &'static [&'static str],
    /// Types in storage: of one value, of two and of four side by side.
    pub values: [&'static str; 3],
    /// The type of a texture that four values at a time are read from.
    pub texture: &'static str,
}

impl DType {
    /// The format of clips and features: what callers give and get, and what lies at the edges of a run.
    pub const HOST: Self = Self::F32;

    /// Bytes of so many values. All other numbers of bytes derive from this one.
    pub const fn bytes_of(self, values: usize) -> u64 {
        let each = match self {
            Self::F32 => 4,
        };
        values as u64 * each
    }

    /// What it adds to the name of a kernel.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "",
        }
    }

    /// What WGSL calls it.
    pub(crate) const fn wgsl(self) -> Wgsl {
        match self {
            Self::F32 => Wgsl {
                enables: &[],
                values: ["f32", "vec2<f32>", "vec4<f32>"],
                texture: "texture_storage_2d<rgba32float, read>",
            },
        }
    }

    /// Values of the host as a device has them.
    pub(crate) fn to_device(self, values: &[f32]) -> Cow<'_, [u8]> {
        match self {
            Self::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
        }
    }

    /// Values of a device as the host has them; bytes behind the last whole value are left out.
    pub(crate) fn to_host(self, bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&value| f32::from_ne_bytes(value)),
        }
    }
}

/// The number format of what a kernel binds, or of a constant, as far as it does not depend on the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// That of the plan: blobs inside of a run, and the weights of most methods.
    Plan,
    /// f32 whatever the plan has: clips and features, biases, workspaces, weights in the Winograd domain.
    F32,
}

impl Format {
    /// The format in a plan whose values have the format `plan`.
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
