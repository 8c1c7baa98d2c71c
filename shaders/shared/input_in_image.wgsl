// The input of a convolution as an image, row by row; shaders call `value_at`. For the drivers that weights_in_image.wgsl
// is for. The prelude declares: const IMAGE_WIDTH: u32, the vec4 in a row.

@group(0) @binding(1) var input: ValueTexture;

fn value_at(own: Field, index: u32) -> vec4<f32> {
    return textureLoad(input, vec2(index % IMAGE_WIDTH, index / IMAGE_WIDTH));
}
