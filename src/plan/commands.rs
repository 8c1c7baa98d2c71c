//! A run as a list of commands. An executor carries them out in order, and `resnet3d plan --commands` prints them.

use super::region::Region;
use super::{Binding, Plan, Transfer};
use crate::graph::BlobId;
use serde::Serialize;

/// One command of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Values of an input are copied from a staging buffer, or from a buffer of the caller, to an activation buffer.
    CopyIn(Copy),
    /// One dispatch.
    Dispatch {
        /// The micro-batch, see [`Plan::micro_batches`].
        micro_batch: usize,
        /// The step, an index into [`Plan::steps`].
        step: usize,
        /// Which of the step's dispatches.
        dispatch: usize,
    },
    /// Values of an output are copied from an activation buffer to a staging buffer, or to a buffer of the caller.
    CopyOut(Copy),
    /// The commands recorded so far are submitted.
    Submit,
}

/// The device's side of a [`Transfer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    /// The transfer, an index into those of [`Plan::uploads`] or of [`Plan::readbacks`].
    pub transfer: usize,
    /// The activation buffer, an index into [`super::Memory::buffers`].
    pub buffer: usize,
    /// Where in that buffer, in bytes.
    pub offset: u64,
}

impl Plan {
    /// All commands of a run, in order. They are the same for every run of the plan; the last is [`Command::Submit`].
    pub fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut ends = self.submissions().iter().copied().peekable();
        let mut done = 0;
        for micro_batch in 0..self.micro_batches() {
            for item in self.schedule() {
                let copy = |staging: &super::Staging, blob: BlobId, port, extent| {
                    let transfer = staging.transfer_index(micro_batch, port, extent)?;
                    let extent = &self.storage(blob).extents()[extent];
                    let buffer = self.memory().buffers_of(blob)[extent.chunk];
                    Some(Copy { transfer, buffer, offset: extent.offset })
                };
                let inputs = item.uploads.iter().filter_map(|&(port, extent)| {
                    copy(self.uploads(), self.graph().inputs()[port], port, extent).map(Command::CopyIn)
                });
                let outputs = item.readbacks.iter().filter_map(|&(port, extent)| {
                    copy(self.readbacks(), self.outputs()[port].blob, port, extent).map(Command::CopyOut)
                });
                commands.extend(inputs);
                for dispatch in item.dispatches.clone() {
                    if ends.next_if_eq(&done).is_some() {
                        commands.push(Command::Submit);
                    }
                    commands.push(Command::Dispatch { micro_batch, step: item.step, dispatch });
                    done += 1;
                }
                // A submission that ends with the item includes its readbacks.
                commands.extend(outputs);
                if ends.next_if_eq(&done).is_some() {
                    commands.push(Command::Submit);
                }
            }
        }
        // Without dispatches no submission has ended yet.
        if commands.last() != Some(&Command::Submit) {
            commands.push(Command::Submit);
        }
        commands
    }

    /// A command in words and numbers, for people and for JSON.
    pub fn report(&self, command: &Command) -> CommandReport {
        let copied = |copy: &Copy, transfer: &Transfer, blob: BlobId| {
            let Region { frames, rows } = &self.storage(blob).extents()[transfer.extent].region;
            CopyReport {
                micro_batch: transfer.micro_batch,
                blob: self.graph().blob(blob).name.clone(),
                frames: [frames.start, frames.end],
                rows: [rows.start, rows.end],
                staging: transfer.buffer,
                staging_offset: transfer.offset,
                buffer: copy.buffer,
                offset: copy.offset,
                bytes: transfer.bytes,
            }
        };
        match command {
            Command::CopyIn(copy) => {
                let transfer = &self.uploads().transfers()[copy.transfer];
                CommandReport::CopyIn(copied(copy, transfer, self.graph().inputs()[transfer.port]))
            }
            Command::CopyOut(copy) => {
                let transfer = &self.readbacks().transfers()[copy.transfer];
                CommandReport::CopyOut(copied(copy, transfer, self.outputs()[transfer.port].blob))
            }
            &Command::Dispatch { micro_batch, step, dispatch } => {
                let step = &self.steps()[step];
                let dispatch = &step.dispatches[dispatch];
                let launch = &dispatch.launch;
                CommandReport::Dispatch {
                    micro_batch,
                    operator: self.graph().operators()[step.operator].name.clone(),
                    kernel: launch.kernel.name(),
                    workgroups: [launch.grid.x, launch.grid.y],
                    bindings: dispatch.bindings.iter().map(|binding| self.place(binding)).collect(),
                }
            }
            Command::Submit => CommandReport::Submit,
        }
    }

    fn place(&self, binding: &Binding) -> String {
        match *binding {
            Binding::Constant(index) => format!("constant {index}"),
            Binding::Blob { blob, chunk, offset, bytes, .. } => {
                format!("buffer {} at {offset}, {bytes} bytes", self.memory().buffers_of(blob)[chunk])
            }
            Binding::Scratch { index, bytes } => format!("workspace {index}, {bytes} bytes"),
        }
    }
}

/// A [`Command`] that can be read without its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandReport {
    /// [`Command::CopyIn`].
    CopyIn(CopyReport),
    /// [`Command::Dispatch`].
    Dispatch {
        /// The micro-batch.
        micro_batch: usize,
        /// Name of the operator.
        operator: String,
        /// Name of the kernel.
        kernel: &'static str,
        /// Workgroups along x and y.
        workgroups: [u32; 2],
        /// The bindings after the parameters, the output last.
        bindings: Vec<String>,
    },
    /// [`Command::CopyOut`].
    CopyOut(CopyReport),
    /// [`Command::Submit`].
    Submit,
}

/// What a [`Command`] copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// The micro-batch.
    pub micro_batch: usize,
    /// Name of the blob.
    pub blob: String,
    /// The frames that are copied: the first, and one beyond the last.
    pub frames: [usize; 2],
    /// The rows of these frames that are copied: the first, and one beyond the last.
    pub rows: [usize; 2],
    /// The staging buffer, by index.
    pub staging: usize,
    /// The offset in the staging buffer, in bytes.
    pub staging_offset: u64,
    /// The activation buffer, by index.
    pub buffer: usize,
    /// The offset in the activation buffer, in bytes.
    pub offset: u64,
    /// The number of bytes.
    pub bytes: u64,
}
