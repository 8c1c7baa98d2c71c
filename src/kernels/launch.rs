//! One dispatch: its parameters, its operands and its grid.

use super::{Kernel, Source, wgsl};
use crate::dtype::Format;
use crate::graph::{Conv, Layout, Window};
use crate::shape::Shape;
use std::ops::Range;

/// An operand of a kernel, in the order of its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The operator's input of that index. Read only.
    Input(usize),
    /// The operator's constant buffer of that index. Read only.
    Constant(usize),
    /// The workspace of that index. Written if it is the last operand, else read.
    Scratch(usize),
    /// The operator's output. Written.
    Output,
}

impl Operand {
    /// The operands of every convolution: input, weights, bias, residual, output.
    pub(super) fn of_conv(conv: &Conv) -> Vec<Self> {
        // The shaders declare a residual. Without one they never read it, and the bias is bound in its place.
        let residual = if conv.epilogue.residual { Self::Input(1) } else { Self::Constant(1) };
        vec![Self::Input(0), Self::Constant(0), Self::Constant(1), residual, Self::Output]
    }
}

/// The part of an operator that one dispatch computes: all of it, or a range of frames, of rows, or of blocks of output
/// channels.
///
/// To a kernel, a range of frames or of rows is an operator on smaller blobs with different padding in time or above.
/// So it computes the same values by the same arithmetic. The rows and frames of an input that it reads are bound as
/// far as they exist; beyond them is padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Shapes of the bound parts of the inputs, at least one.
    pub inputs: Vec<Shape>,
    /// Shape of the bound part of the output.
    pub output: Shape,
    /// Layout of the output.
    pub output_layout: Layout,
    /// Frames of padding in front of each input; negative if the bound part begins before the first frame that is read.
    pub pads_t: Vec<isize>,
    /// Rows of padding above each input; negative if the bound part begins above the first row that is read.
    pub pads_h: Vec<isize>,
    /// Rows of the whole output above the first bound row.
    pub above: usize,
    /// Rows of the whole first input.
    pub input_h: usize,
    /// The bound rows of the output that are computed.
    pub rows: Range<usize>,
    /// The blocks of output channels that are computed, among the blocks that [`super::Method::constant_blocks`]
    /// counts.
    pub blocks: Range<usize>,
}

impl Slice {
    /// The parameters of `window`, which slides over the first input, with the padding of this slice.
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

/// One dispatch, before buffers are assigned to its blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The shader.
    pub kernel: Kernel,
    /// The number format of its values: that of the plan, except for kernels between two workspaces.
    pub format: Format,
    /// Bytes of the uniform parameters.
    pub params: Vec<u8>,
    /// Workgroups.
    pub grid: Grid,
    /// The operands after the parameters; binding 1 is the first.
    pub operands: Vec<Operand>,
    /// Multiply-adds of all invocations with these parameters. The padding to whole tiles of channels and positions is
    /// included, and so are products with the zeros around a blob. 0 for kernels that compute no products with weights.
    /// The arithmetic of Winograd's transforms is not counted.
    pub macs: u64,
    /// How it divides a matrix product, for the kernels that compute one in workgroup tiles.
    pub tiles: Option<Tiles>,
}

/// How a launch divides a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Workgroup tiles along the output channels.
    pub channels: u32,
    /// Workgroup tiles along the output positions.
    pub positions: u32,
    /// Stages of a tile: how often a workgroup loads k indices, for the operand pair with the most stages.
    pub stages: u64,
}

impl Launch {
    /// A launch that computes no products with weights.
    pub(super) fn new(kernel: Kernel, params: &impl bytemuck::NoUninit, grid: Grid, operands: Vec<Operand>) -> Self {
        let params = bytemuck::bytes_of(params).to_vec();
        Self { kernel, format: Format::Plan, params, grid, operands, macs: 0, tiles: None }
    }

    /// The same with all values in f32, whatever the format of the plan.
    pub(super) fn in_f32(self) -> Self {
        Self { format: Format::F32, ..self }
    }

    /// The same with `macs` multiply-adds.
    pub(super) fn with_macs(self, macs: u64) -> Self {
        Self { macs, ..self }
    }

    /// The same with a matrix product divided like this.
    pub(super) fn with_tiles(self, tiles: Tiles) -> Self {
        Self { tiles: Some(tiles), ..self }
    }
}

/// The product of parameters.
pub(super) fn product<const N: usize>(factors: [u32; N]) -> u64 {
    factors.into_iter().map(u64::from).product()
}

/// A number of workgroups, folded into two dimensions if it exceeds what an adapter takes along one axis.
///
/// The grid may be larger than that number: shaders compare their index with the number.
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
    /// The reason, if there are more than `max_groups` rows, or more workgroups than a shader's u32 index can count.
    pub fn fold(groups: u64, max_groups: u32) -> Result<Self, String> {
        let too_many =
            || format!("it needs {groups} workgroups, the adapter takes {max_groups} along each of two axes");
        let max = u64::from(max_groups.max(1));
        let y = groups.div_ceil(max).max(1);
        // Rows have equal lengths, so there is less than one unused workgroup for each row.
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

/// The number of channel blocks of four of `output`, and the grid of a kernel with one invocation for each, 64 to a
/// workgroup.
pub(super) fn channel_block_grid(output: Shape, max_groups: u32) -> Result<(u32, Grid), String> {
    invocations((output.n * output.t * output.h * output.w * output.c.div_ceil(4)) as u64, max_groups)
}

/// `len` as u32, which shaders count in, and the grid of `len` invocations, 64 to a workgroup.
pub(super) fn invocations(len: u64, max_groups: u32) -> Result<(u32, Grid), String> {
    let grid = Grid::fold(len.div_ceil(64), max_groups)?;
    Ok((len as u32, grid))
}

/// Name and byte offset of a member of a host struct.
pub type FieldLayout = (&'static str, usize);

/// Declares the host struct for a shader's `Params`: 32-bit scalars, and perhaps a [`WindowParams`] in front, in the
/// same order. The layout is also data, which a test compares with naga's reflection of the shader.
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

/// The shaders' `Window`, in front of every shader with a sliding window.
pub(super) const WINDOW: Source = wgsl!("shared/window");

params! {
    /// Host struct for `shaders/shared/window.wgsl`.
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
