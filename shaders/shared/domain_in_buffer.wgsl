// The Winograd domain as a buffer; shaders call `put`. Preceded by quads.wgsl or pairs.wgsl.

@group(0) @binding(2) var<storage, read_write> output: array<Part>;

fn put(index: u32, value: Part) {
    output[index] = value;
}
