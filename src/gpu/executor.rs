//! One plan on one device: everything is made once; a run uploads, records, submits and reads back.

use super::GpuContext;
use super::constants::Constants;
use super::passes::{Pass, passes};
use super::pipelines::{ShaderChecks, ShaderPatch};
use super::profile::{Profile, Timestamps, Timing};
use super::resource::{Resource, empty_buffer, filled_buffer};
use super::staging::{StagingBuffers, map, mapped};
use crate::error::{Error, Result};
use crate::graph::BlobId;
use crate::kernels::{Grid, Kernel, Workspace};
use crate::plan::{Binding, Plan};
use crate::weights::Weights;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a run may take before the device is given up: so long in any case, and so much longer for its work as a
/// device a hundred times slower than lavapipe on two cores would need.
const TIMEOUT: Duration = Duration::from_secs(600);
const SLOWEST_MACS_PER_SECOND: u64 = 100_000_000;

/// A dispatch with everything bound.
#[derive(Debug)]
struct BoundDispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: Grid,
}

/// Between host and device.
#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// How many passes are timed: all, or the first and the last.
fn timed_passes(passes: &[Pass], timing: Timing) -> usize {
    if timing == Timing::Layers { passes.len() } else { passes.len().min(2) }
}

/// A plan, ready to run.
#[derive(Debug)]
pub struct Executor {
    gpu: GpuContext,
    plan: Plan,
    activations: Vec<wgpu::Buffer>,
    /// By index; none where no dispatch has one.
    scratch: Vec<Option<Resource>>,
    /// The dispatches of each step of the plan.
    steps: Vec<Vec<BoundDispatch>>,
    passes: Arc<[Pass]>,
    /// Those of a run whose steps are timed.
    passes_by_step: Arc<[Pass]>,
    uniforms: wgpu::Buffer,
    /// Where the host writes inputs; mapped between runs.
    uploads: StagingBuffers,
    /// The last input, where it takes frames of the first.
    sampled: Vec<f32>,
    /// Where the device leaves outputs.
    readbacks: StagingBuffers,
    timestamps: Option<Timestamps>,
}

impl Executor {
    /// Makes pipelines, buffers and bind groups for `plan`, and uploads those of `weights` that `constants` lacks.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::DeviceLost`]; [`Error::Device`] if the device refuses, or a shader does not compile;
    /// those of [`Weights::get`] if these are another network's weights.
    pub fn new(
        gpu: &GpuContext,
        plan: Plan,
        weights: &Weights,
        constants: &mut Constants,
        checks: ShaderChecks,
        patch: Option<ShaderPatch>,
    ) -> Result<Self> {
        gpu.scoped(|| {
            let executor = Self::build(gpu, plan, weights, constants, checks, patch)?;
            // Carries out the uploads of weights too, which wgpu has staged.
            let submission = gpu.queue.submit([executor.rehearsal()]);
            executor.wait(Some(submission))?;
            Ok(executor)
        })
    }

    fn build(
        gpu: &GpuContext,
        plan: Plan,
        weights: &Weights,
        constants: &mut Constants,
        checks: ShaderChecks,
        patch: Option<ShaderPatch>,
    ) -> Result<Self> {
        // Each by itself, so that where memory runs out nothing more is asked for, nor made of what is not there.
        let activation = |(index, &bytes): (usize, &u64)| {
            gpu.scoped(|| Ok(empty_buffer(gpu, &format!("resnet3d.activation{index}"), bytes)))
        };
        let workspace = |(index, &Workspace { memory, bytes }): (usize, &Workspace)| {
            let make = || Resource::empty(gpu, &format!("resnet3d.scratch{index}"), memory, bytes);
            (bytes > 0).then(|| gpu.scoped(|| Ok(make()))).transpose()
        };
        let activations = plan.memory().buffers().iter().enumerate().map(activation).collect::<Result<Vec<_>>>()?;
        let scratch = plan.scratch().iter().enumerate().map(workspace).collect::<Result<Vec<_>>>()?;

        let align = u64::from(gpu.device.limits().min_uniform_buffer_offset_alignment);
        let mut offsets = Vec::new();
        let mut params = Vec::new();
        for dispatch in plan.steps().iter().flat_map(|step| &step.dispatches) {
            params.resize((params.len() as u64).next_multiple_of(align) as usize, 0);
            offsets.push(params.len() as u64);
            params.extend_from_slice(&dispatch.launch.params);
        }
        let uniforms = filled_buffer(gpu, "resnet3d.params", wgpu::BufferUsages::UNIFORM, &params)?;

        let kernels = plan.steps().iter().flat_map(|step| &step.dispatches).map(|dispatch| dispatch.launch.kernel);
        let kernels: Vec<Kernel> = kernels.collect();
        let (pipelines, packed) =
            rayon::join(|| gpu.pipelines.get(gpu, kernels, checks, patch), || constants.prepare(gpu, &plan, weights));
        let pipelines = pipelines?;
        packed?;

        let mut offsets = offsets.into_iter();
        let mut steps = Vec::new();
        for step in plan.steps() {
            let constants = constants.get(&plan, step);
            let label = format!("resnet3d.{}", plan.graph().operators()[step.operator].name);
            let bound = step.dispatches.iter().zip(&mut offsets).map(|(dispatch, offset)| {
                let pipeline = &pipelines[&dispatch.launch.kernel];
                let uniform = wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset,
                    size: wgpu::BufferSize::new(dispatch.launch.params.len() as u64),
                };
                let operands = dispatch.bindings.iter().map(|binding| match *binding {
                    Binding::Constant(index) => constants[dispatch.part][index].binding(None),
                    Binding::Frames { blob, segment, offset, bytes, .. } => {
                        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: &activations[plan.memory().buffers_of(blob)[segment]],
                            offset,
                            size: wgpu::BufferSize::new(bytes),
                        })
                    }
                    Binding::Scratch { index, bytes } => {
                        let workspace = scratch[index].as_ref();
                        workspace.expect("a workspace that is bound has bytes").binding(Some(bytes))
                    }
                });
                let resources = std::iter::once(wgpu::BindingResource::Buffer(uniform)).chain(operands);
                let entries: Vec<_> = (0..)
                    .zip(resources)
                    .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                    .collect();
                let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&label),
                    layout: &pipeline.layout,
                    entries: &entries,
                });
                BoundDispatch { pipeline: pipeline.pipeline.clone(), bind_group, grid: dispatch.launch.grid }
            });
            steps.push(bound.collect::<Vec<_>>());
        }

        Ok(Self {
            uploads: StagingBuffers::uploads(gpu, plan.uploads()),
            readbacks: StagingBuffers::readbacks(gpu, plan.readbacks()),
            gpu: gpu.clone(),
            activations,
            scratch,
            steps,
            passes: passes(&plan, false).into(),
            passes_by_step: passes(&plan, true).into(),
            uniforms,
            sampled: Vec::new(),
            timestamps: None,
            plan,
        })
    }

    /// One workgroup of every pipeline: lavapipe compiles a shader when it first runs, and it may not be the only driver
    /// that leaves something for then. What it writes is overwritten.
    fn rehearsal(&self) -> wgpu::CommandBuffer {
        let label = Some("resnet3d.rehearsal");
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes: None });
        let planned = self.plan.steps().iter().flat_map(|step| &step.dispatches);
        let mut seen = HashSet::new();
        for (planned, dispatch) in planned.zip(self.steps.iter().flatten()) {
            if !seen.insert(planned.launch.kernel) {
                continue;
            }
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        drop(pass);
        encoder.finish()
    }

    /// The plan that this runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan alone, when nothing is to be run any more.
    pub fn into_plan(self) -> Plan {
        self.plan
    }

    /// Bytes on the device apart from weights: activations, workspaces, parameters, staging.
    pub fn bytes(&self) -> u64 {
        let buffers = self.activations.iter().chain([&self.uniforms]).map(wgpu::Buffer::size);
        let workspaces = self.scratch.iter().flatten().map(Resource::bytes);
        buffers.chain(workspaces).sum::<u64>() + self.uploads.bytes() + self.readbacks.bytes()
    }

    /// Fills all activation buffers and workspaces with `value`, to show that a run does not depend on what they held.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceLost`].
    pub fn fill_activations(&mut self, value: f32) -> Result<()> {
        self.gpu.scoped(|| {
            for buffer in &self.activations {
                let values = vec![value; buffer.size() as usize / 4];
                self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&values));
            }
            for workspace in self.scratch.iter().flatten() {
                workspace.fill(&self.gpu, value);
            }
            self.gpu.queue.submit([]);
            self.gpu.alive()
        })
    }

    /// Runs the plan on `inputs`, NCTHW values of the graph's inputs that are fed, in their order, and returns the values of
    /// [`Plan::outputs`] in their order, with the device's timing if it was asked for and the device can.
    ///
    /// After an error of the device no further run succeeds: buffers may be on their way to the host still. Make a new
    /// executor.
    ///
    /// # Errors
    /// [`Error::Shape`] if an input has the wrong number of values; [`Error::DeviceLost`], or [`Error::Device`] if the device
    /// fails otherwise.
    pub fn run(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<(Vec<Vec<f32>>, Option<Profile>)> {
        let gpu = self.gpu.clone();
        gpu.scoped(|| {
            self.check(inputs)?;
            let passes = match timing {
                Timing::Layers => &self.passes_by_step,
                Timing::Off | Timing::Total => &self.passes,
            };
            let passes = Arc::clone(passes);
            let timed = timed_passes(&passes, timing);
            if timing != Timing::Off && self.timestamps.as_ref().is_none_or(|own| own.passes() < timed) {
                self.timestamps = Timestamps::new(&self.gpu, timed);
            }
            let graph = self.plan.graph();
            if let Some(slow_frames) = graph.slow_frames() {
                slow_frames.take(inputs[0], self.plan.shape(graph.inputs()[0]), &mut self.sampled);
            }
            let sampled = graph.slow_frames().map(|_| self.sampled.as_slice());
            let inputs: Vec<&[f32]> = inputs.iter().copied().chain(sampled).collect();
            self.uploads.write(&self.gpu, &self.plan, &inputs)?;
            let submission = self.submit(&passes, timing);
            self.read_outputs(submission, &passes, timing)
        })
    }

    fn check(&self, inputs: &[&[f32]]) -> Result<()> {
        let graph = self.plan.graph();
        let lens = |ids: &[BlobId]| ids.iter().map(|&id| self.plan.shape(id).len()).collect::<Vec<_>>();
        let (wanted, given) =
            (lens(&graph.inputs()[..graph.clips()]), inputs.iter().map(|i| i.len()).collect::<Vec<_>>());
        if wanted != given {
            return Err(Error::Shape {
                what: "inputs of the plan".to_owned(),
                wanted: format!("{wanted:?} values"),
                given: format!("{given:?} values"),
            });
        }
        Ok(())
    }

    /// Records and submits a run, one submission after the other; the last of them.
    fn submit(&self, passes: &[Pass], timing: Timing) -> Option<wgpu::SubmissionIndex> {
        let timestamps = self.timestamps.as_ref().filter(|_| timing != Timing::Off);
        let timed = |index: usize| match timing {
            Timing::Layers => Some(index),
            // The first, and the last if that is another.
            _ if index == 0 => Some(0),
            _ => (index + 1 == passes.len()).then_some(1),
        };
        let label = Some("resnet3d.forward");
        let mut dispatches = self.plan.in_order().cycle();
        let mut submission = None;
        for (index, submitted) in passes
            .chunk_by(|a, _| !a.submit)
            .scan(0, |first, own| Some((std::mem::replace(first, *first + own.len()), own)))
        {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
            for (index, own) in (index..).zip(submitted) {
                self.copy(&mut encoder, own, &own.uploads, Direction::Up);
                let around = timestamps.zip(timed(index)).map(|(timestamps, index)| timestamps.around(index));
                let desc = wgpu::ComputePassDescriptor { label, timestamp_writes: around };
                let mut pass = encoder.begin_compute_pass(&desc);
                for (step, dispatch) in dispatches.by_ref().take(own.dispatches) {
                    let dispatch = &self.steps[step][dispatch];
                    pass.set_pipeline(&dispatch.pipeline);
                    pass.set_bind_group(0, &dispatch.bind_group, &[]);
                    pass.dispatch_workgroups(dispatch.grid.x, dispatch.grid.y, 1);
                }
                drop(pass);
                self.copy(&mut encoder, own, &own.readbacks, Direction::Down);
            }
            if let Some(timestamps) = timestamps.filter(|_| index + submitted.len() == passes.len()) {
                timestamps.resolve(&mut encoder, timed_passes(passes, timing));
            }
            submission = Some(self.gpu.queue.submit([encoder.finish()]));
        }
        submission
    }

    /// Copies pieces of inputs to where they are read, or pieces of outputs to where the host will read them.
    fn copy(&self, encoder: &mut wgpu::CommandEncoder, pass: &Pass, pieces: &[(usize, usize)], direction: Direction) {
        for &(port, piece) in pieces {
            let (staging, buffers, blob) = match direction {
                Direction::Up => (self.plan.uploads(), &self.uploads, self.plan.graph().inputs()[port]),
                Direction::Down => (self.plan.readbacks(), &self.readbacks, self.plan.outputs()[port].blob),
            };
            let Some(transfer) = staging.transfer(pass.round, port, piece) else { continue };
            let (own, at) = self.piece(blob, piece);
            let (outside, offset) = (buffers.buffer(transfer), transfer.offset);
            match direction {
                Direction::Up => encoder.copy_buffer_to_buffer(outside, offset, own, at, transfer.bytes),
                Direction::Down => encoder.copy_buffer_to_buffer(own, at, outside, offset, transfer.bytes),
            }
        }
    }

    /// The buffer of a piece of a blob, and where in it the piece begins.
    fn piece(&self, blob: BlobId, piece: usize) -> (&wgpu::Buffer, u64) {
        let piece = &self.plan.storage(blob).pieces()[piece];
        (&self.activations[self.plan.memory().buffers_of(blob)[piece.segment]], piece.offset)
    }

    fn read_outputs(
        &mut self,
        submission: Option<wgpu::SubmissionIndex>,
        passes: &[Pass],
        timing: Timing,
    ) -> Result<(Vec<Vec<f32>>, Option<Profile>)> {
        let timestamps = self.timestamps.as_ref().filter(|_| timing != Timing::Off);
        let readbacks = self.readbacks.map();
        let uploads = self.uploads.map();
        let ticks = timestamps.map(|t| map(&t.readback, wgpu::MapMode::Read));
        self.wait(submission)?;

        mapped(&self.gpu, &readbacks)?;
        let outputs = self.readbacks.read(&self.gpu, &self.plan)?;
        let profile = match (timestamps, ticks) {
            (Some(timestamps), Some(ticks)) => {
                mapped(&self.gpu, [&ticks])?;
                let steps = match timing {
                    Timing::Layers => passes.iter().map(|pass| pass.step).collect(),
                    Timing::Off | Timing::Total => Vec::new(),
                };
                let count = timed_passes(passes, timing);
                let profile = timestamps.read(&self.gpu, count, &steps, self.steps.len())?;
                timestamps.readback.unmap();
                Some(profile)
            }
            _ => None,
        };
        mapped(&self.gpu, &uploads)?;
        Ok((outputs, profile))
    }

    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let work = Duration::from_secs(self.plan.macs() / SLOWEST_MACS_PER_SECOND);
        self.gpu.wait(submission_index, TIMEOUT + work)
    }
}
