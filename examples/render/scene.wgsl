// Draws one frame of a scene: a disc that moves to the right in front of a gradient.

struct Frame {
    // Pixels of a frame.
    size: vec2f,
    index: f32,
    count: f32,
}

@group(0) @binding(0) var<uniform> frame: Frame;

// One triangle that covers the whole target.
@vertex
fn cover(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
    return vec4f(f32(i32(index & 1u) * 4 - 1), f32(i32(index >> 1u) * 4 - 1), 0.0, 1.0);
}

@fragment
fn shade(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let place = position.xy / frame.size;
    let centre = vec2f((frame.index + 0.5) / frame.count, 0.5) * frame.size;
    if distance(position.xy, centre) < 0.15 * frame.size.y {
        return vec4f(0.9, 0.3, 0.1, 1.0);
    }
    return vec4f(0.2, 0.25 + 0.3 * place.y, 0.3 + 0.4 * place.x, 1.0);
}
