//! What one dispatch needs, and the grid it runs on.

use super::{Kernel, Source, wgsl};
use crate::dtype::Format;
use crate::graph::{Conv, Layout, Window};
use crate::shape::Shape;
use std::ops::Range;

/// What a kernel binds, in the order of its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The operator's input of that index, read only.
    Input(usize),
    /// The operator's constant buffer of that index, read only.
    Constant(usize),
    /// A workspace of that index: written where it is the last operand, else read.
    Scratch(usize),
    /// The operator's output, written.
    Output,
}

impl Operand {
    /// What every convolution binds: input, weights, bias, residual, output.
    pub(super) fn of_conv(conv: &Conv) -> Vec<Self> {
        // The shaders declare a residual; where there is none they never read it, and the bias stands in.
        let residual = if conv.epilogue.residual { Self::Input(1) } else { Self::Constant(1) };
        vec![Self::Input(0), Self::Constant(0), Self::Constant(1), residual, Self::Output]
    }
}

/// What one dispatch computes of an operator, as its kernel sees it: everything, or a range of frames, of rows, or of
/// blocks of output channels.
///
/// To a kernel a range of frames, or of rows, is an operator on smaller blobs with other padding in time, or above, so
/// that it computes the same values by the same arithmetic. What it needs of an input is bound, as far as there is any:
/// beyond what is bound is padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Shapes of the inputs as they are bound, at least one.
    pub inputs: Vec<Shape>,
    /// Shape of the output as it is bound.
    pub output: Shape,
    /// Layout of the output.
    pub output_layout: Layout,
    /// Frames of padding in front of each input; negative where that comes before the first frame needed.
    pub pads_t: Vec<isize>,
    /// Rows of padding above each input; negative where what is bound begins above the first row needed.
    pub pads_h: Vec<isize>,
    /// Rows of the whole output above the first one that is bound.
    pub above: usize,
    /// Rows of the whole first input.
    pub input_h: usize,
    /// Rows of the output that are computed, of those that are bound.
    pub rows: Range<usize>,
    /// Blocks of output channels, of those that [`super::Method::constant_blocks`] counts.
    pub blocks: Range<usize>,
}

impl Slice {
    /// The parameters of `window`, which slides over the first input, padded as this slice has it.
    pub(super) fn window(&self, window: &Window) -> WindowParams {
        self.window_of(0, window)
    }

    /// The same for the input of that index.
    pub(super) fn window_of(&self, input: usize, window: &Window) -> WindowParams {
        let [kernel_t, kernel_h, kernel_w] = window.kernel.map(|v| v as u32);
        let [stride_t, stride_h, stride_w] = window.stride.map(|v| v as u32);
        let [dilation_t, dilation_h, dilation_w] = window.dilation.map(|v| v as u32);
        WindowParams {
            kernel_t,
            kernel_h,
            kernel_w,
            stride_t,
            stride_h,
            stride_w,
            pad_t: self.pads_t[input] as i32,
            pad_h: self.pads_h[input] as i32,
            pad_w: window.pad[2] as i32,
            dilation_t,
            dilation_h,
            dilation_w,
        }
    }
}

/// One dispatch, before anyone knows which buffers its blobs live in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The shader.
    pub kernel: Kernel,
    /// The number format of its values: that of the plan, but for kernels between two workspaces.
    pub format: Format,
    /// Bytes of the uniform parameters.
    pub params: Vec<u8>,
    /// Workgroups.
    pub grid: Grid,
    /// What is bound after the parameters; binding 1 is the first.
    pub operands: Vec<Operand>,
    /// Multiply-adds of all invocations with these parameters: those of the padding to whole tiles of channels and
    /// positions included, and those with the zeros around a blob. 0 for kernels that compute no products of weights;
    /// what Winograd's transforms add and scale is not counted.
    pub macs: u64,
}

impl Launch {
    /// One that computes no products of weights.
    pub(super) fn new(kernel: Kernel, params: &impl bytemuck::NoUninit, grid: Grid, operands: Vec<Operand>) -> Self {
        let params = bytemuck::bytes_of(params).to_vec();
        Self { kernel, format: Format::Plan, params, grid, operands, macs: 0 }
    }

    /// The same with all values in f32 whatever the plan has.
    pub(super) fn in_f32(self) -> Self {
        Self { format: Format::F32, ..self }
    }

    /// The same with so many multiply-adds.
    pub(super) fn with_macs(self, macs: u64) -> Self {
        Self { macs, ..self }
    }
}

/// The product of factors that are parameters.
pub(super) fn product<const N: usize>(factors: [u32; N]) -> u64 {
    factors.into_iter().map(u64::from).product()
}

/// A number of workgroups, folded into two dimensions where it exceeds what an adapter takes along one.
///
/// The last row may reach beyond the number wanted: shaders compare their index with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Workgroups in a row: the `grid_x` of every shader.
    pub x: u32,
    /// Rows.
    pub y: u32,
}

impl Grid {
    /// `groups` workgroups in rows of at most `max_groups`.
    ///
    /// # Errors
    /// The reason, if there are more than `max_groups` rows, or more groups than a shader's u32 index can count.
    pub fn fold(groups: u64, max_groups: u32) -> Result<Self, String> {
        let too_many =
            || format!("it needs {groups} workgroups, the adapter takes {max_groups} along each of two axes");
        let max = u64::from(max_groups.max(1));
        let y = groups.div_ceil(max).max(1);
        // Rows of equal length: the overhang is less than one workgroup a row.
        let x = groups.div_ceil(y).max(1);
        if y > max || x * y > u64::from(u32::MAX) / 64 {
            return Err(too_many());
        }
        Ok(Self { x: x as u32, y: y as u32 })
    }

    /// Workgroups launched.
    pub fn groups(self) -> u64 {
        u64::from(self.x) * u64::from(self.y)
    }
}

/// Channel blocks of four, and the grid of a kernel that has one invocation for each of those of `output`, 64 to a
/// workgroup.
pub(super) fn channel_block_grid(output: Shape, max_groups: u32) -> Result<(u32, Grid), String> {
    invocations((output.n * output.t * output.h * output.w * output.c.div_ceil(4)) as u64, max_groups)
}

/// The grid of `len` invocations, 64 to a workgroup; and `len`, which shaders count in u32.
pub(super) fn invocations(len: u64, max_groups: u32) -> Result<(u32, Grid), String> {
    let grid = Grid::fold(len.div_ceil(64), max_groups)?;
    Ok((len as u32, grid))
}

/// Name and byte offset of a member of a host struct.
pub type FieldLayout = (&'static str, usize);

/// Declares the host twin of a shader's `Params`: 32-bit scalars (or a [`WindowParams`] in front) in the same order,
/// with the layout as data, which a test compares with naga's reflection of the shader.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        #[allow(missing_docs)] // each member is documented in the shader
        pub struct $name { $(pub $field: $type),* }

        impl $name {
            /// Names and offsets of the members, then the size under an empty name.
            pub const LAYOUT: &'static [$crate::kernels::FieldLayout] = &[
                $((stringify!($field), std::mem::offset_of!($name, $field)),)*
                ("", std::mem::size_of::<$name>()),
            ];
        }
    };
}
pub(super) use params;

/// The shaders' `Window`, in front of every shader that slides.
pub(super) const WINDOW: Source = wgsl!("shared/window");

params! {
    /// Host twin of `shaders/shared/window.wgsl`.
    WindowParams {
        kernel_t: u32, kernel_h: u32, kernel_w: u32,
        stride_t: u32, stride_h: u32, stride_w: u32,
        pad_t: i32, pad_h: i32, pad_w: i32,
        dilation_t: u32, dilation_h: u32, dilation_w: u32,
    }
}

impl WindowParams {
    /// Taps of the window.
    pub(super) fn taps(&self) -> u64 {
        product([self.kernel_t, self.kernel_h, self.kernel_w])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_fold_and_cover() {
        for (groups, max) in
            [(0u64, 65_535u32), (1, 65_535), (65_535, 65_535), (65_536, 65_535), (1_000_003, 65_535), (50, 8)]
        {
            let grid = Grid::fold(groups, max).unwrap();
            assert!(grid.x <= max && grid.y <= max, "{groups}: {grid:?}");
            assert!(grid.groups() >= groups && grid.groups() < groups.max(1) + u64::from(grid.y), "{groups}: {grid:?}");
        }
        assert!(Grid::fold(65, 8).is_err());
    }
}
