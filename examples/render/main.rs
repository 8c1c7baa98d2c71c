//! Computes features of rendered frames without a copy to the host. Frames are drawn into a texture, a compute shader
//! of this program converts them to a clip, the backbone is recorded after it, and a fragment shader draws the
//! features.
//!
//!     cargo run --release --example render [OUT.ppm]

mod pipeline;

use pipeline::{BoxedError, Pipeline, Size};
use resnet3d_wgpu::{BackboneConfig, Weights, wgpu};

fn main() -> Result<(), BoxedError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = wgpu::RequestAdapterOptions::default();
    let adapter = pollster::block_on(instance.request_adapter(&options))?;
    println!("{} on {}", adapter.get_info().name, adapter.get_info().backend);

    let config = BackboneConfig::r18_conv4();
    let weights = Weights::random(&config, 0)?;
    let size = Size { frames: 8, height: 112, width: 160 };
    let picture = Pipeline::new(&adapter, &config, &weights, size)?.run()?;
    let path = std::env::args().nth(1).unwrap_or_else(|| "features.ppm".to_owned());
    std::fs::write(&path, picture.ppm())?;
    println!("{path}: the last blob, {} frames side by side", size.frames);
    Ok(())
}
