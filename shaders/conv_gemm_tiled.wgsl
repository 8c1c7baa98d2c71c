// Implicit-GEMM convolution through workgroup memory, for GPUs.
//
// Difference from conv_gemm.wgsl: the invocations of a workgroup share what they load. Input and weights of STAGE
// k indices are staged in workgroup memory, from which all of them read.
//
// Contract: that of shared/conv_gemm.wgsl, with OPERAND_PAIRS operand pairs. With POOLS, that of
// conv_pool_subgroup.wgsl.
//
// Index map. A workgroup computes one block of 64 output channels at a position tile of POSITIONS positions. An
// invocation computes a register tile of 8 channels by TILE_N positions. A group of 64 invocations is 8 rows by 8
// columns; each further group of 64 has the next 8 * TILE_N positions:
//
//                        column 0          column 1          ..  column 7
//                        positions         positions             positions
//                        0, 8, 16, ..      1, 9, 17, ..      ..  7, 15, 23, ..
//     row 0  channels 0 .. 3, 32 .. 35     sums[j][0], sums[j][1], position column + 8 * j
//     row 1  channels 4 .. 7, 36 .. 39
//     ..
//     row 7  channels 28 .. 31, 60 .. 63
//
// Bits 0, 3 and 5 of an invocation's number are its row, bits 1, 2 and 4 its column. With SLICES of 4 the same tile has
// four times as many invocations, and each slice sums one of every four k indices. At the end the slices add up their
// sums through workgroup memory, in one order for all positions, (0 + 2) + (1 + 3), and each slice stores a quarter.
//
// With POOLS (max of 1x3x3, stride 1x2x2, padding 0x1x1) the input is a clip in planes. The 64 positions cover a patch
// of 2 * PATCH_H + 1 by 2 * PATCH_W + 1, which lies under PATCH_H by PATCH_W pooled positions. The results are pooled
// in workgroup memory. Neighbouring patches share a row or a column, which both of them compute.
//
// Grid: one workgroup for each (batch, position tile or patch, block of output channels), blocks fastest, folded into x
// and y.
//
// Workgroup memory. It has two halves: one for the stage that is computed, one for the stage that is loaded. Each half
// has a row for each of STAGE k indices:
//
//     staged_inputs   [half][k index of the stage][position, mixed]     vec4 of four input channels
//     staged_weights  [half][k index of the stage][input channel][channel block]  vec4 of four output channels
//
// In a row of inputs the lowest three bits of a position are mixed with the number of the row (mixer). So eight
// neighbours touch different banks, both when they store a stage (STAGE k indices of successive positions) and when
// they read one.
//
// Stages. Iteration n loads stage n into registers, computes the products of stage n - 1, and stores stage n into the
// other half. So loads arrive while products are computed, and one barrier for each iteration is enough. An invocation
// loads one k index of each stage at INPUTS positions; neighbours load neighbouring channels of one position. Addresses
// are computed only when the tap changes.
//
// Why this tile and this numbering: docs/performance.md, with the machine code that compilers make of them.
//
// Shared code: shared/conv_gemm.wgsl, with blocks of 16 vec4 and weights in the order of conv_gemm.wgsl. The prelude
// declares: const BLOCK_VEC4S: u32, the 16 vec4 of the output channels of a block; const POSITIONS: u32, 64 or more;
// const TILE_N: u32, 4 or 8; const HALF: u32 = TILE_N / 2 and const QUARTER: u32 = TILE_N / 4; const SLICES: u32, 1 or
// 4, and const KEPT: u32 = TILE_N / SLICES; const INVOCATIONS: u32 = 8 * POSITIONS / TILE_N * SLICES; const STAGE: u32,
// a power of two up to 8 and SLICES or more; const INPUTS: u32 = POSITIONS * STAGE / INVOCATIONS and const WEIGHTS: u32
// = 64 * STAGE / INVOCATIONS, the vec4 of input and of weights that an invocation stages; const OPERAND_PAIRS: u32, 1
// or 2; const POOLS: u32, 1 with pooling, const PATCH_H: u32 and const PATCH_W: u32; const DEPTH: u32, the channels of
// a block of four that are multiplied: all 4, or with pooling, which is for clips of up to 3 channels, 3.

// The vec4 of weights for a k index.
const ROW: u32 = 4u * BLOCK_VEC4S;
// Invocations that stage input of the same k index, each at one position in POSITION_SLOTS.
const POSITION_SLOTS: u32 = INVOCATIONS / STAGE;
// Invocations of a slice.
const SLICE_INVOCATIONS: u32 = INVOCATIONS / SLICES;

var<workgroup> staged_inputs: array<vec4<f32>, 2u * STAGE * POSITIONS>;
var<workgroup> staged_weights: array<vec4<f32>, 2u * STAGE * ROW>;

// The bits that row `k_slot` of a stage mixes into positions.
fn mixer(k_slot: u32) -> u32 {
    return k_slot * (8u / STAGE);
}

// The parameters of operand pair `pair`.
fn operand_geometry(pair: u32) -> Geometry {
    var geometry = load_geometry();
    if pair == 1u {
        geometry.window = p.second_window;
        geometry.in_channel_blocks = p.second_channel_blocks;
        geometry.group_channel_blocks = p.second_channel_blocks;
        geometry.in_t = i32(p.second_t);
        geometry.in_h = i32(p.second_h);
        geometry.in_w = i32(p.second_w);
        geometry.in_frames = geometry.in_t;
    }
    return geometry;
}

// A channel block of the input of an operand pair.
fn input_at(geometry: Geometry, pair: u32, at: u32) -> vec4<f32> {
    if pair == 1u {
        return load4(residual[at]);
    }
    return value_at(geometry, at);
}

// The number of k indices of all operand pairs: a block has weights for each of them in each batch.
fn total_k_len() -> u32 {
    var total = k_len(operand_geometry(0u));
    if OPERAND_PAIRS == 2u {
        total += k_len(operand_geometry(1u));
    }
    return total;
}

// An area of pooled positions: its frame, its first row and column.
struct Patch {
    frame: u32,
    row: u32,
    column: u32,
}

// Patch number `index`, columns fastest.
fn patch_of(index: u32) -> Patch {
    let across = (p.pool_w + PATCH_W - 1u) / PATCH_W;
    let down = (p.pool_h + PATCH_H - 1u) / PATCH_H;
    return Patch(index / (across * down), index / across % down * PATCH_H, index % across * PATCH_W);
}

// Position `index` of a patch. It may lie outside of the convolution's output, in the padding of the pooling.
fn origin_in(geometry: Geometry, area: Patch, index: u32) -> Origin {
    let y = i32(2u * area.row + index / (2u * PATCH_W + 1u)) - 1;
    let x = i32(2u * area.column + index % (2u * PATCH_W + 1u)) - 1;
    return Origin(
        i32(area.frame / p.out_t),
        i32(area.frame % p.out_t * geometry.window.stride_t) - geometry.window.pad_t,
        y * i32(geometry.window.stride_h) - geometry.window.pad_h,
        x * i32(geometry.window.stride_w) - geometry.window.pad_w,
    );
}

// The maximum under pooled position (row, column) of an area, for a channel block whose results are in workgroup
// memory.
fn pooled(area: Patch, row: u32, column: u32, channel_block: u32) -> vec4<f32> {
    var best = vec4(p.lowest);
    for (var tap = 0u; tap < 9u; tap++) {
        let y = 2u * row + tap / 3u;
        let x = 2u * column + tap % 3u;
        // Row 0 of a patch is above its first pooled row.
        let inside_y = 2u * area.row + y + p.pool_above >= 1u && 2u * area.row + y <= p.out_h;
        let inside_x = 2u * area.column + x >= 1u && 2u * area.column + x <= p.out_w;
        if inside_y && inside_x {
            let at = channel_block % 8u * POSITIONS + y * (2u * PATCH_W + 1u) + x;
            if channel_block < 8u {
                best = max(best, staged_inputs[at]);
            } else {
                best = max(best, staged_weights[at]);
            }
        }
    }
    return best;
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let tile = workgroup_tile(index, POSITIONS);
    var area = Patch();
    if POOLS == 1u {
        area = patch_of(index / p.blocks);
    }
    var slice = 0u;
    if SLICES > 1u {
        slice = local_index / SLICE_INVOCATIONS;
    }
    let index_in_slice = local_index % SLICE_INVOCATIONS;
    let group_position = index_in_slice / 64u * 8u * TILE_N;
    let row = index_in_slice % 2u + index_in_slice / 8u % 2u * 2u + index_in_slice / 32u % 2u * 4u;
    let column = index_in_slice / 2u % 4u + index_in_slice / 16u % 2u * 4u;

    var sums: array<array<vec4<f32>, 2>, TILE_N>;
    // unroll
    for (var q = 0u; q < 2u; q++) {
        let start = select(vec4(0.0), bias[tile.block * BLOCK_VEC4S + q * 8u + row], slice == 0u);
        // unroll
        for (var j = 0u; j < TILE_N; j++) {
            sums[j][q] = start;
        }
    }

    // This invocation stages k index `k_slot` of a stage at the positions position_slot + i * POSITION_SLOTS. Beyond
    // the last position it stages the last position again.
    let k_slot = local_index % STAGE;
    let position_slot = local_index / STAGE;

    var first_weight = tile.weight_block * total_k_len() * ROW;
    // unroll
    for (var pair = 0u; pair < OPERAND_PAIRS; pair++) {
        let geometry = operand_geometry(pair);
        var origins: array<Origin, INPUTS>;
        var channel_blocks: array<u32, INPUTS>;
        // unroll
        for (var i = 0u; i < INPUTS; i++) {
            if POOLS == 1u {
                origins[i] = origin_in(geometry, area, position_slot + i * POSITION_SLOTS);
            } else {
                let position = tile.first_position + position_slot + i * POSITION_SLOTS;
                origins[i] = origin_at(geometry, min(position, tile.end_position - 1u));
            }
        }
        var tap = vec3(0u);
        var channel_block = k_slot;
        var moved = true;

        let pair_k_len = k_len(geometry);
        let end_weight = pair_k_len * ROW;
        let stages = (pair_k_len + STAGE - 1u) / STAGE;
        // Iteration n loads stage n, computes the products of stage n - 1, and stores stage n.
        for (var stage = 0u; stage <= stages; stage++) {
            var loaded_inputs: array<vec4<f32>, INPUTS>;
            var loaded_weights: array<vec4<f32>, WEIGHTS>;
            if stage < stages {
                while channel_block >= geometry.in_channel_blocks {
                    channel_block -= geometry.in_channel_blocks;
                    tap.z++;
                    if tap.z == geometry.window.kernel_w {
                        tap.z = 0u;
                        tap.y++;
                        if tap.y == geometry.window.kernel_h {
                            tap.y = 0u;
                            tap.x++;
                        }
                    }
                    moved = true;
                }
                if moved {
                    // unroll
                    for (var i = 0u; i < INPUTS; i++) {
                        channel_blocks[i] = channel_blocks_at(geometry, origins[i], tap.x, tap.y, tap.z);
                    }
                    moved = false;
                }
                let within = stage * STAGE + k_slot < pair_k_len;
                // unroll
                for (var i = 0u; i < INPUTS; i++) {
                    let inside = within & (channel_blocks[i] != OUTSIDE);
                    let at = select(0u, channel_blocks[i] + channel_block, inside);
                    loaded_inputs[i] = select(vec4(0.0), input_at(geometry, pair, at), inside);
                }
                // unroll
                for (var i = 0u; i < WEIGHTS; i++) {
                    let at = stage * STAGE * ROW + i * INVOCATIONS + local_index;
                    let inside = at < end_weight;
                    loaded_weights[i] = select(vec4(0.0), weight_at(select(0u, first_weight + at, inside)), inside);
                }
                channel_block += STAGE;
            }

            if stage > 0u {
                let half = (stage - 1u) % 2u * STAGE;
                for (var n = 0u; n < STAGE / SLICES; n++) {
                    let s = n * SLICES + slice;
                    let inputs = (half + s) * POSITIONS + group_position + (column ^ mixer(s));
                    let weights = (half + s) * ROW + row;
                    var values: array<vec4<f32>, TILE_N>;
                    // unroll
                    for (var j = 0u; j < TILE_N; j++) {
                        values[j] = staged_inputs[inputs + j * 8u];
                    }
                    // unroll
                    for (var k = 0u; k < DEPTH; k++) {
                        // unroll
                        for (var q = 0u; q < 2u; q++) {
                            let weight = staged_weights[weights + k * BLOCK_VEC4S + q * 8u];
                            // unroll
                            for (var j = 0u; j < TILE_N; j++) {
                                sums[j][q] += weight * values[j][k];
                            }
                        }
                    }
                }
            }

            if stage < stages {
                let half = stage % 2u * STAGE;
                let inputs = (half + k_slot) * POSITIONS + (position_slot ^ mixer(k_slot));
                // unroll
                for (var i = 0u; i < INPUTS; i++) {
                    staged_inputs[inputs + i * POSITION_SLOTS] = loaded_inputs[i];
                }
                // unroll
                for (var i = 0u; i < WEIGHTS; i++) {
                    staged_weights[half * ROW + i * INVOCATIONS + local_index] = loaded_weights[i];
                }
            }
            workgroupBarrier(); // the next stage is stored, the one before is read
        }
        first_weight += end_weight;
    }

    var epilogue = load_epilogue();
    if POOLS == 1u {
        // unroll
        for (var j = 0u; j < TILE_N; j++) {
            let at = row * POSITIONS + group_position + j * 8u + column;
            staged_inputs[at] = rectified(epilogue, sums[j][0]);
            staged_weights[at] = rectified(epilogue, sums[j][1]);
        }
        workgroupBarrier(); // results are stored, to be pooled
        for (var item = local_index; item < BLOCK_VEC4S * PATCH_H * PATCH_W; item += INVOCATIONS) {
            let channel_block = item % BLOCK_VEC4S;
            let down = item / BLOCK_VEC4S / PATCH_W;
            let across = item / BLOCK_VEC4S % PATCH_W;
            let out_channel_block = epilogue.first_channel_block + tile.block * BLOCK_VEC4S + channel_block;
            let inside = area.row + down < p.pool_h && area.column + across < p.pool_w;
            if inside && out_channel_block < epilogue.out_channel_blocks {
                let position = (area.frame * p.pool_h + area.row + down) * p.pool_w + area.column + across;
                let at = position * epilogue.out_channel_blocks + out_channel_block;
                output[at] = store4(pooled(area, down, across, channel_block));
            }
        }
        return;
    }
    if SLICES == 4u {
        // The first two slices get one half of the positions, the other two the other half.
        let half_offset = slice % 2u * HALF * SLICE_INVOCATIONS + index_in_slice;
        // unroll
        for (var q = 0u; q < 2u; q++) {
            if slice < 2u {
                // unroll
                for (var j = 0u; j < HALF; j++) {
                    staged_inputs[half_offset + j * SLICE_INVOCATIONS] = sums[HALF + j][q];
                }
            } else {
                // unroll
                for (var j = 0u; j < HALF; j++) {
                    staged_weights[half_offset + j * SLICE_INVOCATIONS] = sums[j][q];
                    sums[j][q] = sums[HALF + j][q];
                }
            }
            workgroupBarrier(); // halves of the sums are stored
            // unroll
            for (var j = 0u; j < HALF; j++) {
                if slice < 2u {
                    sums[j][q] += staged_weights[half_offset + j * SLICE_INVOCATIONS];
                } else {
                    sums[j][q] += staged_inputs[half_offset + j * SLICE_INVOCATIONS];
                }
            }
            workgroupBarrier(); // halves of the sums are read
        }
        // Of two slices with the same half, one gets the first of its two quarters, the other the second.
        let quarter_offset = slice / 2u * 2u * QUARTER * SLICE_INVOCATIONS + index_in_slice;
        // unroll
        for (var q = 0u; q < 2u; q++) {
            // unroll
            for (var j = 0u; j < QUARTER; j++) {
                if slice % 2u == 0u {
                    staged_inputs[quarter_offset + (q * QUARTER + j) * SLICE_INVOCATIONS] = sums[QUARTER + j][q];
                } else {
                    staged_weights[quarter_offset + (q * QUARTER + j) * SLICE_INVOCATIONS] = sums[j][q];
                    sums[j][q] = sums[QUARTER + j][q];
                }
            }
        }
        workgroupBarrier(); // quarters of the sums are stored
        // unroll
        for (var q = 0u; q < 2u; q++) {
            // unroll
            for (var j = 0u; j < QUARTER; j++) {
                if slice % 2u == 0u {
                    sums[j][q] += staged_weights[quarter_offset + (q * QUARTER + j) * SLICE_INVOCATIONS];
                } else {
                    sums[j][q] += staged_inputs[quarter_offset + (q * QUARTER + j) * SLICE_INVOCATIONS];
                }
            }
        }
    }
    let kept = tile.first_position + group_position + slice * KEPT * 8u + column;
    if epilogue.add_residual {
        // All residuals are loaded here, so that they wait for memory together. In `store` each would wait separately.
        // unroll
        for (var j = 0u; j < KEPT; j++) {
            // unroll
            for (var q = 0u; q < 2u; q++) {
                let position = kept + j * 8u;
                let channel_block = epilogue.first_channel_block + tile.block * BLOCK_VEC4S + q * 8u + row;
                let inside = (position < tile.end_position) & (channel_block < epilogue.out_channel_blocks);
                let at = select(0u, position * epilogue.out_channel_blocks + channel_block, inside);
                sums[j][q] += load4(residual[at]);
            }
        }
        epilogue.add_residual = false;
    }
    // unroll
    for (var j = 0u; j < KEPT; j++) {
        // unroll
        for (var q = 0u; q < 2u; q++) {
            store(epilogue, kept + j * 8u, tile.end_position, tile.block * BLOCK_VEC4S + q * 8u + row, sums[j][q]);
        }
    }
}
