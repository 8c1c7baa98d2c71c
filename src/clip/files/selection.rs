//! The selection of frames of an input.

use crate::error::{ErrorRepr, Result};

/// `count` frames, every `stride`-th from `start` on. Frames are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[non_exhaustive]
pub struct FrameSelection {
    /// The first frame.
    pub start: usize,
    /// The number of frames; `None` selects all.
    pub count: Option<usize>,
    /// The distance between frames, at least 1.
    pub stride: usize,
}

impl Default for FrameSelection {
    /// Every frame.
    fn default() -> Self {
        Self { start: 0, count: None, stride: 1 }
    }
}

impl FrameSelection {
    /// Sets [`FrameSelection::start`](field@FrameSelection::start).
    pub fn start(self, start: usize) -> Self {
        Self { start, ..self }
    }

    /// Sets [`FrameSelection::count`](field@FrameSelection::count).
    pub fn count(self, count: impl Into<Option<usize>>) -> Self {
        Self { count: count.into(), ..self }
    }

    /// Sets [`FrameSelection::stride`](field@FrameSelection::stride).
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Whether every frame is selected.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a selection that cannot select any frame.
    pub(super) fn checked(&self) -> Result<()> {
        for (name, value) in [("number of frames", self.count.unwrap_or(1)), ("stride of frames", self.stride)] {
            if value == 0 {
                return Err(ErrorRepr::Clip { wanted: format!("a {name} of at least 1"), given: "0".to_owned() }.into());
            }
        }
        Ok(())
    }

    /// Whether frame `index` is selected.
    pub(super) fn takes(&self, index: usize) -> bool {
        index >= self.start
            && (index - self.start).is_multiple_of(self.stride)
            && self.last().is_none_or(|last| index <= last)
    }

    /// The last frame that is needed; `None` if that is the last frame of the input.
    pub(super) fn last(&self) -> Option<usize> {
        self.count.map(|count| self.start.saturating_add((count - 1).saturating_mul(self.stride)))
    }

    /// The number of selected frames of `available` frames, if these suffice.
    pub(super) fn taken_of(&self, available: usize) -> usize {
        self.count.unwrap_or_else(|| available.saturating_sub(self.start).div_ceil(self.stride))
    }

    /// Refuses an input with too few frames; `input` is its name.
    pub(super) fn check(&self, input: &str, available: usize) -> Result<()> {
        let needed = self.last().unwrap_or(self.start);
        if needed < available {
            return Ok(());
        }
        let every = if self.stride == 1 { String::new() } else { format!(", {} apart", self.stride) };
        Err(ErrorRepr::Clip {
            wanted: match self.count {
                None => format!("frames from frame {} on", self.start),
                Some(count) => {
                    format!("{count} frames from frame {} on{every}, the last being frame {needed}", self.start)
                }
            },
            given: format!("{available} frames in {input}, counted from 0"),
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_frames_and_reports_missing_ones() {
        // start, count, stride, available frames, selected frames
        type Case = (usize, Option<usize>, usize, usize, Option<&'static [usize]>);
        let cases: [Case; 9] = [
            (0, None, 1, 3, Some(&[0, 1, 2])),
            (1, None, 2, 6, Some(&[1, 3, 5])),
            (1, None, 2, 5, Some(&[1, 3])),
            (2, Some(2), 3, 6, Some(&[2, 5])),
            (2, Some(2), 3, 5, None),
            (0, Some(4), 1, 3, None),
            (3, None, 1, 3, None),
            (usize::MAX, Some(usize::MAX), usize::MAX, 3, None),
            (0, Some(1), usize::MAX, 3, Some(&[0])),
        ];
        for (start, count, stride, available, wanted) in cases {
            let selection = FrameSelection { start, count, stride };
            let taken: Vec<usize> = (0..available).filter(|&index| selection.takes(index)).collect();
            match (selection.check("it", available), wanted) {
                (Ok(()), Some(wanted)) => {
                    assert_eq!(taken, wanted, "{selection:?}");
                    assert_eq!(selection.taken_of(available), wanted.len(), "{selection:?}");
                }
                (Err(error), None) => {
                    assert!(error.to_string().contains("3 frames in it") || available == 5, "{error}");
                }
                (outcome, _) => panic!("{selection:?} of {available}: {outcome:?}"),
            }
        }
        assert!(FrameSelection { count: Some(0), ..FrameSelection::default() }.checked().is_err());
        assert!(FrameSelection { stride: 0, ..FrameSelection::default() }.checked().is_err());
    }
}
