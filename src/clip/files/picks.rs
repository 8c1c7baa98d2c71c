//! Which frames of the input at hand are read.

use super::FrameSelection;
use crate::error::Result;

/// The frames that are read of an input, by their number, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Picks {
    /// Those that a rule takes, however many there are.
    Selected(FrameSelection),
    /// Just these, in ascending order.
    Listed(Vec<usize>),
}

impl Picks {
    /// The frames of `clips`, each once.
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

    /// The last frame needed, where the end of the input does not decide.
    pub(super) fn last(&self) -> Option<usize> {
        match self {
            Self::Selected(selection) => selection.last(),
            Self::Listed(frames) => frames.last().copied(),
        }
    }

    /// How many frames are read of `there`, if that is known.
    pub(super) fn expected(&self, there: Option<usize>) -> Option<usize> {
        match self {
            Self::Selected(selection) => there.map_or(selection.count, |there| Some(selection.taken_of(there))),
            Self::Listed(frames) => Some(frames.len()),
        }
    }

    /// Refuses an input with fewer frames than are asked for; `input` names it. Of a list, see [`Picks::lacks`].
    pub(super) fn check(&self, input: &str, there: usize) -> Result<()> {
        match self {
            Self::Selected(selection) => selection.check(input, there),
            // Of what has none at all nothing can be listed either.
            Self::Listed(_) if there == 0 => FrameSelection::default().check(input, there),
            Self::Listed(_) => Ok(()),
        }
    }

    /// Whether an input of `there` frames has not all that are listed, so that the list has to be made anew.
    pub(super) fn lacks(&self, there: usize) -> bool {
        match self {
            Self::Selected(_) => false,
            Self::Listed(frames) => frames.last().is_some_and(|&last| last >= there),
        }
    }
}
