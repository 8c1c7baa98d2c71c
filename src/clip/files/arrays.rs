//! What the axes of an array mean: of a ready clip, or of pictures.

use super::gather::{Gathering, Picture};
use crate::clip::preprocess::ChannelOrder;
use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

/// The axes of a tensor of floats as the shape of a clip.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) unless there are five, and if three channels are behind time or last,
/// as pictures have them; [`ErrorKind::Size`](crate::ErrorKind::Size) if one is zero, or they are too many values. All
/// name `what`.
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
                if pictures { ", as pictures have them, which have to be of bytes (uint8)" } else { "" }
            ),
        }
        .into()),
    }
}

/// Where an array of bytes has its pictures.
///
/// The usual readers give T×H×W×3 (OpenCV, decord, PyAV, imageio) or T×3×H×W (torchvision, decord's batches in PyTorch),
/// and their transforms 3×T×H×W; with a batch, N comes before. Which axis the channels are tells which it is, as it has
/// three entries. Where more than one has, a reading by which pictures would be three pixels wide or high is passed over;
/// if that leaves several, nobody can tell, and it is an error.
pub(super) struct Pictures {
    /// N, T, H, W.
    extents: [usize; 4],
    /// How far apart neighbours along N, T, H, W and the channels lie, in bytes.
    strides: [usize; 5],
}

/// The ways that axes are put, and which of the last four are T, H, W and the channels.
const LAYOUTS: [(&str, [usize; 4]); 3] =
    [("TxHxWx3", [0, 1, 2, 3]), ("Tx3xHxW", [0, 2, 3, 1]), ("3xTxHxW", [1, 2, 3, 0])];

impl Pictures {
    /// Those of an array with these `axes`, the first of which runs fastest if `fortran`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) or [`ErrorKind::Clip`](crate::ErrorKind::Clip) for what has none.
    pub(super) fn of(what: &str, axes: &[usize], fortran: bool) -> Result<Self> {
        let refused = |wanted: &str, given: String| {
            ErrorRepr::Shape {
                what: what.to_owned(),
                wanted: format!("{wanted} (pictures; of several clips, with N before)"),
                given,
            }
            .into()
        };
        let any = "TxHxWx3, Tx3xHxW or 3xTxHxW";
        if !matches!(axes.len(), 4 | 5) {
            return Err(refused(any, format!("{} axes, {axes:?}", axes.len())));
        }
        let own = &axes[axes.len() - 4..];
        let mut possible: Vec<&(&str, [usize; 4])> = LAYOUTS.iter().filter(|(_, [.., c])| own[*c] == 3).collect();
        let narrow = |(_, [_, h, w, _]): &(&str, [usize; 4])| own[*h] == 3 || own[*w] == 3;
        if !possible.iter().all(|layout| narrow(layout)) {
            possible.retain(|layout| !narrow(layout));
        }
        let layout = match possible.as_slice() {
            [(_, layout)] => layout,
            // Of an array that is empty it does not matter.
            _ if axes.contains(&0) => &LAYOUTS[0].1,
            [] => return Err(refused(any, format!("{axes:?}, without an axis of 3 channels"))),
            several => {
                let names = several.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
                let wanted = "TxHxWx3, or another that is one thing only";
                return Err(refused(wanted, format!("{axes:?}, which may be {names}")));
            }
        };
        Self::by(layout, what, axes, fortran)
    }

    /// Those of one clip whose axes are known to be T, H, W and the three channels.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are none.
    pub(super) fn channels_last(what: &str, axes: &[usize; 4]) -> Result<Self> {
        Self::by(&LAYOUTS[0].1, what, axes, false)
    }

    /// Those whose axes are put as `layout` says.
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

    /// Takes the selected frames of `data`, which holds as many bytes as the axes say.
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
