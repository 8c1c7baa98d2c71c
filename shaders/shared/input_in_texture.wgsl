// The input of a convolution as a texture, row by row. Shaders call `value_at`. It is for the same drivers as
// weights_in_texture.wgsl.
//
// The prelude declares: const TEXTURE_WIDTH: u32, the vec4 in a row.

@group(0) @binding(1) var input: ValueTexture;

fn value_at(geometry: Geometry, index: u32) -> vec4<f32> {
    return textureLoad(input, vec2(index % TEXTURE_WIDTH, index / TEXTURE_WIDTH));
}
