//! Packed weights on a device.

use super::GpuContext;
use crate::error::Result;
use crate::kernels::{Home, IMAGE_WIDTH, Method};
use crate::plan::{Plan, Step};
use crate::weights::Weights;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;

/// Bytes of a row of an image of weights.
const ROW_BYTES: usize = IMAGE_WIDTH * 16;

/// What one set of packed weights is for: an operator, a method, and how the blocks of output channels are cut.
type Key = (String, Method, Vec<Range<usize>>);

/// One constant of an operator on the device.
#[derive(Debug)]
pub(super) enum Constant {
    Buffer(wgpu::Buffer),
    Image(wgpu::TextureView),
}

impl Constant {
    /// What a bind group has of it.
    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        match self {
            Self::Buffer(buffer) => buffer.as_entire_binding(),
            Self::Image(view) => wgpu::BindingResource::TextureView(view),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Buffer(buffer) => buffer.size(),
            Self::Image(view) => u64::from(view.texture().height()) * ROW_BYTES as u64,
        }
    }
}

/// Packed weights on the device, so that plans for several clip shapes share them.
#[derive(Debug, Default)]
pub struct Constants {
    /// By part, then by constant.
    made: HashMap<Key, Vec<Vec<Constant>>>,
}

impl Constants {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.made.values().flatten().flatten().map(Constant::bytes).sum()
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
    pub(super) fn get(&self, plan: &Plan, step: &Step) -> &[Vec<Constant>] {
        &self.made[&key(plan, step)]
    }
}

fn key(plan: &Plan, step: &Step) -> Key {
    (plan.graph().operators()[step.operator].name.clone(), step.method, step.parts.clone())
}

/// The constants of a step, by part.
fn upload(gpu: &GpuContext, plan: &Plan, step: &Step, weights: &Weights) -> Result<Vec<Vec<Constant>>> {
    let op = &plan.graph().operators()[step.operator];
    let constants = step.method.constants(&op.kind, plan.shape(op.output).c, weights)?;
    let label = format!("resnet3d.{}.constant", op.name);
    let blocks = step.method.constant_blocks(&op.kind);
    let part = |part: &Range<usize>| {
        let upload = |(index, values): (usize, &Vec<f32>)| {
            let block = values.len() / blocks;
            let values = bytemuck::cast_slice(&values[part.start * block..part.end * block]);
            Ok(match step.method.constant_home(index) {
                Home::Buffer => Constant::Buffer(filled_buffer(gpu, &label, wgpu::BufferUsages::STORAGE, values)?),
                Home::Image => Constant::Image(filled_image(gpu, &label, values)),
            })
        };
        constants.iter().enumerate().map(upload).collect::<Result<Vec<_>>>()
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

/// Rows of an image for so many bytes. Never a power of two: llvmpipe compiles a shader once for images whose sides are,
/// and once more for others.
fn image_rows(bytes: usize) -> usize {
    let rows = bytes.div_ceil(ROW_BYTES).max(3);
    rows + usize::from(rows.is_power_of_two())
}

/// An image that holds `bytes` row by row, see [`Home::Image`].
fn filled_image(gpu: &GpuContext, label: &str, bytes: &[u8]) -> wgpu::TextureView {
    let extent =
        |rows: usize| wgpu::Extent3d { width: IMAGE_WIDTH as u32, height: rows as u32, depth_or_array_layers: 1 };
    let rows = image_rows(bytes.len());
    let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: extent(rows),
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba32Float,
        usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    // Whole rows at once; the rest of the last one is padding that nobody reads.
    let (whole, rest) = bytes.split_at(bytes.len() / ROW_BYTES * ROW_BYTES);
    let mut last = rest.to_vec();
    last.resize(rest.len().next_multiple_of(ROW_BYTES), 0);
    let mut first = 0;
    for part in [whole, &last].into_iter().filter(|part| !part.is_empty()) {
        let target =
            wgpu::TexelCopyTextureInfo { origin: wgpu::Origin3d { x: 0, y: first, z: 0 }, ..texture.as_image_copy() };
        let layout = wgpu::TexelCopyBufferLayout { bytes_per_row: Some(ROW_BYTES as u32), ..Default::default() };
        let size = extent(part.len() / ROW_BYTES);
        gpu.queue.write_texture(target, part, layout, size);
        first += size.height;
    }
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_an_image_hold_everything_and_are_no_power_of_two() {
        for bytes in (0..40).flat_map(|rows| [rows * ROW_BYTES, rows * ROW_BYTES + 1]) {
            let rows = image_rows(bytes);
            assert!(rows * ROW_BYTES >= bytes && !rows.is_power_of_two(), "{bytes}: {rows}");
            assert!(rows <= bytes.div_ceil(ROW_BYTES).max(2) + 1, "{bytes}: {rows}");
        }
    }
}
