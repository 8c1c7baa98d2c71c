// Average pooling over whole axes: the mean of a frame, or of a position through all frames.
//
// Layouts. input, output: NTHWC in quads of four channels. What an output is the mean of are `count` input positions,
// `step` apart: those of a frame follow each other, those of a position in time are a frame apart.
//
// A workgroup computes QUADS neighbouring quads of one output position, each by SHARES invocations:
//
//     invocation   0 .. 7    values 0, 8, 16, .. of quads 0 .. 7
//                  8 .. 15   values 1, 9, 17, .. of the same
//                  56 .. 63  values 7, 15, ..
//
// which then add up their sums through workgroup memory in a tree. An invocation adds BLOCK values at a time, and those sums
// to its own, so that rounding errors stay those of short sums however large the map is.
//
// Grid: one workgroup for each (clip, frame, row, column, QUADS quads), quads fastest, folded into x and y.
//
// The prelude declares: const QUADS: u32, const SHARES: u32, const BLOCK: u32.

struct Params {
    // Columns of the folded grid; workgroups with work.
    grid_x: u32,
    workgroups: u32,
    // Quads of a position, and workgroups for them.
    quads: u32,
    quad_groups: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // The input frame and row, of those that are bound, where the first output begins.
    first_t: u32,
    first_h: u32,
    count: u32,
    step: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read_write> output: array<Value4>;

var<workgroup> sums: array<vec4<f32>, QUADS * SHARES>;

@compute @workgroup_size(QUADS * SHARES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    // Read once: software drivers read a parameter anew wherever it stands.
    let quads = p.quads;
    let count = p.count;
    let step = p.step;

    let share = lane / QUADS;
    let quad = index % p.quad_groups * QUADS + lane % QUADS;
    // Beyond the last quad the last is computed once more, and not stored.
    let read = min(quad, quads - 1u);
    let position = index / p.quad_groups;
    let x = position % p.out_w;
    let y = position / p.out_w % p.out_h + p.first_h;
    let frame = position / (p.out_w * p.out_h);
    let z = frame % p.out_t + p.first_t;
    let clip = frame / p.out_t;
    let first = ((clip * p.in_t + z) * p.in_h + y) * p.in_w + x;

    var own = vec4(0.0);
    var value = share;
    while value < count {
        let end = min(value + BLOCK * SHARES, count);
        var block = vec4(0.0);
        while value < end {
            block += load4(input[(first + value * step) * quads + read]);
            value += SHARES;
        }
        own += block;
    }

    sums[lane] = own;
    for (var half = SHARES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if share < half {
            sums[lane] += sums[lane + half * QUADS];
        }
    }
    if share == 0u && quad < quads {
        output[position * quads + quad] = store4(sums[lane] / f32(count));
    }
}
