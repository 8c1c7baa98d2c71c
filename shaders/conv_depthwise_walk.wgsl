// Depthwise 3x3x3 convolution from registers, by invocations that walk through time.
//
// For software adapters, where a load costs about as much as a hundred multiply-adds and no cache holds what neighbours
// have loaded. An invocation computes ROWS x COLUMNS neighbouring positions of one channel block in all frames of a
// tile. It keeps the 27 weights in registers. From every input frame it loads the patch under those positions once, for
// the three output frames whose window covers that frame:
//
//     input frame   0    1    2    3    4
//     full          .    .    0    1    2     the last tap in time: the sum is complete and is stored
//     half          .    0    1    2    .     the middle tap
//     fresh         0    1    2    .    .     the first tap
//
// With ROWS x COLUMNS of 4 x 4 that is 36 loads for 16 outputs of stride 1; conv_depthwise has 27 for each output. With
// a stride in time it also computes the frames between two outputs, and does not store them: products cost little.
//
// Layouts: those of conv_depthwise.wgsl.
//
// Grid: one invocation for each (clip, tile of frames, of rows, of columns, channel block), channel blocks fastest, 64
// a workgroup, folded into x and y.
//
// Shared code: shared/window.wgsl, shared/conv_depthwise.wgsl. The prelude declares: const ROWS: u32, const COLUMNS:
// u32, const FURTHER: u32 = COLUMNS - 1, const STRIDE: u32 in height and width, const PATCH_ROWS: u32 = (ROWS - 1) *
// STRIDE + 3, and const PATCH_COLUMNS: u32.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let geometry = load_geometry();
    let relative_block = index % p.channel_blocks;
    let tile = index / p.channel_blocks;
    let out_x = tile % p.tiles_w * COLUMNS;
    let tile_row = tile / p.tiles_w;
    let out_y = tile_row % p.tiles_h * ROWS;
    let tile_frame = tile_row / p.tiles_h;
    let out_z = tile_frame % p.tiles_t * p.tile_t;
    let clip = tile_frame / p.tiles_t;
    let channel_block = p.first_channel_block + relative_block;

    // Input coordinates of the first tap: negative in the padding.
    let stride_t = geometry.window.stride_t;
    let base_z = i32(out_z * stride_t) - geometry.window.pad_t;
    let base_y = i32(out_y * STRIDE) - geometry.window.pad_h;
    let base_x = i32(out_x * STRIDE) - geometry.window.pad_w;

    var taps: array<vec4<f32>, 27>;
    let first = first_weight(geometry, relative_block);
    // unroll
    for (var tap = 0u; tap < 27u; tap++) {
        taps[tap] = load4(weights[first + tap * BLOCK_VEC4S]);
    }
    let start = bias[relative_block];
    var full: array<array<vec4<f32>, COLUMNS>, ROWS>;
    var half: array<array<vec4<f32>, COLUMNS>, ROWS>;
    // unroll
    for (var j = 0u; j < ROWS; j++) {
        // unroll
        for (var i = 0u; i < COLUMNS; i++) {
            full[j][i] = start;
            half[j][i] = start;
        }
    }

    // Skips up to two frames of padding in front of the first frame: they add nothing to the sums.
    let steps = (min(p.tile_t, geometry.out_t - out_z) - 1u) * stride_t + 3u;
    for (var step = u32(clamp(-base_z, 0, 2)); step < steps; step++) {
        let z = base_z + i32(step);
        let frame = (i32(clip) * geometry.in_t + clamp(z, 0, geometry.in_t - 1)) * geometry.in_h;
        let inside_t = (z >= 0) & (z < geometry.in_t);
        var patch_values: array<array<vec4<f32>, PATCH_COLUMNS>, PATCH_ROWS>;
        // unroll
        for (var j = 0u; j < PATCH_ROWS; j++) {
            let y = base_y + i32(j);
            let line = (frame + clamp(y, 0, geometry.in_h - 1)) * geometry.in_w;
            let inside = inside_t & (y >= 0) & (y < geometry.in_h);
            // unroll
            for (var i = 0u; i < PATCH_COLUMNS; i++) {
                patch_values[j][i] = value_at(geometry, line, inside, base_x + i32(i), channel_block);
            }
        }
        var fresh: array<array<vec4<f32>, COLUMNS>, ROWS>;
        // unroll
        for (var j = 0u; j < ROWS; j++) {
            // unroll
            for (var i = 0u; i < COLUMNS; i++) {
                fresh[j][i] = start;
                // unroll
                for (var kh = 0u; kh < 3u; kh++) {
                    // unroll
                    for (var kw = 0u; kw < 3u; kw++) {
                        let value = patch_values[j * STRIDE + kh][i * STRIDE + kw];
                        fresh[j][i] += taps[kh * 3u + kw] * value;
                        half[j][i] += taps[9u + kh * 3u + kw] * value;
                        full[j][i] += taps[18u + kh * 3u + kw] * value;
                    }
                }
            }
        }
        // With a stride in time, a sum that is complete between two outputs is not an output.
        let complete = step - 2u;
        if (step >= 2u) & (complete % stride_t == 0u) {
            let out_frame = (clip * geometry.out_t + out_z + complete / stride_t) * geometry.out_h;
            if geometry.add_residual {
                // unroll
                for (var j = 0u; j < ROWS; j++) {
                    let line = (out_frame + min(out_y + j, geometry.out_h - 1u)) * geometry.out_w;
                    // unroll
                    for (var i = 0u; i < COLUMNS; i++) {
                        let at = (line + min(out_x + i, geometry.out_w - 1u)) * geometry.channel_blocks + channel_block;
                        full[j][i] += load4(residual[at]);
                    }
                }
            }
            // unroll
            for (var j = 0u; j < ROWS; j++) {
                if out_y + j < geometry.out_h {
                    let position = (out_frame + out_y + j) * geometry.out_w + out_x;
                    let at = position * geometry.channel_blocks + channel_block;
                    // The first column of a tile is always inside the output.
                    output[at] = store4(rectified(geometry, full[j][0]));
                    // unroll
                    for (var i = 0u; i < FURTHER; i++) {
                        if out_x + i + 1u < geometry.out_w {
                            let value = rectified(geometry, full[j][i + 1u]);
                            output[at + (i + 1u) * geometry.channel_blocks] = store4(value);
                        }
                    }
                }
            }
        }
        full = half;
        half = fresh;
    }
}
