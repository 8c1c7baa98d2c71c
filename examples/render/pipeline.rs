//! The rendering part of the program: its shaders, buffers and textures, and the backbone between them.

use resnet3d_wgpu::{
    BackboneConfig, CLIP_USAGE, Clip, FeatureLayout, GpuBackbone, GpuContext, Options, Shape, Weights, wgpu,
};

/// An error of this crate or of wgpu.
pub type BoxedError = Box<dyn std::error::Error>;

/// Pixels of the picture along each side of an element of the features.
const SCALE: usize = 16;

/// The size of the rendered frames.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Number of frames of the clip.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
}

/// A picture in RGB.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Picture {
    /// The bytes of a PPM file.
    pub fn ppm(&self) -> Vec<u8> {
        let mut file = format!("P6 {} {} 255\n", self.width, self.height).into_bytes();
        file.extend_from_slice(&self.rgb);
        file
    }
}

/// A device of this program, its resources for rendering, and a backbone on the same device.
pub struct Pipeline {
    device: wgpu::Device,
    queue: wgpu::Queue,
    backbone: GpuBackbone,
    clip_shape: Shape,
    frames: wgpu::Texture,
    clip: wgpu::Buffer,
    features: (FeatureLayout, wgpu::Buffer),
}

impl Pipeline {
    /// Opens a device on `adapter` and creates the resources that all frames share.
    pub fn new(
        adapter: &wgpu::Adapter,
        config: &BackboneConfig,
        weights: &Weights,
        size: Size,
    ) -> Result<Self, BoxedError> {
        let descriptor = GpuContext::device_descriptor(adapter);
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        let gpu = GpuContext::from_wgpu(adapter, device.clone(), queue.clone());
        let mut backbone = GpuBackbone::new(&gpu, config, weights, Options::default())?;
        let clip_shape = Shape::new(1, 3, size.frames, size.height, size.width);
        let features = backbone.feature_buffers(clip_shape)?.swap_remove(0);
        let frames = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("frames"),
            size: wgpu::Extent3d {
                width: size.width as u32,
                height: size.height as u32,
                depth_or_array_layers: size.frames as u32,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let clip = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("clip"),
            size: 4 * clip_shape.len() as u64,
            usage: CLIP_USAGE | wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Ok(Self { device, queue, backbone, clip_shape, frames, clip, features })
    }

    /// Renders the frames, converts them to a clip, runs the backbone, and draws its last blob. This is one submission,
    /// and only the picture is read back.
    pub fn run(&mut self) -> Result<Picture, BoxedError> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") });
        self.render(&mut encoder);
        self.make_clip(&mut encoder);
        self.backbone.record(&mut encoder, self.clip_shape, &self.clip, &[&self.features.1])?;
        let drawn = self.draw(&mut encoder);
        self.queue.submit([encoder.finish()]);
        self.read_picture(&drawn)
    }

    /// Reads back the clip and its features.
    #[allow(dead_code)] // for the test that compares the features with those of a clip from the host
    pub fn values(&mut self) -> Result<(Clip, Vec<f32>), BoxedError> {
        let read = |buffer: &wgpu::Buffer| -> Result<Vec<f32>, BoxedError> {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let copy = self.readback(buffer.size());
            encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
            self.queue.submit([encoder.finish()]);
            let bytes = self.mapped(&copy)?;
            Ok(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
        };
        Ok((Clip::new(self.clip_shape, read(&self.clip)?)?, read(&self.features.1)?))
    }

    /// The backbone.
    #[allow(dead_code)] // for the same test as `values`
    pub fn backbone(&mut self) -> &mut GpuBackbone {
        &mut self.backbone
    }

    fn render(&self, encoder: &mut wgpu::CommandEncoder) {
        let module = self.device.create_shader_module(wgpu::include_wgsl!("scene.wgsl"));
        let pipeline = self.covering(&module, &[]);
        let Shape { t, h, w, .. } = self.clip_shape;
        for index in 0..t {
            let frame = self.uniform(bytemuck::cast_slice(&[w as f32, h as f32, index as f32, t as f32]));
            let view = self.frames.create_view(&wgpu::TextureViewDescriptor {
                dimension: Some(wgpu::TextureViewDimension::D2),
                base_array_layer: index as u32,
                array_layer_count: Some(1),
                ..Default::default()
            });
            self.cover(encoder, &pipeline, &view, &[frame.as_entire_binding()]);
        }
    }

    fn make_clip(&self, encoder: &mut wgpu::CommandEncoder) {
        let module = self.device.create_shader_module(wgpu::include_wgsl!("clip.wgsl"));
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("clip"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let view = self.frames.create_view(&wgpu::TextureViewDescriptor {
            dimension: Some(wgpu::TextureViewDimension::D2Array),
            ..Default::default()
        });
        let resources = [wgpu::BindingResource::TextureView(&view), self.clip.as_entire_binding()];
        let group = self.group(&pipeline.get_bind_group_layout(0), &resources);
        let Shape { t, h, w, .. } = self.clip_shape;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(w.div_ceil(8) as u32, h.div_ceil(8) as u32, t as u32);
    }

    fn draw(&self, encoder: &mut wgpu::CommandEncoder) -> wgpu::Texture {
        let module = self.device.create_shader_module(wgpu::include_wgsl!("draw.wgsl"));
        let pipeline = self.covering(&module, &[("SCALE", SCALE as f64)]);
        let (layout, buffer) = &self.features;
        let Shape { c, t, h, w, .. } = layout.shape;
        let blob = self.uniform(bytemuck::cast_slice(&[c, t, h, w].map(|extent| extent as u32)));
        let picture = self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d {
                width: (SCALE * t * w) as u32,
                height: (SCALE * h) as u32,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let view = picture.create_view(&wgpu::TextureViewDescriptor::default());
        self.cover(encoder, &pipeline, &view, &[blob.as_entire_binding(), buffer.as_entire_binding()]);
        picture
    }

    fn read_picture(&self, texture: &wgpu::Texture) -> Result<Picture, BoxedError> {
        let (width, height) = (texture.width() as usize, texture.height() as usize);
        let row = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
        let buffer = self.readback((row * height) as u64);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { bytes_per_row: Some(row as u32), ..Default::default() };
        let target = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), target, texture.size());
        self.queue.submit([encoder.finish()]);
        let bytes = self.mapped(&buffer)?;
        let pixels = bytes.chunks_exact(row).flat_map(|row| row[..4 * width].as_chunks::<4>().0);
        Ok(Picture { width, height, rgb: pixels.flat_map(|&[r, g, b, _]| [r, g, b]).collect() })
    }

    /// A render pipeline for one triangle that covers the whole target.
    fn covering(&self, module: &wgpu::ShaderModule, constants: &[(&str, f64)]) -> wgpu::RenderPipeline {
        self.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: None,
            layout: None,
            vertex: wgpu::VertexState {
                module,
                entry_point: Some("cover"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module,
                entry_point: Some("shade"),
                compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
                targets: &[Some(wgpu::TextureFormat::Rgba8Unorm.into())],
            }),
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            multiview_mask: None,
            cache: None,
        })
    }

    fn cover(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        pipeline: &wgpu::RenderPipeline,
        view: &wgpu::TextureView,
        resources: &[wgpu::BindingResource<'_>],
    ) {
        let group = self.group(&pipeline.get_bind_group_layout(0), resources);
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations::default(),
            })],
            ..Default::default()
        });
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..3, 0..1);
    }

    fn group(&self, layout: &wgpu::BindGroupLayout, resources: &[wgpu::BindingResource<'_>]) -> wgpu::BindGroup {
        let entries = (0..).zip(resources.iter().cloned());
        let entries: Vec<_> = entries.map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    fn uniform(&self, bytes: &[u8]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let size = bytes.len() as u64;
        let desc = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&desc);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    fn readback(&self, size: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }

    /// Waits for the device and returns the bytes of a buffer.
    fn mapped(&self, buffer: &wgpu::Buffer) -> Result<Vec<u8>, BoxedError> {
        let (sender, answer) = std::sync::mpsc::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        answer.recv()??;
        Ok(buffer.get_mapped_range(..)?.to_vec())
    }
}
