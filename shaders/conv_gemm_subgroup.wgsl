// Implicit-GEMM convolution from registers, the weights loaded once for a subgroup of eight and broadcast.
//
// Difference from conv_gemm.wgsl: a workgroup is one subgroup of LANES lanes. Together they load the weights of a
// k index and broadcast them to each other; in conv_gemm.wgsl every invocation loads all of them.
//
// Contract: that of shared/conv_gemm.wgsl.
//
// Index map. A workgroup computes one block of TILE_C output channels at a position tile of LANES * TILE_N positions. A
// lane computes all channels of the block at TILE_N of the positions, LANES apart; lane l holds the weights of output
// channels l, l + 8, ..:
//
//     lane              0            1            ..   7
//     holds weights of  channel 0    channel 1    ..   channel 7      held[0]
//                       channel 8    channel 9    ..   channel 15     held[1]
//     has positions     first        first + 1    ..   first + 7      sums[0]
//                       first + 8    first + 9    ..   first + 15     sums[1]
//
// Grid: one workgroup for each (batch, position tile, block of output channels), blocks fastest, folded into x and y.
//
// Layouts: those of shared/conv_gemm.wgsl. For each k index there are TILE_C vec4 of weights, one for each output
// channel, whose components are the four input channels.
//
// Why. It is for software adapters whose subgroups have eight lanes: there a load costs about as much as a hundred
// multiply-adds, a broadcast as much as two. There are more sums than registers, so the four products of a sum are in
// one expression: each sum is fetched and put back once for each k index.
//
// Shared code: shared/conv_gemm.wgsl. The prelude declares: const TILE_M: u32, const TILE_N: u32, const TILE_C: u32 =
// 4 * TILE_M, const LANES: u32, const LOADS: u32 = TILE_C / LANES.

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let tile = workgroup_tile(index, LANES * TILE_N);
    let first = tile.first_position + lane;

    var sums: array<array<f32, TILE_C>, TILE_N>;
    // unroll
    for (var q = 0u; q < TILE_M; q++) {
        let start = bias[tile.block * TILE_M + q];
        // unroll
        for (var j = 0u; j < TILE_N; j++) {
            sums[j][4u * q] = start.x;
            sums[j][4u * q + 1u] = start.y;
            sums[j][4u * q + 2u] = start.z;
            sums[j][4u * q + 3u] = start.w;
        }
    }

    let geometry = load_geometry();
    var row = tile.weight_block * k_len(geometry) * TILE_C + lane;
    let kernel_t = geometry.window.kernel_t;
    let kernel_h = geometry.window.kernel_h;
    let kernel_w = geometry.window.kernel_w;
    let first_channel_block = tile.first_channel_block;
    let end_channel_block = first_channel_block + geometry.group_channel_blocks;
    var origins: array<Origin, TILE_N>;
    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // Beyond the last position, the last position is computed again and not stored.
        origins[j] = origin_at(geometry, min(first + j * LANES, tile.end_position - 1u));
    }
    let frame_k_len = kernel_h * kernel_w * geometry.group_channel_blocks;
    for (var kt = 0u; kt < kernel_t; kt++) {
        // One loop over height, width and channels: each further loop around it would fetch and put back all the sums.
        var kh = 0u;
        var kw = 0u;
        var c = first_channel_block;
        for (var k_index = 0u; k_index < frame_k_len; k_index++) {
            // The weights of output channel m are in register m / 8 of lane m % 8.
            var held: array<vec4<f32>, LOADS>;
            // unroll
            for (var i = 0u; i < LOADS; i++) {
                held[i] = weight_at(row + i * LANES);
            }
            var values: array<vec4<f32>, TILE_N>;
            // unroll
            for (var j = 0u; j < TILE_N; j++) {
                let channel_blocks = channel_blocks_at(geometry, origins[j], kt, kh, kw);
                let outside = channel_blocks == OUTSIDE;
                values[j] = select(value_at(geometry, select(channel_blocks + c, 0u, outside)), vec4(0.0), outside);
            }
            // unroll
            for (var m = 0u; m < TILE_C; m++) {
                let w = subgroupBroadcast(held[m / LANES], m % LANES);
                // unroll
                for (var j = 0u; j < TILE_N; j++) {
                    let v = values[j];
                    sums[j][m] = sums[j][m] + w.x * v.x + w.y * v.y + w.z * v.z + w.w * v.w;
                }
            }
            row += TILE_C;
            c++;
            let next_column = c == end_channel_block;
            c = select(c, first_channel_block, next_column);
            kw += u32(next_column);
            let next_row = kw == kernel_w;
            kw = select(kw, 0u, next_row);
            kh += u32(next_row);
        }
    }

    let epilogue = load_epilogue();
    // unroll
    for (var j = 0u; j < TILE_N; j++) {
        // unroll
        for (var q = 0u; q < TILE_M; q++) {
            let sum = vec4(sums[j][4u * q], sums[j][4u * q + 1u], sums[j][4u * q + 2u], sums[j][4u * q + 3u]);
            store(epilogue, first + j * LANES, tile.end_position, tile.block * TILE_M + q, sum);
        }
    }
}
