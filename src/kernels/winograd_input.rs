//! Host side of `shaders/winograd_input.wgsl`: the transform of tiles of the input into the Winograd domain.

use super::launch::{self, Launch, Operand, Slice, params};
use super::source::wgsl;
use super::table::{Permutation, Row};
use super::winograd::{Width, WinogradTile, domain_operand};
use super::{Kernel, OperandMemory, TEXTURE_WIDTH};
use crate::graph::Conv;

params! {
    /// Uniform parameters.
    Params {
        grid_x: u32, len: u32, channel_vecs: u32, positions: u32,
        tiles_h: u32, tiles_w: u32, in_h: u32, in_w: u32,
        pad_h: i32, pad_w: i32,
    }
}

/// The transform of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WinogradInput {
    pub(super) tile: WinogradTile,
    pub(super) width: Width,
    /// The memory of the domain.
    pub(super) domain: OperandMemory,
}

impl WinogradInput {
    pub(super) const F2: Self = Self::new(WinogradTile::F2, Width::Four, OperandMemory::Buffer);
    pub(super) const F4: Self = Self::new(WinogradTile::F4, Width::Four, OperandMemory::Buffer);
    pub(super) const F4_PAIRS: Self = Self::new(WinogradTile::F4, Width::Two, OperandMemory::Buffer);
    pub(super) const F2_TEXTURE: Self = Self::new(WinogradTile::F2, Width::Four, OperandMemory::Texture);
    pub(super) const F4_TEXTURE: Self = Self::new(WinogradTile::F4, Width::Four, OperandMemory::Texture);

    pub(super) const fn new(tile: WinogradTile, width: Width, domain: OperandMemory) -> Self {
        Self { tile, width, domain }
    }

    /// From the operator's input to the workspace of the Winograd domain.
    pub(super) fn launch(self, conv: &Conv, slice: &Slice, max_groups: u32) -> Result<Launch, String> {
        let Self { tile, width, domain } = self;
        let input = slice.inputs[0];
        let [tiles_h, tiles_w] = tile.grid(slice.rows.len(), slice.output.w);
        let positions = input.n * input.t * tiles_h * tiles_w;
        let channel_vecs = width.channel_vecs(input.c.div_ceil(4));
        let (len, grid) = launch::invocations(positions as u64 * u64::from(channel_vecs), max_groups)?;
        let params = Params {
            grid_x: grid.x,
            len,
            channel_vecs,
            positions: positions as u32,
            tiles_h: tiles_h as u32,
            tiles_w: tiles_w as u32,
            in_h: input.h as u32,
            in_w: input.w as u32,
            // Padding above the first row that is computed.
            pad_h: slice.pads_h[0] as i32 - slice.rows.start as i32,
            pad_w: conv.window.pad[2] as i32,
        };
        let operands = vec![Operand::Input(0), domain_operand(domain)];
        Ok(Launch::new(Kernel::WinogradInput(self), &params, grid, operands))
    }
}

impl Permutation for WinogradInput {
    fn row(&self) -> Row {
        let Self { tile, width, domain } = *self;
        let name = format!("winograd_input_{}{}{}", tile.name(), width.suffix(), domain.suffix());
        let mut prelude = vec![("IN", tile.inputs()), ("OUT", tile.outputs())];
        let output = match domain {
            OperandMemory::Buffer => wgsl!("shared/domain_in_buffer"),
            OperandMemory::Texture => {
                prelude.push(("TEXTURE_WIDTH", TEXTURE_WIDTH));
                wgsl!("shared/domain_in_texture")
            }
        };
        Row::new(name, wgsl!("winograd_input"), Params::LAYOUT, 2)
            .shared(&[width.source(), tile.source(), output])
            .prelude(&prelude)
            .operand(1, domain)
            .in_f32(&[1])
    }
}
