//! The frames of a clip that the slow pathway takes.

use crate::error::{ErrorRepr, Result};
use crate::network::Spread;
use crate::shape::Shape;

/// The frames of a clip that the slow pathway of a SlowFast network takes: one in `alpha`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlowFrames {
    /// Frames of the clip per frame that is taken.
    pub alpha: usize,
    /// How the frames are spread over the clip.
    pub spread: Spread,
}

impl SlowFrames {
    /// The shape of the slow pathway's input for a clip of `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if the number of frames is not a multiple of `alpha`. The extents of
    /// the two pathways would not match.
    pub fn shape(&self, shape: Shape) -> Result<Shape> {
        let Self { alpha, .. } = *self;
        if !shape.t.is_multiple_of(alpha) {
            let nearest = ((shape.t + alpha / 2) / alpha).max(1) * alpha;
            return Err(ErrorRepr::Clip {
                wanted: format!(
                    "a multiple of {alpha} frames, because the slow pathway takes one in {alpha} ({nearest} is the \
                     nearest)"
                ),
                given: format!("{} frames ({shape})", shape.t),
            }
            .into());
        }
        Ok(Shape { t: shape.t / alpha, ..shape })
    }

    /// The indices of the frames that are taken from a clip of `count` frames, which must be a multiple of `alpha`.
    pub fn frames(&self, count: usize) -> Vec<usize> {
        let taken = count / self.alpha;
        match self.spread {
            Spread::Every => (0..taken).map(|i| i * self.alpha).collect(),
            // The arithmetic of torch.linspace: float32, from the nearer end.
            Spread::Even => {
                let last = count.saturating_sub(1) as f32;
                let step = last / taken.saturating_sub(1).max(1) as f32;
                let at = |i: usize| {
                    if i < taken.div_ceil(2) { step * i as f32 } else { last - step * (taken - 1 - i) as f32 }
                };
                (0..taken).map(|i| at(i) as usize).collect()
            }
        }
    }

    /// Replaces the contents of `into` with the frames that are taken from a clip of `shape`, NCTHW.
    pub(crate) fn take<T: Copy>(&self, values: &[T], shape: Shape, into: &mut Vec<T>) {
        let (frames, frame) = (self.frames(shape.t), shape.h * shape.w);
        into.clear();
        for channel in values.chunks_exact(shape.t * frame) {
            into.extend(frames.iter().flat_map(|&t| &channel[t * frame..][..frame]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_projects() {
        let even = |alpha, count| SlowFrames { alpha, spread: Spread::Even }.frames(count);
        // The result of torch.linspace(0, 31, 8).long().
        assert_eq!(even(4, 32), [0, 4, 8, 13, 17, 22, 26, 31]);
        assert_eq!(even(8, 32), [0, 10, 20, 31]);
        assert_eq!(even(4, 40), [0, 4, 8, 13, 17, 21, 26, 30, 34, 39]);
        assert_eq!(even(4, 4), [0]);
        assert_eq!(even(1, 3), [0, 1, 2]);
        assert_eq!(SlowFrames { alpha: 8, spread: Spread::Every }.frames(32), [0, 8, 16, 24]);
    }

    #[test]
    fn taken_frames_are_in_the_layout_of_a_clip() {
        let shape = Shape::new(2, 2, 4, 1, 2);
        let values: Vec<usize> = (0..shape.len()).collect();
        let mut taken = vec![7];
        SlowFrames { alpha: 2, spread: Spread::Even }.take(&values, shape, &mut taken);
        assert_eq!(taken, [0, 1, 6, 7, 8, 9, 14, 15, 16, 17, 22, 23, 24, 25, 30, 31]);
    }

    #[test]
    fn the_error_names_the_nearest_valid_length() {
        let slow_frames = SlowFrames { alpha: 4, spread: Spread::Even };
        for (given, nearest) in [(1, 4), (5, 4), (6, 8), (30, 32)] {
            let error = slow_frames.shape(Shape::new(1, 3, given, 8, 8)).unwrap_err().to_string();
            assert!(error.contains(&format!("one in 4 ({nearest} is the nearest)")), "{error}");
        }
        assert_eq!(slow_frames.shape(Shape::new(2, 3, 8, 5, 6)).unwrap(), Shape::new(2, 3, 2, 5, 6));
    }
}
