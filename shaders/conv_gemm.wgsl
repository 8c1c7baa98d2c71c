// Implicit-GEMM convolution from registers: no workgroup memory, no barriers, no subgroups.
//
// What it changes over conv_direct.wgsl: the convolution is taken as a matrix product (shared/conv_gemm.wgsl), output
// channels by positions, summed over k indices: a tap, and a block of four input channels. So input is loaded as vec4, and
// positions need not be neighbours in a row. conv_gemm_tiled.wgsl is the next step.
//
// Contract: that of shared/conv_gemm.wgsl.
//
// Index map. A workgroup computes one block of 4 * TILE_M output channels at a run of INVOCATIONS * TILE_N positions. An
// invocation has all channels of the block at TILE_N of the positions, INVOCATIONS apart:
//
//     invocation       0     1    ..  63    0     1    ..
//     position  first + 0    1    ..  63    64    65   ..
//     sums[j]          j = 0                j = 1
//
// Grid: one workgroup for each (batch, run of positions, block of output channels), blocks fastest, folded into x and y.
//
// Layouts: those of shared/conv_gemm.wgsl. For each k index there are TILE_M vec4 of weights for the first of its input
// channels, then for its second, and so on; their components are output channels.
//
// Why. A loaded weight serves TILE_N products and a loaded input value 4 * TILE_M, with nothing shared between invocations:
// for software adapters without subgroups, and wherever nothing better is offered.
//
// Shared code: shared/conv_gemm.wgsl. The prelude declares: const TILE_M: u32, const TILE_N: u32, const INVOCATIONS: u32,
// const TERMS: u32.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let part = part_of(index, INVOCATIONS * TILE_N);
    let first = part.first + lane;

    var sums: array<array<vec4<f32>, TILE_M>, TILE_N>;
    // unroll
    for (var q = 0u; q < TILE_M; q++) {
        // Read once: drivers read it anew wherever it stands.
        let start = bias[part.block * TILE_M + q];
        // unroll
        for (var j = 0u; j < TILE_N; j++) {
            sums[j][q] = start;
        }
    }

    var row = part.weights * all_entries() * 4u * TILE_M;
    // unroll
    for (var term = 0u; term < TERMS; term++) {
        let own = field(term);
        var origins: array<Origin, TILE_N>;
        // unroll
        for (var j = 0u; j < TILE_N; j++) {
            // Beyond the last position the last is computed once more, and not stored.
            origins[j] = origin_at(own, min(first + j * INVOCATIONS, part.end - 1u));
        }
        for (var kt = 0u; kt < own.window.kernel_t; kt++) {
            for (var kh = 0u; kh < own.window.kernel_h; kh++) {
                for (var kw = 0u; kw < own.window.kernel_w; kw++) {
                    var quads: array<u32, TILE_N>;
                    // unroll
                    for (var j = 0u; j < TILE_N; j++) {
                        quads[j] = quads_at(own, origins[j], kt, kh, kw);
                    }
                    for (var c = part.in_quad; c < part.in_quad + own.group_quads; c++) {
                        var values: array<vec4<f32>, TILE_N>;
                        // unroll
                        for (var j = 0u; j < TILE_N; j++) {
                            let outside = quads[j] == OUTSIDE;
                            values[j] = select(input_at(own, term, select(quads[j] + c, 0u, outside)), vec4(0.0), outside);
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
    }

    let last = epilogue();
    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // unroll
        for (var q = 0u; q < TILE_M; q++) {
            store(last, first + j * INVOCATIONS, part.end, part.block * TILE_M + q, sums[j][q]);
        }
    }
}
