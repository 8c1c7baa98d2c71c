//! PyTorch's conversion of frames: to float, bilinear resizing, mean and deviation.
//!
//! This is `v2.ToDtype(torch.float32, scale=True)`, `v2.Resize(size)`, `v2.CenterCrop(crop)`, `v2.Normalize(mean, std)`
//! of tensors, or `torch.nn.functional.interpolate` instead of `v2.Resize`: the picture is float32 when it is resized.
//! torchvision's presets, Pillow and OpenCV resize bytes and round to bytes, which differs by up to half a grey level,
//! or by up to one if they round after each direction.

use super::frames::ChannelOrder;
use super::geometry::Window;
use super::{Resizer, Values};

/// The sources of one resized element: successive elements from `first` on with their weights.
pub(super) struct Filter {
    first: usize,
    weights: Vec<f32>,
}

/// A [`Filter`] for every index in `window` of an axis that is resized from `source` to `resized` elements, with
/// PyTorch's triangle filter, which is as wide as the step for downscaling (`upsample_bilinear2d_aa`).
pub(super) fn averaging(source: usize, resized: usize, window: Window) -> Vec<Filter> {
    // Only float32, as in PyTorch: otherwise positions in a large picture differ visibly.
    let step = source as f32 / resized as f32;
    let support = step.max(1.0);
    (window.from..window.from + window.len)
        .map(|i| {
            let centre = step * (i as f32 + 0.5);
            // Elements whose centre is within the support. The ends are truncated like the casts in PyTorch.
            let first = ((centre - support + 0.5).max(0.0) as usize).min(source - 1);
            let end = ((centre + support + 0.5) as usize).clamp(first + 1, source);
            let weight = |j: usize| (1.0 - ((j as f32 - centre + 0.5) / support).abs()).max(0.0);
            let total: f32 = (first..end).map(weight).sum();
            Filter { first, weights: (first..end).map(|j| weight(j) / total).collect() }
        })
        .collect()
}

/// The same without antialiasing: the two neighbouring elements, whatever the scale (`upsample_bilinear2d` with
/// positions of pixel centres).
pub(super) fn between(source: usize, resized: usize, window: Window) -> Vec<Filter> {
    let step = source as f32 / resized as f32;
    (window.from..window.from + window.len)
        .map(|i| {
            let position = (step * (i as f32 + 0.5) - 0.5).max(0.0);
            let first = (position as usize).min(source - 1);
            let fraction = position - first as f32;
            let weights = if first + 1 < source { vec![1.0 - fraction, fraction] } else { vec![1.0] };
            Filter { first, weights }
        })
        .collect()
}

/// Resizes frames of one size.
pub(super) struct Interpolated {
    values: Values,
    /// The scaled value of every byte.
    table: [f32; 256],
    positions: [usize; 3],
    /// Bytes of a source row.
    row_bytes: usize,
    rows: Vec<Filter>,
    columns: Vec<Filter>,
    /// The current channel, resized only along the width, with all rows of the frame.
    wide: Vec<f32>,
}

impl Interpolated {
    /// For frames of `[height, width]` that are resized to `resized` with the tables of `filters`, and cropped to the
    /// windows.
    pub(super) fn new(
        [height, width]: [usize; 2],
        order: ChannelOrder,
        resized: [usize; 2],
        [rows, columns]: [Window; 2],
        values: Values,
        filters: fn(usize, usize, Window) -> Vec<Filter>,
    ) -> Self {
        let [blue, green, red] = order.bgr_positions();
        Self {
            values,
            table: std::array::from_fn(|byte| byte as f32 / values.unit),
            positions: values.colours().map(|colour| [red, green, blue][colour]),
            row_bytes: width * 3,
            rows: filters(height, resized[0], rows),
            columns: filters(width, resized[1], columns),
            wide: Vec::new(),
        }
    }

    /// Fills `wide` with the channel at byte `position` of each pixel.
    fn resize_rows(&mut self, frame: &[u8], position: usize) {
        self.wide.clear();
        for source in frame.chunks_exact(self.row_bytes) {
            self.wide.extend(self.columns.iter().map(|filter| {
                let bytes = source[filter.first * 3 + position..].iter().step_by(3);
                bytes.zip(&filter.weights).map(|(&byte, weight)| self.table[usize::from(byte)] * weight).sum::<f32>()
            }));
        }
    }
}

impl Resizer for Interpolated {
    fn write(&mut self, frame: &[u8], out: [&mut [f32]; 3], pitch: usize) {
        let width = self.columns.len();
        for ((c, colour), plane) in self.values.colours().into_iter().enumerate().zip(out) {
            let (mean, deviation) = (self.values.mean[colour], self.values.std[colour]);
            self.resize_rows(frame, self.positions[c]);
            for (y, filter) in self.rows.iter().enumerate() {
                let row = &mut plane[y * pitch..][..width];
                row.fill(0.0);
                for (source, weight) in self.wide.chunks_exact(width).skip(filter.first).zip(&filter.weights) {
                    for (value, source) in row.iter_mut().zip(source) {
                        *value += source * weight;
                    }
                }
                for value in row {
                    *value = (*value - mean) / deviation;
                }
            }
        }
    }
}
