//! Where the frames of a blob lie on the device.
//!
//! Channels last, a frame is contiguous and frames follow one another, so that any range of frames can be bound by itself.
//! A blob beyond the largest buffer has several *segments*, each in a buffer of its own. Neighbouring segments overlap
//! by what a time kernel reads beyond a frame: whoever reads a few frames finds them together in one segment, and
//! nothing is copied. The frames of the overlap are computed twice. A blob in stripes ([`super::stripes`]) is stored
//! like that stripe by stripe.
//!
//! In the planar layout neither ranges of frames nor of rows are contiguous. Such a blob, at the edge of a run, is stored as
//! the dense volumes that its layout conversion binds, or the stem that reads it, one for each slice.

use super::limits::PlanLimits;
use crate::error::{ErrorRepr, Result};
use std::ops::Range;

/// Frames of a blob, or of a stripe of it, that lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The frames.
    pub frames: Range<usize>,
    /// The rows of each that are there.
    pub rows: Range<usize>,
    /// In which of the blob's segments.
    pub segment: usize,
    /// Where in it, in bytes.
    pub offset: u64,
    /// Bytes of these rows of all these frames.
    pub bytes: u64,
}

/// Where the frames of a blob lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    pieces: Vec<Piece>,
    segments: Vec<u64>,
}

/// The frames of a blob, or of a stripe of it, as far as storing them is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    /// How many.
    pub count: usize,
    /// Bytes of these rows of one, of all clips.
    pub bytes: u64,
    /// A binding can begin at the frames that are multiples of this.
    pub step: usize,
}

impl Storage {
    /// Adds the frames of a stripe, of the rows `rows`, in as few segments as `most_bytes` for each allow, any `overlap + 1`
    /// successive frames together in one of them.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if so many do not fit into a buffer.
    pub(super) fn add_overlapping(
        &mut self,
        rows: &Range<usize>,
        frames: Frames,
        overlap: usize,
        most_bytes: u64,
        name: &str,
    ) -> Result<()> {
        let Frames { count, bytes, step } = frames;
        let overlap = overlap.next_multiple_of(step);
        let fit = usize::try_from(most_bytes / bytes).unwrap_or(usize::MAX);
        let length = if fit >= count { count } else { fit / step * step };
        if length <= overlap && length < count {
            let least = (overlap + step).min(count);
            return Err(ErrorRepr::Limit {
                what: format!("blob {name}, {least} {} of it at once,", if least == 1 { "frame" } else { "frames" }),
                needed: least as u64 * bytes,
                limit: most_bytes,
                limit_name: "buffer",
            }
            .into());
        }
        let mut start = 0;
        loop {
            let end = (start + length).min(count);
            let bytes = (end - start) as u64 * bytes;
            self.push(Piece { frames: start..end, rows: rows.clone(), segment: self.segments.len(), offset: 0, bytes });
            if end == count {
                return Ok(());
            }
            start = end - overlap;
        }
    }

    /// Adds a dense volume, packed into the last segment where that stays within `most_bytes`. The volume itself is within
    /// a buffer.
    pub(super) fn add_dense(
        &mut self,
        frames: Range<usize>,
        rows: Range<usize>,
        bytes: u64,
        most_bytes: u64,
        limits: &PlanLimits,
    ) {
        let behind = self.segments.last().map_or(0, |used| used.next_multiple_of(limits.alignment()));
        let open = self.segments.len().checked_sub(1).filter(|_| behind + bytes <= most_bytes);
        let (segment, offset) = open.map_or((self.segments.len(), 0), |segment| (segment, behind));
        self.push(Piece { frames, rows, segment, offset, bytes });
    }

    fn push(&mut self, piece: Piece) {
        self.segments.resize(piece.segment + 1, 0);
        self.segments[piece.segment] = piece.offset + piece.bytes;
        self.pieces.push(piece);
    }

    /// Stripes by stripe, runs of frames, in order of their first; they may overlap.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of the segments: each is a buffer, or part of one.
    pub fn segments(&self) -> &[u64] {
        &self.segments
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().sum()
    }

    /// The rows that are stored together, each range once.
    pub fn stripes(&self) -> impl DoubleEndedIterator<Item = &Range<usize>> {
        self.pieces.chunk_by(|a, b| a.rows == b.rows).map(|pieces| &pieces[0].rows)
    }

    /// The piece that begins last among those of a stripe that hold all of `frames`.
    pub(super) fn piece_with(&self, stripe: &Range<usize>, frames: &Range<usize>) -> Option<&Piece> {
        let own = self.pieces.iter().rev().filter(|piece| piece.rows == *stripe);
        own.into_iter().find(|p| p.frames.start <= frames.start && frames.end <= p.frames.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successive_frames_are_found_together() {
        for (count, step, overlap, buffer) in
            [(20, 1, 0, 70), (20, 1, 2, 40), (37, 4, 3, 120), (37, 4, 5, 170), (8, 2, 2, 999)]
        {
            let frames = Frames { count, bytes: 10, step };
            let mut storage = Storage::default();
            storage.add_overlapping(&(0..4), frames, overlap, buffer, "blob").unwrap();
            assert!(storage.segments().iter().all(|&bytes| bytes <= buffer));
            assert_eq!(storage.segments().len() > 1, count as u64 * 10 > buffer);
            for piece in storage.pieces() {
                assert!(piece.frames.start.is_multiple_of(step));
                assert_eq!(piece.bytes, piece.frames.len() as u64 * 10);
            }
            for first in 0..count - overlap {
                let together = first..first + overlap + 1;
                assert!(storage.piece_with(&(0..4), &together).is_some(), "{count} frames: from {first}");
            }
        }
        let frames = Frames { count: 20, bytes: 10, step: 1 };
        let refused = Storage::default().add_overlapping(&(0..4), frames, 3, 30, "blob");
        assert!(matches!(refused, Err(error) if error.needed_bytes() == Some(40)));
    }

    #[test]
    fn dense_volumes_begin_aligned() {
        let limits = PlanLimits { max_buffer_bytes: 700, offset_alignment: 256, ..PlanLimits::default() };
        let mut storage = Storage::default();
        for frames in [0..3, 3..6, 6..7, 5..8] {
            let bytes = frames.len() as u64 * 100;
            storage.add_dense(frames, 0..4, bytes, limits.max_buffer_bytes, &limits);
        }
        let places: Vec<_> = storage.pieces().iter().map(|p| (p.segment, p.offset, p.bytes)).collect();
        assert_eq!(places, [(0, 0, 300), (1, 0, 300), (1, 512, 100), (2, 0, 300)]);
        assert_eq!(storage.segments(), [300, 612, 300]);
    }
}
