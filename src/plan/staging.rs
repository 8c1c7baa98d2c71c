//! How clips reach the device and outputs the host: through buffers that the host can map.

use super::storage::Storage;
use std::ops::Range;

/// Buffers that the host maps, and what is copied between them and the blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    buffers: Vec<u64>,
    transfers: Vec<Transfer>,
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
        let mut staging = Self::default();
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
}

/// The runs of values that a dense volume of some frames of `clips` shares with the row-major N×C×T×H×W values they
/// are part of: `(where in all, where in the volume, how many)`, in values.
pub(crate) fn runs(
    shape: crate::Shape,
    clips: Range<usize>,
    frames: Range<usize>,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let plane = shape.h * shape.w;
    // All frames of neighbouring channels and clips follow one another: one run.
    let (count, len) = match frames.len() == shape.t {
        true => (1, clips.len() * shape.c * shape.t * plane),
        false => (clips.len() * shape.c, frames.len() * plane),
    };
    let first = (clips.start * shape.c * shape.t + frames.start) * plane;
    (0..count).map(move |run| (first + run * shape.t * plane, run * len, len))
}
