// Implicit-GEMM convolution from registers, the weights loaded once for a subgroup of eight and broadcast.
//
// For software adapters whose subgroups are eight lanes, where a loaded component costs as much as some thirty
// multiply-adds and a broadcast as much as six. A workgroup is one subgroup. Every invocation computes a tile of
// 4 * TILE_M output channels by TILE_N output positions, eight positions apart; the eight together load the 4 * 4 *
// TILE_M weights that one quad of input channels needs.
//
// Grid: one workgroup for each (run of 8 * TILE_N positions, block of output channels), blocks fastest, folded into x
// and y. Shared code: shared/conv_gemm.wgsl. The prelude declares: const TILE_M: u32, const TILE_N: u32, const LOADS: u32 =
// TILE_M / 2, the vectors of weights that a lane loads for a quad of input channels.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let block = index % p.blocks;
    let first = index / p.blocks * (8u * TILE_N) + lane;

    var origins: array<Origin, TILE_N>;
    var sums: array<array<vec4<f32>, TILE_M>, TILE_N>;
    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // Beyond the last position the last is computed once more, and not stored.
        origins[j] = origin_at(min(first + j * 8u, p.positions - 1u));
        // unroll
        for (var q = 0u; q < TILE_M; q++) {
            sums[j][q] = bias[block * TILE_M + q];
        }
    }

    var row = block * p.window.kernel_t * p.window.kernel_h * p.window.kernel_w * p.in_quads * 4u * TILE_M;
    for (var kt = 0u; kt < p.window.kernel_t; kt++) {
        for (var kh = 0u; kh < p.window.kernel_h; kh++) {
            for (var kw = 0u; kw < p.window.kernel_w; kw++) {
                var quads: array<u32, TILE_N>;
                // unroll
                for (var j = 0u; j < TILE_N; j++) {
                    quads[j] = quads_at(origins[j], kt, kh, kw);
                }
                for (var c = 0u; c < p.in_quads; c++) {
                    // The weights of this quad: vector v is in register v / 8 of lane v % 8.
                    var held: array<vec4<f32>, LOADS>;
                    // unroll
                    for (var i = 0u; i < LOADS; i++) {
                        held[i] = weights[row + i * 8u + lane];
                    }
                    var values: array<vec4<f32>, TILE_N>;
                    // unroll
                    for (var j = 0u; j < TILE_N; j++) {
                        let outside = quads[j] == OUTSIDE;
                        values[j] = select(input[select(quads[j] + c, 0u, outside)], vec4(0.0), outside);
                    }
                    // unroll
                    for (var k = 0u; k < 4u; k++) {
                        // unroll
                        for (var q = 0u; q < TILE_M; q++) {
                            let weight = subgroupBroadcast(held[(k * TILE_M + q) / 8u], (k * TILE_M + q) % 8u);
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

    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // unroll
        for (var q = 0u; q < TILE_M; q++) {
            store(first + j * 8u, block * TILE_M + q, sums[j][q]);
        }
    }
}
