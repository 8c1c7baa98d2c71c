// Implicit-GEMM convolution through workgroup memory, for GPUs.
//
// What it changes over conv_gemm.wgsl: the invocations of a workgroup share what they load. Input and weights of STAGE k
// indices are staged in workgroup memory, from which all of them read.
//
// Contract: that of shared/conv_gemm.wgsl. With POOLS, that of conv_pool_subgroup.wgsl.
//
// Index map. A workgroup computes one block of 64 output channels at a run of POSITIONS positions, in tiles of 8 channels by
// EACH positions. 64 invocations are 8 rows by 8 columns; further 64 have further positions:
//
//                        column 0          column 1          ..  column 7
//                        positions         positions             positions
//                        0, 8, 16, ..      1, 9, 17, ..      ..  7, 15, 23, ..
//     row 0  channels 0 .. 3, 32 .. 35     sums[j][0], sums[j][1], position column + 8 * j
//     row 1  channels 4 .. 7, 36 .. 39
//     ..
//     row 7  channels 28 .. 31, 60 .. 63
//
// Bits 0, 3 and 5 of an invocation's number are its row, bits 1, 2 and 4 its column. With SLICES of 4 there are four times
// as many invocations for the same tile; each slice has one of every four k indices. In the end the slices add up their sums
// through workgroup memory, in one order for all positions, (0 + 2) + (1 + 3), and each stores a quarter.
//
// With POOLS (max of 1x3x3, stride 1x2x2, padding 0x1x1) the input is a clip in planes, and the 64 positions are a patch of
// 2 * PATCH_H + 1 by 2 * PATCH_W + 1 of them, above PATCH_H by PATCH_W pooled ones; the results are pooled in workgroup
// memory. Neighbours compute the row and the column between them twice.
//
// Grid: one workgroup for each (batch, run of POSITIONS positions or patch, block of output channels), blocks fastest,
// folded into x and y.
//
// Workgroup memory. Two halves, for the stage at hand and the one on its way, of a row for each of STAGE k indices:
//
//     staged_inputs   [half][k index of the stage][position, mixed]     vec4 of four input channels
//     staged_weights  [half][k index of the stage][input channel][channel block]  vec4 of four output channels
//
// In a row of inputs the lowest three bits of a position are mixed with the number of the row (mixer): eight neighbours
// touch no bank twice, neither when they store a stage (STAGE k indices of successive positions) nor when they read one.
//
// Stages. Round n loads stage n into registers, computes the products of stage n - 1, and stores stage n into the other
// half: loads have all that time to arrive, and one barrier a round is enough. An invocation loads one k index of each
// stage at INPUTS positions; neighbours load neighbouring channels of one position. Addresses are computed only where the
// tap has changed.
//
// Why this tile and this numbering: docs/performance.md, with what compilers make of it.
//
// Shared code: shared/conv_gemm.wgsl, with blocks of 16 vec4 and weights in the order of conv_gemm.wgsl. The prelude
// declares: const BLOCK_VEC4S: u32, the 16 vec4 of the output channels of a block; const POSITIONS: u32, 64 or more; const
// EACH: u32, 4 or 8; const HALF: u32 = EACH / 2 and const QUARTER: u32 = EACH / 4; const SLICES: u32, 1 or 4, and const
// KEPT: u32 = EACH / SLICES; const LANES: u32 = 8 * POSITIONS / EACH * SLICES, the invocations; const STAGE: u32, a power of
// two up to 8 and SLICES or more; const INPUTS: u32 = POSITIONS * STAGE / LANES and const WEIGHTS: u32 = 64 * STAGE / LANES,
// the vec4 of input and of weights that an invocation stages; const TERMS: u32; const POOLS: u32, 1 with pooling, const
// PATCH_H: u32 and const PATCH_W: u32; const DEPTH: u32, the channels of a block of four that are multiplied: all 4, or
// with pooling, which is for clips of up to 3 channels, 3.

// vec4 of weights for a k index.
const ROW: u32 = 4u * BLOCK_VEC4S;
const SPOTS: u32 = LANES / STAGE;
// Invocations of a slice.
const SLICE: u32 = LANES / SLICES;

var<workgroup> staged_inputs: array<vec4<f32>, 2u * STAGE * POSITIONS>;
var<workgroup> staged_weights: array<vec4<f32>, 2u * STAGE * ROW>;

// What entry number `slot` of a stage mixes into positions.
fn mixer(slot: u32) -> u32 {
    return slot * (8u / STAGE);
}

// An area of pooled positions: its frame, its first row and column.
struct Patch {
    frame: u32,
    row: u32,
    column: u32,
}

// Patch number `run`, columns fastest.
fn patch_of(run: u32) -> Patch {
    let across = (p.pool_w + PATCH_W - 1u) / PATCH_W;
    let down = (p.pool_h + PATCH_H - 1u) / PATCH_H;
    return Patch(run / (across * down), run / across % down * PATCH_H, run % across * PATCH_W);
}

// The position of that number in a patch; it may be outside of the convolution's output, in the padding of the pooling.
fn origin_in(own: Field, area: Patch, index: u32) -> Origin {
    let y = i32(2u * area.row + index / (2u * PATCH_W + 1u)) - 1;
    let x = i32(2u * area.column + index % (2u * PATCH_W + 1u)) - 1;
    return Origin(
        i32(area.frame / p.out_t),
        i32(area.frame % p.out_t * own.window.stride_t) - own.window.pad_t,
        y * i32(own.window.stride_h) - own.window.pad_h,
        x * i32(own.window.stride_w) - own.window.pad_w,
    );
}

// The maximum below pooled position (row, column) of an area, of a quad whose results are in workgroup memory.
fn pooled(area: Patch, row: u32, column: u32, quad: u32) -> vec4<f32> {
    var best = vec4(p.lowest);
    for (var tap = 0u; tap < 9u; tap++) {
        let y = 2u * row + tap / 3u;
        let x = 2u * column + tap % 3u;
        // Row 0 of a patch is above its first pooled row.
        let inside_y = 2u * area.row + y + p.pool_above >= 1u && 2u * area.row + y <= p.out_h;
        let inside_x = 2u * area.column + x >= 1u && 2u * area.column + x <= p.out_w;
        if inside_y && inside_x {
            let at = quad % 8u * POSITIONS + y * (2u * PATCH_W + 1u) + x;
            if quad < 8u {
                best = max(best, staged_inputs[at]);
            } else {
                best = max(best, staged_weights[at]);
            }
        }
    }
    return best;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let part = part_of(index, POSITIONS);
    var area = Patch();
    if POOLS == 1u {
        area = patch_of(index / p.blocks);
    }
    var slice = 0u;
    if SLICES > 1u {
        slice = lane / SLICE;
    }
    let place = lane % SLICE;
    let run = place / 64u * 8u * EACH;
    let row = place % 2u + place / 8u % 2u * 2u + place / 32u % 2u * 4u;
    let column = place / 2u % 4u + place / 16u % 2u * 4u;

    var sums: array<array<vec4<f32>, 2>, EACH>;
    // unroll
    for (var q = 0u; q < 2u; q++) {
        let start = select(vec4(0.0), bias[part.block * BLOCK_VEC4S + q * 8u + row], slice == 0u);
        // unroll
        for (var j = 0u; j < EACH; j++) {
            sums[j][q] = start;
        }
    }

    // What this invocation stages: entry `slot` at the positions spot + i * SPOTS. Beyond the last position the last is
    // staged once more.
    let slot = lane % STAGE;
    let spot = lane / STAGE;

    var weights_first = part.weights * all_entries() * ROW;
    // unroll
    for (var term = 0u; term < TERMS; term++) {
        let own = field(term);
        var origins: array<Origin, INPUTS>;
        var quads: array<u32, INPUTS>;
        // unroll
        for (var i = 0u; i < INPUTS; i++) {
            if POOLS == 1u {
                origins[i] = origin_in(own, area, spot + i * SPOTS);
            } else {
                origins[i] = origin_at(own, min(part.first + spot + i * SPOTS, part.end - 1u));
            }
        }
        var tap = vec3(0u);
        var quad = slot;
        var moved = true;

        let entries = entries_of(own);
        let weights_end = entries * ROW;
        let stages = (entries + STAGE - 1u) / STAGE;
        // Round n loads stage n, computes the products of stage n - 1, and stores stage n.
        for (var stage = 0u; stage <= stages; stage++) {
            var loaded_inputs: array<vec4<f32>, INPUTS>;
            var loaded_weights: array<vec4<f32>, WEIGHTS>;
            if stage < stages {
                while quad >= own.in_quads {
                    quad -= own.in_quads;
                    tap.z++;
                    if tap.z == own.window.kernel_w {
                        tap.z = 0u;
                        tap.y++;
                        if tap.y == own.window.kernel_h {
                            tap.y = 0u;
                            tap.x++;
                        }
                    }
                    moved = true;
                }
                if moved {
                    // unroll
                    for (var i = 0u; i < INPUTS; i++) {
                        quads[i] = quads_at(own, origins[i], tap.x, tap.y, tap.z);
                    }
                    moved = false;
                }
                let within = stage * STAGE + slot < entries;
                // unroll
                for (var i = 0u; i < INPUTS; i++) {
                    let inside = within & (quads[i] != OUTSIDE);
                    loaded_inputs[i] = select(vec4(0.0), input_at(own, term, select(0u, quads[i] + quad, inside)), inside);
                }
                // unroll
                for (var i = 0u; i < WEIGHTS; i++) {
                    let at = stage * STAGE * ROW + i * LANES + lane;
                    let inside = at < weights_end;
                    loaded_weights[i] = select(vec4(0.0), weight_at(select(0u, weights_first + at, inside)), inside);
                }
                quad += STAGE;
            }

            if stage > 0u {
                let half = (stage - 1u) % 2u * STAGE;
                for (var n = 0u; n < STAGE / SLICES; n++) {
                    let s = n * SLICES + slice;
                    let inputs = (half + s) * POSITIONS + run + (column ^ mixer(s));
                    let weights = (half + s) * ROW + row;
                    var values: array<vec4<f32>, EACH>;
                    // unroll
                    for (var j = 0u; j < EACH; j++) {
                        values[j] = staged_inputs[inputs + j * 8u];
                    }
                    // unroll
                    for (var k = 0u; k < DEPTH; k++) {
                        // unroll
                        for (var q = 0u; q < 2u; q++) {
                            let weight = staged_weights[weights + k * BLOCK_VEC4S + q * 8u];
                            // unroll
                            for (var j = 0u; j < EACH; j++) {
                                sums[j][q] += weight * values[j][k];
                            }
                        }
                    }
                }
            }

            if stage < stages {
                let half = stage % 2u * STAGE;
                let inputs = (half + slot) * POSITIONS + (spot ^ mixer(slot));
                // unroll
                for (var i = 0u; i < INPUTS; i++) {
                    staged_inputs[inputs + i * SPOTS] = loaded_inputs[i];
                }
                // unroll
                for (var i = 0u; i < WEIGHTS; i++) {
                    staged_weights[half * ROW + i * LANES + lane] = loaded_weights[i];
                }
            }
            workgroupBarrier();
        }
        weights_first += weights_end;
    }

    var last = epilogue();
    if POOLS == 1u {
        // unroll
        for (var j = 0u; j < EACH; j++) {
            let at = row * POSITIONS + run + j * 8u + column;
            staged_inputs[at] = rectified(last, sums[j][0]);
            staged_weights[at] = rectified(last, sums[j][1]);
        }
        workgroupBarrier();
        for (var item = lane; item < BLOCK_VEC4S * PATCH_H * PATCH_W; item += LANES) {
            let quad = item % BLOCK_VEC4S;
            let down = item / BLOCK_VEC4S / PATCH_W;
            let across = item / BLOCK_VEC4S % PATCH_W;
            let out_quad = last.first_quad + part.block * BLOCK_VEC4S + quad;
            if area.row + down < p.pool_h && area.column + across < p.pool_w && out_quad < last.out_quads {
                let position = (area.frame * p.pool_h + area.row + down) * p.pool_w + area.column + across;
                output[position * last.out_quads + out_quad] = store4(pooled(area, down, across, quad));
            }
        }
        return;
    }
    if SLICES == 4u {
        // The first two slices get one half of the positions, the others the other.
        let mine = slice % 2u * HALF * SLICE + place;
        // unroll
        for (var q = 0u; q < 2u; q++) {
            if slice < 2u {
                // unroll
                for (var j = 0u; j < HALF; j++) {
                    staged_inputs[mine + j * SLICE] = sums[HALF + j][q];
                }
            } else {
                // unroll
                for (var j = 0u; j < HALF; j++) {
                    staged_weights[mine + j * SLICE] = sums[j][q];
                    sums[j][q] = sums[HALF + j][q];
                }
            }
            workgroupBarrier();
            // unroll
            for (var j = 0u; j < HALF; j++) {
                if slice < 2u {
                    sums[j][q] += staged_weights[mine + j * SLICE];
                } else {
                    sums[j][q] += staged_inputs[mine + j * SLICE];
                }
            }
            workgroupBarrier();
        }
        // Of each pair one gets the first quarter, the other the second.
        let ours = slice / 2u * 2u * QUARTER * SLICE + place;
        // unroll
        for (var q = 0u; q < 2u; q++) {
            // unroll
            for (var j = 0u; j < QUARTER; j++) {
                if slice % 2u == 0u {
                    staged_inputs[ours + (q * QUARTER + j) * SLICE] = sums[QUARTER + j][q];
                } else {
                    staged_weights[ours + (q * QUARTER + j) * SLICE] = sums[j][q];
                    sums[j][q] = sums[QUARTER + j][q];
                }
            }
        }
        workgroupBarrier();
        // unroll
        for (var q = 0u; q < 2u; q++) {
            // unroll
            for (var j = 0u; j < QUARTER; j++) {
                if slice % 2u == 0u {
                    sums[j][q] += staged_weights[ours + (q * QUARTER + j) * SLICE];
                } else {
                    sums[j][q] += staged_inputs[ours + (q * QUARTER + j) * SLICE];
                }
            }
        }
    }
    let kept = part.first + run + slice * KEPT * 8u + column;
    if last.add_residual {
        // All are loaded here and wait for memory together, where each in `store` would wait for itself.
        // unroll
        for (var j = 0u; j < KEPT; j++) {
            // unroll
            for (var q = 0u; q < 2u; q++) {
                let position = kept + j * 8u;
                let quad = last.first_quad + part.block * BLOCK_VEC4S + q * 8u + row;
                let inside = (position < part.end) & (quad < last.out_quads);
                sums[j][q] += load4(residual[select(0u, position * last.out_quads + quad, inside)]);
            }
        }
        last.add_residual = false;
    }
    // unroll
    for (var j = 0u; j < KEPT; j++) {
        // unroll
        for (var q = 0u; q < 2u; q++) {
            store(last, kept + j * 8u, part.end, part.block * BLOCK_VEC4S + q * 8u + row, sums[j][q]);
        }
    }
}
