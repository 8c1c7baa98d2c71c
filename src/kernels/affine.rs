//! Host side of `shaders/affine.wgsl`: the affine channel, where it has not been fused.

use super::Kernel;
use super::launch::{Launch, Operand, params, quad_grid};
use crate::error::Result;
use crate::graph::Affine;
use crate::shape::Shape;
use crate::weights::Weights;

pub(super) const SOURCE: &str = include_str!("../../shaders/affine.wgsl");

params! {
    /// Uniform parameters.
    Params { grid_x: u32, len: u32, quads: u32 }
}

pub(super) fn launch(output: Shape, max_groups: u32) -> Result<Launch, String> {
    let (len, grid) = quad_grid(output, max_groups)?;
    let params = Params { grid_x: grid.x, len, quads: output.c.div_ceil(4) as u32 };
    Ok(Launch {
        kernel: Kernel::Affine,
        params: bytemuck::bytes_of(&params).to_vec(),
        grid,
        operands: vec![Operand::Input(0), Operand::Constant(0), Operand::Constant(1), Operand::Output],
    })
}

/// Scale and bias, zero in the padding; a scale of one where there is a bias only.
pub(super) fn constants(affine: &Affine, channels: usize, weights: &Weights) -> Result<Vec<Vec<f32>>> {
    let read = |name: &str| weights.get(name, &[channels]).map(<[f32]>::to_vec);
    let scale = affine.scale.as_deref().map_or_else(|| Ok(vec![1.0; channels]), read)?;
    let mut constants = vec![scale, read(&affine.bias)?];
    constants.iter_mut().for_each(|values| values.resize(channels.next_multiple_of(4), 0.0));
    Ok(constants)
}
