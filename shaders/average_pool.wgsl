// Average pooling over whole axes: the mean of a frame, or of a position through all frames.
//
// Layouts. input, output: NTHWC in channel blocks of four. An output is the mean of `count` input positions that are
// `step` apart: 1 over a frame, the number of positions of a frame over time.
//
// A workgroup computes BLOCKS neighbouring channel blocks of one output position, each with SHARES invocations:
//
//     invocation   0 .. 7    values 0, 8, 16, .. of channel blocks 0 .. 7
//                  8 .. 15   values 1, 9, 17, .. of the same channel blocks
//                  56 .. 63  values 7, 15, ..
//
// The invocations of a channel block then add up their sums through workgroup memory, in a tree. An invocation sums
// CHUNK values at a time and adds that sum to its total. Rounding errors therefore stay as small as in a short sum,
// however large the map is.
//
// Grid: one workgroup for each (clip, frame, row, column, BLOCKS channel blocks), channel blocks fastest, folded into x
// and y.
//
// The prelude declares: const BLOCKS: u32, const SHARES: u32, const CHUNK: u32.

struct Params {
    // Columns of the folded grid; workgroups with work.
    grid_x: u32,
    workgroups: u32,
    // Channel blocks of a position, and the workgroups that compute them.
    channel_blocks: u32,
    block_workgroups: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // The frame and row of the bound input where the first output begins.
    first_t: u32,
    first_h: u32,
    count: u32,
    step: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read_write> output: array<Value4>;

var<workgroup> sums: array<vec4<f32>, BLOCKS * SHARES>;

@compute @workgroup_size(BLOCKS * SHARES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    // Read once: software drivers read a parameter again at every use.
    let channel_blocks = p.channel_blocks;
    let count = p.count;
    let step = p.step;

    let share = local_index / BLOCKS;
    let channel_block = index % p.block_workgroups * BLOCKS + local_index % BLOCKS;
    // Beyond the last channel block, the last is computed again and not stored.
    let read = min(channel_block, channel_blocks - 1u);
    let position = index / p.block_workgroups;
    let x = position % p.out_w;
    let y = position / p.out_w % p.out_h + p.first_h;
    let frame = position / (p.out_w * p.out_h);
    let z = frame % p.out_t + p.first_t;
    let clip = frame / p.out_t;
    let first = ((clip * p.in_t + z) * p.in_h + y) * p.in_w + x;

    var total = vec4(0.0);
    var value = share;
    while value < count {
        let end = min(value + CHUNK * SHARES, count);
        var chunk = vec4(0.0);
        while value < end {
            chunk += load4(input[(first + value * step) * channel_blocks + read]);
            value += SHARES;
        }
        total += chunk;
    }

    sums[local_index] = total;
    for (var half = SHARES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if share < half {
            sums[local_index] += sums[local_index + half * BLOCKS];
        }
    }
    if share == 0u && channel_block < channel_blocks {
        output[position * channel_blocks + channel_block] = store4(sums[local_index] / f32(count));
    }
}
