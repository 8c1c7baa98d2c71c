//! Which frames damage may have reached, put together from all that is damaged.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Frame;

/// Damage, put together.
pub(super) struct Marks {
    /// For every frame, and the place behind the last, the first key frame from there on, or how many frames there are.
    next_key: Vec<usize>,
    /// By the key frame that ends it.
    until_key: BTreeMap<usize, Mark>,
    /// Frames by themselves.
    alone: Vec<usize>,
}

/// Frames that damage may have reached before a key frame.
struct Mark {
    /// The first that may be.
    from: usize,
    /// The first that is, if it is not known when it was decoded.
    surely: usize,
    /// The first packet decoded that may be; `None` where that does not tell.
    packet: Option<usize>,
}

impl Marks {
    /// No damage of `frames` yet.
    pub(super) fn of(frames: &[Frame]) -> Self {
        let count = frames.len();
        let mut next_key = vec![count; count + 1];
        for index in (0..count).rev() {
            next_key[index] = if frames[index].key { index } else { next_key[index + 1] };
        }
        Self { next_key, until_key: BTreeMap::new(), alone: Vec::new() }
    }

    /// Marks one frame, from which none is predicted.
    pub(super) fn alone(&mut self, index: usize) {
        self.alone.push(index);
    }

    /// Marks the frames shown from `from` to the first key frame from `key` on that were decoded from `packet` on. A frame
    /// of which that is not known is marked from `surely` on.
    pub(super) fn until_key(&mut self, from: usize, surely: usize, key: usize, packet: Option<usize>) {
        let end = self.next_key[key.min(self.next_key.len() - 1)];
        let mark = self.until_key.entry(end).or_insert(Mark { from, surely, packet });
        mark.packet = if let (Some(one), Some(other)) = (mark.packet, packet) { Some(one.min(other)) } else { None };
        (mark.from, mark.surely) = (mark.from.min(from), mark.surely.min(surely));
    }

    /// Whether each of `frames` is damaged.
    pub(super) fn frames(&self, frames: &[Frame]) -> Vec<bool> {
        let mut damaged = vec![false; frames.len()];
        for (&end, mark) in &self.until_key {
            let shown = mark.from.min(end)..end;
            for (index, frame) in shown.clone().zip(&frames[shown]) {
                damaged[index] |= match (mark.packet, frame.packet) {
                    (Some(from), Some(own)) => own >= from,
                    _ => index >= mark.surely,
                };
            }
        }
        for &index in &self.alone {
            damaged[index] = true;
        }
        damaged
    }
}

/// The runs of `true`.
pub(super) fn runs(marks: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for index in marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(index, _)| index) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}
