//! What kernels bind: buffers, and textures as long rows of vec4 ([`OperandMemory`]).

use super::GpuContext;
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::{OperandMemory, TEXTURE_WIDTH, texture_row_bytes};

/// The texel format of a texture whose values have that number format: four values a texel.
pub(super) fn texel_format(dtype: DType) -> wgpu::TextureFormat {
    match dtype {
        DType::F32 => wgpu::TextureFormat::Rgba32Float,
    }
}

/// Bytes of a row of a texture.
fn row_bytes(view: &wgpu::TextureView) -> usize {
    let texel = view.texture().format().block_copy_size(None);
    TEXTURE_WIDTH * texel.expect("colours have one size") as usize
}

/// A buffer or a texture.
#[derive(Debug)]
pub(super) enum Resource {
    Buffer(wgpu::Buffer),
    Texture(wgpu::TextureView),
}

impl Resource {
    /// A resource with room for `bytes`.
    pub fn empty(gpu: &GpuContext, label: &str, memory: OperandMemory, dtype: DType, bytes: u64) -> Self {
        match memory {
            OperandMemory::Buffer => Self::Buffer(empty_buffer(gpu, label, bytes)),
            OperandMemory::Texture => Self::Texture(empty_texture(gpu, label, dtype, bytes)),
        }
    }

    /// The binding of its first `bytes`. A texture is bound whole.
    pub fn binding(&self, bytes: Option<u64>) -> wgpu::BindingResource<'_> {
        match self {
            Self::Buffer(buffer) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: 0,
                size: bytes.and_then(wgpu::BufferSize::new),
            }),
            Self::Texture(view) => wgpu::BindingResource::TextureView(view),
        }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Buffer(buffer) => buffer.size(),
            Self::Texture(view) => u64::from(view.texture().height()) * row_bytes(view) as u64,
        }
    }

    /// Fills all of it.
    pub fn fill(&self, gpu: &GpuContext, value: f32) {
        let bytes = filling(value, self.bytes());
        match self {
            Self::Buffer(buffer) => gpu.queue.write_buffer(buffer, 0, &bytes),
            Self::Texture(view) => write_rows(gpu, view, 0, &bytes),
        }
    }
}

/// `bytes` bytes that repeat one f32.
pub(super) fn filling(value: f32, bytes: u64) -> Vec<u8> {
    let value = value.to_ne_bytes();
    value.repeat(bytes as usize / value.len())
}

/// A buffer that kernels read and write.
pub(super) fn empty_buffer(gpu: &GpuContext, label: &str, bytes: u64) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

impl GpuContext {
    /// Buffers of these names and sizes.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub(crate) async fn buffers<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a str, u64)>,
        usage: wgpu::BufferUsages,
    ) -> Result<Vec<wgpu::Buffer>> {
        let mut buffers = Vec::new();
        for (name, size) in wanted {
            let label = Some(name);
            let make = || {
                let desc = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false };
                Ok(self.device.create_buffer(&desc))
            };
            buffers.push(self.scoped(make).result().await?);
        }
        Ok(buffers)
    }
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

/// Rows of a texture for `bytes`, with `row_bytes` in a row. The number is never a power of two: llvmpipe compiles a
/// shader once for textures whose sides are powers of two, and again for others.
fn texture_rows(bytes: usize, row_bytes: usize) -> usize {
    let rows = bytes.div_ceil(row_bytes).max(3);
    rows + usize::from(rows.is_power_of_two())
}

fn extent(rows: usize) -> wgpu::Extent3d {
    wgpu::Extent3d { width: TEXTURE_WIDTH as u32, height: rows as u32, depth_or_array_layers: 1 }
}

/// A texture with room for `bytes`.
fn empty_texture(gpu: &GpuContext, label: &str, dtype: DType, bytes: u64) -> wgpu::TextureView {
    let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: extent(texture_rows(bytes as usize, texture_row_bytes(dtype) as usize)),
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: texel_format(dtype),
        usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

/// A texture that holds `bytes` row by row.
pub(super) fn filled_texture(gpu: &GpuContext, label: &str, dtype: DType, bytes: &[u8]) -> wgpu::TextureView {
    let view = empty_texture(gpu, label, dtype, bytes.len() as u64);
    let row_bytes = row_bytes(&view);
    // Whole rows are written at once. The rest of the last row is padding that no shader reads.
    let (whole, rest) = bytes.split_at(bytes.len() / row_bytes * row_bytes);
    let mut last = rest.to_vec();
    last.resize(rest.len().next_multiple_of(row_bytes), 0);
    write_rows(gpu, &view, 0, whole);
    write_rows(gpu, &view, whole.len() / row_bytes, &last);
    view
}

/// Writes whole rows from row `first` on.
fn write_rows(gpu: &GpuContext, view: &wgpu::TextureView, first: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let row_bytes = row_bytes(view);
    let origin = wgpu::Origin3d { x: 0, y: first as u32, z: 0 };
    let target = wgpu::TexelCopyTextureInfo { origin, ..view.texture().as_image_copy() };
    let layout = wgpu::TexelCopyBufferLayout { bytes_per_row: Some(row_bytes as u32), ..Default::default() };
    gpu.queue.write_texture(target, bytes, layout, extent(bytes.len() / row_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_texture_suffice_and_are_not_a_power_of_two() {
        const ROW_BYTES: usize = 16_384;
        for bytes in (0..40).flat_map(|rows| [rows * ROW_BYTES, rows * ROW_BYTES + 1]) {
            let rows = texture_rows(bytes, ROW_BYTES);
            assert!(rows * ROW_BYTES >= bytes && !rows.is_power_of_two(), "{bytes}: {rows}");
            assert!(rows <= bytes.div_ceil(ROW_BYTES).max(2) + 1, "{bytes}: {rows}");
        }
    }
}
