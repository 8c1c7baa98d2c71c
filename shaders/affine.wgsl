// Affine channel: output[n, c, ...] = input[n, c, ...] * scale[c] + bias[c].
//
// Used without fusion only. Layouts. input, output: NCTHW; scale, bias: one value a channel.
// Grid: 64 values a workgroup, in row-major order, folded into x and y.

struct Params {
    // Columns of the folded grid, and the number of values.
    grid_x: u32,
    len: u32,
    channels: u32,
    // Values of one channel of one clip: T * H * W.
    channel_len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let channel = index / p.channel_len % p.channels;
    output[index] = input[index] * scale[channel] + bias[channel];
}
