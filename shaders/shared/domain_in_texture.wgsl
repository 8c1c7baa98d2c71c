// The Winograd domain as a texture, row by row. Shaders call `put`.
//
// On some drivers a store into a texture costs half as much again as a store into a buffer. The products load each
// value several times, and those loads cost a fraction of loads from a buffer.
//
// The prelude declares: const TEXTURE_WIDTH: u32, the vec4 in a row.

@group(0) @binding(2) var output: texture_storage_2d<rgba32float, write>;

fn put(index: u32, value: vec4<f32>) {
    textureStore(output, vec2(index % TEXTURE_WIDTH, index / TEXTURE_WIDTH), value);
}
