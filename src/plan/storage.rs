//! Where the frames of a blob lie on the device.
//!
//! Channels last, a frame is contiguous and frames follow one another, so that any range of frames can be bound by itself.
//! A blob beyond the largest buffer has several *segments*, each in a buffer of its own. Neighbouring segments overlap
//! by what a time kernel reads beyond a frame: whoever reads a few frames finds them together in one segment, and
//! nothing is copied. The frames of the overlap are computed twice.
//!
//! In the planar layout a range of frames is not contiguous. Such a blob, at the edge of a run, is stored as the dense
//! volumes that its layout conversion binds, one for each dispatch.

use super::limits::PlanLimits;
use crate::error::{Error, Result};
use std::ops::Range;

/// Frames of a blob that lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The frames.
    pub frames: Range<usize>,
    /// In which of the blob's segments.
    pub segment: usize,
    /// Where in it, in bytes.
    pub offset: u64,
    /// Bytes of all frames.
    pub bytes: u64,
}

/// Where the frames of a blob lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    pieces: Vec<Piece>,
    segments: Vec<u64>,
}

/// The frames of a blob, as far as storing them is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    /// How many.
    pub count: usize,
    /// Bytes of one, of all clips.
    pub bytes: u64,
    /// A binding can begin at the frames that are multiples of this.
    pub step: usize,
}

impl Storage {
    /// All frames in one segment.
    pub(super) fn whole(frames: Frames) -> Self {
        let bytes = frames.count as u64 * frames.bytes;
        Self { pieces: vec![Piece { frames: 0..frames.count, segment: 0, offset: 0, bytes }], segments: vec![bytes] }
    }

    /// As few segments as `most_bytes` for each allow, any `overlap + 1` successive frames together in one of them.
    ///
    /// # Errors
    /// [`Error::Limit`] if so many do not fit into a buffer.
    pub(super) fn overlapping(frames: Frames, overlap: usize, most_bytes: u64, name: &str) -> Result<Self> {
        let Frames { count, bytes, step } = frames;
        let overlap = overlap.next_multiple_of(step);
        let fit = usize::try_from(most_bytes / bytes).unwrap_or(usize::MAX);
        if fit >= count {
            return Ok(Self::whole(frames));
        }
        let length = fit / step * step;
        if length <= overlap {
            let least = (overlap + step).min(count);
            return Err(Error::Limit {
                what: format!("blob {name}, {least} {} of it at once,", if least == 1 { "frame" } else { "frames" }),
                needed: least as u64 * bytes,
                limit: most_bytes,
                limit_name: "buffer",
            });
        }
        let mut storage = Self::default();
        let mut start = 0;
        loop {
            let end = (start + length).min(count);
            storage.push(start..end, storage.segments.len(), 0, (end - start) as u64 * bytes);
            if end == count {
                return Ok(storage);
            }
            start = end - overlap;
        }
    }

    /// The dense volumes of `frames`, `bytes` for each frame, packed into as few segments as buffers allow. None is larger
    /// than a buffer.
    pub(super) fn dense(frames: &[Range<usize>], bytes: u64, limits: &PlanLimits) -> Self {
        let mut storage = Self::default();
        for range in frames {
            let volume = range.len() as u64 * bytes;
            let behind = storage.segments.last().map_or(0, |used| used.next_multiple_of(limits.alignment()));
            let open = storage.segments.len().checked_sub(1);
            match open.filter(|_| behind + volume <= limits.max_buffer_bytes) {
                Some(segment) => storage.push(range.clone(), segment, behind, volume),
                None => storage.push(range.clone(), storage.segments.len(), 0, volume),
            }
        }
        storage
    }

    fn push(&mut self, frames: Range<usize>, segment: usize, offset: u64, bytes: u64) {
        self.segments.resize(segment + 1, 0);
        self.segments[segment] = offset + bytes;
        self.pieces.push(Piece { frames, segment, offset, bytes });
    }

    /// Runs of frames, in order of their first; they may overlap.
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

    /// The piece that begins last among those that hold all of `frames`.
    pub(super) fn piece_with(&self, frames: &Range<usize>) -> Option<&Piece> {
        self.pieces.iter().rev().find(|p| p.frames.start <= frames.start && frames.end <= p.frames.end)
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
            let storage = Storage::overlapping(frames, overlap, buffer, "blob").unwrap();
            assert!(storage.segments().iter().all(|&bytes| bytes <= buffer));
            assert_eq!(storage.segments().len() > 1, count as u64 * 10 > buffer);
            for piece in storage.pieces() {
                assert!(piece.frames.start.is_multiple_of(step));
                assert_eq!(piece.bytes, piece.frames.len() as u64 * 10);
            }
            for first in 0..count - overlap {
                assert!(storage.piece_with(&(first..first + overlap + 1)).is_some(), "{count} frames: from {first}");
            }
        }
        let frames = Frames { count: 20, bytes: 10, step: 1 };
        assert!(matches!(Storage::overlapping(frames, 3, 30, "blob"), Err(Error::Limit { needed: 40, .. })));
    }

    #[test]
    fn dense_volumes_begin_aligned() {
        let limits = PlanLimits { max_buffer_bytes: 700, offset_alignment: 256, ..PlanLimits::default() };
        let storage = Storage::dense(&[0..3, 3..6, 6..7, 5..8], 100, &limits);
        let places: Vec<_> = storage.pieces().iter().map(|p| (p.segment, p.offset, p.bytes)).collect();
        assert_eq!(places, [(0, 0, 300), (1, 0, 300), (1, 512, 100), (2, 0, 300)]);
        assert_eq!(storage.segments(), [300, 612, 300]);
    }
}
