// Affine channel: output[n, c, ...] = input[n, c, ...] * scale[c] + bias[c].
//
// Used where the operator has not been fused.
//
// Layouts. input, output: NTHWC in channel blocks of four; scale, bias: one vec4 for each channel block, zero in the
// padding.
//
// Grid: one invocation for each channel block, in memory order, 64 a workgroup, folded into x and y.

struct Params {
    // Columns of the folded grid, and the number of channel blocks.
    grid_x: u32,
    len: u32,
    // Channel blocks of one position.
    channel_blocks: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read> scale: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Value4>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let channel_block = index % p.channel_blocks;
    output[index] = store4(load4(input[index]) * scale[channel_block] + bias[channel_block]);
}
