//! Recording of a plan's commands into a command encoder.

use super::executor::BoundDispatch;
use super::profile::{Timestamps, Timing};
use super::staging::StagingSet;
use crate::plan::{Command, Copy, CopyRange, Plan};

/// The buffers from which a run takes its inputs and into which it puts its outputs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Io<'a> {
    /// The buffers that the host maps.
    Staging(&'a StagingSet),
    /// Buffers of the caller, NCTHW f32: one for each input that the caller feeds, and one for each of
    /// [`Plan::outputs`].
    Buffers { inputs: &'a [&'a wgpu::Buffer], outputs: &'a [&'a wgpu::Buffer] },
}

/// A run that is being recorded.
#[derive(Debug)]
pub(super) struct Recording<'a> {
    pub plan: &'a Plan,
    pub activations: &'a [wgpu::Buffer],
    /// By step.
    pub dispatches: &'a [Vec<BoundDispatch>],
    pub io: Io<'a>,
    /// The timestamps, if passes are timed.
    pub timestamps: Option<&'a Timestamps>,
    pub timing: Timing,
    /// The number of passes of the whole run, and of those recorded so far.
    pub passes: usize,
    pub recorded: usize,
}

/// Whether two consecutive commands belong to one group: both are dispatches of one compute pass, or neither is a
/// dispatch. Copies end a pass. If every step is timed, the next step does too.
fn together(a: &Command, b: &Command, timing: Timing) -> bool {
    match (a, b) {
        (Command::Dispatch { step: a, .. }, Command::Dispatch { step: b, .. }) => timing != Timing::Layers || a == b,
        (Command::Dispatch { .. }, _) | (_, Command::Dispatch { .. }) => false,
        (Command::CopyIn(_) | Command::CopyOut(_) | Command::Submit, _) => true,
    }
}

/// The step of each compute pass of a run; the first step of a pass with several.
pub(super) fn passes(commands: &[Command], timing: Timing) -> Vec<usize> {
    let groups = commands.chunk_by(|a, b| together(a, b, timing));
    groups.filter_map(|group| if let Command::Dispatch { step, .. } = group[0] { Some(step) } else { None }).collect()
}

impl Recording<'_> {
    /// Appends `commands` to `encoder`. They follow the commands recorded before.
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

    /// The index of the pair of timestamps of the next pass, if that pass is timed.
    fn pair(&self) -> Option<usize> {
        match self.timing {
            Timing::Off => None,
            Timing::Layers => Some(self.recorded),
            // The first pass, and the last if that is another one.
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
                        let (fed, ranges) = plan.upload_ranges(transfer);
                        for CopyRange { outside, inside, bytes } in ranges {
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
                        for CopyRange { outside, inside, bytes } in plan.readback_ranges(transfer) {
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
