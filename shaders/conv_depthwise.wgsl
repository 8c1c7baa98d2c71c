// Depthwise 3D convolution: every channel by itself, any kernel, stride, padding and dilation.
//
// The portable kernel: no workgroup memory, no barriers, no subgroups. It sums nothing over channels, so four channels
// take one vec4 multiply-add for each tap. An invocation computes TILE_W neighbouring columns of one channel block, so
// that a loaded weight serves TILE_W products.
//
// Layouts. input, residual, output: NTHWC in channel blocks of four, padded with zeros. weights: [block of 8 channel
// blocks][tap] of 8 vec4, one for each channel block. bias: [block] of 8 vec4. Both are zero beyond the last channel. A
// dispatch may cover a range of the blocks.
//
// Grid: one invocation for each (clip, frame, row, column tile, channel block), channel blocks fastest, 64 a workgroup,
// folded into x and y.
//
// Shared code: shared/window.wgsl, shared/conv_depthwise.wgsl. The prelude declares: const TILE_W: u32.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let geometry = load_geometry();
    let relative_block = index % p.channel_blocks;
    let tile = index / p.channel_blocks;
    let out_x = tile % p.tiles_w * TILE_W;
    let row = tile / p.tiles_w;
    let out_y = row % geometry.out_h;
    let frame = row / geometry.out_h;
    let out_z = frame % geometry.out_t;
    let clip = i32(frame / geometry.out_t);
    let channel_block = p.first_channel_block + relative_block;

    // Input coordinates of the first tap: negative in the padding.
    let base_z = i32(out_z * geometry.window.stride_t) - geometry.window.pad_t;
    let base_y = i32(out_y * geometry.window.stride_h) - geometry.window.pad_h;
    let base_x = i32(out_x * geometry.window.stride_w) - geometry.window.pad_w;

    var sums: array<vec4<f32>, TILE_W>;
    let start = bias[relative_block];
    // unroll
    for (var j = 0u; j < TILE_W; j++) {
        sums[j] = start;
    }
    var tap = first_weight(geometry, relative_block);
    for (var kt = 0u; kt < geometry.window.kernel_t; kt++) {
        let z = base_z + i32(kt * geometry.window.dilation_t);
        for (var kh = 0u; kh < geometry.window.kernel_h; kh++) {
            let y = base_y + i32(kh * geometry.window.dilation_h);
            if (z >= 0) & (z < geometry.in_t) & (y >= 0) & (y < geometry.in_h) {
                let line = ((clip * geometry.in_t + z) * geometry.in_h + y) * geometry.in_w;
                for (var kw = 0u; kw < geometry.window.kernel_w; kw++) {
                    let weight = load4(weights[tap + kw * BLOCK_VEC4S]);
                    // unroll
                    for (var j = 0u; j < TILE_W; j++) {
                        let x = base_x + i32(j * geometry.window.stride_w + kw * geometry.window.dilation_w);
                        sums[j] += weight * value_at(geometry, line, true, x, channel_block);
                    }
                }
            }
            tap += geometry.window.kernel_w * BLOCK_VEC4S;
        }
    }
    // unroll
    for (var j = 0u; j < TILE_W; j++) {
        if out_x + j < geometry.out_w {
            let at = (row * geometry.out_w + out_x + j) * geometry.channel_blocks + channel_block;
            var sum = sums[j];
            if geometry.add_residual {
                sum += load4(residual[at]);
            }
            output[at] = store4(rectified(geometry, sum));
        }
    }
}
