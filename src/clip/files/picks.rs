//! The frames of an input to read.

use super::FrameSelection;
use crate::error::Result;

/// The frames of an input to read, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Picks {
    /// The frames that a rule selects, in an input of any length.
    Selected(FrameSelection),
    /// A list of frames in ascending order.
    Listed(Vec<usize>),
}

impl Picks {
    /// The frames of `clips` without duplicates.
    pub(super) fn of(clips: &[Vec<usize>]) -> Self {
        let mut frames: Vec<usize> = clips.iter().flatten().copied().collect();
        frames.sort_unstable();
        frames.dedup();
        Self::Listed(frames)
    }

    /// Whether frame `index` is read.
    pub(super) fn takes(&self, index: usize) -> bool {
        match self {
            Self::Selected(selection) => selection.takes(index),
            Self::Listed(frames) => frames.binary_search(&index).is_ok(),
        }
    }

    /// The first frame read.
    pub(super) fn first(&self) -> usize {
        match self {
            Self::Selected(selection) => selection.start,
            Self::Listed(frames) => frames.first().copied().unwrap_or(0),
        }
    }

    /// The last frame that is needed; `None` if that is the last frame of the input.
    pub(super) fn last(&self) -> Option<usize> {
        match self {
            Self::Selected(selection) => selection.last(),
            Self::Listed(frames) => frames.last().copied(),
        }
    }

    /// The number of frames to read, if it is known, of `available` frames.
    pub(super) fn expected(&self, available: Option<usize>) -> Option<usize> {
        match self {
            Self::Selected(selection) => {
                available.map_or(selection.count, |available| Some(selection.taken_of(available)))
            }
            Self::Listed(frames) => Some(frames.len()),
        }
    }

    /// Refuses an input with too few frames; `input` is its name. For a list, see [`Picks::lacks`].
    pub(super) fn check(&self, input: &str, available: usize) -> Result<()> {
        match self {
            Self::Selected(selection) => selection.check(input, available),
            // No new list can be made for an input without frames.
            Self::Listed(_) if available == 0 => FrameSelection::default().check(input, available),
            Self::Listed(_) => Ok(()),
        }
    }

    /// Whether an input of `available` frames lacks a listed frame, so that a new list is necessary.
    pub(super) fn lacks(&self, available: usize) -> bool {
        match self {
            Self::Selected(_) => false,
            Self::Listed(frames) => frames.last().is_some_and(|&last| last >= available),
        }
    }
}
