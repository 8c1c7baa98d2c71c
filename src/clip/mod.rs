//! Makes the input of a network, an NCTHW clip, from frames.
//!
//! `preprocess` implements the preprocessing that the weights were trained with; it works in memory alone. `files`
//! (feature `files`) reads frames, videos and ready clips from disk. `sampling` determines which frames of an input
//! make a clip.

#[cfg(feature = "files")]
pub mod files;
pub mod preprocess;
pub mod sampling;

use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

/// A clip, or a batch of clips of equal size: float32, NCTHW, normally N×3×T×H×W. For Detectron's weights, the values
/// are BGR minus the pixel means.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    shape: Shape,
    data: Vec<f32>,
}

impl Clip {
    /// A clip from its values in row-major order, width innermost.
    ///
    /// # Errors
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if an axis is zero or the clip is too large;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the number of values in `data` does not match `shape`.
    pub fn new(shape: Shape, data: Vec<f32>) -> Result<Self> {
        let shape = checked(shape, data.len())?;
        Ok(Self { shape, data })
    }

    /// A clip from a tensor of any rank.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless `shape` has five axes; otherwise as [`Clip::new`].
    pub fn from_dims(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        let axes: [usize; 5] = shape.try_into().map_err(|_| ErrorRepr::Shape {
            what: "clip".to_owned(),
            wanted: "five axes, NxCxTxHxW".to_owned(),
            given: format!("{} axes, {shape:?}", shape.len()),
        })?;
        Self::new(Shape::from(axes), data)
    }

    /// The shape, N×C×T×H×W.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Consumes the clip and returns its values without a copy.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same clip, borrowed.
    pub fn view(&self) -> ClipView<'_> {
        ClipView { shape: self.shape, data: &self.data }
    }
}

/// A [`Clip`] that borrows its values.
///
/// ```
/// use resnet3d_wgpu::{ClipView, Shape};
///
/// let decoded = vec![0.0; 2 * 3 * 4 * 8 * 8];
/// let second = ClipView::new(Shape::new(1, 3, 4, 8, 8), &decoded[3 * 4 * 8 * 8..])?;
/// assert_eq!(second.shape().n, 1);
/// # Ok::<(), resnet3d_wgpu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipView<'a> {
    shape: Shape,
    data: &'a [f32],
}

impl<'a> ClipView<'a> {
    /// A clip of values in row-major order, width innermost.
    ///
    /// # Errors
    /// As [`Clip::new`].
    pub fn new(shape: Shape, data: &'a [f32]) -> Result<Self> {
        let shape = checked(shape, data.len())?;
        Ok(Self { shape, data })
    }

    /// The shape, N×C×T×H×W.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }
}

impl<'a> From<&'a Clip> for ClipView<'a> {
    fn from(clip: &'a Clip) -> Self {
        clip.view()
    }
}

/// Checks that a clip of `shape` has `values` values.
fn checked(shape: Shape, values: usize) -> Result<Shape> {
    let shape = shape.checked("clip")?;
    if values != shape.len() {
        return Err(ErrorRepr::Shape {
            what: "clip".to_owned(),
            wanted: format!("{shape} ({} values)", shape.len()),
            given: format!("{values} values"),
        }
        .into());
    }
    Ok(shape)
}
