// Measures the throughput of multiply-adds: twelve independent chains in registers.
//
// REPEATS copies of the chains are written out, so that the loop around them costs nothing.
//
// Grid: any number of workgroups; `values` has one value more than there are invocations. The prelude declares:
// const LOOPS: u32, const REPEATS: u32.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // Read from memory, so that the compiler knows no value.
    let x = values[id.x];
    let y = values[id.x + 1u];
    var a0 = x; var a1 = x + 1.0; var a2 = x + 2.0; var a3 = x + 3.0;
    var a4 = x + 4.0; var a5 = x + 5.0; var a6 = x + 6.0; var a7 = x + 7.0;
    var a8 = x + 8.0; var a9 = x + 9.0; var a10 = x + 10.0; var a11 = x + 11.0;
    for (var i = 0u; i < LOOPS; i++) {
        // unroll
        for (var r = 0u; r < REPEATS; r++) {
            a0 = a0 * y + x; a1 = a1 * y + x; a2 = a2 * y + x; a3 = a3 * y + x;
            a4 = a4 * y + x; a5 = a5 * y + x; a6 = a6 * y + x; a7 = a7 * y + x;
            a8 = a8 * y + x; a9 = a9 * y + x; a10 = a10 * y + x; a11 = a11 * y + x;
        }
    }
    values[id.x] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
}
