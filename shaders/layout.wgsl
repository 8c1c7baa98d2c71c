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
@group(0) @binding(1) var<storage, read> input: array<Value>;
@group(0) @binding(2) var<storage, read_write> output: array<Value>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    // Read once: software drivers read a parameter anew wherever it stands.
    let channels = p.channels;
    let quads = p.quads;
    let positions = p.positions;
    let to_planar = p.to_planar == 1u;

    let position = index % positions;
    let quad = index / positions % quads;
    let clip = index / (positions * quads);
    // unroll
    for (var k = 0u; k < 4u; k++) {
        let channel = quad * 4u + k;
        let inner = ((clip * positions + position) * quads + quad) * 4u + k;
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
