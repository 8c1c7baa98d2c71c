//! Packed weights on a device.

use super::GpuContext;
use super::faults::Scoped;
use super::parallel;
use super::resource::{Resource, filled_buffer, filled_texture};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::{Method, OperandMemory};
use crate::plan::{Plan, Step};
use crate::weights::Weights;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// The key of one set of packed weights: an operator, a method, the number format of a plan, and how the blocks of
/// output channels are cut.
type Key = (String, Method, DType, Vec<Range<usize>>);

/// The packed weights of an operator on the device.
#[derive(Debug)]
pub(super) struct Packed {
    /// By part, then by constant.
    parts: Vec<Vec<Resource>>,
}

impl Packed {
    /// The constants of a part of the step.
    pub fn part(&self, part: usize) -> &[Resource] {
        &self.parts[part]
    }
}

/// Packed weights on the device, shared by the plans for several clip shapes. They live as long as an executor uses
/// them.
#[derive(Debug, Default)]
pub struct Constants {
    made: HashMap<Key, Weak<Packed>>,
}

/// The packed weights that a plan needs, by step: those that exist, and those that are being uploaded.
pub(super) struct Packing<'a> {
    steps: Vec<(Key, Option<Arc<Packed>>)>,
    /// The packed weights of the steps that have none yet.
    missing: Vec<Scoped<'a, Packed>>,
}

impl Constants {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let held = self.made.values().filter_map(Weak::upgrade);
        held.map(|packed| packed.parts.iter().flatten().map(Resource::bytes).sum::<u64>()).sum()
    }

    /// Packs and uploads the constants of all steps of `plan` that are not on the device yet, several at a time.
    pub(super) fn pack<'a>(&self, gpu: &'a GpuContext, plan: &Plan, weights: &Weights) -> Packing<'a> {
        let steps = plan.steps().iter().map(|step| key(plan, step));
        let steps = steps.map(|key| (self.made.get(&key).and_then(Weak::upgrade), key));
        let steps: Vec<_> = steps.map(|(packed, key)| (key, packed)).collect();
        let missing = plan.steps().iter().zip(&steps).filter(|(_, (_, packed))| packed.is_none());
        let missing: Vec<&Step> = missing.map(|(step, _)| step).collect();
        let missing = parallel::each(missing, |step| gpu.scoped(|| upload(gpu, plan, step, weights)));
        Packing { steps, missing }
    }

    /// The constants of each step. Newly packed constants are stored, for other plans to share.
    pub(super) async fn keep(&mut self, packing: Packing<'_>) -> Result<Vec<Arc<Packed>>> {
        let mut missing = packing.missing.into_iter();
        let mut all = Vec::new();
        self.made.retain(|_, packed| packed.strong_count() > 0);
        for (key, packed) in packing.steps {
            let packed = match packed {
                Some(packed) => packed,
                None => Arc::new(missing.next().expect("constants that were missing have been packed").result().await?),
            };
            self.made.insert(key, Arc::downgrade(&packed));
            all.push(packed);
        }
        Ok(all)
    }
}

fn key(plan: &Plan, step: &Step) -> Key {
    (plan.graph().operators()[step.operator].name.clone(), step.method, plan.dtype(), step.parts.clone())
}

/// The constants of a step, by part.
fn upload(gpu: &GpuContext, plan: &Plan, step: &Step, weights: &Weights) -> Result<Packed> {
    let op = &plan.graph().operators()[step.operator];
    let constants = step.method.constants(&op.kind, plan.shape(op.output).c, weights)?;
    let label = format!("resnet3d.{}.constant", op.name);
    let blocks = step.method.constant_blocks(&op.kind);
    let part = |part: &Range<usize>| {
        let upload = |(index, values): (usize, &Vec<f32>)| {
            let block = values.len() / blocks;
            let dtype = step.method.constant_format(index).of(plan.dtype());
            let values = dtype.to_device(&values[part.start * block..part.end * block]);
            Ok(match step.method.constant_memory(index) {
                OperandMemory::Buffer => {
                    Resource::Buffer(filled_buffer(gpu, &label, wgpu::BufferUsages::STORAGE, &values)?)
                }
                OperandMemory::Texture => Resource::Texture(filled_texture(gpu, &label, dtype, &values)),
            })
        };
        constants.iter().enumerate().map(upload).collect::<Result<Vec<_>>>()
    };
    Ok(Packed { parts: step.parts.iter().map(part).collect::<Result<_>>()? })
}
