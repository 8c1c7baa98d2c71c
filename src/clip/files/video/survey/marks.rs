//! Combines all damage into the set of frames that it may affect.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Frame;

/// The combined damage.
pub(super) struct Marks {
    /// For every frame and the end, the first key frame from there on, or the number of frames.
    next_key: Vec<usize>,
    /// Damage up to a key frame, by that key frame.
    until_key: BTreeMap<usize, Mark>,
    /// Single damaged frames.
    alone: Vec<usize>,
}

/// Damage before a key frame.
struct Mark {
    /// The first frame that may be damaged.
    from: usize,
    /// The first damaged frame among those with unknown decoding order.
    surely: usize,
    /// The first packet that may be damaged; `None` if that is unknown.
    packet: Option<usize>,
}

impl Marks {
    /// No damage of `frames`.
    pub(super) fn of(frames: &[Frame]) -> Self {
        let count = frames.len();
        let mut next_key = vec![count; count + 1];
        for index in (0..count).rev() {
            next_key[index] = if frames[index].key { index } else { next_key[index + 1] };
        }
        Self { next_key, until_key: BTreeMap::new(), alone: Vec::new() }
    }

    /// Marks a frame from which no other is predicted.
    pub(super) fn alone(&mut self, index: usize) {
        self.alone.push(index);
    }

    /// Marks the frames that are shown from `from` to the first key frame at or after `key`, and decoded from `packet`
    /// on. A frame with unknown decoding order is marked from `surely` on.
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
                    (Some(from), Some(decoded)) => decoded >= from,
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

/// The ranges of `true`.
pub(super) fn ranges(marks: &[bool]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for index in marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(index, _)| index) {
        match ranges.last_mut() {
            Some(range) if range.end == index => range.end += 1,
            _ => ranges.push(index..index + 1),
        }
    }
    ranges
}
