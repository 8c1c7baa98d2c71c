// Implicit-GEMM convolution from registers: no workgroup memory, no barriers, no subgroups.
//
// Difference from conv_direct.wgsl: the convolution is computed as a matrix product (shared/conv_gemm.wgsl),
// output channels by positions, summed over k indices. A k index is a tap and a channel block of four input channels.
// So input is loaded as vec4, and positions need not be neighbours in a row. conv_gemm_tiled.wgsl is the next step.
//
// Contract: that of shared/conv_gemm.wgsl.
//
// Index map. A workgroup computes one block of 4 * TILE_M output channels at a position tile of INVOCATIONS * TILE_N
// positions. An invocation computes all channels of the block at TILE_N of the positions, INVOCATIONS apart:
//
//     invocation       0     1    ..  63    0     1    ..
//     position  first + 0    1    ..  63    64    65   ..
//     sums[j]          j = 0                j = 1
//
// Grid: one workgroup for each (batch, position tile, block of output channels), blocks fastest, folded into x and y.
//
// Layouts: those of shared/conv_gemm.wgsl. For each k index there are TILE_M vec4 of weights for the first of its input
// channels, then for its second, and so on; their components are output channels.
//
// Why. A loaded weight serves TILE_N products and a loaded input value 4 * TILE_M, with nothing shared between
// invocations. It is for software adapters without subgroups, and for every adapter that offers nothing better.
//
// Shared code: shared/conv_gemm.wgsl. The prelude declares: const TILE_M: u32, const TILE_N: u32, const INVOCATIONS:
// u32.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let tile = workgroup_tile(index, INVOCATIONS * TILE_N);
    let first = tile.first_position + local_index;

    var sums: array<array<vec4<f32>, TILE_M>, TILE_N>;
    // unroll
    for (var q = 0u; q < TILE_M; q++) {
        // Read once: drivers would read it again at every use.
        let start = bias[tile.block * TILE_M + q];
        // unroll
        for (var j = 0u; j < TILE_N; j++) {
            sums[j][q] = start;
        }
    }

    let geometry = load_geometry();
    var row = tile.weight_block * k_len(geometry) * 4u * TILE_M;
    var origins: array<Origin, TILE_N>;
    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // Beyond the last position, the last position is computed again and not stored.
        origins[j] = origin_at(geometry, min(first + j * INVOCATIONS, tile.end_position - 1u));
    }
    let end_channel_block = tile.first_channel_block + geometry.group_channel_blocks;
    for (var kt = 0u; kt < geometry.window.kernel_t; kt++) {
        for (var kh = 0u; kh < geometry.window.kernel_h; kh++) {
            for (var kw = 0u; kw < geometry.window.kernel_w; kw++) {
                var channel_blocks: array<u32, TILE_N>;
                // unroll
                for (var j = 0u; j < TILE_N; j++) {
                    channel_blocks[j] = channel_blocks_at(geometry, origins[j], kt, kh, kw);
                }
                for (var c = tile.first_channel_block; c < end_channel_block; c++) {
                    var values: array<vec4<f32>, TILE_N>;
                    // unroll
                    for (var j = 0u; j < TILE_N; j++) {
                        let outside = channel_blocks[j] == OUTSIDE;
                        let at = select(channel_blocks[j] + c, 0u, outside);
                        values[j] = select(value_at(geometry, at), vec4(0.0), outside);
                    }
                    // unroll
                    for (var k = 0u; k < 4u; k++) {
                        // unroll
                        for (var q = 0u; q < TILE_M; q++) {
                            let weight = weight_at(row + k * TILE_M + q);
                            // unroll
                            for (var j = 0u; j < TILE_N; j++) {
                                sums[j][q] += weight * values[j][k];
                            }
                        }
                    }
                    row += 4u * TILE_M;
                }
            }
        }
    }

    let epilogue = load_epilogue();
    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // unroll
        for (var q = 0u; q < TILE_M; q++) {
            store(epilogue, first + j * INVOCATIONS, tile.end_position, tile.block * TILE_M + q, sums[j][q]);
        }
    }
}
