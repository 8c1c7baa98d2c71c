// Strided copy of a blob, with zeros in the channels that the input lacks: a shortcut without parameters.
//
// Layouts. input, output: NTHWC in channel blocks of four; the output has as many channels as the input or more.
//
// Grid: one invocation for each output channel block, in memory order, 64 a workgroup, folded into x and y.
//
// Shared code: shared/window.wgsl.

struct Params {
    window: Window,
    // Columns of the folded grid, and the number of output channel blocks.
    grid_x: u32,
    len: u32,
    channel_blocks: u32,
    // Channel blocks of an input position.
    in_channel_blocks: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read_write> output: array<Value4>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let channel_block = index % p.channel_blocks;
    let position = index / p.channel_blocks;
    let x = i32(position % p.out_w * p.window.stride_w) - p.window.pad_w;
    let y = i32(position / p.out_w % p.out_h * p.window.stride_h) - p.window.pad_h;
    let z = i32(position / (p.out_w * p.out_h) % p.out_t * p.window.stride_t) - p.window.pad_t;
    let clip = i32(position / (p.out_w * p.out_h * p.out_t));

    var value = vec4(0.0);
    if channel_block < p.in_channel_blocks {
        let at = ((clip * i32(p.in_t) + z) * i32(p.in_h) + y) * i32(p.in_w) + x;
        // The padding of the input's last channel block is zero, so the output's channels there are zero too.
        value = load4(input[u32(at) * p.in_channel_blocks + channel_block]);
    }
    output[index] = store4(value);
}
