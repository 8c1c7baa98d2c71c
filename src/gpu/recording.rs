//! Commands of a plan, recorded into a command encoder.

use super::executor::BoundDispatch;
use super::profile::{Timestamps, Timing};
use super::staging::StagingSet;
use crate::plan::{Command, Copy, Plan, Run};

/// Where a run takes its inputs from, and where it leaves its outputs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Io<'a> {
    /// In the buffers that the host maps.
    Staging(&'a StagingSet),
    /// In buffers of the caller's, NCTHW f32: those of the inputs that are fed, and of [`Plan::outputs`].
    Buffers { inputs: &'a [&'a wgpu::Buffer], outputs: &'a [&'a wgpu::Buffer] },
}

/// A run as it is recorded.
#[derive(Debug)]
pub(super) struct Recording<'a> {
    pub plan: &'a Plan,
    pub activations: &'a [wgpu::Buffer],
    /// By step.
    pub dispatches: &'a [Vec<BoundDispatch>],
    pub io: Io<'a>,
    /// What times the passes, if anything does.
    pub timestamps: Option<&'a Timestamps>,
    pub timing: Timing,
    /// How many passes the whole run has, and how many are recorded.
    pub passes: usize,
    pub recorded: usize,
}

/// Whether two commands that follow one another are in one compute pass, or are no passes: copies end one, and where
/// every step is timed so does the next step.
fn together(a: &Command, b: &Command, timing: Timing) -> bool {
    match (a, b) {
        (Command::Dispatch { step: a, .. }, Command::Dispatch { step: b, .. }) => timing != Timing::Layers || a == b,
        (Command::Dispatch { .. }, _) | (_, Command::Dispatch { .. }) => false,
        (Command::CopyIn(_) | Command::CopyOut(_) | Command::Submit, _) => true,
    }
}

/// The step of each compute pass of a run, or of passes of several steps the first.
pub(super) fn passes(commands: &[Command], timing: Timing) -> Vec<usize> {
    let groups = commands.chunk_by(|a, b| together(a, b, timing));
    groups.filter_map(|group| if let Command::Dispatch { step, .. } = group[0] { Some(step) } else { None }).collect()
}

impl Recording<'_> {
    /// Appends `commands`, which follow those that were recorded before, to `encoder`.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, commands: &[Command]) {
        let timing = self.timing;
        for group in commands.chunk_by(|a, b| together(a, b, timing)) {
            if matches!(group[0], Command::Dispatch { .. }) {
                self.pass(encoder, group);
            } else {
                group.iter().for_each(|command| self.copy(encoder, command));
            }
        }
    }

    fn pass(&mut self, encoder: &mut wgpu::CommandEncoder, dispatches: &[Command]) {
        let timestamps = self.timestamps.zip(self.pair()).map(|(timestamps, pair)| timestamps.around(pair));
        self.recorded += 1;
        let label = Some("resnet3d.forward");
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes: timestamps });
        for command in dispatches {
            let &Command::Dispatch { step, dispatch, .. } = command else { continue };
            let BoundDispatch { pipeline, bind_group, grid } = &self.dispatches[step][dispatch];
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(grid.x, grid.y, 1);
        }
    }

    /// Which of the pairs of timestamps the next pass has, if it has one.
    fn pair(&self) -> Option<usize> {
        match self.timing {
            Timing::Off => None,
            Timing::Layers => Some(self.recorded),
            // The first, and the last if that is another.
            Timing::Total if self.recorded == 0 => Some(0),
            Timing::Total => (self.recorded + 1 == self.passes).then_some(1),
        }
    }

    fn copy(&self, encoder: &mut wgpu::CommandEncoder, command: &Command) {
        let plan = self.plan;
        match command {
            Command::CopyIn(Copy { transfer, buffer, offset }) => {
                let (transfer, device) = (&plan.uploads().transfers()[*transfer], &self.activations[*buffer]);
                match self.io {
                    Io::Staging(set) => {
                        let (from, at) = (set.upload(transfer), transfer.offset);
                        encoder.copy_buffer_to_buffer(from, at, device, *offset, transfer.bytes);
                    }
                    Io::Buffers { inputs, .. } => {
                        let (fed, runs) = plan.upload_runs(transfer);
                        for Run { outside, inside, bytes } in runs {
                            let (at, inside) = (outside as u64, offset + inside as u64);
                            encoder.copy_buffer_to_buffer(inputs[fed], at, device, inside, bytes as u64);
                        }
                    }
                }
            }
            Command::CopyOut(Copy { transfer, buffer, offset }) => {
                let (transfer, device) = (&plan.readbacks().transfers()[*transfer], &self.activations[*buffer]);
                match self.io {
                    Io::Staging(set) => {
                        let (to, at) = (set.readback(transfer), transfer.offset);
                        encoder.copy_buffer_to_buffer(device, *offset, to, at, transfer.bytes);
                    }
                    Io::Buffers { outputs, .. } => {
                        for Run { outside, inside, bytes } in plan.readback_runs(transfer) {
                            let (at, inside) = (outside as u64, offset + inside as u64);
                            encoder.copy_buffer_to_buffer(device, inside, outputs[transfer.port], at, bytes as u64);
                        }
                    }
                }
            }
            Command::Dispatch { .. } | Command::Submit => {}
        }
    }
}
