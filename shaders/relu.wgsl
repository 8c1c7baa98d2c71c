// Rectifier: output = max(input, 0). A NaN is not above zero and becomes zero, as in the reference. WGSL's `max` may
// return either operand for a NaN, so `select` is used.
//
// Used where the operator has not been fused.
//
// Grid: one invocation for each channel block, in memory order, 64 a workgroup, folded into x and y.

struct Params {
    // Columns of the folded grid, and the number of channel blocks of four.
    grid_x: u32,
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read_write> output: array<Value4>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index < p.len {
        let value = load4(input[index]);
        output[index] = store4(select(vec4(0.0), value, value > vec4(0.0)));
    }
}
