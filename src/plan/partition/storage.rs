//! Where the extents of a blob lie on the device.
//!
//! Channels last, a frame is contiguous and frames follow one another, so that any range of frames can be bound by
//! itself. A blob beyond the largest buffer has several *chunks*, each in a separate buffer. Neighbouring chunks
//! overlap by the frames that successive windows over time have in common: a reader of a few frames finds them together
//! in one chunk, and nothing is copied. The frames of the overlap are computed twice. A blob in bands of rows
//! ([`super::bands`]) is divided into chunks band by band.
//!
//! In the planar layout neither ranges of frames nor ranges of rows are contiguous. A planar blob, at the edge of a
//! run, has one dense extent for each slice of the operator that reads or writes it.

use super::Region;
use crate::error::{ErrorRepr, Result};
use crate::plan::limits::PlanLimits;
use std::ops::Range;

/// A region of a blob that is contiguous in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The region. Its rows are those of a band.
    pub region: Region,
    /// The chunk that holds it, an index into [`Storage::chunks`].
    pub chunk: usize,
    /// The offset in the chunk, in bytes.
    pub offset: u64,
    /// Bytes of the region.
    pub bytes: u64,
}

/// Where the extents of a blob lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    extents: Vec<Extent>,
    chunks: Vec<u64>,
}

/// A band of a blob that is channels last: some rows of all its frames.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Band {
    /// The rows.
    pub rows: Range<usize>,
    /// How many frames there are.
    pub frames: usize,
    /// Bytes of these rows of one frame, over all clips.
    pub frame_bytes: u64,
}

/// Where a band is cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Cuts {
    /// The number of frames that a chunk and the next one have in common.
    pub overlap: usize,
    /// Every chunk but the first begins at frame `first`, or a multiple of this later.
    pub every: usize,
    /// Less than `every`.
    pub first: usize,
}

impl Storage {
    /// One extent, of all rows of all frames.
    pub(in crate::plan) fn whole(region: Region, bytes: u64) -> Self {
        Self { extents: Vec::from([Extent { region, chunk: 0, offset: 0, bytes }]), chunks: Vec::from([bytes]) }
    }

    /// Adds a band in as few chunks as possible, each of at most `most_bytes`, cut as `cuts` allows.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the frames from one cut to the next, together with the overlap,
    /// exceed `most_bytes`.
    pub(in crate::plan) fn add_overlapping(
        &mut self,
        band: &Band,
        cuts: Cuts,
        most_bytes: u64,
        name: impl FnOnce() -> String,
    ) -> Result<()> {
        let &Band { ref rows, frames: count, frame_bytes } = band;
        let Cuts { overlap, every, first } = cuts;
        let fit = usize::try_from(most_bytes / frame_bytes).unwrap_or(usize::MAX);
        let least = (overlap + every).min(count);
        if fit < least {
            let frames = if least == 1 { "frame" } else { "frames" };
            return Err(ErrorRepr::Limit {
                what: format!("blob {}, {least} {frames} of it at once,", name()),
                needed: least as u64 * frame_bytes,
                limit: most_bytes,
                limit_name: "buffer",
            }
            .into());
        }
        let mut start = 0;
        while count - start > fit {
            let latest = start + fit - overlap;
            let next = latest - (latest - first) % every;
            self.push_frames(start..next + overlap, rows, frame_bytes);
            start = next;
        }
        self.push_frames(start..count, rows, frame_bytes);
        Ok(())
    }

    /// Adds a chunk of these rows of some frames.
    fn push_frames(&mut self, frames: Range<usize>, rows: &Range<usize>, frame_bytes: u64) {
        let bytes = frames.len() as u64 * frame_bytes;
        self.push(Extent { region: Region::new(frames, rows.clone()), chunk: self.chunks.len(), offset: 0, bytes });
    }

    /// Adds a dense extent and returns its index. It is packed into the last chunk if that stays within `most_bytes`.
    /// The extent alone fits into a buffer.
    pub(in crate::plan) fn add_dense(
        &mut self,
        region: Region,
        bytes: u64,
        most_bytes: u64,
        limits: &PlanLimits,
    ) -> usize {
        let behind = self.chunks.last().map_or(0, |used| used.next_multiple_of(limits.alignment()));
        let open = self.chunks.len().checked_sub(1).filter(|_| behind + bytes <= most_bytes);
        let (chunk, offset) = open.map_or((self.chunks.len(), 0), |chunk| (chunk, behind));
        self.push(Extent { region, chunk, offset, bytes });
        self.extents.len() - 1
    }

    fn push(&mut self, extent: Extent) {
        self.chunks.resize(extent.chunk + 1, 0);
        self.chunks[extent.chunk] = extent.offset + extent.bytes;
        self.extents.push(extent);
    }

    /// The extents, band by band and in the order of their first frames. They may overlap.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Bytes of the chunks: each is a buffer, or part of one.
    pub fn chunks(&self) -> &[u64] {
        &self.chunks
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().sum()
    }

    /// The rows of each band.
    pub fn bands(&self) -> impl DoubleEndedIterator<Item = &Range<usize>> {
        self.extents.chunk_by(|a, b| a.region.rows == b.region.rows).map(|extents| &extents[0].region.rows)
    }

    /// The index of the extent that begins last among those of a band that hold all of `frames`.
    pub(in crate::plan) fn holder(&self, band: &Range<usize>, frames: &Range<usize>) -> Option<usize> {
        self.extents.iter().rposition(|Extent { region, .. }| {
            region.rows == *band && region.frames.start <= frames.start && frames.end <= region.frames.end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successive_windows_are_found_in_one_chunk() {
        // Windows of `span` frames begin every `every` frames, one of them at `first`, and one before the blob.
        for (frames, every, first, span, buffer) in [
            (20, 1, 0, 1, 70),
            (20, 1, 0, 3, 40),
            (37, 4, 0, 8, 120),
            (37, 4, 0, 12, 170),
            (8, 2, 0, 4, 999),
            (16, 2, 1, 3, 90),
            (33, 3, 2, 3, 50),
            (33, 3, 1, 7, 80),
        ] {
            let band = Band { rows: 0..4, frames, frame_bytes: 10 };
            let cuts = Cuts { overlap: span - every, every, first };
            let mut storage = Storage::default();
            storage.add_overlapping(&band, cuts, buffer, String::new).unwrap();
            assert!(storage.chunks().iter().all(|&bytes| bytes <= buffer));
            assert_eq!(storage.chunks().len() > 1, frames as u64 * 10 > buffer);
            for extent in storage.extents() {
                let start = extent.region.frames.start;
                assert!(start == 0 || start % every == first, "{cuts:?}: a chunk from {start}");
                assert_eq!(extent.bytes, extent.region.frames.len() as u64 * 10);
            }
            let begin = first as isize - every as isize;
            for start in (begin..frames as isize).step_by(every) {
                let window = start.max(0) as usize..((start + span as isize) as usize).min(frames);
                assert!(storage.holder(&(0..4), &window).is_some(), "{cuts:?}: frames {window:?}");
            }
        }
        let band = Band { rows: 0..4, frames: 20, frame_bytes: 10 };
        let cuts = Cuts { overlap: 3, every: 1, first: 0 };
        let refused = Storage::default().add_overlapping(&band, cuts, 30, || "data".to_owned());
        assert!(matches!(refused, Err(error) if error.needed_bytes() == Some(40)));
    }

    #[test]
    fn dense_extents_begin_aligned() {
        let limits = PlanLimits { max_buffer_bytes: 700, offset_alignment: 256, ..PlanLimits::default() };
        let mut storage = Storage::default();
        for (index, frames) in [0..3, 3..6, 6..7, 5..8].into_iter().enumerate() {
            let bytes = frames.len() as u64 * 100;
            let region = Region::new(frames, 0..4);
            assert_eq!(storage.add_dense(region, bytes, limits.max_buffer_bytes, &limits), index);
        }
        let places: Vec<_> =
            storage.extents().iter().map(|extent| (extent.chunk, extent.offset, extent.bytes)).collect();
        assert_eq!(places, [(0, 0, 300), (1, 0, 300), (1, 512, 100), (2, 0, 300)]);
        assert_eq!(storage.chunks(), [300, 612, 300]);
    }
}
