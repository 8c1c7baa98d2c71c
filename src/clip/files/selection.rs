//! Which frames of an input are taken.

use crate::error::{ErrorRepr, Result};

/// Every `stride`-th frame from `start` on, `count` of them. Frames are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[non_exhaustive]
pub struct FrameSelection {
    /// The first frame taken.
    pub start: usize,
    /// How many are taken; `None` takes all that there are.
    pub count: Option<usize>,
    /// How far one is from the next, at least 1.
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

    /// Whether nothing is chosen: every frame is taken.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a selection that can take nothing.
    pub(super) fn checked(&self) -> Result<()> {
        for (name, value) in [("number of frames", self.count.unwrap_or(1)), ("stride of frames", self.stride)] {
            if value == 0 {
                return Err(ErrorRepr::Clip { wanted: format!("a {name} of at least 1"), given: "0".to_owned() }.into());
            }
        }
        Ok(())
    }

    /// Whether frame `index` is taken.
    pub(super) fn takes(&self, index: usize) -> bool {
        index >= self.start
            && (index - self.start).is_multiple_of(self.stride)
            && self.last().is_none_or(|last| index <= last)
    }

    /// The last frame needed, where the end of the input does not decide.
    pub(super) fn last(&self) -> Option<usize> {
        self.count.map(|count| self.start.saturating_add((count - 1).saturating_mul(self.stride)))
    }

    /// How many frames are taken of `there`, if there are enough.
    pub(super) fn taken_of(&self, there: usize) -> usize {
        self.count.unwrap_or_else(|| there.saturating_sub(self.start).div_ceil(self.stride))
    }

    /// Refuses an input with fewer frames than are asked for; `input` names it.
    pub(super) fn check(&self, input: &str, there: usize) -> Result<()> {
        let needed = self.last().unwrap_or(self.start);
        if needed < there {
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
            given: format!("{there} frames in {input}, counted from 0"),
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_asked_for_and_says_what_is_missing() {
        // start, count, stride, frames there, frames taken
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
        for (start, count, stride, there, wanted) in cases {
            let selection = FrameSelection { start, count, stride };
            let taken: Vec<usize> = (0..there).filter(|&index| selection.takes(index)).collect();
            match (selection.check("it", there), wanted) {
                (Ok(()), Some(wanted)) => {
                    assert_eq!(taken, wanted, "{selection:?}");
                    assert_eq!(selection.taken_of(there), wanted.len(), "{selection:?}");
                }
                (Err(error), None) => assert!(error.to_string().contains("3 frames in it") || there == 5, "{error}"),
                (outcome, _) => panic!("{selection:?} of {there}: {outcome:?}"),
            }
        }
        assert!(FrameSelection { count: Some(0), ..FrameSelection::default() }.checked().is_err());
        assert!(FrameSelection { stride: 0, ..FrameSelection::default() }.checked().is_err());
    }
}
