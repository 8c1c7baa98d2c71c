// Concatenation of channels: at every position the channels of one blob, then those of another.
//
// Layouts. first, second, output: NTHWC in channel blocks of four. If the first blob has a multiple of four channels,
// whole channel blocks are copied. Otherwise every channel is copied separately, and the rest of the last channel block
// is zero.
//
// Grid: one invocation for each output channel block, in memory order, 64 a workgroup, folded into x and y.

struct Params {
    // Columns of the folded grid; channel blocks of the output, and of one output position.
    grid_x: u32,
    len: u32,
    channel_blocks: u32,
    // Channels of the two inputs, and channel blocks of one position of each.
    first_c: u32,
    second_c: u32,
    first_channel_blocks: u32,
    second_channel_blocks: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> first: array<Value4>;
@group(0) @binding(2) var<storage, read> second: array<Value4>;
@group(0) @binding(3) var<storage, read_write> output: array<Value4>;

// One channel of the output at a position.
fn channel(position: u32, c: u32) -> f32 {
    if c < p.first_c {
        return load4(first[position * p.first_channel_blocks + c / 4u])[c % 4u];
    }
    let second_channel = c - p.first_c;
    if second_channel < p.second_c {
        return load4(second[position * p.second_channel_blocks + second_channel / 4u])[second_channel % 4u];
    }
    return 0.0;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let channel_block = index % p.channel_blocks;
    let position = index / p.channel_blocks;
    if p.first_c % 4u != 0u {
        let c = channel_block * 4u;
        let all =
            vec4(channel(position, c), channel(position, c + 1u), channel(position, c + 2u), channel(position, c + 3u));
        output[index] = store4(all);
    } else if channel_block < p.first_channel_blocks {
        output[index] = first[position * p.first_channel_blocks + channel_block];
    } else {
        output[index] = second[position * p.second_channel_blocks + channel_block - p.first_channel_blocks];
    }
}
