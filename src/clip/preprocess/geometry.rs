//! The size of resized frames, and their crop.

use super::Normalization;
use crate::error::{ErrorRepr, Result};

/// The conversion of pixels to values, and the size of frames.
///
/// For Detectron, the fields correspond to its `TEST.SCALES`, `TEST.MAX_SIZE` and `FPN.COARSEST_STRIDE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Preprocess {
    /// The conversion of pixels, which also determines the method of resizing.
    pub normalization: Normalization,
    /// The size of resized pictures.
    pub size: Size,
    /// The maximum of the longer side after resizing, in pixels. It takes precedence over [`Size::Shorter`], as it
    /// usually does for video with Detectron. `None` is no limit.
    pub max_size: Option<usize>,
    /// The side of the square that is cropped from the middle after resizing, in pixels, as in torchvision's
    /// `CenterCrop`. A smaller picture is padded with black (for Detectron: with the mean colour). `None` keeps the
    /// whole picture.
    pub crop: Option<usize>,
    /// Rounds the sides of the clip, not of its pictures, up to a multiple of this number; `None` keeps them.
    pub pad_stride: Option<usize>,
}

/// The size of resized pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Size {
    /// The shorter side in pixels. The longer side keeps the aspect ratio.
    Shorter(usize),
    /// Height and width in pixels. The aspect ratio may change.
    Exact([usize; 2]),
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shorter(side) => write!(f, "shorter side {side}"),
            Self::Exact([height, width]) => write!(f, "{height}x{width}"),
        }
    }
}

impl Default for Preprocess {
    /// Detectron's: 256 and 333 without padding, as in the 3D configurations of Detect-and-Track.
    fn default() -> Self {
        Self::usual(Normalization::Detectron)
    }
}

impl Preprocess {
    /// The usual settings of weights with this normalisation. For Detectron, the shorter side is 256 and the longer one
    /// at most 333; for torchvision's weights for images, the shorter side is 256. For video, the settings are those of
    /// the tests of each project: 128x171 and a crop of 112 (torchvision), shorter side and crop 256 (PyTorchVideo),
    /// 112 (Hara), 256 and a crop of 224 (mmaction2).
    pub const fn usual(normalization: Normalization) -> Self {
        let (size, crop) = match normalization {
            Normalization::Detectron | Normalization::ImageNet => (Size::Shorter(256), None),
            Normalization::Kinetics => (Size::Exact([128, 171]), Some(112)),
            Normalization::PyTorchVideo | Normalization::PyTorchVideoBgr => (Size::Shorter(256), Some(256)),
            Normalization::ThreeDResNets | Normalization::ActivityNet => (Size::Shorter(112), Some(112)),
            Normalization::Mmaction2 | Normalization::Mmaction2Csn => (Size::Shorter(256), Some(224)),
        };
        let max_size = match normalization {
            Normalization::Detectron => Some(333),
            _ => None,
        };
        Self { normalization, size, max_size, crop, pad_stride: None }
    }

    /// Sets [`Preprocess::normalization`](field@Preprocess::normalization) and keeps the other settings.
    pub fn normalization(self, normalization: Normalization) -> Self {
        Self { normalization, ..self }
    }

    /// Sets [`Preprocess::size`](field@Preprocess::size).
    pub fn size(self, size: Size) -> Self {
        Self { size, ..self }
    }

    /// Sets [`Preprocess::max_size`](field@Preprocess::max_size).
    pub fn max_size(self, max_size: impl Into<Option<usize>>) -> Self {
        Self { max_size: max_size.into(), ..self }
    }

    /// Sets [`Preprocess::crop`](field@Preprocess::crop).
    pub fn crop(self, crop: impl Into<Option<usize>>) -> Self {
        Self { crop: crop.into(), ..self }
    }

    /// Sets [`Preprocess::pad_stride`](field@Preprocess::pad_stride).
    pub fn pad_stride(self, pad_stride: impl Into<Option<usize>>) -> Self {
        Self { pad_stride: pad_stride.into(), ..self }
    }

    /// The size `[height, width]` of a resized frame of `[height, width]`, before cropping and padding.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if a size of the frame or of the settings is zero;
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if a side would vanish.
    pub fn resized(&self, frame: [usize; 2]) -> Result<[usize; 2]> {
        self.check(frame)?;
        let shorter = match self.size {
            Size::Exact(sides) => return Ok(sides),
            Size::Shorter(shorter) => shorter,
        };
        let sides = match self.normalization {
            Normalization::Detectron => {
                let scale = self.factor(shorter, frame);
                frame.map(|side| (side as f64 * scale).round_ties_even() as usize)
            }
            // mmcv's `rescale_size`.
            Normalization::Mmaction2 | Normalization::Mmaction2Csn => {
                let scale = self.factor(shorter, frame);
                frame.map(|side| (side as f64 * scale + 0.5) as usize)
            }
            // As in `short_side_scale`, which computes the ratio first.
            Normalization::PyTorchVideo | Normalization::PyTorchVideoBgr if self.max_size.is_none() => {
                let [short, long] = [frame[0].min(frame[1]) as f64, frame[0].max(frame[1]) as f64];
                let longer = (long / short * shorter as f64) as usize;
                frame.map(|side| if side as f64 == short { shorter } else { longer })
            }
            Normalization::ImageNet
            | Normalization::Kinetics
            | Normalization::PyTorchVideo
            | Normalization::PyTorchVideoBgr
            | Normalization::ThreeDResNets
            | Normalization::ActivityNet => self.resized_as_torchvision_does(shorter, frame),
        };
        if sides.contains(&0) {
            let limit = self.max_size.map(|size| format!("/{size}")).unwrap_or_default();
            return Err(ErrorRepr::Size {
                what: format!("frame of {}x{} pixels", frame[0], frame[1]),
                reason: format!("sizes {shorter}{limit} would leave {}x{} pixels", sides[0], sides[1]),
            }
            .into());
        }
        Ok(sides)
    }

    /// The size `[height, width]` of a frame of `[height, width]` in a clip, after cropping and before padding.
    ///
    /// # Errors
    /// As [`Preprocess::resized`].
    pub fn extent(&self, frame: [usize; 2]) -> Result<[usize; 2]> {
        let resized = self.resized(frame)?;
        Ok(self.crop.map_or(resized, |crop| [crop; 2]))
    }

    /// Refuses sizes of zero.
    fn check(&self, frame: [usize; 2]) -> Result<()> {
        let size = match self.size {
            Size::Shorter(shorter) => shorter,
            Size::Exact([height, width]) => height.min(width),
        };
        for (name, value) in [
            ("size", size),
            ("maximal size", self.max_size.unwrap_or(1)),
            ("crop", self.crop.unwrap_or(1)),
            ("padding stride", self.pad_stride.unwrap_or(1)),
            ("frame height", frame[0]),
            ("frame width", frame[1]),
        ] {
            if value == 0 {
                return Err(ErrorRepr::Clip { wanted: format!("a {name} of at least 1"), given: "0".to_owned() }.into());
            }
        }
        Ok(())
    }

    /// The scale of height and width of a frame that is resized to `resized`. Detectron has one scale for both sides,
    /// and rounds the products to get `resized`.
    pub(super) fn scale(&self, frame: [usize; 2], resized: [usize; 2]) -> [f64; 2] {
        match self.size {
            Size::Shorter(shorter) => [self.factor(shorter, frame); 2],
            Size::Exact(_) => [0, 1].map(|axis| resized[axis] as f64 / frame[axis] as f64),
        }
    }

    /// The scale of both sides of a frame.
    fn factor(&self, shorter: usize, frame: [usize; 2]) -> f64 {
        let short = frame[0].min(frame[1]) as f64;
        let long = frame[0].max(frame[1]) as f64;
        let scale = shorter as f64 / short;
        match self.max_size {
            Some(max) if (scale * long).round_ties_even() > max as f64 => max as f64 / long,
            _ => scale,
        }
    }

    /// `_compute_resized_output_size` of torchvision: whole numbers, rounded down.
    fn resized_as_torchvision_does(&self, shorter: usize, [height, width]: [usize; 2]) -> [usize; 2] {
        let times = |a: usize, b: usize, over: usize| (a as f64 * b as f64 / over as f64) as usize;
        let mut short = shorter;
        let mut long = times(short, height.max(width), height.min(width));
        if let Some(max) = self.max_size.filter(|&max| long > max) {
            (short, long) = (times(max, short, long), max);
        }
        if width <= height { [long, short] } else { [short, long] }
    }

    /// `side` rounded up to the padding stride.
    pub(super) fn padded(&self, side: usize) -> Result<usize> {
        let stride = self.pad_stride.unwrap_or(1);
        side.checked_next_multiple_of(stride).ok_or_else(|| {
            ErrorRepr::Size {
                what: "clip".to_owned(),
                reason: format!("a side of {side} cannot be rounded up to a multiple of {stride}"),
            }
            .into()
        })
    }

    /// The part of a resized axis of `size` elements that is used, and its position.
    pub(super) fn window(&self, size: usize) -> Window {
        match self.crop {
            None => Window { from: 0, to: 0, len: size },
            Some(crop) if crop > size => Window { from: 0, to: (crop - size) / 2, len: size },
            Some(crop) => {
                let from = match self.normalization {
                    Normalization::Mmaction2 | Normalization::Mmaction2Csn => (size - crop) / 2,
                    // torchvision rounds halves to even, as Python does.
                    _ => ((size - crop) as f64 / 2.0).round_ties_even() as usize,
                };
                Window { from, to: 0, len: crop }
            }
        }
    }
}

/// A range of elements of a resized axis, and its position in the clip.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The first element.
    pub(super) from: usize,
    /// The index of that element in the clip.
    pub(super) to: usize,
    /// The number of elements.
    pub(super) len: usize,
}
