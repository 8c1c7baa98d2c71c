// Draws the mean over the channels of a blob, frames side by side. Brighter is larger.

struct Blob {
    channels: u32,
    frames: u32,
    height: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> blob: Blob;
// N x C x T x H x W, as the backbone writes it.
@group(0) @binding(1) var<storage, read> features: array<f32>;

// Pixels of the picture along each side of an element.
override SCALE: u32;

@vertex
fn cover(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
    return vec4f(f32(i32(index & 1u) * 4 - 1), f32(i32(index >> 1u) * 4 - 1), 0.0, 1.0);
}

@fragment
fn shade(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let element = vec2u(position.xy) / SCALE;
    let t = element.x / blob.width;
    let x = element.x % blob.width;
    var sum = 0.0;
    for (var c = 0u; c < blob.channels; c++) {
        sum += features[((c * blob.frames + t) * blob.height + element.y) * blob.width + x];
    }
    let mean = sum / f32(blob.channels);
    let bright = 1.0 - exp(-mean);
    return vec4f(bright, bright * bright, 0.3 * (1.0 - bright), 1.0);
}
