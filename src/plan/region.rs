//! A part of a blob.

use std::ops::Range;

/// Some rows of some frames of a blob, at full width, with all channels, of all clips of a micro-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The frames.
    pub frames: Range<usize>,
    /// The rows of each of these frames.
    pub rows: Range<usize>,
}

impl Region {
    /// These rows of these frames.
    pub fn new(frames: Range<usize>, rows: Range<usize>) -> Self {
        Self { frames, rows }
    }

    /// How many rows it has, over all its frames.
    pub fn row_count(&self) -> usize {
        self.frames.len() * self.rows.len()
    }

    /// Whether the two have a row of a frame in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        overlap(&self.frames, &other.frames) && overlap(&self.rows, &other.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_overlap_where_they_share_a_row() {
        let region = Region::new(2..4, 10..20);
        assert_eq!(region.row_count(), 20);
        for (frames, rows, overlaps) in [
            (3..5, 19..30, true),
            (0..9, 0..99, true),
            (4..5, 10..20, false),
            (2..4, 20..30, false),
            (0..2, 0..10, false),
        ] {
            let other = Region::new(frames, rows);
            assert_eq!(region.overlaps(&other), overlaps, "{other:?}");
            assert_eq!(other.overlaps(&region), overlaps, "{other:?}");
        }
    }
}
