// 3D max pooling: any window; padding never wins.
//
// Layouts. input, output: NTHWC in channel blocks of four.
//
// Grid: one invocation for each output channel block, in memory order, 64 a workgroup, folded into x and y.
//
// Shared code: shared/window.wgsl.

struct Params {
    window: Window,
    // Columns of the folded grid, and the number of output channel blocks.
    grid_x: u32,
    len: u32,
    channel_blocks: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // Minus infinity, for which WGSL has no literal.
    lowest: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read_write> output: array<Value4>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    // Read once: software drivers read a parameter again at every use.
    let window = p.window;
    let channel_blocks = p.channel_blocks;
    let in_t = i32(p.in_t);
    let in_h = i32(p.in_h);
    let in_w = i32(p.in_w);

    let channel_block = index % channel_blocks;
    let position = index / channel_blocks;
    let out_x = position % p.out_w;
    let out_y = position / p.out_w % p.out_h;
    let out_z = position / (p.out_w * p.out_h) % p.out_t;
    let clip = i32(position / (p.out_w * p.out_h * p.out_t));
    let base_z = i32(out_z * window.stride_t) - window.pad_t;
    let base_y = i32(out_y * window.stride_h) - window.pad_h;
    let base_x = i32(out_x * window.stride_w) - window.pad_w;

    var best = vec4(p.lowest);
    for (var kt = 0u; kt < window.kernel_t; kt++) {
        let z = base_z + i32(kt * window.dilation_t);
        for (var kh = 0u; kh < window.kernel_h; kh++) {
            let y = base_y + i32(kh * window.dilation_h);
            if z >= 0 && z < in_t && y >= 0 && y < in_h {
                let line = ((clip * in_t + z) * in_h + y) * in_w;
                for (var kw = 0u; kw < window.kernel_w; kw++) {
                    let x = base_x + i32(kw * window.dilation_w);
                    if x >= 0 && x < in_w {
                        best = max(best, load4(input[u32(line + x) * channel_blocks + channel_block]));
                    }
                }
            }
        }
    }
    output[index] = store4(best);
}
