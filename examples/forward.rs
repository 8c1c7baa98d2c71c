//! A minimal use of the library: random weights, a random clip, features. `cargo run --example forward`

use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, ContextOptions, GpuBackbone, GpuContext, Options, Result, Shape, Taps, Weights};

fn main() -> Result<()> {
    let gpu = GpuContext::new(ContextOptions::default())?;
    println!("{} on {}", gpu.adapter_name(), gpu.backend());

    let config = BackboneConfig::r18_conv4();
    let weights = Weights::random(&config, 0)?; // Weights::load("r18.safetensors", &config)? for trained ones
    let options = Options::default().taps(Taps::Stages);
    let mut backbone = GpuBackbone::new(&gpu, &config, &weights, options)?;

    let clip = random::clip(Shape::new(1, 3, 4, 64, 64), 0)?;
    let features = backbone.forward(&clip)?;
    for blob in features.blobs() {
        let mean = blob.data.iter().sum::<f32>() / blob.data.len() as f32;
        println!("{:12} {:16} mean {mean:.4}", blob.name, blob.shape);
    }
    println!("scale of the last blob: {}", features.spatial_scale());
    Ok(())
}
