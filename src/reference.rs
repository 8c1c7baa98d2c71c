//! A simple CPU implementation of the same graphs.
//!
//! Every blob is in f64, so the f32 results of a GPU can be measured against it. The only optimisation is parallelism
//! over output channels: the code is meant to be easy to verify by reading, not to be fast.

use crate::clip::Clip;
use crate::error::{ErrorRepr, Result};
use crate::graph::{Affine, Axes, BlobId, Conv, Graph, OpKind, Operator, Window};
use crate::plan::infer_shapes;
use crate::shape::Shape;
use crate::weights::Weights;
use rayon::prelude::*;

/// A blob in f64, NCTHW.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// The shape.
    pub shape: Shape,
    /// The values in row-major order.
    pub data: Vec<f64>,
}

/// Runs `graph` on `inputs`, one clip for each input that the caller gives ([`Graph::clips`]), and returns the blobs
/// `keep`.
///
/// # Errors
/// The errors of [`infer_shapes`] and of [`Weights::get`].
pub fn execute(graph: &Graph, inputs: &[&Clip], weights: &Weights, keep: &[BlobId]) -> Result<Vec<Volume>> {
    let input_shapes: Vec<Shape> = inputs.iter().map(|clip| clip.shape()).collect();
    let shapes = infer_shapes(graph, &input_shapes)?;
    let mut blobs: Vec<Option<Volume>> = vec![None; shapes.len()];
    for (&id, clip) in graph.inputs().iter().zip(inputs) {
        let data = clip.data().iter().map(|&v| f64::from(v)).collect();
        blobs[id.index()] = Some(Volume { shape: clip.shape(), data });
    }
    if let (Some(slow_frames), [first, .., last]) = (graph.slow_frames(), graph.inputs()) {
        let mut data = Vec::new();
        if let Some(clip) = &blobs[first.index()] {
            slow_frames.take(&clip.data, clip.shape, &mut data);
        }
        blobs[last.index()] = Some(Volume { shape: shapes[last.index()], data });
    }
    for (step, op) in graph.operators().iter().enumerate() {
        let read = |index: usize| {
            let id = op.inputs[index].index();
            blobs[id].as_ref().expect("operators are in topological order")
        };
        let shape = shapes[op.output.index()];
        let data = operator(op, &read, shape, weights)?;
        blobs[op.output.index()] = Some(Volume { shape, data });
        // Free blobs that no later operator reads: with all of them, large clips would not fit into memory.
        let needed = |id: &BlobId| {
            let later = &graph.operators()[step + 1..];
            keep.contains(id) || later.iter().any(|op| op.inputs.contains(id))
        };
        for id in op.inputs.iter().filter(|id| !needed(id)) {
            blobs[id.index()] = None;
        }
    }
    let kept = keep.iter().map(|&id| {
        blobs[id.index()].clone().ok_or_else(|| {
            ErrorRepr::UnknownTap { name: graph.blob(id).name.clone(), known: Vec::new(), note: "" }.into()
        })
    });
    kept.collect()
}

fn operator<'a>(
    op: &Operator,
    read: &impl Fn(usize) -> &'a Volume,
    shape: Shape,
    weights: &Weights,
) -> Result<Vec<f64>> {
    let input = read(0);
    // The output shape of a convolution before its pooling.
    let unpooled = match &op.kind {
        OpKind::Conv(conv) => conv.window.output(input.shape.thw()).map_or(shape, |thw| shape.with(shape.c, thw)),
        _ => shape,
    };
    let channel_len = unpooled.t * unpooled.h * unpooled.w;
    Ok(match &op.kind {
        OpKind::Conv(conv) => {
            let convolve_and_scale = |conv: &Conv, input: &Volume| -> Result<Vec<f64>> {
                let mut data = convolve(conv, input, unpooled, weights.get(&conv.weight, &conv.weight_shape())?);
                if let Some(affine) = &conv.epilogue.affine {
                    scale_and_shift(&mut data, channel_len, affine, weights, shape.c)?;
                }
                Ok(data)
            };
            let mut data = convolve_and_scale(conv, input)?;
            let mut add = |addend: &[f64]| data.iter_mut().zip(addend).for_each(|(v, r)| *v += r);
            match &conv.epilogue.projection {
                Some(projection) => add(&convolve_and_scale(projection, read(1))?),
                None if conv.epilogue.residual => add(&read(1).data),
                None => {}
            }
            if conv.epilogue.relu {
                data.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            match &conv.epilogue.pool {
                Some(pool) => max_pool(pool, &Volume { shape: unpooled, data }, shape),
                None => data,
            }
        }
        OpKind::Affine(affine) => {
            let mut data = input.data.clone();
            scale_and_shift(&mut data, channel_len, affine, weights, shape.c)?;
            data
        }
        // The maximum of NaN and zero is zero, as in the reference, whose ReLU tests whether a value is above zero.
        OpKind::Relu => input.data.iter().map(|v| v.max(0.0)).collect(),
        OpKind::MaxPool(window) => max_pool(window, input, shape),
        OpKind::AveragePool(axes) => average_pool(*axes, input),
        OpKind::Subsample(window) => subsample(window, input, shape),
        OpKind::Concat => concat(input, read(1)),
        OpKind::Sum => input.data.iter().zip(&read(1).data).map(|(a, b)| a + b).collect(),
        OpKind::StopGradient | OpKind::Layout => input.data.clone(),
    })
}

/// `x * scale[c] + bias[c]`, or `x + bias[c]`, for blobs of `channels` channels.
fn scale_and_shift(
    data: &mut [f64],
    channel_len: usize,
    affine: &Affine,
    weights: &Weights,
    channels: usize,
) -> Result<()> {
    let scale = affine.scale.as_ref().map(|name| weights.get(name, &[channels])).transpose()?;
    let bias = weights.get(&affine.bias, &[channels])?;
    for (index, channel) in data.chunks_exact_mut(channel_len).enumerate() {
        let c = index % channels;
        let (scale, bias) = (scale.map_or(1.0, |scale| f64::from(scale[c])), f64::from(bias[c]));
        channel.iter_mut().for_each(|v| *v = *v * scale + bias);
    }
    Ok(())
}

/// The input coordinate that `tap` reads for the output coordinate `out`; `None` if it is in the padding.
fn tapped(window: &Window, axis: usize, out: usize, tap: usize, size: usize) -> Option<usize> {
    let padded = out * window.stride[axis] + tap * window.dilation[axis];
    padded.checked_sub(window.pad[axis]).filter(|&at| at < size)
}

fn convolve(conv: &Conv, input: &Volume, shape: Shape, weight: &[f32]) -> Vec<f64> {
    let window = &conv.window;
    let [kt, kh, kw] = window.kernel;
    let (group_in, group_out) = (conv.dim_in / conv.groups, conv.dim_out / conv.groups);
    let from = input.shape;
    let mut output = vec![0.0; shape.len()];
    output.par_chunks_exact_mut(shape.t * shape.h * shape.w).enumerate().for_each(|(index, plane)| {
        let (n, out_c) = (index / shape.c, index % shape.c);
        for c in 0..group_in {
            let in_c = out_c / group_out * group_in + c;
            for (tap, (z, y, x)) in taps(kt, kh, kw).enumerate() {
                let factor = f64::from(weight[(out_c * group_in + c) * kt * kh * kw + tap]);
                for t in 0..shape.t {
                    let Some(in_t) = tapped(window, 0, t, z, from.t) else {
                        continue;
                    };
                    for h in 0..shape.h {
                        let Some(in_h) = tapped(window, 1, h, y, from.h) else {
                            continue;
                        };
                        let row = (((n * from.c + in_c) * from.t + in_t) * from.h + in_h) * from.w;
                        let source = &input.data[row..row + from.w];
                        let target = &mut plane[(t * shape.h + h) * shape.w..][..shape.w];
                        for (w, value) in target.iter_mut().enumerate() {
                            if let Some(in_w) = tapped(window, 2, w, x, from.w) {
                                *value += factor * source[in_w];
                            }
                        }
                    }
                }
            }
        }
    });
    output
}

/// The channels of `a`, then those of `b`, clip by clip.
fn concat(a: &Volume, b: &Volume) -> Vec<f64> {
    let clip_len = |volume: &Volume| volume.data.len() / volume.shape.n;
    let clips = a.data.chunks_exact(clip_len(a)).zip(b.data.chunks_exact(clip_len(b)));
    clips.flat_map(|(a, b)| a.iter().chain(b)).copied().collect()
}

fn subsample(window: &Window, input: &Volume, shape: Shape) -> Vec<f64> {
    let (from, [st, sh, sw]) = (input.shape, window.stride);
    let mut output = Vec::with_capacity(shape.len());
    for (n, c) in (0..shape.n).flat_map(|n| (0..shape.c).map(move |c| (n, c))) {
        for (t, h) in (0..shape.t).flat_map(|t| (0..shape.h).map(move |h| (t, h))) {
            let row = (((n * from.c + c) * from.t + t * st) * from.h + h * sh) * from.w;
            output.extend((0..shape.w).map(|w| if c < from.c { input.data[row + w * sw] } else { 0.0 }));
        }
    }
    output
}

fn max_pool(window: &Window, input: &Volume, shape: Shape) -> Vec<f64> {
    let [kt, kh, kw] = window.kernel;
    let from = input.shape;
    let mut output = vec![f64::NEG_INFINITY; shape.len()];
    output.par_chunks_exact_mut(shape.t * shape.h * shape.w).enumerate().for_each(|(index, plane)| {
        for t in 0..shape.t {
            for h in 0..shape.h {
                for w in 0..shape.w {
                    let value = &mut plane[(t * shape.h + h) * shape.w + w];
                    for (z, y, x) in taps(kt, kh, kw) {
                        let at = (
                            tapped(window, 0, t, z, from.t),
                            tapped(window, 1, h, y, from.h),
                            tapped(window, 2, w, x, from.w),
                        );
                        if let (Some(t), Some(h), Some(w)) = at {
                            *value = value.max(input.data[((index * from.t + t) * from.h + h) * from.w + w]);
                        }
                    }
                }
            }
        }
    });
    output
}

fn average_pool(axes: Axes, input: &Volume) -> Vec<f64> {
    let Shape { t, h, w, .. } = input.shape;
    let mean = |values: &mut dyn ExactSizeIterator<Item = f64>| {
        let count = values.len() as f64;
        values.sum::<f64>() / count
    };
    match axes {
        Axes::Space => input.data.chunks_exact(h * w).map(|frame| mean(&mut frame.iter().copied())).collect(),
        Axes::Time => {
            let time_means = |channel: &[f64]| {
                let mean_at = |position: usize| mean(&mut (0..t).map(|frame| channel[frame * h * w + position]));
                (0..h * w).map(mean_at).collect::<Vec<_>>()
            };
            input.data.chunks_exact(t * h * w).flat_map(time_means).collect()
        }
    }
}

/// All taps of a kernel, in the order of its weights.
fn taps(kt: usize, kh: usize, kw: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..kt).flat_map(move |t| (0..kh).flat_map(move |h| (0..kw).map(move |w| (t, h, w))))
}
