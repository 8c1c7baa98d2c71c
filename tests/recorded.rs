//! Forwards between the caller's buffers, on the caller's device.

mod common;
#[path = "../examples/render/pipeline.rs"]
mod pipeline;

use common::{contexts, golden_path, narrow, relative_l2, widen};
use pipeline::{Pipeline, Size};
use resnet3d_wgpu::low_level::gpu::list_adapters;
use resnet3d_wgpu::low_level::plan::PlanLimits;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{
    CLIP_USAGE, Checkpoint, ErrorKind, FeatureLayout, GpuBackbone, GpuContext, Network, Options, Shape, Taps,
    WeightOptions, wgpu,
};

/// The example, on every adapter: the features that a fragment shader draws equal the features of a forward of the same
/// clip, bit for bit, and the picture has more than one colour.
#[test]
fn what_is_rendered_becomes_features_on_the_device() {
    let (config, weights) = narrow();
    for summary in list_adapters().into_iter().filter(|summary| summary.unusable.is_none()) {
        println!("{} on {}", summary.info.name, summary.info.backend);
        let size = Size { frames: 4, height: 64, width: 96 };
        let mut pipeline = Pipeline::new(&summary.adapter, &config, &weights, size).unwrap();
        let picture = pipeline.run().unwrap();
        assert_eq!([picture.width, picture.height], [16 * 4 * 6, 16 * 4]);
        assert_eq!(picture.ppm().len(), picture.rgb.len() + "P6 384 64 255\n".len());
        let colours: std::collections::BTreeSet<&[u8; 3]> = picture.rgb.as_chunks().0.iter().collect();
        assert!(colours.len() > 10, "{} colours", colours.len());

        let (clip, features) = pipeline.values().unwrap();
        let shape = clip.shape();
        // The disc, red on blue, is where it was rendered: in the first frame on the left.
        let at = |c: usize, t: usize, x: usize| clip.data()[((c * shape.t + t) * shape.h + shape.h / 2) * shape.w + x];
        assert!(at(2, 0, shape.w / 8) > 50.0 && at(2, 3, shape.w / 8) < -50.0, "{} {}", at(2, 0, 12), at(2, 3, 12));
        let again = pipeline.backbone().forward(&clip).unwrap();
        assert_eq!(again.last().data, features);
        assert!(features.iter().any(|&value| value > 0.0));
    }
}

/// A buffer with `values` on the device of `gpu`.
fn filled(gpu: &GpuContext, values: &[f32], usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let size = 4 * values.len() as u64;
    let desc = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: true };
    let buffer = gpu.device().create_buffer(&desc);
    buffer.get_mapped_range_mut(..).unwrap().copy_from_slice(bytemuck::cast_slice(values));
    buffer.unmap();
    buffer
}

fn read(gpu: &GpuContext, buffer: &wgpu::Buffer) -> Vec<f32> {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let desc = wgpu::BufferDescriptor { label: None, size: buffer.size(), usage, mapped_at_creation: false };
    let copy = gpu.device().create_buffer(&desc);
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let bytes = copy.get_mapped_range(..).unwrap();
    bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

/// Whole, in micro-batches, in ranges of frames and rows, in many submissions, and with two pathways: the buffers hold
/// what a forward returns, taps included, and two forwards recorded into one encoder do not disturb each other.
#[test]
fn recorded_forwards_are_forwards() {
    let (config, weights) = narrow();
    let slow_fast = Checkpoint::open(&golden_path("video/pyslowfast_slowfast.safetensors")).unwrap();
    let two_pathways = slow_fast.network().unwrap().unwrap();
    let loaded = slow_fast.load(&two_pathways, &WeightOptions::default()).unwrap();
    let small = PlanLimits {
        max_binding_bytes: 72 << 10,
        max_buffer_bytes: 96 << 10,
        max_macs: 1 << 20,
        ..PlanLimits::default()
    };
    for gpu in contexts() {
        let mut split = 0;
        for (limits, batch) in [(None, 1), (None, 2), (Some(small), 1), (Some(small), 3)] {
            for (network, weights) in [(&Network::from(&config), &weights), (&two_pathways, &loaded.weights)] {
                let options = Options::default().taps(Taps::Stages).limits(limits);
                let mut backbone = GpuBackbone::new(&gpu, network, weights, options).unwrap();
                let shape = Shape::new(batch, 3, 8, 32, 40);
                let clips = [1, 2].map(|seed| random::clip(shape, seed).unwrap());
                let wanted = clips.clone().map(|clip| backbone.forward(&clip).unwrap());
                let plan = backbone.plan(shape).unwrap();
                let (micro_batches, submissions) = (plan.micro_batches(), plan.submissions().len());
                split += usize::from(
                    micro_batches > 1 && plan.dispatches() / micro_batches > plan.steps().len() && submissions > 1,
                );

                let layouts = backbone.feature_layouts(shape).unwrap();
                let names: Vec<&str> = layouts.iter().map(|layout| layout.name.as_str()).collect();
                assert_eq!(names, wanted[0].blobs().iter().map(|blob| blob.name.as_str()).collect::<Vec<_>>());
                let usage = FeatureLayout::USAGE | wgpu::BufferUsages::COPY_SRC;
                let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                let mut left = Vec::new();
                for clip in &clips {
                    let from = filled(&gpu, clip.data(), CLIP_USAGE);
                    // Values that nothing writes remain NaN.
                    let to = layouts.iter().map(|own| filled(&gpu, &vec![f32::NAN; own.shape.len()], usage));
                    let to: Vec<wgpu::Buffer> = to.collect();
                    backbone.record(&mut encoder, shape, &from, &to.iter().collect::<Vec<_>>()).unwrap();
                    left.push(to);
                }
                gpu.queue().submit([encoder.finish()]);
                for (buffers, wanted) in left.iter().zip(&wanted) {
                    for (buffer, wanted) in buffers.iter().zip(wanted.blobs()) {
                        assert_eq!(read(&gpu, buffer), wanted.data, "{}", wanted.name);
                    }
                }
                let other = relative_l2(widen(&wanted[0].last().data), widen(&wanted[1].last().data));
                assert!(other > 1e-3, "the clips differ");
            }
        }
        assert!(split > 0, "something is split over micro-batches and within");
    }
}

/// Wrong buffers are refused before anything is recorded: the encoder is as good as new.
#[test]
fn wrong_buffers_are_refused() {
    let (config, weights) = narrow();
    let gpu = &contexts()[0];
    let mut backbone = GpuBackbone::new(gpu, &config, &weights, Options::default()).unwrap();
    let shape = Shape::new(1, 3, 2, 32, 32);
    let buffer = |bytes, usage| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        })
    };
    let (layout, output) = backbone.feature_buffers(shape).unwrap().swap_remove(0);
    assert_eq!((layout.bytes(), output.size()), (4 * layout.shape.len() as u64, layout.bytes()));
    let bytes = 4 * shape.len() as u64;
    let (clip, small) = (buffer(bytes, CLIP_USAGE), buffer(bytes - 4, CLIP_USAGE));
    let other = buffer(bytes, wgpu::BufferUsages::STORAGE);
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut refused = |clip: &wgpu::Buffer, outputs: &[&wgpu::Buffer]| {
        let error = backbone.record(&mut encoder, shape, clip, outputs).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, said) = refused(&small, &[&output]);
    assert_eq!(kind, ErrorKind::Shape);
    assert!(said.contains("data") && said.contains("1x3x2x32x32"), "{said}");
    assert_eq!(refused(&other, &[&output]).0, ErrorKind::Unsupported);
    assert_eq!(refused(&clip, &[&other]).0, ErrorKind::Unsupported);
    assert_eq!(refused(&clip, &[]).0, ErrorKind::Shape);
    assert_eq!(refused(&clip, &[&output, &output]).0, ErrorKind::Shape);
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    assert!(read(gpu, &output).iter().all(|&value| value == 0.0), "nothing was recorded");
}

/// A clip that a forward would take in parts is refused in one buffer, which could not be bound whole.
#[test]
fn a_clip_beyond_one_binding_is_refused() {
    let (config, weights) = narrow();
    let summary = list_adapters().into_iter().find(|summary| summary.unusable.is_none()).unwrap();
    let mut descriptor = GpuContext::device_descriptor(&summary.adapter);
    descriptor.required_limits.max_storage_buffer_binding_size = 1 << 20;
    let (device, queue) = pollster::block_on(summary.adapter.request_device(&descriptor)).unwrap();
    let gpu = GpuContext::from_wgpu(&summary.adapter, device, queue);
    let mut backbone = GpuBackbone::new(&gpu, &config, &weights, Options::default()).unwrap();
    let shape = Shape::new(1, 3, 8, 112, 112);
    backbone.forward(&random::clip(shape, 1).unwrap()).unwrap();
    let clip = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4 * shape.len() as u64,
        usage: CLIP_USAGE,
        mapped_at_creation: false,
    });
    let (_, output) = backbone.feature_buffers(shape).unwrap().swap_remove(0);
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let error = backbone.record(&mut encoder, shape, &clip, &[&output]).unwrap_err();
    assert_eq!((error.kind(), error.limit_name()), (ErrorKind::Limit, Some("binding")));
    assert_eq!((error.needed_bytes(), error.limit_bytes()), (Some(clip.size()), Some(1 << 20)));
}
