// Depthwise 3D convolution: every channel by itself, any kernel, stride, padding and dilation.
//
// The portable kernel: no workgroup memory, no barriers, no subgroups. There is nothing to sum over channels, so that four
// of them are one vec4 multiply-add a tap. An invocation computes TILE_W neighbouring columns of one quad, so that a loaded
// weight serves TILE_W products.
//
// Layouts. input, residual, output: NTHWC in quads of four channels, padded with zeros. weights: [block of 8 quads][tap]
// of 8 vec4, one for each quad. bias: [block] of 8 vec4. Both are zero beyond the last channel. A dispatch may have a range
// of the blocks only.
//
// Grid: one invocation for each (clip, frame, row, column tile, quad), quads fastest, 64 a workgroup, folded into x and y.
//
// Shared code: shared/window.wgsl, shared/conv_depthwise.wgsl. The prelude declares: const TILE_W: u32.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let own = field();
    let own_quad = index % p.quads;
    let tile = index / p.quads;
    let out_x = tile % p.tiles_w * TILE_W;
    let row = tile / p.tiles_w;
    let out_y = row % own.out_h;
    let frame = row / own.out_h;
    let out_z = frame % own.out_t;
    let clip = i32(frame / own.out_t);
    let quad = p.first_quad + own_quad;

    // Input coordinates of the first tap: negative in the padding.
    let base_z = i32(out_z * own.window.stride_t) - own.window.pad_t;
    let base_y = i32(out_y * own.window.stride_h) - own.window.pad_h;
    let base_x = i32(out_x * own.window.stride_w) - own.window.pad_w;

    var sums: array<vec4<f32>, TILE_W>;
    let start = bias[own_quad];
    // unroll
    for (var j = 0u; j < TILE_W; j++) {
        sums[j] = start;
    }
    var tap = first_weight(own, own_quad);
    for (var kt = 0u; kt < own.window.kernel_t; kt++) {
        let z = base_z + i32(kt * own.window.dilation_t);
        for (var kh = 0u; kh < own.window.kernel_h; kh++) {
            let y = base_y + i32(kh * own.window.dilation_h);
            if (z >= 0) & (z < own.in_t) & (y >= 0) & (y < own.in_h) {
                let line = ((clip * own.in_t + z) * own.in_h + y) * own.in_w;
                for (var kw = 0u; kw < own.window.kernel_w; kw++) {
                    let weight = load4(weights[tap + kw * QUADS]);
                    // unroll
                    for (var j = 0u; j < TILE_W; j++) {
                        let x = base_x + i32(j * own.window.stride_w + kw * own.window.dilation_w);
                        sums[j] += weight * value_at(own, line, true, x, quad);
                    }
                }
            }
            tap += own.window.kernel_w * QUADS;
        }
    }
    // unroll
    for (var j = 0u; j < TILE_W; j++) {
        if out_x + j < own.out_w {
            let at = (row * own.out_w + out_x + j) * own.quads + quad;
            var sum = sums[j];
            if own.add_residual {
                sum += load4(residual[at]);
            }
            output[at] = store4(rectified(own, sum));
        }
    }
}
