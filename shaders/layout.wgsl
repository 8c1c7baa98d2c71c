// Layout conversion at the edges of a run: NCTHW, dense, to or from NTHWC with channels padded to quads of four.
//
// Padding lanes are written as zeros, which all other kernels rely on. Grid: one invocation for each (clip, quad,
// position), positions fastest, 64 a workgroup, folded into x and y.

struct Params {
    // Columns of the folded grid, and the number of invocations with work.
    grid_x: u32,
    len: u32,
    channels: u32,
    // Channels / 4, rounded up; positions of one clip: T * H * W.
    quads: u32,
    positions: u32,
    // 1 for NTHWC to NCTHW.
    to_planar: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let position = index % p.positions;
    let quad = index / p.positions % p.quads;
    let clip = index / (p.positions * p.quads);
    for (var k = 0u; k < 4u; k++) {
        let channel = quad * 4u + k;
        let inner = ((clip * p.positions + position) * p.quads + quad) * 4u + k;
        let planar = (clip * p.channels + channel) * p.positions + position;
        if p.to_planar == 0u {
            var value = 0.0;
            if channel < p.channels {
                value = input[planar];
            }
            output[inner] = value;
        } else if channel < p.channels {
            output[planar] = input[inner];
        }
    }
}
