//! The buffers that the host maps: clips are uploaded and outputs are read back through them.

use super::GpuContext;
use super::answers::Answers;
use super::profile::Timestamps;
use crate::dtype::DType;
use crate::error::Result;
use crate::plan::{CopyRange, Plan, Staging, Transfer};

/// The staging buffers of one run. While the run is in flight, no other run can use them.
#[derive(Debug)]
pub(super) struct StagingSet {
    /// The host writes inputs here; mapped between runs.
    uploads: Vec<wgpu::Buffer>,
    /// The device copies outputs here; unmapped between runs.
    readbacks: Vec<wgpu::Buffer>,
    /// Created when a run is timed for the first time.
    pub timestamps: Option<Timestamps>,
}

impl StagingSet {
    /// Buffers for the inputs and outputs of `plan`.
    pub fn new(gpu: &GpuContext, plan: &Plan) -> Self {
        let buffers = |staging: &Staging, label, usage, mapped_at_creation| {
            let buffer = |&size| wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation };
            staging.buffers().iter().map(|size| gpu.device.create_buffer(&buffer(size))).collect()
        };
        let (up, down) = (
            wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        );
        Self {
            uploads: buffers(plan.uploads(), "resnet3d.upload", up, true),
            readbacks: buffers(plan.readbacks(), "resnet3d.readback", down, false),
            timestamps: None,
        }
    }

    /// Bytes of the buffers for inputs and outputs of `plan`.
    pub fn bytes(plan: &Plan) -> u64 {
        plan.uploads().buffers().iter().chain(plan.readbacks().buffers()).sum()
    }

    /// The buffer of an upload.
    pub fn upload(&self, transfer: &Transfer) -> &wgpu::Buffer {
        &self.uploads[transfer.buffer]
    }

    /// The buffer of a readback.
    pub fn readback(&self, transfer: &Transfer) -> &wgpu::Buffer {
        &self.readbacks[transfer.buffer]
    }

    /// Asks for all buffers of a submitted run to be mapped: outputs to be read, inputs for the next run.
    pub fn ask_for_mappings(&self, answers: &Answers, timed: bool) {
        self.readbacks.iter().for_each(|buffer| answers.ask_for_mapping(buffer, wgpu::MapMode::Read));
        self.uploads.iter().for_each(|buffer| answers.ask_for_mapping(buffer, wgpu::MapMode::Write));
        if let Some(timestamps) = self.timestamps.as_ref().filter(|_| timed) {
            answers.ask_for_mapping(&timestamps.readback, wgpu::MapMode::Read);
        }
    }

    /// Writes `inputs`, the NCTHW values of the inputs that the caller feeds, to the places from which `plan` uploads
    /// them, and unmaps the buffers. The buffers must be mapped.
    pub fn write(&self, gpu: &GpuContext, plan: &Plan, inputs: &[&[f32]]) -> Result<()> {
        for (index, buffer) in self.uploads.iter().enumerate() {
            let mut view = buffer.get_mapped_range_mut(..).map_err(|e| gpu.fault(e))?;
            for transfer in plan.uploads().transfers().iter().filter(|transfer| transfer.buffer == index) {
                let (fed, ranges) = plan.upload_ranges(transfer);
                let values = DType::HOST.to_device(inputs[fed]);
                for CopyRange { outside, inside, bytes } in ranges {
                    let start = transfer.offset as usize + inside;
                    view.slice(start..start + bytes).copy_from_slice(&values[outside..outside + bytes]);
                }
            }
            drop(view);
            buffer.unmap();
        }
        Ok(())
    }

    /// Reads the outputs of `plan`, NCTHW. The buffers must be mapped.
    pub fn read(&self, gpu: &GpuContext, plan: &Plan) -> Result<Vec<Vec<f32>>> {
        // One view of each whole buffer: separate ranges would have to begin at multiples of 8 bytes.
        let views = self.readbacks.iter().map(|buffer| buffer.get_mapped_range(..).map_err(|e| gpu.fault(e)));
        let views = views.collect::<Result<Vec<_>>>()?;
        let read = |port: usize| {
            let transfers = plan.readbacks().transfers().iter().filter(|transfer| transfer.port == port);
            let ranges = |transfer| plan.readback_ranges(transfer).map(move |range| (range, transfer));
            let mut ranges: Vec<(CopyRange, &Transfer)> = transfers.flat_map(ranges).collect();
            // In order, so that every value is written once and nothing is filled with zeros first.
            ranges.sort_unstable_by_key(|(range, _)| range.outside);
            let mut values: Vec<f32> = Vec::with_capacity(plan.shape(plan.outputs()[port].blob).len());
            for (range, transfer) in ranges {
                let start = transfer.offset as usize + range.inside;
                // Extents of a blob may share rows.
                let known = (DType::HOST.bytes_of(values.len()) as usize - range.outside).min(range.bytes);
                let bytes = &views[transfer.buffer][start + known..start + range.bytes];
                values.extend(DType::HOST.to_host(bytes));
            }
            values
        };
        Ok((0..plan.outputs().len()).map(read).collect())
    }

    /// Unmaps the buffers of outputs, for the next run.
    pub fn unmap(&self, timed: bool) {
        self.readbacks.iter().for_each(wgpu::Buffer::unmap);
        if let Some(timestamps) = self.timestamps.as_ref().filter(|_| timed) {
            timestamps.readback.unmap();
        }
    }
}
