// Depthwise 3x3x3 convolution from registers, by invocations that walk through time.
//
// For software adapters, where a load costs as much as some hundred multiply-adds and nothing caches what neighbours have
// loaded. An invocation computes ROWS x COLUMNS neighbouring positions of one quad in all frames of a tile: it keeps the 27
// weights, and of every input frame loads the patch under those positions once, for the three output frames that it is
// under the window of:
//
//     input frame   0    1    2    3    4
//     full          .    .    0    1    2     its last tap in time: complete, and stored
//     half          .    0    1    2    .     the one in the middle
//     fresh         0    1    2    .    .     the first
//
// With ROWS x COLUMNS of 4 x 4 that is 36 loads for 16 outputs of stride 1, where conv_depthwise has 27 for each. With a
// stride in time it computes what lies between two outputs as well, and does not store it: products cost little.
//
// Layouts are those of conv_depthwise.wgsl. Grid: one invocation for each (clip, tile of frames, of rows, of columns, quad),
// quads fastest, 64 a workgroup, folded into x and y.
//
// Shared code: shared/window.wgsl, shared/conv_depthwise.wgsl. The prelude declares: const ROWS: u32, const COLUMNS: u32,
// const FURTHER: u32 = COLUMNS - 1, const STRIDE: u32 in height and width, const PATCH_ROWS: u32 = (ROWS - 1) * STRIDE + 3,
// and const PATCH_COLUMNS: u32.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let own = field();
    let own_quad = index % p.quads;
    let tile = index / p.quads;
    let out_x = tile % p.tiles_w * COLUMNS;
    let tile_row = tile / p.tiles_w;
    let out_y = tile_row % p.tiles_h * ROWS;
    let run = tile_row / p.tiles_h;
    let out_z = run % p.tiles_t * p.tile_t;
    let clip = run / p.tiles_t;
    let quad = p.first_quad + own_quad;

    // Input coordinates of the first tap: negative in the padding.
    let stride_t = own.window.stride_t;
    let base_z = i32(out_z * stride_t) - own.window.pad_t;
    let base_y = i32(out_y * STRIDE) - own.window.pad_h;
    let base_x = i32(out_x * STRIDE) - own.window.pad_w;

    var taps: array<vec4<f32>, 27>;
    let first = first_weight(own, own_quad);
    // unroll
    for (var tap = 0u; tap < 27u; tap++) {
        taps[tap] = load4(weights[first + tap * QUADS]);
    }
    let start = bias[own_quad];
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

    // Frames in the padding before the first add nothing to sums that are not complete before it.
    let steps = (min(p.tile_t, own.out_t - out_z) - 1u) * stride_t + 3u;
    for (var step = u32(clamp(-base_z, 0, 2)); step < steps; step++) {
        let z = base_z + i32(step);
        let frame = (i32(clip) * own.in_t + clamp(z, 0, own.in_t - 1)) * own.in_h;
        let inside_t = (z >= 0) & (z < own.in_t);
        var patch_values: array<array<vec4<f32>, PATCH_COLUMNS>, PATCH_ROWS>;
        // unroll
        for (var j = 0u; j < PATCH_ROWS; j++) {
            let y = base_y + i32(j);
            let line = (frame + clamp(y, 0, own.in_h - 1)) * own.in_w;
            let inside = inside_t & (y >= 0) & (y < own.in_h);
            // unroll
            for (var i = 0u; i < PATCH_COLUMNS; i++) {
                patch_values[j][i] = value_at(own, line, inside, base_x + i32(i), quad);
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
        // With a stride in time, what is complete between two outputs is none.
        let complete = step - 2u;
        if (step >= 2u) & (complete % stride_t == 0u) {
            let out_frame = (clip * own.out_t + out_z + complete / stride_t) * own.out_h;
            if own.add_residual {
                // unroll
                for (var j = 0u; j < ROWS; j++) {
                    let line = (out_frame + min(out_y + j, own.out_h - 1u)) * own.out_w;
                    // unroll
                    for (var i = 0u; i < COLUMNS; i++) {
                        let at = (line + min(out_x + i, own.out_w - 1u)) * own.quads + quad;
                        full[j][i] += load4(residual[at]);
                    }
                }
            }
            // unroll
            for (var j = 0u; j < ROWS; j++) {
                if out_y + j < own.out_h {
                    let at = ((out_frame + out_y + j) * own.out_w + out_x) * own.quads + quad;
                    // A tile begins inside.
                    output[at] = store4(rectified(own, full[j][0]));
                    // unroll
                    for (var i = 0u; i < FURTHER; i++) {
                        if out_x + i + 1u < own.out_w {
                            output[at + (i + 1u) * own.quads] = store4(rectified(own, full[j][i + 1u]));
                        }
                    }
                }
            }
        }
        full = half;
        half = fresh;
    }
}
