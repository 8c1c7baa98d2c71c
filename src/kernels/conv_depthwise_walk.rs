//! Host side of `shaders/conv_depthwise_walk.wgsl`: depthwise 3×3×3 convolution by invocations that walk through time.
//!
//! Parameters, launch and constants are those of [`super::conv_depthwise`].

use super::conv_depthwise::{self, assemble_depthwise};
use super::{Kernel, Launch, Slice};
use crate::graph::Conv;

const SOURCE: &str = include_str!("../../shaders/conv_depthwise_walk.wgsl");

/// Rows and columns that an invocation computes of every frame.
const ROWS: usize = 4;
const COLUMNS: usize = 4;

/// How far apart neighbouring outputs are in height and width: a choice of the shader, since it decides what is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stride {
    /// One position.
    One,
    /// Two.
    Two,
}

impl Stride {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::One, Self::Two];

    fn positions(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

pub(super) fn source(stride: Stride) -> String {
    let stride = stride.positions();
    let patch = |outputs: usize| (outputs - 1) * stride + 3;
    let sizes = [("ROWS", ROWS), ("COLUMNS", COLUMNS), ("FURTHER", COLUMNS - 1), ("STRIDE", stride)];
    let patches = [("PATCH_ROWS", patch(ROWS)), ("PATCH_COLUMNS", patch(COLUMNS))];
    assemble_depthwise(&[&sizes[..], &patches].concat(), SOURCE)
}

/// Whether it can compute `conv`.
///
/// # Errors
/// Why not.
pub(super) fn accepts(stride: Stride, conv: &Conv) -> Result<(), String> {
    conv_depthwise::accepts(conv)?;
    let (window, stride) = (&conv.window, stride.positions());
    if (window.kernel, window.dilation, &window.stride[1..]) != ([3; 3], [1; 3], &[stride; 2]) {
        return Err(format!("it computes 3x3x3 windows of stride {stride} in height and width, not {window:?}"));
    }
    Ok(())
}

pub(super) fn launch(stride: Stride, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
    accepts(stride, conv)?;
    let extents = [slice.output.t, ROWS, COLUMNS];
    conv_depthwise::launch(Kernel::ConvDepthwiseWalk(stride), extents, conv, slice, max_groups)
}

/// Multiply-adds of a launch: every frame has a part in the sums of three, those around the outputs as well.
pub(super) fn macs(params: &conv_depthwise::Params) -> u64 {
    let frames = (u64::from(params.tile_t) - 1) * u64::from(params.window.stride_t) + 3;
    u64::from(params.len) * frames * (27 * 4 * ROWS * COLUMNS) as u64
}
