//! Reads any bytes as a weight file of this kind: opens it, recognises its network, and folds and inflates its weights.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet3d_wgpu::{Checkpoint, InflateMode, WeightOptions};

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_bytes("fuzz.safetensors", bytes.to_vec()) else { return };
    let config = checkpoint.network().ok().flatten().unwrap_or_default();
    let options = WeightOptions::default().inflate(InflateMode::MeanRepeat);
    let _ = checkpoint.load(&config, &options);
    let _ = checkpoint.unused(&config);
});
