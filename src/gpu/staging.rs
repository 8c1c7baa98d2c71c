//! The buffers that the host maps: clips go through them to the device, outputs come back.

use super::GpuContext;
use crate::error::Result;
use crate::graph::BlobId;
use crate::plan::{Plan, Staging, Transfer, runs};
use std::sync::mpsc;
use std::time::Duration;

/// The answer to a request to map a buffer: it comes while the device is polled.
pub(super) type Mapping = mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>;

/// Asks for all of `buffer` to be mapped.
pub(super) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapping {
    let (sender, receiver) = mpsc::channel();
    // The receiver may be gone if the run has failed meanwhile; then nobody wants the answer.
    buffer.map_async(mode, .., move |result| drop(sender.send(result)));
    receiver
}

/// How long an answer may be on its way from a poll of another thread.
const DELIVERY: Duration = Duration::from_secs(60);

/// Checks that what `answers` were asked for has been mapped, once the device has been polled for it. Where several threads
/// poll a device, another one may have the answer in its hands still.
pub(super) fn mapped<'a>(gpu: &GpuContext, answers: impl IntoIterator<Item = &'a Mapping>) -> Result<()> {
    for answer in answers {
        match answer.recv_timeout(DELIVERY) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(gpu.fault(error)),
            Err(_) => return Err(gpu.fault("a buffer was not mapped when its submission had finished")),
        }
    }
    Ok(())
}

/// The buffers of one direction.
#[derive(Debug)]
pub(super) struct StagingBuffers {
    buffers: Vec<wgpu::Buffer>,
    mode: wgpu::MapMode,
}

impl StagingBuffers {
    /// Buffers for inputs, mapped from the start.
    pub fn uploads(gpu: &GpuContext, staging: &Staging) -> Self {
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        Self::new(gpu, staging, "resnet3d.upload", usage, wgpu::MapMode::Write)
    }

    /// Buffers for outputs.
    pub fn readbacks(gpu: &GpuContext, staging: &Staging) -> Self {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Self::new(gpu, staging, "resnet3d.readback", usage, wgpu::MapMode::Read)
    }

    fn new(gpu: &GpuContext, staging: &Staging, label: &str, usage: wgpu::BufferUsages, mode: wgpu::MapMode) -> Self {
        let buffer = |&size: &u64| {
            let mapped_at_creation = mode == wgpu::MapMode::Write;
            gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation })
        };
        Self { buffers: staging.buffers().iter().map(buffer).collect(), mode }
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(wgpu::Buffer::size).sum()
    }

    /// The buffer of a transfer.
    pub fn buffer(&self, transfer: &Transfer) -> &wgpu::Buffer {
        &self.buffers[transfer.buffer]
    }

    /// Asks for all of them to be mapped.
    pub fn map(&self) -> Vec<Mapping> {
        self.buffers.iter().map(|buffer| map(buffer, self.mode)).collect()
    }

    /// Writes `inputs`, NCTHW, to where `plan` uploads them from, and unmaps the buffers, which must be mapped.
    pub fn write(&self, gpu: &GpuContext, plan: &Plan, inputs: &[&[f32]]) -> Result<()> {
        for (index, buffer) in self.buffers.iter().enumerate() {
            let mut view = buffer.get_mapped_range_mut(..).map_err(|e| gpu.fault(e))?;
            for transfer in plan.uploads().transfers().iter().filter(|transfer| transfer.buffer == index) {
                let blob = plan.graph().inputs()[transfer.port];
                for (outside, inside, bytes) in byte_runs(plan, blob, transfer) {
                    let values: &[u8] = bytemuck::cast_slice(inputs[transfer.port]);
                    view.slice(inside..inside + bytes).copy_from_slice(&values[outside..outside + bytes]);
                }
            }
            drop(view);
            buffer.unmap();
        }
        Ok(())
    }

    /// Reads the outputs of `plan`, NCTHW, and unmaps the buffers, which must be mapped.
    pub fn read(&self, gpu: &GpuContext, plan: &Plan) -> Result<Vec<Vec<f32>>> {
        let zeros = |output: &crate::plan::Output| vec![0.0; plan.shape(output.blob).len()];
        let mut outputs: Vec<Vec<f32>> = plan.outputs().iter().map(zeros).collect();
        for (index, buffer) in self.buffers.iter().enumerate() {
            // One view of everything: ranges of their own would have to begin at multiples of 8 bytes.
            let view = buffer.get_mapped_range(..).map_err(|e| gpu.fault(e))?;
            for transfer in plan.readbacks().transfers().iter().filter(|transfer| transfer.buffer == index) {
                let blob = plan.outputs()[transfer.port].blob;
                for (outside, inside, bytes) in byte_runs(plan, blob, transfer) {
                    let values: &mut [u8] = bytemuck::cast_slice_mut(&mut outputs[transfer.port]);
                    values[outside..outside + bytes].copy_from_slice(&view[inside..inside + bytes]);
                }
            }
            drop(view);
            buffer.unmap();
        }
        Ok(outputs)
    }
}

/// What of a blob's NCTHW values is in `transfer`: `(where among all, where in the buffer, how much)`, in bytes.
fn byte_runs(plan: &Plan, blob: BlobId, transfer: &Transfer) -> impl Iterator<Item = (usize, usize, usize)> {
    let clips = plan.round_shape(blob).n;
    let clips = transfer.round * clips..(transfer.round + 1) * clips;
    let piece = &plan.storage(blob).pieces()[transfer.piece];
    let start = transfer.offset as usize;
    runs(plan.shape(blob), clips, piece.frames.clone(), piece.rows.clone())
        .map(move |(outside, inside, len)| (outside * 4, start + inside * 4, len * 4))
}
