//! How clips reach the device and outputs the host: through buffers that the host can map.

use super::batch::Workload;
use super::region::Region;
use super::{Plan, Storage};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::BlobId;
use crate::shape::Shape;
use std::ops::Range;

/// A blob that a run returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Blob name.
    pub name: String,
    /// The blob of the graph.
    pub blob: BlobId,
    /// The step that writes it, an index into [`Plan::steps`]; `None` for an input. The blob is copied out right after
    /// that step, so that its buffer is free for others as soon as no operator needs it.
    pub written_by: Option<usize>,
}

impl Workload<'_> {
    /// The blobs that a run returns: the taps in the order asked for, then the last blob unless it is a tap.
    pub(super) fn outputs(&self) -> Result<Vec<Output>> {
        let mut names: Vec<&String> = Vec::new();
        for name in self.options.taps.iter().chain([&self.graph.blob(self.graph.output()).name]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let output = |name: &String| {
            let blob = self.graph.find(name)?;
            let stored = self.stored_in(blob);
            let written_by = self.computed().position(|(_, op, _)| op.output == stored);
            Ok(Output { name: name.clone(), blob, written_by })
        };
        names.into_iter().map(output).collect()
    }
}

/// Buffers that the host maps, and the transfers between them and the blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    buffers: Vec<u64>,
    transfers: Vec<Transfer>,
    /// By input or output, the index of its first transfer in a micro-batch; at the end, the number of transfers of a
    /// micro-batch.
    first: Vec<usize>,
}

/// One extent of an input or output, in one micro-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The micro-batch.
    pub micro_batch: usize,
    /// Which input or output of the plan.
    pub port: usize,
    /// Which extent of its blob, an index into [`Storage::extents`].
    pub extent: usize,
    /// The buffer, an index into [`Staging::buffers`].
    pub buffer: usize,
    /// Where in that buffer, in bytes.
    pub offset: u64,
    /// The number of bytes.
    pub bytes: u64,
}

impl Staging {
    /// Room for all extents of the blobs `ports` in every micro-batch. They fill buffers of at most `max_buffer_bytes`
    /// one after the other; no extent is larger than that.
    pub(super) fn new(micro_batches: usize, ports: &[&Storage], max_buffer_bytes: u64) -> Self {
        let extents = ports.iter().map(|storage| storage.extents().len());
        let first = [0].into_iter().chain(extents.scan(0, |before, extents| {
            *before += extents;
            Some(*before)
        }));
        let mut staging = Self { first: first.collect(), ..Self::default() };
        for micro_batch in 0..micro_batches {
            for (port, storage) in ports.iter().enumerate() {
                for (extent, bytes) in storage.extents().iter().map(|extent| extent.bytes).enumerate() {
                    let used = staging.buffers.last().copied().filter(|used| used + bytes <= max_buffer_bytes);
                    if used.is_none() {
                        staging.buffers.push(0);
                    }
                    let (buffer, offset) = (staging.buffers.len() - 1, used.unwrap_or(0));
                    staging.buffers[buffer] = offset + bytes;
                    staging.transfers.push(Transfer { micro_batch, port, extent, buffer, offset, bytes });
                }
            }
        }
        staging
    }

    /// Sizes of the buffers, in bytes.
    pub fn buffers(&self) -> &[u64] {
        &self.buffers
    }

    /// All transfers, by micro-batch, then by input or output.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// The transfer of an extent of an input or output in a micro-batch, if there is one.
    pub fn transfer(&self, micro_batch: usize, port: usize, extent: usize) -> Option<&Transfer> {
        self.transfers.get(self.transfer_index(micro_batch, port, extent)?)
    }

    /// The index of that transfer in [`Staging::transfers`].
    pub(super) fn transfer_index(&self, micro_batch: usize, port: usize, extent: usize) -> Option<usize> {
        Some(micro_batch * self.first.last()? + self.first.get(port)? + extent)
    }
}

/// Bytes that follow one another both in a caller's values and in a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyRange {
    /// Where in the caller's values, N×C×T×H×W in row-major order, in bytes.
    pub outside: usize,
    /// Where in the transfer, in bytes.
    pub inside: usize,
    /// How many.
    pub bytes: usize,
}

impl Plan {
    /// The index of the clip that an upload copies from, and the ranges of bytes that it copies. (For the input of a
    /// slow pathway they are some frames of the first clip.)
    pub(crate) fn upload_ranges(&self, transfer: &Transfer) -> (usize, impl Iterator<Item = CopyRange> + use<'_>) {
        let blob = self.graph().inputs()[transfer.port];
        let fed = if transfer.port < self.graph().clips() { transfer.port } else { 0 };
        let sampled = (fed != transfer.port).then_some(&self.slow_frames);
        let (of, clip) = (self.shape(blob), self.shape(self.graph().inputs()[fed]));
        let frame = host_bytes(of.h * of.w);
        let ranges = self.copy_ranges(blob, transfer).flat_map(move |range| {
            // Frames that are sampled follow one another only by chance: each is a range by itself.
            let end = range.outside + range.bytes;
            let next = move |at: usize| end.min(if sampled.is_some() { (at / frame + 1) * frame } else { end });
            let starts = std::iter::successors(Some(range.outside), move |&at| Some(next(at)).filter(|&at| at < end));
            starts.map(move |at| {
                let place = |frames: &Vec<usize>| {
                    let (plane, t) = (at / frame / of.t, at / frame % of.t);
                    (plane * clip.t + frames[t]) * frame + at % frame
                };
                let outside = sampled.map_or(at, place);
                CopyRange { outside, inside: range.inside + at - range.outside, bytes: next(at) - at }
            })
        });
        (fed, ranges)
    }

    /// The bytes of an output that a readback holds.
    pub(crate) fn readback_ranges(&self, transfer: &Transfer) -> impl Iterator<Item = CopyRange> + use<> {
        self.copy_ranges(self.outputs()[transfer.port].blob, transfer)
    }

    fn copy_ranges(&self, blob: BlobId, transfer: &Transfer) -> impl Iterator<Item = CopyRange> + use<> {
        let clips = self.micro_batch_shape(blob).n;
        let clips = transfer.micro_batch * clips..(transfer.micro_batch + 1) * clips;
        let region = &self.storage(blob).extents()[transfer.extent].region;
        contiguous(self.shape(blob), clips, region).map(|(outside, inside, len)| CopyRange {
            outside: host_bytes(outside),
            inside: host_bytes(inside),
            bytes: host_bytes(len),
        })
    }
}

/// Bytes of `values` values of a clip or an output. Host and device both have them in the host's format, because blobs
/// that are uploaded or read back lie at the edges of a run.
fn host_bytes(values: usize) -> usize {
    DType::HOST.bytes_of(values) as usize
}

/// The ranges of values that are contiguous both in a dense region and in the row-major N×C×T×H×W values that the
/// region is part of: `(start in all values, start in the region, length)`, in values.
fn contiguous(
    shape: Shape,
    clips: Range<usize>,
    Region { frames, rows }: &Region,
) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
    let Shape { c, t, h, w, .. } = shape;
    let (all_rows, all_frames) = (rows.len() == h, frames.len() == t);
    // All rows of neighbouring frames are one range. All rows of all frames of neighbouring channels and clips are one
    // range too.
    let (volumes, planes) = if all_rows && all_frames { (1, 1) } else { (clips.len() * c, frames.len()) };
    let planes = if all_rows { 1 } else { planes };
    let len = clips.len() * c * frames.len() * rows.len() * w / (volumes * planes);
    let first = (clips.start * c * t + frames.start) * h * w + rows.start * w;
    let outside = move |index: usize| first + (index / planes * t + index % planes) * h * w;
    (0..volumes * planes).map(move |index| (outside(index), index * len, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value by value, for every range of an axis.
    #[test]
    fn contiguous_ranges_are_the_values_of_the_region() {
        let shape = Shape::new(2, 3, 4, 5, 2);
        let ranges = |len: usize| (0..len).flat_map(move |start| (start + 1..=len).map(move |end| start..end));
        for (clips, frames) in ranges(2).flat_map(|clips| ranges(4).map(move |frames| (clips.clone(), frames))) {
            for rows in ranges(5) {
                let mut want = Vec::new();
                for (n, c) in clips.clone().flat_map(|n| (0..3).map(move |c| (n, c))) {
                    for (t, h) in frames.clone().flat_map(|t| rows.clone().map(move |h| (t, h))) {
                        want.extend((0..2).map(|w| (((n * 3 + c) * 4 + t) * 5 + h) * 2 + w));
                    }
                }
                let region = Region::new(frames.clone(), rows.clone());
                let mut got = vec![usize::MAX; want.len()];
                for (outside, inside, len) in contiguous(shape, clips.clone(), &region) {
                    (0..len).for_each(|at| got[inside + at] = outside + at);
                }
                assert_eq!(got, want, "{clips:?} {frames:?} {rows:?}");
            }
        }
    }
}
