// Convolution and max pooling of 1x3x3 with stride 1x2x2 and padding 0x1x1 in one kernel, from registers.
//
// Difference from conv_gemm_subgroup.wgsl: the convolution's output never reaches memory, only the pooled output
// does. It is for the stem of the network, whose input is an uploaded clip in up to three planes. So the input has one
// channel block, whose last channel is zero and is not multiplied.
//
// Contract. For every pooled position and output channel: the maximum of the convolution, rectified if `relu` is set,
// over the existing positions among the 3 x 3 under it.
//
// Index map. A workgroup is one subgroup of LANES lanes. A lane goes down one pooled column. For each pooled position
// it computes the square of four positions under it. It has kept the other five from the previous square, or takes them
// from the lane to its left:
//
//     convolution's column    2c - 1    2c        2c + 1
//     row 2r - 1              left      above     above       the previous square: this lane has kept it
//     row 2r                  left      square    square      the square of pooled position (r, c)
//     row 2r + 1              left      square    square
//
// The first lane has no lane to its left: it computes for its neighbour only, which is an eighth of all products. The
// columns of all frames follow one another, so that no lane is idle at the end of a row.
//
// Grid: one workgroup for each (column tile of LANES - 1 columns, strip of pool_rows pooled rows, block of output
// channels), blocks fastest, then strips, folded into x and y. A strip below another strip, of this dispatch or of the
// dispatch for the rows above, computes the row of squares above it again.
//
// Shared code: shared/conv_gemm.wgsl. The prelude declares the constants of conv_gemm_subgroup.wgsl, except TILE_N.

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let block = index % p.blocks;
    let strips = (p.pool_h + p.pool_rows - 1u) / p.pool_rows;
    let strip = index / p.blocks % strips;
    let column_tile = index / (p.blocks * strips);

    // The column, counted through all frames. Lanes beyond either end compute values that are not stored.
    let columns = p.positions / (p.out_h * p.out_w) * p.pool_w;
    let counted = column_tile * (LANES - 1u) + lane;
    let live = lane > 0u && counted <= columns;
    let at = clamp(counted, 1u, columns) - 1u;
    let column = at % p.pool_w;
    let frame = at / p.pool_w;
    let has_left = column > 0u;
    let has_right = 2u * column + 1u < p.out_w;

    let geometry = load_geometry();
    let kernel_t = geometry.window.kernel_t;
    let kernel_h = geometry.window.kernel_h;
    let kernel_w = geometry.window.kernel_w;
    let stride_h = i32(geometry.window.stride_h);
    let stride_w = i32(geometry.window.stride_w);
    let taps = kernel_h * kernel_w;
    let lowest = p.lowest;
    // The least value of an output: zero with ReLU.
    let least = select(lowest, 0.0, p.relu == 1u);
    let out_h = i32(p.out_h);
    let out_channel_blocks = p.out_channel_blocks;
    let first_channel_block = p.first_channel_block + block * TILE_M;
    let pool_h = p.pool_h;
    let pool_w = p.pool_w;

    let corner = Origin(
        i32(frame / p.out_t),
        i32(frame % p.out_t * geometry.window.stride_t) - geometry.window.pad_t,
        -geometry.window.pad_h,
        i32(2u * column) * stride_w - geometry.window.pad_w,
    );

    // The lower row of the square above: its maximum, and its right value, which the lane to the right needs.
    var above: array<f32, TILE_C>;
    var above_right: array<f32, TILE_C>;
    // unroll
    for (var m = 0u; m < TILE_C; m++) {
        above[m] = lowest;
        above_right[m] = lowest;
    }

    let first_row = i32(strip * p.pool_rows);
    let end_row = i32(min((strip + 1u) * p.pool_rows, pool_h));
    for (var row = select(first_row, first_row - 1, strip + p.pool_above > 0u); row < end_row; row++) {
        var origins: array<Origin, 4>;
        var sums: array<array<f32, TILE_C>, 4>;
        // unroll
        for (var j = 0u; j < 4u; j++) {
            origins[j] = corner;
            origins[j].y += (2 * row + i32(j / 2u)) * stride_h;
            origins[j].x += i32(j % 2u) * stride_w;
        }
        // unroll
        for (var q = 0u; q < TILE_M; q++) {
            let start = bias[block * TILE_M + q];
            // unroll
            for (var j = 0u; j < 4u; j++) {
                sums[j][4u * q] = start.x;
                sums[j][4u * q + 1u] = start.y;
                sums[j][4u * q + 2u] = start.z;
                sums[j][4u * q + 3u] = start.w;
            }
        }

        var weight_row = block * kernel_t * taps * TILE_C + lane;
        for (var kt = 0u; kt < kernel_t; kt++) {
            var kh = 0u;
            var kw = 0u;
            for (var tap = 0u; tap < taps; tap++) {
                // The weights of output channel m are in register m / 8 of lane m % 8.
                var held: array<vec4<f32>, LOADS>;
                // unroll
                for (var i = 0u; i < LOADS; i++) {
                    held[i] = weight_at(weight_row + i * LANES);
                }
                var values: array<vec4<f32>, 4>;
                // unroll
                for (var j = 0u; j < 4u; j++) {
                    let channel_blocks = channel_blocks_at(geometry, origins[j], kt, kh, kw);
                    let outside = channel_blocks == OUTSIDE;
                    values[j] = select(value_at(geometry, select(channel_blocks, 0u, outside)), vec4(0.0), outside);
                }
                // unroll
                for (var m = 0u; m < TILE_C; m++) {
                    let w = subgroupBroadcast(held[m / LANES], m % LANES);
                    // unroll
                    for (var j = 0u; j < 4u; j++) {
                        let v = values[j];
                        sums[j][m] = sums[j][m] + w.x * v.x + w.y * v.y + w.z * v.z;
                    }
                }
                weight_row += TILE_C;
                kw++;
                let next_row = kw == kernel_w;
                kw = select(kw, 0u, next_row);
                kh += u32(next_row);
            }
        }

        let has_below = 2 * row + 1 < out_h;
        let has_corner = has_right && has_below;
        var pooled: array<f32, TILE_C>;
        // unroll
        for (var m = 0u; m < TILE_C; m++) {
            // Beyond the convolution's output is padding, which never wins.
            let upper = select(least, sums[0][m], sums[0][m] > least);
            let upper_right = select(lowest, select(least, sums[1][m], sums[1][m] > least), has_right);
            let lower = select(lowest, select(least, sums[2][m], sums[2][m] > least), has_below);
            let lower_right = select(lowest, select(least, sums[3][m], sums[3][m] > least), has_corner);
            let edge = max(above_right[m], max(upper_right, lower_right));
            let left = select(lowest, subgroupShuffleUp(edge, 1u), has_left);
            let square = max(max(upper, upper_right), max(lower, lower_right));
            pooled[m] = max(max(above[m], square), left);
            above[m] = max(lower, lower_right);
            above_right[m] = lower_right;
        }
        if live && row >= first_row {
            let position = (frame * pool_h + u32(row)) * pool_w + column;
            // unroll
            for (var q = 0u; q < TILE_M; q++) {
                if first_channel_block + q < out_channel_blocks {
                    output[position * out_channel_blocks + first_channel_block + q] =
                        store4(vec4(pooled[4u * q], pooled[4u * q + 1u], pooled[4u * q + 2u], pooled[4u * q + 3u]));
                }
            }
        }
    }
}
