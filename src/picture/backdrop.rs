//! The pictures under a heatmap.

use image::{RgbImage, imageops};

use crate::clip::Clip;
use crate::clip::preprocess::{ChannelOrder, Frames, Normalization, PIXEL_MEANS_BGR, Preprocess};
use crate::error::{ErrorRepr, Result};
use crate::shape::Shape;

/// The frames of the first clip of a batch as pictures, and the part of the clip that they fill.
#[derive(Clone, Debug)]
pub struct Backdrop {
    frames: Vec<RgbImage>,
    /// Shape of the clip.
    clip: Shape,
    /// Rows and columns of the clip, from the top left, that show the pictures. The rest is padding.
    extent: [usize; 2],
}

impl Backdrop {
    /// The pictures of the first clip of `clip`. They come from `frames`, the originals that `preprocess` converted to
    /// the clip. Without originals, or if they were cropped, the values of the clip are converted back to colours.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if the frames do not fit this clip;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if there are no frames and the number of channels is not three.
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
                wanted: format!("frames of a clip of shape {clip}"),
                given: format!("{} frames with {}x{} values each", frames.count(), extent[0], extent[1]),
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
                what: "clip to draw".to_owned(),
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
                    // The cast clamps to 0..=255 and converts NaN to 0.
                    pixel[position] = (f64::from(value) * scale + mean).round() as u8;
                }
            }
            picture(rgb, [shape.w, shape.h])
        });
        Ok(Self { frames: pictures.collect::<Result<_>>()?, clip: shape, extent: [shape.h, shape.w] })
    }

    /// The shape of the clip.
    pub(super) fn clip(&self) -> Shape {
        self.clip
    }

    /// Rows and columns of the clip that show the pictures.
    pub(super) fn extent(&self) -> [usize; 2] {
        self.extent
    }

    /// The number of columns and rows of a picture.
    pub(super) fn picture_size(&self) -> [usize; 2] {
        let (width, height) = self.frames[0].dimensions();
        [width as usize, height as usize]
    }

    /// Frame `t` resized to `[width, height]`, as RGB bytes.
    pub(super) fn resized(&self, t: usize, [width, height]: [usize; 2]) -> Vec<u8> {
        // The triangle filter is antialiased for downscaling. Plain interpolation would flicker.
        imageops::resize(&self.frames[t], width as u32, height as u32, imageops::FilterType::Triangle).into_raw()
    }
}

/// For a channel of a clip: its position among red, green and blue, and the factor and the summand that convert a value
/// back to a byte.
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
