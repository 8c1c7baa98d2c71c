//! How clips reach the device and outputs the host: through buffers that the host can map.

use super::Plan;
use super::storage::Storage;
use crate::dtype::DType;
use crate::graph::BlobId;
use std::ops::Range;

/// Buffers that the host maps, and what is copied between them and the blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    buffers: Vec<u64>,
    transfers: Vec<Transfer>,
    /// By input or output, the first of its transfers in a round; then how many a round has.
    first: Vec<usize>,
}

/// One piece of an input or output, in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The round.
    pub round: usize,
    /// Which input or output of the plan.
    pub port: usize,
    /// Which piece of its blob, an index into [`Storage::pieces`].
    pub piece: usize,
    /// Which of the buffers.
    pub buffer: usize,
    /// Where in that buffer, in bytes.
    pub offset: u64,
    /// How much.
    pub bytes: u64,
}

impl Staging {
    /// Room for all pieces of the blobs `ports` in every round, in as few buffers of at most `max_buffer_bytes` as
    /// they fill in order. No piece is larger than that.
    pub(super) fn new(rounds: usize, ports: &[&Storage], max_buffer_bytes: u64) -> Self {
        let pieces = ports.iter().map(|storage| storage.pieces().len());
        let first = [0].into_iter().chain(pieces.scan(0, |before, pieces| {
            *before += pieces;
            Some(*before)
        }));
        let mut staging = Self { first: first.collect(), ..Self::default() };
        for round in 0..rounds {
            for (port, storage) in ports.iter().enumerate() {
                for (piece, bytes) in storage.pieces().iter().map(|piece| piece.bytes).enumerate() {
                    let used = staging.buffers.last().copied().filter(|used| used + bytes <= max_buffer_bytes);
                    if used.is_none() {
                        staging.buffers.push(0);
                    }
                    let (buffer, offset) = (staging.buffers.len() - 1, used.unwrap_or(0));
                    staging.buffers[buffer] = offset + bytes;
                    staging.transfers.push(Transfer { round, port, piece, buffer, offset, bytes });
                }
            }
        }
        staging
    }

    /// Sizes of the buffers, in bytes.
    pub fn buffers(&self) -> &[u64] {
        &self.buffers
    }

    /// What is copied, by round, then by input or output.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// The transfer of a piece of an input or output in a round, if there is one.
    pub fn transfer(&self, round: usize, port: usize, piece: usize) -> Option<&Transfer> {
        self.transfers.get(self.transfer_index(round, port, piece)?)
    }

    /// Its place among [`Staging::transfers`].
    pub(super) fn transfer_index(&self, round: usize, port: usize, piece: usize) -> Option<usize> {
        Some(round * self.first.last()? + self.first.get(port)? + piece)
    }
}

/// Bytes that follow one another both in a caller's values and in a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where in the caller's values, N×C×T×H×W in row-major order, in bytes.
    pub outside: usize,
    /// Where in the transfer, in bytes.
    pub inside: usize,
    /// How many.
    pub bytes: usize,
}

impl Plan {
    /// Which of the inputs that are fed an upload is made of, and the bytes that it takes of it. (Of a slow pathway's input
    /// they are some frames of the first.)
    pub(crate) fn upload_runs(&self, transfer: &Transfer) -> (usize, impl Iterator<Item = Run> + use<'_>) {
        let blob = self.graph().inputs()[transfer.port];
        let fed = if transfer.port < self.graph().clips() { transfer.port } else { 0 };
        let sampled = (fed != transfer.port).then_some(&self.slow_frames);
        let (of, clip) = (self.shape(blob), self.shape(self.graph().inputs()[fed]));
        let frame = host_bytes(of.h * of.w);
        let runs = self.runs(blob, transfer).flat_map(move |run| {
            // Frames that are sampled follow one another only by chance: each is a run by itself.
            let end = run.outside + run.bytes;
            let next = move |at: usize| end.min(if sampled.is_some() { (at / frame + 1) * frame } else { end });
            let starts = std::iter::successors(Some(run.outside), move |&at| Some(next(at)).filter(|&at| at < end));
            starts.map(move |at| {
                let place = |frames: &Vec<usize>| {
                    let (plane, t) = (at / frame / of.t, at / frame % of.t);
                    (plane * clip.t + frames[t]) * frame + at % frame
                };
                let outside = sampled.map_or(at, place);
                Run { outside, inside: run.inside + at - run.outside, bytes: next(at) - at }
            })
        });
        (fed, runs)
    }

    /// The bytes of an output that a readback holds.
    pub(crate) fn readback_runs(&self, transfer: &Transfer) -> impl Iterator<Item = Run> + use<> {
        self.runs(self.outputs()[transfer.port].blob, transfer)
    }

    fn runs(&self, blob: BlobId, transfer: &Transfer) -> impl Iterator<Item = Run> + use<> {
        let clips = self.round_shape(blob).n;
        let clips = transfer.round * clips..(transfer.round + 1) * clips;
        let piece = &self.storage(blob).pieces()[transfer.piece];
        runs(self.shape(blob), clips, piece.frames.clone(), piece.rows.clone()).map(|(outside, inside, len)| Run {
            outside: host_bytes(outside),
            inside: host_bytes(inside),
            bytes: host_bytes(len),
        })
    }
}

/// Bytes of so many values of a clip or an output. Both sides of a run have them in the format of the host: a blob that is
/// fed or read back lies at the edge.
fn host_bytes(values: usize) -> usize {
    DType::HOST.bytes_of(values) as usize
}

/// The runs of values that a dense volume of some rows of some frames of `clips` shares with the row-major N×C×T×H×W values
/// they are part of: `(where in all, where in the volume, how many)`, in values.
fn runs(
    shape: crate::Shape,
    clips: Range<usize>,
    frames: Range<usize>,
    rows: Range<usize>,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let crate::Shape { c, t, h, w, .. } = shape;
    let (all_rows, all_frames) = (rows.len() == h, frames.len() == t);
    // What is there as a whole follows one another: all rows of neighbouring frames are one run, all frames of
    // neighbouring channels and clips are.
    let (volumes, planes) = if all_rows && all_frames { (1, 1) } else { (clips.len() * c, frames.len()) };
    let planes = if all_rows { 1 } else { planes };
    let len = clips.len() * c * frames.len() * rows.len() * w / (volumes * planes);
    let first = (clips.start * c * t + frames.start) * h * w + rows.start * w;
    let run = move |index: usize| first + (index / planes * t + index % planes) * h * w;
    (0..volumes * planes).map(move |index| (run(index), index * len, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    /// Value by value, for every range of an axis.
    #[test]
    fn runs_are_the_values_of_the_volume() {
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
                let mut got = vec![usize::MAX; want.len()];
                for (outside, inside, len) in runs(shape, clips.clone(), frames.clone(), rows.clone()) {
                    (0..len).for_each(|at| got[inside + at] = outside + at);
                }
                assert_eq!(got, want, "{clips:?} {frames:?} {rows:?}");
            }
        }
    }
}
