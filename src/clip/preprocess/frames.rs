//! Frames as bytes.

use crate::error::{ErrorRepr, Result};
use crate::named::named;

/// The order of a frame's three bytes per pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    /// Blue, green, red: the order of OpenCV's reader and of Detectron's clips.
    #[default]
    Bgr,
    /// Red, green, blue: the order of most image readers.
    Rgb,
}

impl ChannelOrder {
    /// The positions of the blue, green and red byte in a pixel.
    pub const fn bgr_positions(self) -> [usize; 3] {
        match self {
            Self::Bgr => [0, 1, 2],
            Self::Rgb => [2, 1, 0],
        }
    }
}

named!(ChannelOrder, "channel order": Bgr => "bgr", Rgb => "rgb");

/// Successive frames of one clip, all of one size: 8 bits per channel, T×H×W×3, row-major, channels innermost.
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
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if an axis is zero; [`ErrorKind::Shape`](crate::ErrorKind::Shape) if
    /// `data` does not hold T×H×W×3 bytes.
    pub fn new(dims: [usize; 3], order: ChannelOrder, data: Vec<u8>) -> Result<Self> {
        let [count, height, width] = dims;
        if dims.contains(&0) {
            return Err(ErrorRepr::Clip {
                wanted: "at least one frame of at least one pixel".to_owned(),
                given: format!("{count} frames of {height}x{width} pixels"),
            }
            .into());
        }
        let wanted = dims.into_iter().try_fold(3usize, usize::checked_mul);
        if wanted != Some(data.len()) {
            return Err(ErrorRepr::Shape {
                what: "frames".to_owned(),
                wanted: format!("{count}x{height}x{width}x3 bytes"),
                given: format!("{} bytes", data.len()),
            }
            .into());
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
        self.iter().nth(t)
    }

    /// The bytes of every frame, H×W×3 each.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.chunks_exact(self.height * self.width * 3)
    }
}

impl std::fmt::Debug for Frames {
    /// Only the sizes: the bytes of a clip would fill the screen.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames")
            .field("count", &self.count)
            .field("height", &self.height)
            .field("width", &self.width)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}
