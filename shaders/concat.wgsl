// Channels behind channels: those of one blob, then those of another, at every position.
//
// Layouts. first, second, output: NTHWC in quads of four channels. Where the first has whole quads, quads are copied; else
// every channel finds its own, and what fills up the last quad is zero.
//
// Grid: one invocation for each output quad, in memory order, 64 a workgroup, folded into x and y.

struct Params {
    // Columns of the folded grid; output quads, and those of a position.
    grid_x: u32,
    len: u32,
    quads: u32,
    // Channels of the two, and quads of a position.
    first_c: u32,
    second_c: u32,
    first_quads: u32,
    second_quads: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> first: array<Value4>;
@group(0) @binding(2) var<storage, read> second: array<Value4>;
@group(0) @binding(3) var<storage, read_write> output: array<Value4>;

/// One channel of the output at a position.
fn channel(position: u32, c: u32) -> f32 {
    if c < p.first_c {
        return load4(first[position * p.first_quads + c / 4u])[c % 4u];
    }
    let own = c - p.first_c;
    if own < p.second_c {
        return load4(second[position * p.second_quads + own / 4u])[own % 4u];
    }
    return 0.0;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let quad = index % p.quads;
    let position = index / p.quads;
    if p.first_c % 4u != 0u {
        let c = quad * 4u;
        let all =
            vec4(channel(position, c), channel(position, c + 1u), channel(position, c + 2u), channel(position, c + 3u));
        output[index] = store4(all);
    } else if quad < p.first_quads {
        output[index] = first[position * p.first_quads + quad];
    } else {
        output[index] = second[position * p.second_quads + quad - p.first_quads];
    }
}
