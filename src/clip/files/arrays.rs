//! The meaning of the axes of an array: a ready clip or pictures.

use super::gather::{Gathering, Picture};
use crate::clip::preprocess::ChannelOrder;
use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

/// The shape of a clip from the axes of a tensor of floats.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless there are five axes, and if the channel axis (of length three)
/// follows time or is last, as in pictures; [`ErrorKind::Size`](crate::ErrorKind::Size) if an axis is zero, or there
/// are too many values. All errors name `what`.
pub(super) fn clip_shape(what: &str, axes: &[usize]) -> Result<Shape> {
    let clip: Option<[usize; 5]> = axes.try_into().ok();
    let pictures = clip.is_none_or(|axes| axes[1] != 3) && Pictures::of(what, axes, false).is_ok();
    match clip {
        Some(axes) if !pictures => Shape::from(axes).checked(what),
        _ => Err(ErrorRepr::Shape {
            what: what.to_owned(),
            wanted: "NxCxTxHxW (a ready clip, five axes)".to_owned(),
            given: format!(
                "{} axes, {axes:?}{}",
                axes.len(),
                if pictures { ", the layout of pictures, which have to be bytes (uint8)" } else { "" }
            ),
        }
        .into()),
    }
}

/// The layout of pictures in an array of bytes.
///
/// The usual readers give T×H×W×3 (OpenCV, decord, PyAV, imageio) or T×3×H×W (torchvision, decord's batches in
/// PyTorch), and their transforms 3×T×H×W; a batch has N as its first axis. The channel axis, which has length three,
/// identifies the layout. If several axes have length three, layouts with pictures three pixels wide or high are
/// excluded. If several layouts remain, the array is ambiguous, which is an error.
pub(super) struct Pictures {
    /// N, T, H, W.
    extents: [usize; 4],
    /// The strides along N, T, H, W and the channels, in bytes.
    strides: [usize; 5],
}

/// The possible layouts, and which of the last four axes are T, H, W and the channels.
const LAYOUTS: [(&str, [usize; 4]); 3] =
    [("TxHxWx3", [0, 1, 2, 3]), ("Tx3xHxW", [0, 2, 3, 1]), ("3xTxHxW", [1, 2, 3, 0])];

impl Pictures {
    /// The pictures of an array with these `axes`, whose first axis is contiguous if `fortran`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) or [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are
    /// none.
    pub(super) fn of(what: &str, axes: &[usize], fortran: bool) -> Result<Self> {
        let refused = |wanted: &str, given: String| {
            ErrorRepr::Shape {
                what: what.to_owned(),
                wanted: format!("{wanted} (pictures; several clips have N as their first axis)"),
                given,
            }
            .into()
        };
        let any = "TxHxWx3, Tx3xHxW or 3xTxHxW";
        if !matches!(axes.len(), 4 | 5) {
            return Err(refused(any, format!("{} axes, {axes:?}", axes.len())));
        }
        let of_clip = &axes[axes.len() - 4..];
        let mut possible: Vec<&(&str, [usize; 4])> = LAYOUTS.iter().filter(|(_, [.., c])| of_clip[*c] == 3).collect();
        let narrow = |(_, [_, h, w, _]): &(&str, [usize; 4])| of_clip[*h] == 3 || of_clip[*w] == 3;
        if !possible.iter().all(|layout| narrow(layout)) {
            possible.retain(|layout| !narrow(layout));
        }
        let layout = match possible.as_slice() {
            [(_, layout)] => layout,
            // For an empty array the layout does not matter.
            _ if axes.contains(&0) => &LAYOUTS[0].1,
            [] => return Err(refused(any, format!("{axes:?}, without an axis of 3 channels"))),
            several => {
                let names = several.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
                let wanted = "TxHxWx3, or another unambiguous layout";
                return Err(refused(wanted, format!("{axes:?}, which may be {names}")));
            }
        };
        Self::by(layout, what, axes, fortran)
    }

    /// The pictures of one clip with the axes T, H, W and three channels.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are none.
    pub(super) fn channels_last(what: &str, axes: &[usize; 4]) -> Result<Self> {
        Self::by(&LAYOUTS[0].1, what, axes, false)
    }

    /// The pictures of an array with this `layout`.
    fn by(layout: &[usize; 4], what: &str, axes: &[usize], fortran: bool) -> Result<Self> {
        if axes.contains(&0) {
            let wanted = "at least one frame of at least one pixel".to_owned();
            return Err(ErrorRepr::Clip { wanted, given: format!("{axes:?} in {what}") }.into());
        }
        let batch = &axes[..axes.len() - 4];
        let mut strides = vec![1usize; axes.len()];
        let inner: Vec<usize> = if fortran { (0..axes.len()).collect() } else { (0..axes.len()).rev().collect() };
        for pair in inner.windows(2) {
            strides[pair[1]] = strides[pair[0]].saturating_mul(axes[pair[0]]);
        }
        let at = |axis: usize| batch.len() + layout[axis];
        let (n, n_stride) = if batch.is_empty() { (1, 0) } else { (axes[0], strides[0]) };
        Ok(Self {
            extents: [n, axes[at(0)], axes[at(1)], axes[at(2)]],
            strides: [n_stride, strides[at(0)], strides[at(1)], strides[at(2)], strides[at(3)]],
        })
    }

    /// Reads the selected frames of `data`, whose length matches the axes.
    pub(super) fn read(&self, name: &str, data: &[u8], order: ChannelOrder, into: &mut Gathering<'_>) -> Result<()> {
        let [n, t, h, w] = self.extents;
        let [of_n, of_t, of_h, of_w, of_c] = self.strides;
        let mut frame = Vec::with_capacity(3 * h * w);
        for clip in 0..n {
            let name = if n == 1 { name.to_owned() } else { format!("clip {clip} of {name}") };
            let picks = into.begin(&name, Some(t), None)?;
            picks.check(&name, t)?;
            for index in (0..t).filter(|&index| picks.takes(index)) {
                let start = clip * of_n + index * of_t;
                frame.clear();
                for row in (0..h).map(|y| start + y * of_h) {
                    for pixel in (0..w).map(|x| row + x * of_w) {
                        frame.extend([data[pixel], data[pixel + of_c], data[pixel + 2 * of_c]]);
                    }
                }
                into.push(&name, &Picture { size: [h, w], order, bytes: &frame })?;
            }
        }
        Ok(())
    }
}
