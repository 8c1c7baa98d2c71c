//! Host side of `shaders/winograd_output.wgsl`: the transform out of the Winograd domain.

use super::Kernel;
use super::launch::{self, Launch, Operand, Slice, params};
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::winograd::{PRODUCTS, Width, WinogradTile};

use crate::graph::Conv;
use crate::shape::Shape;

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, channel_vecs: u32, out_channel_vecs: u32, first_channel_vec: u32, positions: u32,
        tiles_h: u32, tiles_w: u32, first_row: u32, out_h: u32, out_w: u32,
        add_residual: u32, relu: u32,
    }
}

/// The transform of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WinogradOutput {
    pub(super) tile: WinogradTile,
    pub(super) width: Width,
}

impl WinogradOutput {
    pub(super) const F2: Self = Self::new(WinogradTile::F2, Width::Four);
    pub(super) const F4: Self = Self::new(WinogradTile::F4, Width::Four);
    pub(super) const F4_PAIRS: Self = Self::new(WinogradTile::F4, Width::Two);

    pub(super) const fn new(tile: WinogradTile, width: Width) -> Self {
        Self { tile, width }
    }

    /// From the workspace of the products, whose shape is `products`, to the rows of `slice` in the operator's output,
    /// in the channel blocks from `first_channel_block` on.
    pub(super) fn launch(
        self,
        conv: &Conv,
        products: Shape,
        first_channel_block: usize,
        slice: &Slice,
        max_groups: u32,
    ) -> Result<Launch, String> {
        let Self { tile, width } = self;
        let output = slice.output;
        let [tiles_h, tiles_w] = tile.grid(slice.rows.len(), output.w);
        let positions = output.n * output.t * tiles_h * tiles_w;
        let channel_vecs = width.channel_vecs(products.c.div_ceil(4));
        let (len, grid) = launch::invocations(positions as u64 * u64::from(channel_vecs), max_groups)?;
        let params = Params {
            grid_x: grid.x,
            len,
            channel_vecs,
            out_channel_vecs: width.channel_vecs(output.c.div_ceil(4)),
            first_channel_vec: width.channel_vecs(first_channel_block),
            positions: positions as u32,
            tiles_h: tiles_h as u32,
            tiles_w: tiles_w as u32,
            first_row: slice.rows.start as u32,
            out_h: output.h as u32,
            out_w: output.w as u32,
            add_residual: conv.epilogue.residual.into(),
            relu: conv.epilogue.relu.into(),
        };
        // The bias of the outputs is the third constant. Without a residual it is bound in the residual's place.
        let residual = if conv.epilogue.residual { Operand::Input(1) } else { Operand::Constant(2) };
        let operands = vec![Operand::Scratch(PRODUCTS), Operand::Constant(2), residual, Operand::Output];
        Ok(Launch::new(Kernel::WinogradOutput(self), &params, grid, operands))
    }
}

impl Permutation for WinogradOutput {
    fn row(&self) -> Row {
        let Self { tile, width } = *self;
        let name = format!("winograd_output_{}{}", tile.name(), width.suffix());
        Row::new(name, wgsl!("winograd_output"), Params::LAYOUT, 4)
            .shared(&[width.source(), tile.source()])
            .prelude(&[("IN", tile.inputs()), ("OUT", tile.outputs())])
            .in_f32(&[0, 1])
    }
}
