// Weights as a buffer. Shaders call `weight_at`.

@group(0) @binding(2) var<storage, read> weights: array<Value4>;

fn weight_at(index: u32) -> vec4<f32> {
    return load4(weights[index]);
}
