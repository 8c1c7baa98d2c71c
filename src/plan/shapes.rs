//! The shape of every blob, from the shapes of the inputs.

use crate::error::{ErrorRepr, Result};
use crate::graph::{Conv, Epilogue, Graph, OpKind, Window};
use crate::shape::Shape;

/// Shapes of all blobs of `graph`, by position in [`Graph::blobs`]. `inputs` has the shapes of the clips, in the order
/// of [`Graph::inputs`].
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if an input has the wrong number of channels or the terms of a sum
/// differ; [`ErrorKind::Clip`](crate::ErrorKind::Clip) if a clip's frames do not fit two pathways;
/// [`ErrorKind::Size`](crate::ErrorKind::Size) if a blob would be empty or too large to index.
pub fn infer_shapes(graph: &Graph, inputs: &[Shape]) -> Result<Vec<Shape>> {
    if inputs.len() != graph.clips() {
        return Err(ErrorRepr::Shape {
            what: "inputs".to_owned(),
            wanted: format!("{} clips", graph.clips()),
            given: format!("{} clips", inputs.len()),
        }
        .into());
    }
    let mut shapes = vec![Shape::new(0, 0, 0, 0, 0); graph.blobs().len()];
    for (&id, &shape) in graph.inputs().iter().zip(inputs) {
        let blob = graph.blob(id);
        if shape.c != blob.channels {
            return Err(ErrorRepr::Shape {
                what: format!("input {}", blob.name),
                wanted: format!("Nx{}xTxHxW ({} channels)", blob.channels, blob.channels),
                given: shape.to_string(),
            }
            .into());
        }
        shapes[id.index()] = shape.checked(&blob.name)?;
    }
    if let (Some(slow_frames), [first, .., last]) = (graph.slow_frames(), graph.inputs()) {
        shapes[last.index()] = slow_frames.shape(shapes[first.index()])?;
    }
    for op in graph.operators() {
        let input = shapes[op.inputs[0].index()];
        let shape = match &op.kind {
            OpKind::Conv(conv) => {
                let convolved = input.with(conv.dim_out, slide(&op.name, &conv.window, input)?);
                match &conv.epilogue.pool {
                    None => convolved,
                    Some(pool) => convolved.with(convolved.c, slide(&op.name, pool, convolved)?),
                }
            }
            OpKind::Subsample(window) => input.with(graph.blob(op.output).channels, slide(&op.name, window, input)?),
            OpKind::MaxPool(window) => input.with(input.c, slide(&op.name, window, input)?),
            OpKind::AveragePool(axes) => input.with(input.c, axes.output(input.thw())),
            OpKind::Concat => input.with(graph.blob(op.output).channels, input.thw()),
            OpKind::Affine(_) | OpKind::Relu | OpKind::Sum | OpKind::StopGradient | OpKind::Layout => input,
        };
        check_blob(shape, &graph.blob(op.output).name)?;
        // The second input of a sum must have the shape of the first, or of the convolution that the sum is fused into.
        // The second input of a concatenation may have any number of channels.
        if let Some(&addend) = op.inputs.get(1) {
            let mut given = shapes[addend.index()];
            if let OpKind::Conv(Conv { epilogue: Epilogue { projection: Some(projection), .. }, .. }) = &op.kind {
                given = given.with(projection.dim_out, slide(&op.name, &projection.window, given)?);
            }
            let shape = if op.kind == OpKind::Concat { shape.with(given.c, shape.thw()) } else { shape };
            if given != shape {
                return Err(ErrorRepr::Shape {
                    what: format!("{}: addend {}", op.name, graph.blob(addend).name),
                    wanted: shape.to_string(),
                    given: given.to_string(),
                }
                .into());
            }
        }
        shapes[op.output.index()] = shape;
    }
    Ok(shapes)
}

/// Blobs inside a run are bound in ranges of frames: one frame must be addressable, and the values of all frames
/// countable.
fn check_blob(shape: Shape, name: &str) -> Result<()> {
    let frames = shape.n.checked_mul(shape.t).filter(|&frames| frames <= LARGEST);
    let frame = Shape { n: 1, c: shape.c.next_multiple_of(4), t: 1, ..shape }.checked(name)?;
    match frames {
        Some(frames) if frames.checked_mul(frame.len()).is_some_and(|len| len as u64 <= u64::MAX >> 20) => Ok(()),
        _ => Err(ErrorRepr::Size {
            what: name.to_owned(),
            reason: format!("shape {shape} has too many values to count"),
        }
        .into()),
    }
}

/// Shaders hold padded coordinates in i32.
const LARGEST: usize = 1 << 30;

fn slide(name: &str, window: &Window, input: Shape) -> Result<[usize; 3]> {
    let padded = |axis: usize| window.pad[axis].saturating_mul(2).saturating_add(input.thw()[axis]);
    if (0..3).any(|axis| padded(axis) > LARGEST) {
        return Err(ErrorRepr::Size {
            what: name.to_owned(),
            reason: format!("a padded extent of input {input} exceeds {LARGEST} (padding {:?})", window.pad),
        }
        .into());
    }
    window.output(input.thw()).ok_or_else(|| {
        ErrorRepr::Size {
            what: name.to_owned(),
            reason: format!("its window does not fit into input {input} even once ({window:?})"),
        }
        .into()
    })
}
