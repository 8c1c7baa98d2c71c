//! What of its inputs an operator reads for a part of its output.

use crate::graph::{Conv, Epilogue, OpKind, Operator, Window};
use crate::shape::Shape;
use std::ops::Range;

/// How an operator reads one of its inputs.
pub(super) enum Reach {
    /// Output position (t, y, x) reads input position (t, y, x), which the kernel addresses alike.
    Alike,
    /// A window slides over the input, and where there is another, that one over what the first leaves.
    Slides(Window, Option<Window>),
}

impl Reach {
    /// How `op` reads its input of that index, which has this shape.
    pub fn of(op: &Operator, input: usize, shape: Shape) -> Self {
        match &op.kind {
            OpKind::Conv(conv) if input == 0 => Self::Slides(conv.window, conv.epilogue.pool.as_deref().copied()),
            OpKind::Conv(Conv { epilogue: Epilogue { projection: Some(own), .. }, .. }) => {
                Self::Slides(own.window, None)
            }
            OpKind::MaxPool(window) | OpKind::Subsample(window) => Self::Slides(*window, None),
            OpKind::AveragePool(axes) => Self::Slides(axes.window(shape.thw()), None),
            OpKind::Conv(_) | OpKind::Affine(_) | OpKind::Relu => Self::Alike,
            OpKind::Sum | OpKind::Concat | OpKind::StopGradient | OpKind::Layout => Self::Alike,
        }
    }

    /// Whether a window slides.
    pub fn slides(&self) -> bool {
        matches!(self, Self::Slides(..))
    }

    /// The part of an axis of the input, of `extent` there, that the outputs `out` need.
    pub fn reads(&self, axis: usize, out: Range<usize>, extent: usize) -> Range<usize> {
        match *self {
            Self::Alike => out,
            Self::Slides(window, None) => window.input_range(axis, out, extent),
            Self::Slides(window, Some(pool)) => {
                let own = window.output_along(axis, extent).unwrap_or(1);
                window.input_range(axis, pool.input_range(axis, out, own), extent)
            }
        }
    }

    /// From the first to the last input, padding included, that so many outputs side by side need.
    pub fn span(&self, axis: usize, outputs: usize) -> usize {
        match *self {
            Self::Alike => outputs,
            Self::Slides(window, pool) => window.span(axis, pool.map_or(outputs, |pool| pool.span(axis, outputs))),
        }
    }

    /// The padding in front of what is bound of an axis of the input, from `read` on, for outputs from `out` on. Where a
    /// pooling follows, its own padding is left to the kernel.
    pub fn padding(&self, axis: usize, out: usize, read: usize) -> isize {
        match *self {
            Self::Alike => 0,
            Self::Slides(window, pool) => {
                let own = pool.map_or(out, |pool| out * pool.stride[axis]);
                window.pad[axis] as isize + read as isize - (own * window.stride[axis]) as isize
            }
        }
    }
}
