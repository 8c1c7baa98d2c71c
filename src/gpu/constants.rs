//! Packed weights on a device.

use super::GpuContext;
use super::resource::{Resource, filled_buffer, filled_image};
use crate::error::Result;
use crate::kernels::{Method, OperandMemory};
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
    made: HashMap<Key, Vec<Vec<Resource>>>,
}

impl Constants {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.made.values().flatten().flatten().map(Resource::bytes).sum()
    }

    /// Packs and uploads the constants of all steps of `plan`, unless that has been done before; several at a time.
    pub(super) fn prepare(&mut self, gpu: &GpuContext, plan: &Plan, weights: &Weights) -> Result<()> {
        let steps = plan.steps().iter().map(|step| (key(plan, step), step));
        let missing: Vec<(Key, &Step)> = steps.filter(|(key, _)| !self.made.contains_key(key)).collect();
        let upload = |(key, step)| Ok((key, gpu.scoped(|| upload(gpu, plan, step, weights))?));
        let made: Vec<_> = missing.into_par_iter().with_max_len(1).map(upload).collect::<Result<_>>()?;
        self.made.extend(made);
        Ok(())
    }

    /// The constants of a step of a plan that has been prepared, by part.
    pub(super) fn get(&self, plan: &Plan, step: &Step) -> &[Vec<Resource>] {
        &self.made[&key(plan, step)]
    }
}

fn key(plan: &Plan, step: &Step) -> Key {
    (plan.graph().operators()[step.operator].name.clone(), step.method, step.parts.clone())
}

/// The constants of a step, by part.
fn upload(gpu: &GpuContext, plan: &Plan, step: &Step, weights: &Weights) -> Result<Vec<Vec<Resource>>> {
    let op = &plan.graph().operators()[step.operator];
    let constants = step.method.constants(&op.kind, plan.shape(op.output).c, weights)?;
    let label = format!("resnet3d.{}.constant", op.name);
    let blocks = step.method.constant_blocks(&op.kind);
    let part = |part: &Range<usize>| {
        let upload = |(index, values): (usize, &Vec<f32>)| {
            let block = values.len() / blocks;
            let values = bytemuck::cast_slice(&values[part.start * block..part.end * block]);
            Ok(match step.method.constant_memory(index) {
                OperandMemory::Buffer => {
                    Resource::Buffer(filled_buffer(gpu, &label, wgpu::BufferUsages::STORAGE, values)?)
                }
                OperandMemory::Texture => Resource::Image(filled_image(gpu, &label, values)),
            })
        };
        constants.iter().enumerate().map(upload).collect::<Result<Vec<_>>>()
    };
    step.parts.iter().map(part).collect()
}
