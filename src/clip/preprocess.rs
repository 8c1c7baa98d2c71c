//! From 8-bit frames to the clip of floats that the network takes: Detectron's arithmetic, step by step.
//!
//! The order matters and is the reference's (`prep_im_for_blob` and `im_list_to_blob` of its `utils/blob.py`): the
//! pixel means are subtracted in double and rounded to float32, *then* the picture is resized as OpenCV's
//! `resize(fx=scale, fy=scale, INTER_LINEAR)` does it, then it is put top left into zeros of the batch's common size.

use super::Clip;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Detectron's mean colour in blue, green, red order, on the scale of 0 to 255. It becomes 0 in a clip.
pub const PIXEL_MEANS_BGR: [f64; 3] = [102.9801, 115.9465, 122.7717];

/// The order of a frame's three bytes per pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    /// Blue, green, red: what OpenCV reads, and the order of a [`Clip`].
    #[default]
    Bgr,
    /// Red, green, blue: what most image readers give.
    Rgb,
}

impl ChannelOrder {
    /// The position, among a pixel's bytes, of its blue, green and red byte.
    pub const fn bgr_positions(self) -> [usize; 3] {
        match self {
            Self::Bgr => [0, 1, 2],
            Self::Rgb => [2, 1, 0],
        }
    }
}

impl std::fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Bgr => "bgr",
            Self::Rgb => "rgb",
        })
    }
}

impl std::str::FromStr for ChannelOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bgr" => Ok(Self::Bgr),
            "rgb" => Ok(Self::Rgb),
            _ => Err(Error::Clip { wanted: "channel order bgr or rgb".to_owned(), given: format!("{text:?}") }),
        }
    }
}

/// How the bytes of a pixel become the values of a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// Blue, green, red minus [`PIXEL_MEANS_BGR`], on the scale of 0 to 255: what Detectron's weights were trained on.
    #[default]
    Detectron,
    /// Red, green, blue on the scale of 0 to 1, minus the mean and over the deviation of ImageNet: what torchvision's
    /// weights were trained on.
    ImageNet,
}

impl Normalization {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Detectron, Self::ImageNet];

    /// `detectron` or `imagenet`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detectron => "detectron",
            Self::ImageNet => "imagenet",
        }
    }

    /// The one called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|normalization| normalization.name() == name)
    }
}

/// Successive frames of one clip, all of one size: 8 bits a channel, T×H×W×3, row-major, channels innermost.
#[derive(Clone, PartialEq, Eq)]
pub struct Frames {
    count: usize,
    height: usize,
    width: usize,
    order: ChannelOrder,
    data: Vec<u8>,
}

impl Frames {
    /// Frames from their bytes; `dims` are T, H, W.
    ///
    /// # Errors
    /// [`Error::Clip`] if an axis is zero; [`Error::Shape`] if `data` does not hold T×H×W×3 bytes.
    pub fn new(dims: [usize; 3], order: ChannelOrder, data: Vec<u8>) -> Result<Self> {
        let [count, height, width] = dims;
        if dims.contains(&0) {
            return Err(Error::Clip {
                wanted: "at least one frame of at least one pixel".to_owned(),
                given: format!("{count} frames of {height}x{width} pixels"),
            });
        }
        let wanted = dims.into_iter().try_fold(3usize, usize::checked_mul);
        if wanted != Some(data.len()) {
            return Err(Error::Shape {
                what: "frames".to_owned(),
                wanted: format!("{count}x{height}x{width}x3 bytes"),
                given: format!("{} bytes", data.len()),
            });
        }
        Ok(Self { count, height, width, order, data })
    }

    /// Number of frames, T; at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows of a frame, H; at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of a frame, W; at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The order of a pixel's bytes.
    pub fn order(&self) -> ChannelOrder {
        self.order
    }

    /// All bytes, T×H×W×3.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes of frame `t`, H×W×3, or `None` past the last frame.
    pub fn frame(&self, t: usize) -> Option<&[u8]> {
        self.data.chunks_exact(self.height * self.width * 3).nth(t)
    }
}

impl std::fmt::Debug for Frames {
    /// The sizes only: the bytes of a real clip would fill the screen for minutes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames")
            .field("count", &self.count)
            .field("height", &self.height)
            .field("width", &self.width)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// How large frames become: Detectron's `TEST.SCALES`, `TEST.MAX_SIZE` and `FPN.COARSEST_STRIDE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preprocess {
    /// The shorter side after resizing, in pixels.
    pub target_size: usize,
    /// The most that the longer side may then have, in pixels. Where it would have more, it gets just this, and the
    /// shorter side less than `target_size`: the usual case for video.
    pub max_size: usize,
    /// Round the sides of the clip, not of the pictures in it, up to a multiple of this; `None` leaves them.
    pub pad_stride: Option<usize>,
}

impl Default for Preprocess {
    /// 256 and 333 without padding, as in the 3D configurations of Detect-and-Track.
    fn default() -> Self {
        Self { target_size: 256, max_size: 333, pad_stride: None }
    }
}

impl Preprocess {
    /// The size `[height, width]` that a frame of `[height, width]` is resized to, before any padding.
    ///
    /// # Errors
    /// [`Error::Clip`] if a size is zero, of the frame or of these settings; [`Error::Size`] if a side would vanish.
    pub fn resized(&self, frame: [usize; 2]) -> Result<[usize; 2]> {
        let scale = self.scale(frame)?;
        let sides = frame.map(|side| (side as f64 * scale).round_ties_even() as usize);
        if sides.contains(&0) {
            return Err(Error::Size {
                what: format!("frame of {}x{} pixels", frame[0], frame[1]),
                reason: format!(
                    "sizes {}/{} would leave {}x{} pixels",
                    self.target_size, self.max_size, sides[0], sides[1]
                ),
            });
        }
        Ok(sides)
    }

    /// The factor by which both sides of a frame grow.
    fn scale(&self, frame: [usize; 2]) -> Result<f64> {
        for (name, value) in [
            ("target size", self.target_size),
            ("maximal size", self.max_size),
            ("padding stride", self.pad_stride.unwrap_or(1)),
            ("frame height", frame[0]),
            ("frame width", frame[1]),
        ] {
            if value == 0 {
                return Err(Error::Clip { wanted: format!("a {name} of at least 1"), given: "0".to_owned() });
            }
        }
        let short = frame[0].min(frame[1]) as f64;
        let long = frame[0].max(frame[1]) as f64;
        let scale = self.target_size as f64 / short;
        Ok(if (scale * long).round_ties_even() > self.max_size as f64 { self.max_size as f64 / long } else { scale })
    }

    /// `side` rounded up to the padding stride.
    fn padded(&self, side: usize) -> Result<usize> {
        let stride = self.pad_stride.unwrap_or(1);
        side.checked_next_multiple_of(stride).ok_or_else(|| Error::Size {
            what: "clip".to_owned(),
            reason: format!("a side of {side} cannot be rounded up to a multiple of {stride}"),
        })
    }
}

/// The clip that the network takes, N×3×T×H×W, from `inputs`, one for each N.
///
/// Every frame is resized by the rule of [`Preprocess`]; frames smaller than the common size lie top left, the rest
/// is 0.
///
/// # Errors
/// [`Error::Clip`] without inputs, or if one has another number of frames than the first; [`Error::Size`] if a frame
/// vanishes, or the clip is too large.
pub fn preprocess(inputs: &[Frames], options: &Preprocess) -> Result<Clip> {
    check_equal_counts(inputs, |i| format!("input {} of {}", i + 1, inputs.len()))?;
    let sizes =
        inputs.iter().map(|frames| options.resized([frames.height, frames.width])).collect::<Result<Vec<_>>>()?;
    let common = |axis: usize| options.padded(sizes.iter().map(|size| size[axis]).max().unwrap_or(0));
    let frame_count = inputs.first().map_or(0, Frames::count);
    let shape = Shape::new(inputs.len(), 3, frame_count, common(0)?, common(1)?).checked("clip")?;

    let mut data = zeros(shape)?;
    let item = shape.len() / shape.n;
    for (frames, (size, out)) in inputs.iter().zip(sizes.iter().zip(data.chunks_exact_mut(item))) {
        let scale = options.scale([frames.height, frames.width])?;
        Resizer::new(frames, scale, *size).write_item(frames, shape, out);
    }
    Clip::new(shape, data)
}

/// Refuses no inputs, and inputs of unequal length; `name` says which input is at fault.
pub(super) fn check_equal_counts(inputs: &[Frames], name: impl Fn(usize) -> String) -> Result<()> {
    let Some(first) = inputs.first() else {
        return Err(Error::Clip { wanted: "at least one input".to_owned(), given: "none".to_owned() });
    };
    match inputs.iter().position(|frames| frames.count != first.count) {
        None => Ok(()),
        Some(other) => Err(Error::Clip {
            wanted: format!("the {} frames of {} in every input", first.count, name(0)),
            given: format!("{} frames in {}", inputs[other].count, name(other)),
        }),
    }
}

/// A clip's worth of zeros; an error where memory does not suffice, as a user may ask for any size.
fn zeros(shape: Shape) -> Result<Vec<f32>> {
    let mut data = Vec::new();
    data.try_reserve_exact(shape.len()).map_err(|_| Error::Size {
        what: "clip".to_owned(),
        reason: format!("shape {shape} needs {} bytes, more than there is memory for", shape.bytes()),
    })?;
    data.resize(shape.len(), 0.0);
    Ok(data)
}

/// Between which two source indices a resized index lies, and how far towards the second.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    fraction: f32,
}

/// One [`Tap`] for every index of a resized axis of `source` elements.
fn taps(source: usize, resized: usize, scale: f64) -> Vec<Tap> {
    let last = source - 1;
    (0..resized)
        .map(|i| {
            // By the scale itself, not by the ratio of the rounded sizes; and in double, as OpenCV's fast path has it.
            let position = ((i as f64 + 0.5) / scale - 0.5).clamp(0.0, last as f64);
            let low = position.floor() as usize;
            Tap { low, high: (low + 1).min(last), fraction: (position - low as f64) as f32 }
        })
        .collect()
}

/// Resizes the frames of one input: tables per axis, and the two source rows that lie around the current output row,
/// already resized along the width.
struct Resizer {
    /// `table[channel][byte]`: the byte minus the mean of the channel, channels in BGR order.
    table: [[f32; 256]; 3],
    positions: [usize; 3],
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    /// Two rows, each 3×W with the channels outermost.
    cache: [Vec<f32>; 2],
    /// Which source row each of them holds.
    cached: [Option<usize>; 2],
}

impl Resizer {
    fn new(frames: &Frames, scale: f64, [height, width]: [usize; 2]) -> Self {
        Self {
            table: PIXEL_MEANS_BGR.map(|mean| std::array::from_fn(|byte| (byte as f64 - mean) as f32)),
            positions: frames.order.bgr_positions(),
            rows: taps(frames.height, height, scale),
            columns: taps(frames.width, width, scale),
            cache: [vec![0.0; 3 * width], vec![0.0; 3 * width]],
            cached: [None; 2],
        }
    }

    /// Writes all frames into `out`, one item of a batch of `shape`: 3×T×H×W.
    fn write_item(&mut self, frames: &Frames, shape: Shape, out: &mut [f32]) {
        let plane = shape.h * shape.w;
        let width = self.columns.len();
        for (t, frame) in frames.data.chunks_exact(frames.height * frames.width * 3).enumerate() {
            self.cached = [None; 2];
            for y in 0..self.rows.len() {
                let Tap { low, high, fraction } = self.rows[y];
                self.fill(frame, low, high, frames.width * 3);
                for c in 0..3 {
                    let start = (c * shape.t + t) * plane + y * shape.w;
                    let channel = c * width..(c + 1) * width;
                    let (above, below) = (&self.cache[0][channel.clone()], &self.cache[1][channel]);
                    for ((value, above), below) in out[start..start + width].iter_mut().zip(above).zip(below) {
                        *value = above * (1.0 - fraction) + below * fraction;
                    }
                }
            }
        }
    }

    /// Makes the cache hold source rows `low` and `high`, keeping what it has of them.
    fn fill(&mut self, frame: &[u8], low: usize, high: usize, row_bytes: usize) {
        if self.cached[0] != Some(low) && self.cached[1] == Some(low) {
            self.cache.swap(0, 1);
            self.cached.swap(0, 1);
        }
        for (slot, row) in [low, high].into_iter().enumerate() {
            if self.cached[slot] != Some(row) {
                let source = &frame[row * row_bytes..(row + 1) * row_bytes];
                let width = self.columns.len();
                for (c, out) in self.cache[slot].chunks_exact_mut(width).enumerate() {
                    let (table, position) = (&self.table[c], self.positions[c]);
                    for (value, tap) in out.iter_mut().zip(&self.columns) {
                        let left = table[usize::from(source[tap.low * 3 + position])];
                        let right = table[usize::from(source[tap.high * 3 + position])];
                        *value = left * (1.0 - tap.fraction) + right * tap.fraction;
                    }
                }
                self.cached[slot] = Some(row);
            }
        }
    }
}
