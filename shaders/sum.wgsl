// Residual sum: output = a + b, all of one shape.
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
@group(0) @binding(1) var<storage, read> a: array<Value4>;
@group(0) @binding(2) var<storage, read> b: array<Value4>;
@group(0) @binding(3) var<storage, read_write> output: array<Value4>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index < p.len {
        output[index] = store4(load4(a[index]) + load4(b[index]));
    }
}
