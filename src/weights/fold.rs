//! Folding the affine channel after a convolution into its weights.

use super::Weights;
use crate::error::Result;
use crate::graph::Conv;

/// The weight of `conv`, (out, in/groups, kt, kh, kw), times the scale of the affine channel in its epilogue, and the
/// bias, (out). The products are exact in f64; the packing code rounds them once. Without a scale the weight is
/// unchanged, and without an affine channel the bias is zero.
pub(crate) fn fold_affine(conv: &Conv, weights: &Weights) -> Result<(Vec<f64>, Vec<f32>)> {
    let weight = weights.get(&conv.weight, &conv.weight_shape())?;
    let Some(affine) = &conv.epilogue.affine else {
        return Ok((weight.iter().map(|&w| f64::from(w)).collect(), vec![0.0; conv.dim_out]));
    };
    let bias = weights.get(&affine.bias, &[conv.dim_out])?;
    let folded = match &affine.scale {
        None => weight.iter().map(|&w| f64::from(w)).collect(),
        Some(scale) => {
            let scale = weights.get(scale, &[conv.dim_out])?;
            let rows = weight.chunks_exact(conv.macs_per_output()).zip(scale);
            rows.flat_map(|(row, &s)| row.iter().map(move |&w| f64::from(w) * f64::from(s))).collect()
        }
    };
    Ok((folded, bias.to_vec()))
}
