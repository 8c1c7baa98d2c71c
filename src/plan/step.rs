//! Steps: the operators of a plan, with their dispatches.

use super::region::Region;
use crate::graph::BlobId;
use crate::kernels::{Launch, Method};
use std::ops::Range;

/// One operator with its method and its dispatches. The dispatches are repeated for every slice if a single slice would
/// bind more than the adapter allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The operator, an index into the operators of [`super::Plan::graph`].
    pub operator: usize,
    /// How it is computed.
    pub method: Method,
    /// The parts into which the blocks of output channels, and the constants with them, are divided, see
    /// [`Method::constant_blocks`].
    pub parts: Vec<Range<usize>>,
    /// The dispatches.
    pub dispatches: Vec<Dispatch>,
}

/// One dispatch of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The region of the output that it computes, alone or with the other kernels of the method.
    pub region: Region,
    /// The part whose blocks of output channels it computes, an index into [`Step::parts`].
    pub part: usize,
    /// Parameters, grid and operands.
    pub launch: Launch,
    /// What is bound, in the order of the launch's operands.
    pub bindings: Vec<Binding>,
}

/// What a dispatch binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A part of a blob.
    Blob {
        /// The blob.
        blob: BlobId,
        /// Which part: all rows of a band, or some of a single frame.
        region: Region,
        /// Which chunk of the blob, see [`super::Storage`].
        chunk: usize,
        /// Where in the chunk, in bytes.
        offset: u64,
        /// Bytes.
        bytes: u64,
    },
    /// The blocks of one of the operator's constants that belong to [`Dispatch::part`].
    Constant(usize),
    /// A workspace, from its beginning.
    Scratch {
        /// The workspace, an index into [`super::Plan::scratch`].
        index: usize,
        /// Bytes.
        bytes: u64,
    },
}

impl Step {
    /// How many slices it is cut into; a slice has a dispatch for each kernel of the method.
    pub fn slices(&self) -> usize {
        self.dispatches.chunk_by(|a, b| (&a.region, a.part) == (&b.region, b.part)).count()
    }

    /// Whether the output frames are cut into several ranges.
    pub fn is_cut_over_frames(&self) -> bool {
        self.dispatches.iter().any(|dispatch| dispatch.region.frames != self.dispatches[0].region.frames)
    }

    /// Whether the rows of output frames are cut into several ranges.
    pub fn is_cut_over_rows(&self) -> bool {
        self.dispatches.iter().any(|dispatch| dispatch.region.rows != self.dispatches[0].region.rows)
    }
}
