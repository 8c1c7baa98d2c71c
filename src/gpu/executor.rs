//! One plan on one device: everything is made once; a run uploads, records, submits and reads back.

use super::GpuContext;
use super::pipelines::{ShaderChecks, ShaderPatch};
use super::profile::{Profile, Timestamps, Timing};
use crate::error::{Error, Result};
use crate::graph::BlobId;
use crate::kernels::{Grid, Method, Operand};
use crate::plan::Plan;
use crate::weights::Weights;
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

/// How long a run may take before the device is given up.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Packed weights on the device, by operator and method, so that plans for several clip shapes share them.
#[derive(Debug, Default)]
pub struct Constants {
    buffers: HashMap<(String, Method), Vec<wgpu::Buffer>>,
}

impl Constants {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.buffers.values().flatten().map(wgpu::Buffer::size).sum()
    }

    fn get(&mut self, gpu: &GpuContext, plan: &Plan, step: usize, weights: &Weights) -> Result<&[wgpu::Buffer]> {
        let step = &plan.steps()[step];
        let op = &plan.graph().operators()[step.operator];
        let key = (op.name.clone(), step.method);
        if !self.buffers.contains_key(&key) {
            let values = step.method.constants(&op.kind, plan.shape(op.output).c, weights)?;
            let label = format!("resnet3d.{}.constant", op.name);
            let upload = |values: Vec<f32>| {
                let usage = wgpu::BufferUsages::STORAGE;
                filled_buffer(gpu, &label, usage, bytemuck::cast_slice(&values))
            };
            let buffers = values.into_iter().map(upload).collect::<Result<Vec<_>>>()?;
            self.buffers.insert(key.clone(), buffers);
        }
        Ok(&self.buffers[&key])
    }
}

/// A dispatch with everything bound.
#[derive(Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: Grid,
}

/// A plan, ready to run.
#[derive(Debug)]
pub struct Executor {
    gpu: GpuContext,
    plan: Plan,
    activations: Vec<wgpu::Buffer>,
    scratch: Vec<wgpu::Buffer>,
    /// By step of the plan.
    dispatches: Vec<Vec<Dispatch>>,
    uniforms: wgpu::Buffer,
    /// Where the host writes inputs; mapped between runs.
    upload: wgpu::Buffer,
    upload_mapped: bool,
    /// Where the device leaves outputs.
    readback: wgpu::Buffer,
    timestamps: Option<Timestamps>,
}

impl Executor {
    /// Makes pipelines, buffers and bind groups for `plan`, and uploads those of `weights` that `constants` lacks.
    ///
    /// # Errors
    /// [`Error::Device`] if the device refuses, runs out of memory, or a shader does not compile; those of
    /// [`Weights::get`] if these are another network's weights.
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
            // Uploads of weights are staged by wgpu; without this the first run would carry them out.
            let submission = gpu.queue.submit([]);
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
        use wgpu::BufferUsages as Usage;
        let buffer = |label: &str, size: u64, usage: Usage, mapped_at_creation: bool| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation })
        };
        let activation = |(index, &bytes): (usize, &u64)| {
            let label = format!("resnet3d.activation{index}");
            buffer(&label, bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST, false)
        };
        let activations: Vec<_> = plan.memory().buffers().iter().enumerate().map(activation).collect();

        let workspace = |(index, &bytes): (usize, &u64)| {
            buffer(&format!("resnet3d.scratch{index}"), bytes, Usage::STORAGE | Usage::COPY_DST, false)
        };
        let scratch: Vec<_> = plan.scratch().iter().enumerate().map(workspace).collect();

        let align = u64::from(gpu.device.limits().min_uniform_buffer_offset_alignment);
        let mut params = Vec::new();
        let mut offsets = Vec::new();
        for launch in plan.steps().iter().flat_map(|step| &step.launches) {
            params.resize((params.len() as u64).next_multiple_of(align) as usize, 0);
            offsets.push(params.len() as u64);
            params.extend_from_slice(&launch.params);
        }
        let uniforms = filled_buffer(gpu, "resnet3d.params", Usage::UNIFORM, &params)?;

        let mut offsets = offsets.into_iter();
        let mut dispatches = Vec::new();
        for (index, step) in plan.steps().iter().enumerate() {
            let constants = constants.get(gpu, &plan, index, weights)?;
            let op = &plan.graph().operators()[step.operator];
            let blob = |id: BlobId| wgpu::BufferBinding {
                buffer: &activations[plan.buffer(id)],
                offset: 0,
                size: wgpu::BufferSize::new(plan.bytes(id)),
            };
            let bound = |operand: &Operand| match *operand {
                Operand::Input(index) => blob(op.inputs[index]),
                Operand::Output => blob(op.output),
                Operand::Constant(index) => constants[index].as_entire_buffer_binding(),
                Operand::Scratch(index) => scratch[index].as_entire_buffer_binding(),
            };
            let mut own = Vec::new();
            for launch in &step.launches {
                let pipeline = {
                    // A poisoned lock means that another thread panicked while compiling; the map itself is still whole.
                    let mut pipelines = gpu.pipelines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    pipelines.get(gpu, launch.kernel, checks, patch)?
                };
                let uniform = wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: offsets.next().expect("there is one for each launch"),
                    size: wgpu::BufferSize::new(launch.params.len() as u64),
                };
                let entries: Vec<_> = std::iter::once(uniform)
                    .chain(launch.operands.iter().map(bound))
                    .enumerate()
                    .map(|(binding, buffer)| wgpu::BindGroupEntry {
                        binding: binding as u32,
                        resource: wgpu::BindingResource::Buffer(buffer),
                    })
                    .collect();
                own.push(Dispatch {
                    bind_group: gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: Some(&format!("resnet3d.{}", op.name)),
                        layout: &pipeline.layout,
                        entries: &entries,
                    }),
                    pipeline: pipeline.pipeline,
                    grid: launch.grid,
                });
            }
            dispatches.push(own);
        }

        let bytes = |blobs: &mut dyn Iterator<Item = BlobId>| blobs.map(|id| plan.bytes(id)).sum::<u64>();
        let upload_bytes = bytes(&mut plan.graph().inputs().iter().copied());
        let readback_bytes = bytes(&mut plan.outputs().iter().map(|output| output.blob));
        Ok(Self {
            upload: buffer("resnet3d.upload", upload_bytes, Usage::MAP_WRITE | Usage::COPY_SRC, true),
            upload_mapped: true,
            readback: buffer("resnet3d.readback", readback_bytes, Usage::MAP_READ | Usage::COPY_DST, false),
            gpu: gpu.clone(),
            activations,
            scratch,
            dispatches,
            uniforms,
            timestamps: None,
            plan,
        })
    }

    /// The plan that this runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes on the device apart from weights: activations, workspaces, parameters, staging.
    pub fn bytes(&self) -> u64 {
        let single = [&self.uniforms, &self.upload, &self.readback];
        self.activations.iter().chain(&self.scratch).chain(single).map(wgpu::Buffer::size).sum()
    }

    /// Fills all activation buffers and workspaces with `value`, to show that a run does not depend on what they held.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn fill_activations(&mut self, value: f32) -> Result<()> {
        self.gpu.scoped(|| {
            for buffer in self.activations.iter().chain(&self.scratch) {
                let values = vec![value; buffer.size() as usize / 4];
                self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&values));
            }
            self.gpu.queue.submit([]);
            Ok(())
        })
    }

    /// Runs the plan on `inputs`, NCTHW values in the order of the graph's inputs, and returns the values of
    /// [`Plan::outputs`] in their order, with the device's timing if it was asked for and the device can.
    ///
    /// # Errors
    /// [`Error::Shape`] if an input has the wrong number of values; [`Error::Device`] if the device fails.
    pub fn run(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<(Vec<Vec<f32>>, Option<Profile>)> {
        let gpu = self.gpu.clone();
        gpu.scoped(|| {
            self.check(inputs)?;
            if timing != Timing::Off && self.timestamps.is_none() {
                self.timestamps = Timestamps::new(&self.gpu, self.dispatches.len());
            }
            self.write_inputs(inputs)?;
            let encoder = self
                .gpu
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("resnet3d.forward") });
            let (commands, passes) = self.record(encoder, timing);
            let submission = self.gpu.queue.submit([commands]);
            self.read_outputs(submission, passes, timing)
        })
    }

    fn check(&self, inputs: &[&[f32]]) -> Result<()> {
        let graph = self.plan.graph();
        let lens = |ids: &[BlobId]| ids.iter().map(|&id| self.plan.shape(id).len()).collect::<Vec<_>>();
        let (wanted, given) = (lens(graph.inputs()), inputs.iter().map(|i| i.len()).collect::<Vec<_>>());
        if wanted != given {
            return Err(Error::Shape {
                what: "inputs of the plan".to_owned(),
                wanted: format!("{wanted:?} values"),
                given: format!("{given:?} values"),
            });
        }
        Ok(())
    }

    fn write_inputs(&mut self, inputs: &[&[f32]]) -> Result<()> {
        if !self.upload_mapped {
            // An earlier run broke off before it had the buffer back.
            let mapped = self.map(&self.upload, wgpu::MapMode::Write);
            self.wait(None)?;
            self.mapped(&mapped)?;
        }
        let mut view = self.upload.get_mapped_range_mut(..).map_err(|e| self.gpu.fault(e))?;
        let mut offset = 0;
        for values in inputs {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            view.slice(offset..offset + bytes.len()).copy_from_slice(bytes);
            offset += bytes.len();
        }
        drop(view);
        self.upload.unmap();
        self.upload_mapped = false;
        Ok(())
    }

    /// The commands of a run, and how many timed passes they have.
    fn record(&self, mut encoder: wgpu::CommandEncoder, timing: Timing) -> (wgpu::CommandBuffer, usize) {
        let mut offset = 0;
        for &id in self.plan.graph().inputs() {
            let bytes = self.plan.bytes(id);
            let target = &self.activations[self.plan.buffer(id)];
            encoder.copy_buffer_to_buffer(&self.upload, offset, target, 0, bytes);
            offset += bytes;
        }
        self.copy_outputs(&mut encoder, None);

        let timestamps = self.timestamps.as_ref().filter(|_| timing != Timing::Off);
        let mut passes = 0;
        let mut first = 0;
        for last in 0..self.dispatches.len() {
            let timed_alone = timing == Timing::Layers && timestamps.is_some();
            let copied = self.plan.outputs().iter().any(|output| output.written_by == Some(last));
            if !(timed_alone || copied || last + 1 == self.dispatches.len()) {
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("resnet3d.forward"),
                timestamp_writes: timestamps.map(|t| t.around(passes)),
            });
            for dispatch in self.dispatches[first..=last].iter().flatten() {
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, &dispatch.bind_group, &[]);
                pass.dispatch_workgroups(dispatch.grid.x, dispatch.grid.y, 1);
            }
            drop(pass);
            self.copy_outputs(&mut encoder, Some(last));
            passes += 1;
            first = last + 1;
        }
        if let Some(timestamps) = timestamps {
            timestamps.resolve(&mut encoder, passes);
        }
        (encoder.finish(), passes)
    }

    /// Copies the outputs that the step `written_by` has written to where the host will read them.
    fn copy_outputs(&self, encoder: &mut wgpu::CommandEncoder, written_by: Option<usize>) {
        let mut offset = 0;
        for output in self.plan.outputs() {
            let bytes = self.plan.bytes(output.blob);
            if output.written_by == written_by {
                let source = &self.activations[self.plan.buffer(output.blob)];
                encoder.copy_buffer_to_buffer(source, 0, &self.readback, offset, bytes);
            }
            offset += bytes;
        }
    }

    fn read_outputs(
        &mut self,
        submission: wgpu::SubmissionIndex,
        passes: usize,
        timing: Timing,
    ) -> Result<(Vec<Vec<f32>>, Option<Profile>)> {
        let timestamps = self.timestamps.as_ref().filter(|_| timing != Timing::Off);
        let readback = self.map(&self.readback, wgpu::MapMode::Read);
        let upload = self.map(&self.upload, wgpu::MapMode::Write);
        let ticks = timestamps.map(|t| self.map(&t.readback, wgpu::MapMode::Read));
        self.wait(Some(submission))?;

        self.mapped(&readback)?;
        // One view of everything: ranges of their own would have to begin at multiples of 8 bytes.
        let view = self.readback.get_mapped_range(..).map_err(|e| self.gpu.fault(e))?;
        let mut outputs = Vec::with_capacity(self.plan.outputs().len());
        let mut offset = 0;
        for output in self.plan.outputs() {
            let bytes = self.plan.bytes(output.blob) as usize;
            outputs.push(bytemuck::pod_collect_to_vec(&view[offset..offset + bytes]));
            offset += bytes;
        }
        drop(view);
        self.readback.unmap();

        let profile = match (timestamps, ticks) {
            (Some(timestamps), Some(ticks)) => {
                self.mapped(&ticks)?;
                let profile = timestamps.read(&self.gpu, passes, timing)?;
                timestamps.readback.unmap();
                Some(profile)
            }
            _ => None,
        };
        self.mapped(&upload)?;
        self.upload_mapped = true;
        Ok((outputs, profile))
    }

    /// Asks for a buffer to be mapped; the answer comes through the channel while polling.
    fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> mpsc::Receiver<Result<(), wgpu::BufferAsyncError>> {
        let (sender, receiver) = mpsc::channel();
        // The receiver may be gone if the run has failed meanwhile; then nobody wants the answer.
        buffer.map_async(mode, .., move |result| drop(sender.send(result)));
        receiver
    }

    fn mapped(&self, answer: &mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>) -> Result<()> {
        match answer.try_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.gpu.fault(error)),
            Err(_) => Err(self.gpu.fault("a buffer was not mapped when its submission had finished")),
        }
    }

    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(TIMEOUT) };
        self.gpu.device.poll(poll).map(drop).map_err(|e| self.gpu.fault(e))
    }
}

/// A buffer that holds `bytes` from the start.
fn filled_buffer(gpu: &GpuContext, label: &str, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer> {
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        // wgpu has no empty bindings, and mapped sizes are multiples of four.
        size: (bytes.len() as u64).next_multiple_of(4).max(4),
        usage,
        mapped_at_creation: true,
    });
    let range = ..bytes.len() as u64;
    buffer.get_mapped_range_mut(range).map_err(|e| gpu.fault(e))?.copy_from_slice(bytes);
    buffer.unmap();
    Ok(buffer)
}
