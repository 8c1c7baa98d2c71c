// The Winograd domain as a buffer; shaders call `put`.

@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

fn put(index: u32, value: vec4<f32>) {
    output[index] = value;
}
