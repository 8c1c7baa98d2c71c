//! Which part of an input an operator reads to compute a part of its output.

use crate::graph::{Axes, Conv, Epilogue, OpKind, Operator, Window};
use crate::shape::Shape;
use std::ops::Range;

/// The access pattern of an operator on one of its inputs. Axes 0, 1 and 2 are time, height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Output position (t, y, x) reads input position (t, y, x), and the kernel addresses both alike.
    Same,
    /// A window slides over the input. If there is a pooling, its window slides over the result.
    Window {
        /// The window over the input.
        window: Window,
        /// The window of the pooling, if the same kernel pools as well.
        pool: Option<Window>,
    },
    /// A reduction: an output position reads all input positions along the reduced axes, and the same position along
    /// the other axes.
    All {
        /// The axes that are reduced.
        axes: Axes,
        /// Extents of the input.
        extents: [usize; 3],
    },
}

impl Access {
    /// How `op` reads its input with the index `input`, which has this shape.
    pub fn of(op: &Operator, input: usize, shape: Shape) -> Self {
        match &op.kind {
            OpKind::Conv(conv) if input == 0 => {
                Self::Window { window: conv.window, pool: conv.epilogue.pool.as_deref().copied() }
            }
            OpKind::Conv(Conv { epilogue: Epilogue { projection: Some(projection), .. }, .. }) => {
                Self::Window { window: projection.window, pool: None }
            }
            OpKind::MaxPool(window) | OpKind::Subsample(window) => Self::Window { window: *window, pool: None },
            OpKind::AveragePool(axes) => Self::All { axes: *axes, extents: shape.thw() },
            OpKind::Conv(_) | OpKind::Affine(_) | OpKind::Relu => Self::Same,
            OpKind::Sum | OpKind::Concat | OpKind::StopGradient | OpKind::Layout => Self::Same,
        }
    }

    /// The range along an axis of the input, of length `extent`, that the outputs `out` read.
    pub fn reads(&self, axis: usize, out: Range<usize>, extent: usize) -> Range<usize> {
        match *self {
            Self::Same => out,
            Self::Window { window, pool: None } => window.input_range(axis, out, extent),
            Self::Window { window, pool: Some(pool) } => {
                let pooled = window.output_along(axis, extent).unwrap_or(1);
                window.input_range(axis, pool.input_range(axis, out, pooled), extent)
            }
            Self::All { axes, .. } if axes.contains(axis) => 0..extent,
            Self::All { .. } => out,
        }
    }

    /// The length of the range, with padding, that `outputs` neighbouring outputs read.
    pub fn span(&self, axis: usize, outputs: usize) -> usize {
        match *self {
            Self::Window { window, pool } => window.span(axis, pool.map_or(outputs, |pool| pool.span(axis, outputs))),
            Self::All { axes, extents } if axes.contains(axis) => extents[axis],
            Self::Same | Self::All { .. } => outputs,
        }
    }

    /// The distance between the first input positions that two neighbouring outputs read.
    pub fn stride(&self, axis: usize) -> usize {
        match *self {
            Self::Window { window, pool } => window.stride[axis] * pool.map_or(1, |pool| pool.stride[axis]),
            Self::Same | Self::All { .. } => 1,
        }
    }

    /// How far before the input the first output's window begins.
    pub fn before(&self, axis: usize) -> usize {
        match *self {
            Self::Window { window, pool } => {
                window.pad[axis] + pool.map_or(0, |pool| pool.pad[axis] * window.stride[axis])
            }
            Self::Same | Self::All { .. } => 0,
        }
    }

    /// The padding along an axis in front of a binding that begins at input position `read`, for outputs from `out` on.
    /// It is negative if the binding begins before the first position that is read. The padding of a pooling is left to
    /// the kernel.
    pub fn padding(&self, axis: usize, out: usize, read: usize) -> isize {
        match *self {
            Self::Same => 0,
            Self::Window { window, pool } => {
                let first = pool.map_or(out, |pool| out * pool.stride[axis]);
                window.pad[axis] as isize + read as isize - (first * window.stride[axis]) as isize
            }
            Self::All { axes, .. } if axes.contains(axis) => 0,
            Self::All { .. } => read as isize - out as isize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduction_reads_everything_along_its_axes() {
        let frames = Access::All { axes: Axes::Time, extents: [8, 5, 6] };
        assert_eq!(frames.reads(0, 0..1, 8), 0..8);
        assert_eq!(frames.reads(1, 2..4, 5), 2..4);
        assert_eq!((frames.span(0, 1), frames.span(1, 2)), (8, 2));
        // The binding for rows 2 and 3 may begin at row 1.
        assert_eq!((frames.padding(0, 0, 0), frames.padding(1, 2, 1)), (0, -1));
    }

    #[test]
    fn a_pooling_widens_the_window_before_it() {
        let window = Window { kernel: [3; 3], stride: [1, 2, 2], pad: [1; 3], ..Window::POINTWISE };
        let pool = Window { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1], ..Window::POINTWISE };
        let access = Access::Window { window, pool: Some(pool) };
        // Rows 2 and 3 pool rows 3 to 7, which read rows 5 to 15.
        assert_eq!(access.reads(1, 2..4, 40), 5..16);
        assert_eq!(access.span(1, 2), 11);
        // Row 0 pools from row -1 on, which reads from row -3 on; every other row reads from four rows later on.
        assert_eq!((access.before(1), access.stride(1)), (3, 4));
        assert_eq!(access.reads(0, 0..2, 8), 0..3);
        assert_eq!(Access::Same.reads(1, 2..4, 40), 2..4);
    }
}
