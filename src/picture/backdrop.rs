//! The pictures that lie under a heatmap.

use image::{RgbImage, imageops};

use crate::clip::Clip;
use crate::clip::preprocess::{ChannelOrder, Frames, Normalization, PIXEL_MEANS_BGR, Preprocess};
use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

/// The frames of the first clip of a batch as pictures, and which part of the clip they fill.
#[derive(Clone, Debug)]
pub struct Backdrop {
    frames: Vec<RgbImage>,
    /// The clip's shape.
    clip: Shape,
    /// Rows and columns of the clip, from the top left, that show the pictures; what is beyond is padding.
    extent: [usize; 2],
}

impl Backdrop {
    /// The pictures of the first clip of `clip`: `frames`, the originals that `preprocess` turned into it; without them,
    /// or if they were cropped, the clip's own values turned back into colours.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if the frames cannot have become this clip;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if there are no frames and the clip has other than three channels.
    pub fn new(clip: &Clip, frames: Option<&Frames>, preprocess: &Preprocess) -> Result<Self> {
        match frames {
            Some(frames) if preprocess.crop.is_none() => Self::from_frames(frames, clip.shape(), preprocess),
            _ => Self::from_clip(clip, preprocess.normalization),
        }
    }

    fn from_frames(frames: &Frames, clip: Shape, preprocess: &Preprocess) -> Result<Self> {
        let extent = preprocess.resized([frames.height(), frames.width()])?;
        if frames.count() != clip.t || extent[0] > clip.h || extent[1] > clip.w {
            return Err(ErrorRepr::Clip {
                wanted: format!("frames that become a clip of shape {clip}"),
                given: format!("{} frames that become {}x{} values each", frames.count(), extent[0], extent[1]),
            }
            .into());
        }
        let size = [frames.width(), frames.height()];
        let pictures = frames.data().chunks_exact(size[0] * size[1] * 3).map(|frame| {
            let mut rgb = frame.to_vec();
            if frames.order() == ChannelOrder::Bgr {
                rgb.chunks_exact_mut(3).for_each(<[u8]>::reverse);
            }
            picture(rgb, size)
        });
        Ok(Self { frames: pictures.collect::<Result<_>>()?, clip, extent })
    }

    fn from_clip(clip: &Clip, normalization: Normalization) -> Result<Self> {
        let shape = clip.shape();
        if shape.c != 3 {
            return Err(ErrorRepr::Shape {
                what: "clip, to be drawn".to_owned(),
                wanted: format!("three channels, {}", Shape { c: 3, ..shape }),
                given: shape.to_string(),
            }
            .into());
        }
        let plane = shape.h * shape.w;
        let pictures = (0..shape.t).map(|t| {
            let mut rgb = vec![0; plane * 3];
            for c in 0..3 {
                let values = &clip.data()[(c * shape.t + t) * plane..][..plane];
                let (position, scale, mean) = colour(normalization, c);
                for (pixel, &value) in rgb.chunks_exact_mut(3).zip(values) {
                    // The cast clamps to 0..=255 and takes NaN as 0.
                    pixel[position] = (f64::from(value) * scale + mean).round() as u8;
                }
            }
            picture(rgb, [shape.w, shape.h])
        });
        Ok(Self { frames: pictures.collect::<Result<_>>()?, clip: shape, extent: [shape.h, shape.w] })
    }

    /// The clip's shape.
    pub(super) fn clip(&self) -> Shape {
        self.clip
    }

    /// Rows and columns of the clip that show the pictures.
    pub(super) fn extent(&self) -> [usize; 2] {
        self.extent
    }

    /// Columns and rows of a picture.
    pub(super) fn picture_size(&self) -> [usize; 2] {
        let (width, height) = self.frames[0].dimensions();
        [width as usize, height as usize]
    }

    /// Frame `t` at another size, columns first, as RGB bytes.
    pub(super) fn resized(&self, t: usize, [width, height]: [usize; 2]) -> Vec<u8> {
        // A triangle as wide as the step averages when it makes smaller, where plain interpolation would flicker.
        imageops::resize(&self.frames[t], width as u32, height as u32, imageops::FilterType::Triangle).into_raw()
    }
}

/// For a channel of a clip: its position among red, green and blue, and what a value is multiplied by and then added to,
/// to be a byte again.
fn colour(normalization: Normalization, channel: usize) -> (usize, f64, f64) {
    match normalization.values() {
        None => (2 - channel, 1.0, PIXEL_MEANS_BGR[channel]),
        Some(values) => {
            let colour = values.colours()[channel];
            let [deviation, mean] =
                [values.std, values.mean].map(|rgb| f64::from(values.unit) * f64::from(rgb[colour]));
            (colour, deviation, mean)
        }
    }
}

fn picture(rgb: Vec<u8>, [width, height]: [usize; 2]) -> Result<RgbImage> {
    let sides = u32::try_from(width).ok().zip(u32::try_from(height).ok());
    let picture = sides.and_then(|(width, height)| RgbImage::from_raw(width, height, rgb));
    picture.ok_or_else(|| {
        ErrorRepr::Size {
            what: "frame".to_owned(),
            reason: format!("{width}x{height} pixels are too many for a picture"),
        }
        .into()
    })
}
