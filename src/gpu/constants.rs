//! Packed weights on a device.

use super::GpuContext;
use crate::error::Result;
use crate::kernels::Method;
use crate::plan::{Plan, Step};
use crate::weights::Weights;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;

/// What one set of packed weights is for: an operator, a method, and how the blocks of output channels are cut.
type Key = (String, Method, Vec<Range<usize>>);

/// Packed weights on the device, so that plans for several clip shapes share them.
#[derive(Debug, Default)]
pub struct Constants {
    /// By part, then by constant.
    buffers: HashMap<Key, Vec<Vec<wgpu::Buffer>>>,
}

impl Constants {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.buffers.values().flatten().flatten().map(wgpu::Buffer::size).sum()
    }

    /// Packs and uploads the constants of all steps of `plan`, unless that has been done before; several at a time.
    pub(super) fn prepare(&mut self, gpu: &GpuContext, plan: &Plan, weights: &Weights) -> Result<()> {
        let steps = plan.steps().iter().map(|step| (key(plan, step), step));
        let missing: Vec<(Key, &Step)> = steps.filter(|(key, _)| !self.buffers.contains_key(key)).collect();
        let upload = |(key, step)| Ok((key, gpu.scoped(|| upload(gpu, plan, step, weights))?));
        let made: Vec<_> = missing.into_par_iter().with_max_len(1).map(upload).collect::<Result<_>>()?;
        self.buffers.extend(made);
        Ok(())
    }

    /// The constants of a step of a plan that has been prepared, by part.
    pub(super) fn get(&self, plan: &Plan, step: &Step) -> &[Vec<wgpu::Buffer>] {
        &self.buffers[&key(plan, step)]
    }
}

fn key(plan: &Plan, step: &Step) -> Key {
    (plan.graph().operators()[step.operator].name.clone(), step.method, step.parts.clone())
}

/// The constants of a step, by part.
fn upload(gpu: &GpuContext, plan: &Plan, step: &Step, weights: &Weights) -> Result<Vec<Vec<wgpu::Buffer>>> {
    let op = &plan.graph().operators()[step.operator];
    let constants = step.method.constants(&op.kind, plan.shape(op.output).c, weights)?;
    let label = format!("resnet3d.{}.constant", op.name);
    let blocks = step.method.constant_blocks(&op.kind);
    let part = |part: &Range<usize>| {
        let upload = |values: &Vec<f32>| {
            let block = values.len() / blocks;
            let values = &values[part.start * block..part.end * block];
            filled_buffer(gpu, &label, wgpu::BufferUsages::STORAGE, bytemuck::cast_slice(values))
        };
        constants.iter().map(upload).collect::<Result<Vec<_>>>()
    };
    step.parts.iter().map(part).collect()
}

/// A buffer that holds `bytes` from the start.
pub(super) fn filled_buffer(
    gpu: &GpuContext,
    label: &str,
    usage: wgpu::BufferUsages,
    bytes: &[u8],
) -> Result<wgpu::Buffer> {
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
