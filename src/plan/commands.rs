//! A run as a list of commands: what an executor does, one after the other, and what `resnet3d plan --commands` prints.

use super::{Plan, Transfer};
use crate::graph::BlobId;
use std::fmt::Write as _;

/// One command of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Values of an input are copied from where the caller's are to an activation buffer.
    CopyIn(Copy),
    /// One dispatch.
    Dispatch {
        /// The round, see [`Plan::rounds`].
        round: usize,
        /// Its step, an index into [`Plan::steps`].
        step: usize,
        /// Which of the step's dispatches.
        dispatch: usize,
    },
    /// Values of an output are copied from an activation buffer to where the caller's are to be.
    CopyOut(Copy),
    /// What was recorded so far is submitted.
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
        for round in 0..self.rounds() {
            for stretch in self.stretches() {
                let copy = |staging: &super::Staging, blob: BlobId, port, piece| {
                    let transfer = staging.transfer_index(round, port, piece)?;
                    let piece = &self.storage(blob).pieces()[piece];
                    let buffer = self.memory().buffers_of(blob)[piece.segment];
                    Some(Copy { transfer, buffer, offset: piece.offset })
                };
                let inputs = stretch.uploads.iter().filter_map(|&(port, piece)| {
                    copy(self.uploads(), self.graph().inputs()[port], port, piece).map(Command::CopyIn)
                });
                let outputs = stretch.readbacks.iter().filter_map(|&(port, piece)| {
                    copy(self.readbacks(), self.outputs()[port].blob, port, piece).map(Command::CopyOut)
                });
                commands.extend(inputs);
                for dispatch in stretch.dispatches.clone() {
                    if ends.next_if_eq(&done).is_some() {
                        commands.push(Command::Submit);
                    }
                    commands.push(Command::Dispatch { round, step: stretch.step, dispatch });
                    done += 1;
                }
                // A submission that ends with the stretch takes its readbacks along.
                commands.extend(outputs);
                if ends.next_if_eq(&done).is_some() {
                    commands.push(Command::Submit);
                }
            }
        }
        // Where nothing is dispatched nothing has ended either.
        if commands.last() != Some(&Command::Submit) {
            commands.push(Command::Submit);
        }
        commands
    }

    /// A command in a line: `dispatch  conv1  conv_gemm_tiled  98 x 1 workgroups`.
    pub fn describe(&self, command: &Command) -> String {
        let of_round = |round: usize| if self.rounds() > 1 { format!("  round {round}") } else { String::new() };
        let copy = |copy: &Copy, transfer: &Transfer, blob: BlobId, verb: &str, arrow: &str| {
            let Transfer { round, piece, buffer, offset, bytes, .. } = *transfer;
            let piece = &self.storage(blob).pieces()[piece];
            let mut line = format!("{verb:<9} {}", self.graph().blob(blob).name);
            if piece.frames.len() < self.shape(blob).t {
                let _ = write!(line, "  frames {}..{}", piece.frames.start, piece.frames.end);
            }
            if piece.rows.len() < self.shape(blob).h {
                let _ = write!(line, "  rows {}..{}", piece.rows.start, piece.rows.end);
            }
            let _ = write!(line, "  staging {buffer} at {offset} {arrow} buffer {} at {}", copy.buffer, copy.offset);
            format!("{line}  {bytes} bytes{}", of_round(round))
        };
        match command {
            Command::CopyIn(own) => {
                let transfer = &self.uploads().transfers()[own.transfer];
                copy(own, transfer, self.graph().inputs()[transfer.port], "copy in", "->")
            }
            Command::CopyOut(own) => {
                let transfer = &self.readbacks().transfers()[own.transfer];
                copy(own, transfer, self.outputs()[transfer.port].blob, "copy out", "<-")
            }
            &Command::Dispatch { round, step, dispatch } => {
                let step = &self.steps()[step];
                let launch = &step.dispatches[dispatch].launch;
                let operator = &self.graph().operators()[step.operator].name;
                let (kernel, grid) = (launch.kernel.name(), launch.grid);
                format!("dispatch  {operator}  {kernel}  {} x {} workgroups{}", grid.x, grid.y, of_round(round))
            }
            Command::Submit => "submit".to_owned(),
        }
    }
}
