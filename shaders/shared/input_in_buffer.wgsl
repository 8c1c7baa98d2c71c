// The input of a convolution as a buffer. Shaders call `value_at`.

@group(0) @binding(1) var<storage, read> input: array<Value4>;

fn value_at(geometry: Geometry, index: u32) -> vec4<f32> {
    return load4(input[index]);
}
