//! Converts single frames to values, and crops clips from them.

use super::{ChannelOrder, Converter, Preprocess, too_large};
use crate::clip::Clip;
use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

/// The values of one frame, resized and possibly cropped: H×W for each of the three channels.
pub(in super::super) struct Planes {
    extent: [usize; 2],
    channels: [Vec<f32>; 3],
}

impl Planes {
    /// The number of rows and columns.
    pub(in super::super) fn extent(&self) -> [usize; 2] {
        self.extent
    }
}

/// Converts frames of one size to values, one by one.
pub(in super::super) struct FrameConverter(Converter);

impl FrameConverter {
    /// For frames of `[height, width]` pixels with the given channel order.
    ///
    /// # Errors
    /// As [`Preprocess::resized`].
    pub(in super::super) fn new(options: &Preprocess, frame: [usize; 2], order: ChannelOrder) -> Result<Self> {
        Converter::new(options, frame, order).map(Self)
    }

    /// The values of `frame`, H×W×3 bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if there is not enough memory.
    pub(in super::super) fn convert(&mut self, frame: &[u8]) -> Result<Planes> {
        let extent @ [height, width] = self.0.extent;
        let shape = Shape::new(1, 3, 1, height, width);
        let mut channels: [Vec<f32>; 3] = Default::default();
        for channel in &mut channels {
            channel.try_reserve_exact(height * width).map_err(|_| too_large(shape))?;
            channel.resize(height * width, 0.0);
        }
        self.0.write(frame, channels.each_mut().map(Vec::as_mut_slice));
        Ok(Planes { extent, channels })
    }
}

/// A clip of the part of each of `frames` that begins at the row and column `from` and has the height and width `size`.
/// The clip is padded at the bottom and on the right according to `options`.
///
/// # Errors
/// [`ErrorKind::Clip`](crate::ErrorKind::Clip) without frames, [`ErrorKind::Size`](crate::ErrorKind::Size) if the clip
/// is too large.
pub(in super::super) fn cut(frames: &[&Planes], [from, size]: [[usize; 2]; 2], options: &Preprocess) -> Result<Clip> {
    if frames.is_empty() {
        return Err(ErrorRepr::Clip { wanted: "at least one frame".to_owned(), given: "none".to_owned() }.into());
    }
    let [height, width] = size;
    let shape = Shape::new(1, 3, frames.len(), options.padded(height)?, options.padded(width)?).checked("clip")?;
    let mut data: Vec<f32> = Vec::new();
    data.try_reserve_exact(shape.len()).map_err(|_| too_large(shape))?;
    for channel in 0..3 {
        for frame in frames {
            for row in frame.channels[channel].chunks_exact(frame.extent[1]).skip(from[0]).take(height) {
                data.extend_from_slice(&row[from[1]..from[1] + width]);
                data.resize(data.len() + shape.w - width, 0.0);
            }
            data.resize(data.len() + (shape.h - height) * shape.w, 0.0);
        }
    }
    Clip::new(shape, data)
}
