//! Sliding windows.

use std::ops::Range;

/// How a kernel slides over time, height and width, in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps along each axis.
    pub kernel: [usize; 3],
    /// Step between outputs.
    pub stride: [usize; 3],
    /// Padding on both sides.
    pub pad: [usize; 3],
    /// Step between taps.
    pub dilation: [usize; 3],
}

impl Window {
    /// One tap, stride 1, no padding.
    pub const POINTWISE: Self = Self { kernel: [1; 3], stride: [1; 3], pad: [0; 3], dilation: [1; 3] };

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Output extents for input extents `thw`: `floor((n + 2p - (d(k-1)+1)) / s) + 1` on each axis, for convolution and
    /// pooling alike (Caffe2 `ConvPoolOpBase::ComputeSizeAndPad`). `None` where the window does not fit even once.
    pub fn output(&self, thw: [usize; 3]) -> Option<[usize; 3]> {
        let mut out = [0; 3];
        for axis in 0..3 {
            out[axis] = self.output_along(axis, thw[axis])?;
        }
        Some(out)
    }

    /// The same along one axis.
    pub(crate) fn output_along(&self, axis: usize, extent: usize) -> Option<usize> {
        let span = self.dilation[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
        let padded = self.pad[axis].checked_mul(2)?.checked_add(extent)?;
        Some(padded.checked_sub(span)?.checked_div(self.stride[axis])? + 1)
    }

    /// The range along an axis of the input, of length `extent`, that the outputs `out` read, without padding. If all
    /// taps lie in the padding, the range is the nearest input element, so that it is never empty.
    pub(crate) fn input_range(&self, axis: usize, out: Range<usize>, extent: usize) -> Range<usize> {
        let inside = |padded: usize| padded.saturating_sub(self.pad[axis]);
        let first = inside(out.start * self.stride[axis]).min(extent - 1);
        let end = inside(out.start * self.stride[axis] + self.span(axis, out.len())).clamp(first + 1, extent);
        first..end
    }

    /// The length of the range, with padding, that `outputs` neighbouring outputs read.
    pub(crate) fn span(&self, axis: usize, outputs: usize) -> usize {
        (outputs - 1) * self.stride[axis] + self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }

    /// Whether at every output position at least one tap lies inside an input of extents `thw`. Max pooling needs that:
    /// padding has no maximum. Dilated taps can straddle a small input.
    pub fn always_touches(&self, thw: [usize; 3]) -> bool {
        let Some(out) = self.output(thw) else { return false };
        (0..3).all(|axis| {
            let inside = |at: usize| (self.pad[axis]..self.pad[axis] + thw[axis]).contains(&at);
            (0..out[axis]).all(|position| {
                let first = position * self.stride[axis];
                (0..self.kernel[axis]).any(|tap| inside(first + tap * self.dilation[axis]))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks tap by tap, for every range of outputs of many windows.
    #[test]
    fn the_frames_read_are_those_under_the_taps() {
        let draw = |limit: usize, rng: &mut fastrand::Rng| rng.usize(1..=limit);
        let rng = &mut fastrand::Rng::with_seed(7);
        let mut nothing = 0;
        for _ in 0..300 {
            let (kernel, stride, dilation) = (draw(5, rng), draw(3, rng), draw(3, rng));
            let (pad, frames) = (rng.usize(0..=dilation * kernel), draw(9, rng));
            let axis = |value: usize, others: usize| [value, others, others];
            let (kernel, stride) = (axis(kernel, 1), axis(stride, 1));
            let window = Window { kernel, stride, pad: axis(pad, 0), dilation: axis(dilation, 1) };
            let Some([outputs, _, _]) = window.output([frames, 1, 1]) else { continue };
            for (start, end) in (0..outputs).flat_map(|start| (start + 1..=outputs).map(move |end| (start, end))) {
                let taps = (start..end).flat_map(|t| (0..kernel[0]).map(move |tap| t * stride[0] + tap * dilation));
                let read: Vec<usize> = taps.filter_map(|at| at.checked_sub(pad)).filter(|&at| at < frames).collect();
                let got = window.input_range(0, start..end, frames);
                assert!(got.start < got.end && got.end <= frames, "{window:?} {start}..{end}: {got:?}");
                match (read.iter().min(), read.iter().max()) {
                    (Some(&first), Some(&last)) => {
                        // Dilated taps can straddle the edge. The range then stays within the span of all taps.
                        assert!(got.start <= first && last < got.end, "{window:?} {start}..{end} of {frames}: {got:?}");
                        let exact = dilation == 1 && stride[0] == 1;
                        assert!(!exact || got == (first..last + 1), "{window:?} {start}..{end} of {frames}: {got:?}");
                    }
                    _ => nothing += 1,
                }
            }
        }
        assert!(nothing > 0, "no window lay wholly in the padding");
    }
}
