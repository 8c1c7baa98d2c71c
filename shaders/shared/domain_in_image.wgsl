// The Winograd domain as an image, row by row; shaders call `put`. A store costs some drivers half as much again as into a
// buffer, and the products' loads, of which there are several for each, a fraction. The prelude declares:
// const IMAGE_WIDTH: u32, the vec4 in a row.

@group(0) @binding(2) var output: texture_storage_2d<rgba32float, write>;

fn put(index: u32, value: vec4<f32>) {
    textureStore(output, vec2(index % IMAGE_WIDTH, index / IMAGE_WIDTH), value);
}
