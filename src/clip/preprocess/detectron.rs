//! Detectron's conversion of frames: subtracts the means, then resizes bilinearly like OpenCV.

use super::frames::ChannelOrder;
use super::geometry::Window;
use super::{PIXEL_MEANS_BGR, Resizer};

/// The two source indices around a resized index, and the fraction towards the second.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    fraction: f32,
}

/// A [`Tap`] for every index in `window` of a resized axis with `source` elements.
fn taps(source: usize, window: Window, scale: f64) -> Vec<Tap> {
    let last = source - 1;
    (window.from..window.from + window.len)
        .map(|i| {
            // Uses the scale, not the ratio of the rounded sizes, and double precision, as OpenCV's fast path does.
            let position = ((i as f64 + 0.5) / scale - 0.5).clamp(0.0, last as f64);
            let low = position.floor() as usize;
            Tap { low, high: (low + 1).min(last), fraction: (position - low as f64) as f32 }
        })
        .collect()
}

/// Resizes frames of one size with tables per axis. The cache holds the two source rows around the current output row,
/// already resized along the width.
pub(super) struct OpenCv {
    /// `table[channel][byte]`: the byte minus the mean of the channel, channels in BGR order.
    table: [[f32; 256]; 3],
    positions: [usize; 3],
    /// Bytes of a source row.
    row_bytes: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    /// Two rows, each 3×W with the channels outermost.
    cache: [Vec<f32>; 2],
    /// The source row in each cached row.
    cached: [Option<usize>; 2],
}

impl OpenCv {
    /// For frames of `[height, width]` that are resized by `scale` and cropped to the windows.
    pub(super) fn new(
        [height, width]: [usize; 2],
        order: ChannelOrder,
        scale: [f64; 2],
        [rows, columns]: [Window; 2],
    ) -> Self {
        Self {
            table: PIXEL_MEANS_BGR.map(|mean| std::array::from_fn(|byte| (byte as f64 - mean) as f32)),
            positions: order.bgr_positions(),
            row_bytes: width * 3,
            rows: taps(height, rows, scale[0]),
            columns: taps(width, columns, scale[1]),
            cache: [vec![0.0; 3 * columns.len], vec![0.0; 3 * columns.len]],
            cached: [None; 2],
        }
    }

    /// Loads source rows `low` and `high` into the cache, and reuses rows that it already holds.
    fn fill(&mut self, frame: &[u8], low: usize, high: usize) {
        if self.cached[0] != Some(low) && self.cached[1] == Some(low) {
            self.cache.swap(0, 1);
            self.cached.swap(0, 1);
        }
        for (slot, row) in [low, high].into_iter().enumerate() {
            if self.cached[slot] != Some(row) {
                let source = &frame[row * self.row_bytes..][..self.row_bytes];
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

impl Resizer for OpenCv {
    fn write(&mut self, frame: &[u8], mut out: [&mut [f32]; 3], pitch: usize) {
        let width = self.columns.len();
        self.cached = [None; 2];
        for y in 0..self.rows.len() {
            let Tap { low, high, fraction } = self.rows[y];
            self.fill(frame, low, high);
            for (c, plane) in out.iter_mut().enumerate() {
                let channel = c * width..(c + 1) * width;
                let (above, below) = (&self.cache[0][channel.clone()], &self.cache[1][channel]);
                for ((value, above), below) in plane[y * pitch..][..width].iter_mut().zip(above).zip(below) {
                    *value = above * (1.0 - fraction) + below * fraction;
                }
            }
        }
    }
}
