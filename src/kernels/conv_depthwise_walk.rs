//! Host side of `shaders/conv_depthwise_walk.wgsl`: depthwise 3×3×3 convolution by invocations that walk through time.
//!
//! Parameters, launch and constants are those of [`super::conv_depthwise`].

use super::conv_depthwise::{self, ConvDepthwise, Params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::{Kernel, Launch, Slice};
use crate::dtype::Format;
use crate::error::Result;
use crate::graph::{Conv, OpKind};
use crate::weights::Weights;

/// Rows and columns that an invocation computes of every frame.
const ROWS: usize = 4;
const COLUMNS: usize = 4;

/// The distance of neighbouring outputs in height and width. It is an axis of the kernel, since it decides which
/// positions are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stride {
    /// One position.
    One,
    /// Two.
    Two,
}

impl Stride {
    /// Both strides.
    pub(super) const ALL: &[Self] = &[Self::One, Self::Two];

    fn positions(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl Permutation for Stride {
    fn row(&self) -> Row {
        let name = match self {
            Self::One => "conv_depthwise_walk",
            Self::Two => "conv_depthwise_walk_stride_2",
        };
        let stride = self.positions();
        let patch = |outputs: usize| (outputs - 1) * stride + 3;
        let sizes = [
            ("ROWS", ROWS),
            ("COLUMNS", COLUMNS),
            ("FURTHER", COLUMNS - 1),
            ("STRIDE", stride),
            ("BLOCK_VEC4S", conv_depthwise::BLOCK / 4),
        ];
        let patches = [("PATCH_ROWS", patch(ROWS)), ("PATCH_COLUMNS", patch(COLUMNS))];
        Row::new(name, wgsl!("conv_depthwise_walk"), Params::LAYOUT, 5)
            .shared(&conv_depthwise::SHARED)
            .prelude(&[&sizes[..], &patches].concat())
            .in_f32(&[2])
    }
}

impl Family for Stride {
    type Operator = Conv;

    fn operator(kind: &OpKind) -> Option<&Conv> {
        kind.conv()
    }

    fn supports(&self, conv: &Conv) -> Result<(), String> {
        Family::supports(&ConvDepthwise, conv)?;
        let (window, stride) = (&conv.window, self.positions());
        if (window.kernel, window.dilation, &window.stride[1..]) != ([3; 3], [1; 3], &[stride; 2]) {
            return Err(format!("it computes 3x3x3 windows of stride {stride} in height and width, not {window:?}"));
        }
        Ok(())
    }

    fn blocks(&self, conv: &Conv) -> usize {
        Family::blocks(&ConvDepthwise, conv)
    }

    fn constant_format(&self, index: usize) -> Format {
        Family::constant_format(&ConvDepthwise, index)
    }

    fn constant_lens(&self, conv: &Conv, channels: usize) -> Vec<usize> {
        Family::constant_lens(&ConvDepthwise, conv, channels)
    }

    fn constants(&self, conv: &Conv, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        Family::constants(&ConvDepthwise, conv, channels, weights)
    }

    fn launches(&self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (kernel, extents) = (Kernel::ConvDepthwiseWalk(*self), [slice.output.t, ROWS, COLUMNS]);
        Ok(vec![conv_depthwise::launch(kernel, extents, conv, slice, max_groups, macs)?])
    }
}

/// Multiply-adds of a launch. Every input frame contributes to the sums of three frames, including sums that are not
/// stored.
fn macs(params: &Params) -> u64 {
    let frames = (u64::from(params.tile_t) - 1) * u64::from(params.window.stride_t) + 3;
    u64::from(params.len) * frames * (27 * 4 * ROWS * COLUMNS) as u64
}
