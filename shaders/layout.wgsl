// Layout conversion at the edges of a run: NCTHW, dense, to or from NTHWC with channels padded to channel blocks of
// four.
//
// Padding channels are written as zeros, on which all other kernels rely.
//
// Grid: one invocation for each (clip, channel block, position), positions fastest, 64 a workgroup, folded into x and
// y.

struct Params {
    // Columns of the folded grid, and the number of invocations with work.
    grid_x: u32,
    len: u32,
    channels: u32,
    // Channels / 4, rounded up; positions of one clip: T * H * W.
    channel_blocks: u32,
    positions: u32,
    // 1 for NTHWC to NCTHW.
    to_planar: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value>;
@group(0) @binding(2) var<storage, read_write> output: array<Value>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    // Read once: software drivers read a parameter again at every use.
    let channels = p.channels;
    let channel_blocks = p.channel_blocks;
    let positions = p.positions;
    let to_planar = p.to_planar == 1u;

    let position = index % positions;
    let channel_block = index / positions % channel_blocks;
    let clip = index / (positions * channel_blocks);
    // unroll
    for (var k = 0u; k < 4u; k++) {
        let channel = channel_block * 4u + k;
        let inner = ((clip * positions + position) * channel_blocks + channel_block) * 4u + k;
        let planar = (clip * channels + channel) * positions + position;
        if !to_planar {
            var value = 0.0;
            if channel < channels {
                value = load1(input[planar]);
            }
            output[inner] = store1(value);
        } else if channel < channels {
            output[planar] = input[inner];
        }
    }
}
