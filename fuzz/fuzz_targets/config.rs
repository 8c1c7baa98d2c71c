//! Reads any text as a configuration. An accepted configuration is valid, survives a round trip, and makes a body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet3d_wgpu::BackboneConfig;
use resnet3d_wgpu::low_level::graph::Body;

fuzz_target!(|text: &str| {
    let Ok(config) = BackboneConfig::from_json(text) else { return };
    config.validate().expect("it was accepted");
    assert_eq!(BackboneConfig::from_json(&config.to_json()).expect("it was written here"), config);
    let _ = Body::new(&config);
});
