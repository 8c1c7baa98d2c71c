//! Stage three: which region of which blob lies where.
//!
//! In the plain case a blob is one extent, all rows of all its frames, in one chunk. A blob that exceeds a limit is
//! divided into chunks of fewer frames ([`storage`]), and if even a few frames are too large, into bands of rows
//! ([`bands`]).

mod bands;
mod storage;

use storage::{Band, Cuts};
pub use storage::{Extent, Storage};

use super::access::Access;
use super::batch::Workload;
use super::limits::{PlanLimits, Rejection};
use super::region::Region;
use super::schedule::Order;
use crate::graph::{BlobId, Layout};
use std::ops::Range;

/// How finely blobs and workspaces are divided, and in which order the chunks are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granularity {
    /// Bytes that a chunk of a blob may have.
    pub chunk_bytes: u64,
    /// Bytes that all workspaces may have together, unless the smallest slices need more.
    pub workspace_bytes: u64,
    /// Whether blobs are divided into bands of rows.
    pub bands: bool,
    /// The order of slices.
    pub order: Order,
}

impl Granularity {
    /// The most bytes of a chunk into which several dense extents of a blob are packed. In the demand-driven order this
    /// is small, because extents that share a chunk live as long as the longest-lived of them.
    pub fn packed_bytes(&self, limits: &PlanLimits) -> u64 {
        match self.order {
            Order::BlobByBlob => limits.max_buffer_bytes,
            Order::OnDemand => self.chunk_bytes,
        }
    }
}

/// Where the channels-last blobs lie. Planar blobs, at the edges of a run, have no extents yet: their extents follow
/// from the slices of the operators that read or write them.
pub(super) struct Partition {
    /// By blob.
    pub storages: Vec<Storage>,
}

/// Divides the blobs of a workload.
///
/// # Errors
/// [`Rejection::Limit`] if frames or rows that must lie together exceed a binding or a buffer.
pub(super) fn partition(work: &Workload, granularity: &Granularity) -> Result<Partition, Rejection> {
    let blobs = || (0..work.shapes.len()).map(BlobId);
    let bands = |id: BlobId| match work.graph.blob(id).layout {
        Layout::Planar => Ok(Vec::new()),
        Layout::ChannelsLast => work.bands(id, granularity),
    };
    let bands = blobs().map(bands).collect::<Result<Vec<_>, _>>()?;
    let step = |(id, bands): (BlobId, &Vec<Range<usize>>)| {
        bands.iter().map(|rows| work.frame_step(id, rows.len())).max().unwrap_or(1)
    };
    let steps: Vec<usize> = blobs().zip(&bands).map(step).collect();
    let storages = blobs().zip(&bands).map(|(id, bands)| work.divide(id, bands, &steps, granularity));
    Ok(Partition { storages: storages.collect::<Result<_, _>>()? })
}

impl Workload<'_> {
    /// In a band of `rows` rows of a blob, a binding can begin at frames that are multiples of this.
    pub fn frame_step(&self, id: BlobId, rows: usize) -> usize {
        let (layout, shape) = (self.graph.blob(id).layout, self.shape(id));
        match layout {
            // A range of frames of several clips is not contiguous: a binding has all frames.
            _ if shape.n > 1 => shape.t,
            Layout::ChannelsLast => self.options.limits.aligned_step(rows as u64 * self.row_bytes(id)),
            Layout::Planar => 1,
        }
    }

    /// The storage of a blob in these bands. `steps` has the frame steps of all blobs.
    fn divide(
        &self,
        id: BlobId,
        bands: &[Range<usize>],
        steps: &[usize],
        granularity: &Granularity,
    ) -> Result<Storage, Rejection> {
        let (shape, limits) = (self.shape(id), &self.options.limits);
        if let [rows] = bands
            && self.bytes(id) <= limits.bindable().min(granularity.chunk_bytes)
        {
            return Ok(Storage::whole(Region::new(0..shape.t, rows.clone()), self.bytes(id)));
        }
        let mut storage = Storage::default();
        for rows in bands {
            let step = self.frame_step(id, rows.len());
            let cuts = self.cuts(id, step, steps, granularity.order);
            let frame_bytes = rows.len() as u64 * self.row_bytes(id);
            let band = Band { rows: rows.clone(), frames: shape.t, frame_bytes };
            let packed_bytes = granularity.packed_bytes(limits);
            let most = (limits.bindable().min(packed_bytes) / band.frame_bytes).max(1) as usize;
            if shape.n == 1 && cuts.overlap == 0 && most < step {
                // The frames from one aligned frame to the next exceed a binding, but no operator reads two frames at
                // once.
                for first in (0..shape.t).step_by(most) {
                    let frames = first..(first + most).min(shape.t);
                    let bytes = frames.len() as u64 * band.frame_bytes;
                    storage.add_dense(Region::new(frames, rows.clone()), bytes, packed_bytes, limits);
                }
            } else {
                // On demand, a blob that cannot have chunks of `chunk_bytes` has the smallest chunks that it can have.
                let least = match granularity.order {
                    Order::BlobByBlob => 0,
                    Order::OnDemand => {
                        let frames = cuts.overlap + cuts.every;
                        (frames as u64 * band.frame_bytes).min(limits.bindable())
                    }
                };
                let name = || format!("{} ({shape})", self.graph.blob(id).name);
                storage
                    .add_overlapping(&band, cuts, granularity.chunk_bytes.max(least), name)
                    .map_err(Rejection::Limit)?;
            }
        }
        Ok(storage)
    }

    /// Where a blob can be cut so that frames that are read at once are in one chunk. Bindings can begin at frames that
    /// are multiples of `step`; `steps` has the frame steps of all blobs.
    ///
    /// Blob by blob, all blobs of one shape are cut at the same frames, so that an input that is addressed like the
    /// output adds no cuts. On demand, chunks are small and frames that are computed twice cost more, so each blob is
    /// cut by itself. The input and the output of an identity operator share their memory, so the readers of either
    /// count for both.
    fn cuts(&self, id: BlobId, step: usize, steps: &[usize], order: Order) -> Cuts {
        let readers = self.readers(self.shape(id)).filter(|(op, input)| match order {
            Order::BlobByBlob => true,
            Order::OnDemand => self.stored_in(op.inputs[*input]) == self.stored_in(id),
        });
        // For as few output frames as a dispatch computes: the number of frames that they read, the distance to the
        // frames that the next ones read, and how far before the blob the first window begins.
        let windows = readers.filter_map(|(op, input)| {
            let (access, outputs) = (self.access(op, input), steps[op.output.index()]);
            let several = access != Access::Same && access.span(0, outputs) > 1;
            several.then(|| (access.span(0, outputs), (access.stride(0) * outputs, access.before(0))))
        });
        let windows: Vec<_> = windows.collect();
        let span = windows.iter().map(|&(span, ..)| span).max().unwrap_or(1).min(self.shape(id).t);
        match windows[..] {
            // All windows begin at the same frames, and chunks begin where windows do.
            [(_, begins), ref others @ ..]
                if step == 1 && begins.0 <= span && others.iter().all(|other| other.1 == begins) =>
            {
                let (every, before) = begins;
                Cuts { overlap: span - every, every, first: (every - before % every) % every }
            }
            _ => Cuts { overlap: (span - 1).next_multiple_of(step), every: step, first: 0 },
        }
    }
}
