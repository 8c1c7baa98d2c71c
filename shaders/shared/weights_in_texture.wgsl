// Weights as a texture, row by row. Shaders call `weight_at`.
//
// It is for drivers that load from a texture with all lanes at once, and from a buffer with one lane after the other.
//
// The prelude declares: const TEXTURE_WIDTH: u32, the vec4 in a row.

@group(0) @binding(2) var weights: ValueTexture;

fn weight_at(index: u32) -> vec4<f32> {
    return textureLoad(weights, vec2(index % TEXTURE_WIDTH, index / TEXTURE_WIDTH));
}
