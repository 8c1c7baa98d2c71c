// Weights as an image, row by row; shaders call `weight_at`.
//
// For drivers that load from an image all lanes at once, and from a buffer one lane after the other. The prelude declares:
// const IMAGE_WIDTH: u32, the vec4 in a row.

@group(0) @binding(2) var weights: ValueTexture;

fn weight_at(index: u32) -> vec4<f32> {
    return textureLoad(weights, vec2(index % IMAGE_WIDTH, index / IMAGE_WIDTH));
}
