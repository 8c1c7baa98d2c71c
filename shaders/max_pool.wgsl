// 3D max pooling: any window; padding never wins.
//
// Layouts. input, output: NTHWC in quads of four channels. Grid: one invocation for each output quad, in memory order,
// 64 a workgroup, folded into x and y.
// Shared code: shared/window.wgsl.

struct Params {
    window: Window,
    // Columns of the folded grid, and the number of output quads.
    grid_x: u32,
    len: u32,
    quads: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // Minus infinity, which WGSL has no literal for.
    lowest: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let quad = index % p.quads;
    let position = index / p.quads;
    let out_x = position % p.out_w;
    let out_y = position / p.out_w % p.out_h;
    let out_z = position / (p.out_w * p.out_h) % p.out_t;
    let clip = position / (p.out_w * p.out_h * p.out_t);

    var best = vec4(p.lowest);
    for (var kt = 0u; kt < p.window.kernel_t; kt++) {
        let z = i32(out_z * p.window.stride_t + kt * p.window.dilation_t) - p.window.pad_t;
        for (var kh = 0u; kh < p.window.kernel_h; kh++) {
            let y = i32(out_y * p.window.stride_h + kh * p.window.dilation_h) - p.window.pad_h;
            if z >= 0 && z < i32(p.in_t) && y >= 0 && y < i32(p.in_h) {
                let line = ((clip * p.in_t + u32(z)) * p.in_h + u32(y)) * p.in_w;
                for (var kw = 0u; kw < p.window.kernel_w; kw++) {
                    let x = i32(out_x * p.window.stride_w + kw * p.window.dilation_w) - p.window.pad_w;
                    if x >= 0 && x < i32(p.in_w) {
                        best = max(best, input[(line + u32(x)) * p.quads + quad]);
                    }
                }
            }
        }
    }
    output[index] = best;
}
