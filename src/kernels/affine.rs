//! Host side of `shaders/affine.wgsl`: the affine channel, where it has not been fused.

use super::Kernel;
use super::launch::{Launch, Operand, Slice, channel_block_grid, params};
use super::method::Family;
use super::source::wgsl;
use super::table::{Permutation, Row};
use crate::error::Result;
use crate::graph::{Affine, OpKind};
use crate::weights::Weights;

params! {
    /// Uniform parameters.
    Params { grid_x: u32, len: u32, channel_blocks: u32 }
}

/// The affine channel. It has one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AffineChannel;

impl Permutation for AffineChannel {
    fn row(&self) -> Row {
        Row::new("affine", wgsl!("affine"), Params::LAYOUT, 4).in_f32(&[1, 2])
    }
}

impl Family for AffineChannel {
    type Operator = Affine;

    fn operator(kind: &OpKind) -> Option<&Affine> {
        if let OpKind::Affine(affine) = kind { Some(affine) } else { None }
    }

    fn constant_lens(&self, _affine: &Affine, channels: usize) -> Vec<usize> {
        vec![channels.next_multiple_of(4); 2]
    }

    /// Scale and bias, zero in the padding. With a bias only, the scale is one.
    fn constants(&self, affine: &Affine, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        let read = |name: &str| weights.get(name, &[channels]).map(<[f32]>::to_vec);
        let scale = affine.scale.as_deref().map_or_else(|| Ok(vec![1.0; channels]), read)?;
        let mut constants = vec![scale, read(&affine.bias)?];
        constants.iter_mut().for_each(|values| values.resize(channels.next_multiple_of(4), 0.0));
        Ok(constants)
    }

    fn launches(&self, _affine: &Affine, slice: &Slice, max_groups: u32) -> Result<Vec<Launch>, String> {
        let (len, grid) = channel_block_grid(slice.output, max_groups)?;
        let params = Params { grid_x: grid.x, len, channel_blocks: slice.output.c.div_ceil(4) as u32 };
        let operands = vec![Operand::Input(0), Operand::Constant(0), Operand::Constant(1), Operand::Output];
        Ok(vec![Launch::new(Kernel::Affine(*self), &params, grid, operands)])
    }
}
