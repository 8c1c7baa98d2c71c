// Measures the bandwidth of storage buffers: output = a + 3 * b, the triad of STREAM.
//
// Grid: one invocation for each vec4, in memory order, 64 a workgroup, folded into x and y.

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * 64u + local_index;
    if index < arrayLength(&output) {
        output[index] = a[index] + 3.0 * b[index];
    }
}
