//! Makes the clip of floats from 8-bit frames.
//!
//! Weights need the preprocessing that they were trained with, so there are several, see [`Normalization`]:
//!
//! * Detectron's (`prep_im_for_blob` and `im_list_to_blob` of its `utils/blob.py`), in the order of the reference: the
//!   pixel means are subtracted in double and rounded to float32, *then* the picture is resized like OpenCV's
//!   `resize(fx=scale, fy=scale, INTER_LINEAR)`;
//! * torchvision's for images, and those of the projects for video: the bytes, scaled to 0 to 1 or unscaled, are
//!   resized; then a mean is subtracted, and the result is divided by a deviation. Resizing is antialiased or not, as
//!   in the project.
//!
//! After that, a square may be cropped from the middle, and pictures are placed top left in zeros of the common size of
//! the batch. With every normalisation, zero is the mean colour.

mod detectron;
mod frames;
mod geometry;
mod interpolated;
#[cfg(feature = "files")]
mod planes;

pub use frames::{ChannelOrder, Frames};
pub use geometry::{Preprocess, Size};
#[cfg(feature = "files")]
pub(super) use planes::{FrameConverter, Planes, cut};

use super::Clip;
use crate::error::{Error, ErrorRepr, Result};
use crate::named::named;
use crate::shape::Shape;

/// Detectron's mean colour in blue, green, red order, on the scale of 0 to 255. It becomes 0 in a clip.
pub const PIXEL_MEANS_BGR: [f64; 3] = [102.9801, 115.9465, 122.7717];

/// ImageNet's mean colour in red, green, blue order, on the scale of 0 to 1. It becomes 0 in a clip.
pub const IMAGENET_MEAN_RGB: [f32; 3] = [0.485, 0.456, 0.406];

/// ImageNet's deviations in red, green, blue order, on the scale of 0 to 1. They become 1 in a clip.
pub const IMAGENET_STD_RGB: [f32; 3] = [0.229, 0.224, 0.225];

/// The conversion from the bytes of a pixel to the values of a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Normalization {
    /// Blue, green, red minus [`PIXEL_MEANS_BGR`], on the scale of 0 to 255, as for Detectron's weights.
    #[default]
    Detectron,
    /// Red, green, blue on the scale of 0 to 1, minus the mean and divided by the deviation of ImageNet, as for
    /// torchvision's weights for images.
    ImageNet,
    /// The same with the mean and deviation of Kinetics-400, resized without antialiasing, as for torchvision's weights
    /// for video, VMZ's and ig65m's (`transforms/_presets.py` `VideoClassification`).
    Kinetics,
    /// The same with 0.45 and 0.225 for all channels, resized without antialiasing, as in PyTorchVideo and
    /// PySlowFast.
    PyTorchVideo,
    /// The same in blue, green, red order, for networks of PySlowFast and PyTorchVideo for Something-Something and
    /// Charades, whose configuration has `DATA.REVERSE_INPUT_CHANNEL`.
    PyTorchVideoBgr,
    /// Red, green, blue on the scale of 0 to 1, with Hara's mean and deviation of Kinetics, resized with antialiasing
    /// (3D-ResNets-PyTorch `opts.py`, 2020).
    ThreeDResNets,
    /// Red, green, blue on the scale of 0 to 255, minus ActivityNet's mean, for Hara's networks of 2017 and 2018
    /// (`mean.py`).
    ActivityNet,
    /// Mean and deviation of ImageNet, resized without antialiasing, as in mmaction2.
    Mmaction2,
    /// Mean and deviation of Kinetics-400, resized without antialiasing, for mmaction2's channel-separated networks.
    Mmaction2Csn,
}

/// The conversion of the channels of a pixel, in red, green, blue order: the byte is divided by `unit`, `mean` is
/// subtracted, and the result is divided by `std`. A clip has the channels in that order, or blue first if `reversed`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Values {
    pub unit: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub reversed: bool,
}

impl Values {
    /// The index of each channel of a clip among red, green and blue.
    pub fn colours(&self) -> [usize; 3] {
        if self.reversed { [2, 1, 0] } else { [0, 1, 2] }
    }
}

named!(Normalization, "normalization":
    Detectron => "detectron",
    ImageNet => "imagenet",
    Kinetics => "kinetics",
    PyTorchVideo => "pytorchvideo",
    PyTorchVideoBgr => "pytorchvideo-bgr",
    ThreeDResNets => "3d-resnets",
    ActivityNet => "activitynet",
    Mmaction2 => "mmaction2",
    Mmaction2Csn => "mmaction2-csn",
);

impl Normalization {
    /// The conversion of pixels; `None` for Detectron's, which keeps blue first and subtracts in double.
    pub(crate) fn values(self) -> Option<Values> {
        let of_one = |mean, std| Some(Values { unit: 255.0, mean, std, reversed: false });
        match self {
            Self::Detectron => None,
            Self::ImageNet | Self::Mmaction2 => of_one(IMAGENET_MEAN_RGB, IMAGENET_STD_RGB),
            Self::Kinetics | Self::Mmaction2Csn => of_one([0.43216, 0.394_666, 0.37645], [0.22803, 0.22145, 0.216_989]),
            Self::PyTorchVideo => of_one([0.45; 3], [0.225; 3]),
            Self::PyTorchVideoBgr => Some(Values { unit: 255.0, mean: [0.45; 3], std: [0.225; 3], reversed: true }),
            Self::ThreeDResNets => of_one([0.4345, 0.4051, 0.3775], [0.2768, 0.2713, 0.2737]),
            Self::ActivityNet => {
                Some(Values { unit: 1.0, mean: [114.7748, 107.7354, 99.4750], std: [1.0; 3], reversed: false })
            }
        }
    }

    /// Whether downscaling is antialiased.
    fn is_antialiased(self) -> bool {
        match self {
            Self::ImageNet | Self::ThreeDResNets | Self::ActivityNet => true,
            Self::Detectron
            | Self::Kinetics
            | Self::PyTorchVideo
            | Self::PyTorchVideoBgr
            | Self::Mmaction2
            | Self::Mmaction2Csn => false,
        }
    }
}

/// The clip for the network, N×3×T×H×W, from `inputs`, one for each N.
///
/// Every frame is resized and cropped according to [`Preprocess`]. Frames smaller than the common size are placed top
/// left, and the rest is 0.
///
/// # Errors
/// [`ErrorKind::Clip`](crate::ErrorKind::Clip) without inputs, or if the numbers of frames differ;
/// [`ErrorKind::Size`](crate::ErrorKind::Size) if a frame vanishes, or the clip is too large.
pub fn preprocess(inputs: &[Frames], options: &Preprocess) -> Result<Clip> {
    let counts: Vec<usize> = inputs.iter().map(Frames::count).collect();
    check_equal_counts(&counts, |i| format!("input {} of {}", i + 1, inputs.len()))?;
    let items = inputs.iter().map(|frames| {
        let mut item = Item::new(options, [frames.height(), frames.width()], frames.order())?;
        frames.iter().try_for_each(|frame| item.push(frame)).map(|()| item)
    });
    assemble(items.collect::<Result<_>>()?, options)
}

/// One input as values, which are added frame by frame. It is not yet padded to the size of the batch.
pub(super) struct Item {
    converter: Converter,
    count: usize,
    /// T×H×W for each of the three channels.
    channels: [Vec<f32>; 3],
}

impl Item {
    /// For frames of `[height, width]` pixels with the given channel order.
    ///
    /// # Errors
    /// As [`Preprocess::resized`].
    pub(super) fn new(options: &Preprocess, frame: [usize; 2], order: ChannelOrder) -> Result<Self> {
        Ok(Self { converter: Converter::new(options, frame, order)?, count: 0, channels: Default::default() })
    }

    /// Adds the next frame.
    ///
    /// # Errors
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if a clip with this number of frames would be too large.
    pub(super) fn push(&mut self, frame: &[u8]) -> Result<()> {
        let [height, width] = self.converter.extent;
        let (shape, plane) = (Shape::new(1, 3, self.count + 1, height, width).checked("clip")?, height * width);
        for channel in &mut self.channels {
            channel.try_reserve(plane).map_err(|_| too_large(shape))?;
            channel.resize((self.count + 1) * plane, 0.0);
        }
        let start = self.count * plane;
        self.converter.write(frame, self.channels.each_mut().map(|channel| &mut channel[start..]));
        self.count += 1;
        Ok(())
    }

    /// The number of frames.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The frames with the numbers `order`, in that order, with repetitions. Numbers beyond the last frame are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if a clip with this number of frames would be too large.
    #[cfg(feature = "files")]
    pub(super) fn arranged(self, order: &[usize]) -> Result<Self> {
        if order.iter().copied().eq(0..self.count) {
            return Ok(self);
        }
        let [height, width] = self.converter.extent;
        let shape = Shape::new(1, 3, order.len(), height, width).checked("clip")?;
        let mut arranged = Self { converter: self.converter, count: order.len(), channels: Default::default() };
        for (channel, source) in arranged.channels.iter_mut().zip(self.channels) {
            channel.try_reserve_exact(order.len() * height * width).map_err(|_| too_large(shape))?;
            let frame = |&index: &usize| source.chunks_exact(height * width).nth(index);
            order.iter().filter_map(frame).for_each(|plane| channel.extend_from_slice(plane));
        }
        Ok(arranged)
    }
}

/// The clip for the network from converted frames, one item for each N. All items have the same number of frames.
///
/// # Errors
/// [`ErrorKind::Size`](crate::ErrorKind::Size) if the clip is too large.
pub(super) fn assemble(items: Vec<Item>, options: &Preprocess) -> Result<Clip> {
    let side = |axis: usize| options.padded(items.iter().map(|item| item.converter.extent[axis]).max().unwrap_or(0));
    let frames = items.first().map_or(0, Item::count);
    let shape = Shape::new(items.len(), 3, frames, side(0)?, side(1)?).checked("clip")?;
    let mut data: Vec<f32> = Vec::new();
    // Insufficient memory is an error, because a user may ask for any size.
    data.try_reserve_exact(shape.len()).map_err(|_| too_large(shape))?;
    // Each channel is dropped after it is copied, and unwritten memory is not committed. So there are never two whole
    // clips in memory.
    for item in items {
        let [height, width] = item.converter.extent;
        for channel in item.channels {
            for frame in channel.chunks_exact(height * width) {
                for row in frame.chunks_exact(width) {
                    data.extend_from_slice(row);
                    data.resize(data.len() + shape.w - width, 0.0);
                }
                data.resize(data.len() + (shape.h - height) * shape.w, 0.0);
            }
        }
    }
    Clip::new(shape, data)
}

/// Checks that there are inputs and that their lengths are equal; `name` gives the name of an input.
pub(super) fn check_equal_counts(counts: &[usize], name: impl Fn(usize) -> String) -> Result<()> {
    let Some(&first) = counts.first() else {
        return Err(ErrorRepr::Clip { wanted: "at least one input".to_owned(), given: "none".to_owned() }.into());
    };
    match counts.iter().position(|&count| count != first) {
        None => Ok(()),
        Some(other) => Err(ErrorRepr::Clip {
            wanted: format!("the {first} frames of {} in every input", name(0)),
            given: format!("{} frames in {}", counts[other], name(other)),
        }
        .into()),
    }
}

fn too_large(shape: Shape) -> Error {
    ErrorRepr::Size {
        what: "clip".to_owned(),
        reason: format!("shape {shape} needs {} bytes, more than the available memory", shape.bytes()),
    }
    .into()
}

/// Converts frames of one size to values.
struct Converter {
    resizer: Box<dyn Resizer>,
    /// Rows and columns of a frame in the clip, before padding.
    extent: [usize; 2],
    /// The rows and columns of the extent that the picture fills.
    windows: [geometry::Window; 2],
    /// The value around the picture for each channel of the clip.
    surround: [f32; 3],
}

/// Converts the bytes of a frame to the values of a resized frame.
trait Resizer {
    /// Writes a frame to `out`, one plane for each channel, with a row stride of `pitch` values.
    fn write(&mut self, frame: &[u8], out: [&mut [f32]; 3], pitch: usize);
}

impl Converter {
    fn new(options: &Preprocess, frame: [usize; 2], order: ChannelOrder) -> Result<Self> {
        let resized = options.resized(frame)?;
        let extent = options.extent(frame)?;
        // Bounds the tables of the resizer by the size of a clip.
        Shape::new(1, 3, 1, resized[0], resized[1]).checked("clip")?;
        Shape::new(1, 3, 1, extent[0], extent[1]).checked("clip")?;
        let windows = resized.map(|size| options.window(size));
        let (resizer, surround): (Box<dyn Resizer>, _) = match options.normalization.values() {
            None => {
                let scale = options.scale(frame, resized);
                (Box::new(detectron::OpenCv::new(frame, order, scale, windows)), [0.0; 3])
            }
            Some(values) => {
                let black = values.colours().map(|colour| -values.mean[colour] / values.std[colour]);
                let filters = if options.normalization.is_antialiased() {
                    interpolated::averaging
                } else {
                    interpolated::between
                };
                (Box::new(interpolated::Interpolated::new(frame, order, resized, windows, values, filters)), black)
            }
        };
        Ok(Self { resizer, extent, windows, surround })
    }

    /// Writes a frame to three planes, each with the size of the extent.
    fn write(&mut self, frame: &[u8], mut planes: [&mut [f32]; 3]) {
        let ([rows, columns], pitch) = (self.windows, self.extent[1]);
        if [rows.len, columns.len] != self.extent {
            for (plane, surround) in planes.iter_mut().zip(self.surround) {
                plane.fill(surround);
            }
        }
        let planes = planes.map(|plane| &mut plane[rows.to * pitch + columns.to..]);
        self.resizer.write(frame, planes, pitch);
    }
}
