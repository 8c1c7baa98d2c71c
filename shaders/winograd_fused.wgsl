// Winograd convolution F(2x2, 3x3) in one dispatch, through workgroup memory, for GPUs: no value of the Winograd domain
// ever reaches memory.
//
// Contract: that of shared/conv_gemm.wgsl for one operand pair, without groups, for 3x3 taps side by side with stride 1
// in height and width and any window in time.
//
// Index map. A workgroup computes 32 output channels of TILES tiles: the 16 products of every tile, each summed over
// input channels and over the taps in time. 16 invocations compute each product, in 4 rows by 4 columns:
//
//     invocations  0 .. 15    product 0         column 0         ..   column 3
//                  16 .. 31   product 1         tiles 0, 4, ..   ..   tiles 3, 7, ..
//                  ..                   row 0   channels 0 .. 3, 16 .. 19
//                  240 .. 255 product 15        ..
//                                       row 3   channels 12 .. 15, 28 .. 31
//
// sums[j][q] is tile column + 4 * j and channel block row + 4 * q. Bits 0 and 3 of an invocation's number are its row,
// bits 1 and 2 its column.
//
// Grid: one workgroup for each (TILES tiles, block of output channels), blocks fastest, folded into x and y; tiles are
// counted through all frames, row by row.
//
// Workgroup memory. While products are summed: 16 rows of TILES vec4, the values of the domain, then 16 rows of 32
// vec4, the weights. Rows are multiples of 128 bytes apart. In odd rows the two halves of every eight vec4 are
// exchanged, so that invocations of neighbouring products touch different banks. In the epilogue: the products of eight
// tiles.
//
// Stages. A stage is one k index (tap in time, input channel block). Its loads begin before the products of the
// previous stage are computed. INPUT_INVOCATIONS invocations load input and transform it: a column of the transform is
// the sum or difference of two columns of a tile, so each of four invocations loads two columns and produces four
// values of the domain. WEIGHT_INVOCATIONS further invocations load weights, which were transformed on the host. In the
// epilogue the products of eight tiles at a time go through workgroup memory to the invocations that need them: one for
// each (output pixel of a tile, tile, channel block), which adds up its nine products.
//
// Why this tile and this numbering: docs/performance.md, with the machine code that compilers make of them.
//
// Layouts, in channel blocks of four padded with zeros. input, residual, output: NTHWC. weights: [block of 32 output
// channels][tap in time][input channel block][value of the tile, row-major][channel of the channel block] of 8 vec4.
// bias: [block] of 8 vec4. A dispatch may cover a range of the blocks.
//
// Shared code: shared/window.wgsl, shared/four_channels.wgsl, shared/winograd_2x2.wgsl. The prelude declares:
// const INVOCATIONS: u32; const WEIGHTS: u32, the vec4 of the weights of a stage; const INVOCATION_TILES: u32, 4 or 8;
// const EPILOGUE_STEPS: u32 = INVOCATION_TILES / 2; const TILES: u32 = 4 * INVOCATION_TILES.

struct Params {
    window: Window,
    // Columns of the folded grid; workgroups with work.
    grid_x: u32,
    workgroups: u32,
    // Blocks of output channels.
    blocks: u32,
    // Tiles of all frames; rows and columns of tiles in a frame.
    tiles: u32,
    tiles_h: u32,
    tiles_w: u32,
    // The row of the output where the first tile begins.
    first_row: u32,

    in_channel_blocks: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_channel_blocks: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // The first output channel block of this dispatch. The bound weights and bias begin there.
    first_channel_block: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// Without a residual the bias is bound here and never read.
@group(0) @binding(4) var<storage, read> residual: array<Value4>;
@group(0) @binding(5) var<storage, read_write> output: array<Value4>;

// Invocations that load input, and the ones after them that load weights, four vec4 each.
const INPUT_INVOCATIONS: u32 = 4u * TILES;
const WEIGHT_INVOCATIONS: u32 = WEIGHTS / 4u;

// Values of the domain, then weights, 16 rows each; in the epilogue the products of eight tiles.
var<workgroup> staged: array<vec4<f32>, 1024>;

// Frame, row and column of the output where a tile begins.
struct Corner {
    frame: u32,
    y: u32,
    x: u32,
}

fn corner_of(tile: u32) -> Corner {
    let row = tile / p.tiles_w;
    let frame = row / p.tiles_h;
    return Corner(frame, (row - frame * p.tiles_h) * 2u + p.first_row, (tile - row * p.tiles_w) * 2u);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let block = index % p.blocks;
    let first_tile = index / p.blocks * TILES;
    let in_channel_blocks = p.in_channel_blocks;
    let in_t = i32(p.in_t);
    let in_h = i32(p.in_h);
    let in_w = i32(p.in_w);
    let stages = p.window.kernel_t * in_channel_blocks;

    // The input that this invocation loads: two columns of a tile, for column `share` of the domain. Beyond the last
    // tile it loads the last tile again.
    let loads_input = local_index < INPUT_INVOCATIONS;
    let share = local_index / TILES;
    let input_corner = corner_of(min(first_tile + local_index % TILES, p.tiles - 1u));
    let clip = i32(input_corner.frame / p.out_t);
    let first_z = i32(input_corner.frame % p.out_t * p.window.stride_t) - p.window.pad_t;
    let top = i32(input_corner.y) - p.window.pad_h;
    let left = i32(input_corner.x) - p.window.pad_w;
    // transform_inputs combines four columns, two for each share: 2 - 0, 2 + 1, 2 - 1, 3 - 1.
    let columns = vec2(left + select(2, 3, share == 3u), left + select(1, 0, share == 0u));
    let second = select(-1.0, 1.0, share == 1u);
    let tile_slot = (local_index % TILES) ^ (share % 2u * 4u);
    // The weights that it loads, if it loads no input.
    let loads_weights = !loads_input & (local_index < INPUT_INVOCATIONS + WEIGHT_INVOCATIONS);
    let weight_index = local_index - INPUT_INVOCATIONS;

    // The product that this invocation computes, and its place in the tile.
    let product = local_index / 16u;
    let row = local_index % 2u + local_index / 8u % 2u * 2u;
    let column = local_index / 2u % 4u;
    let exchange = product % 2u * 4u;
    let values_even = product * TILES + column + exchange;
    let values_odd = product * TILES + column - exchange;
    let weights_even = 16u * TILES + product * 32u + row + exchange;
    let weights_odd = 16u * TILES + product * 32u + row - exchange;
    // All arrays of this function are arrays of ChannelVec. naga's HLSL has a helper for each type of array, named
    // after the element type, and to naga an alias differs from the type that it stands for.
    var sums: array<array<ChannelVec, 2>, INVOCATION_TILES>;
    // unroll
    for (var j = 0u; j < INVOCATION_TILES; j++) {
        sums[j][0] = vec4(0.0);
        sums[j][1] = vec4(0.0);
    }

    var channel_block = 0u;
    var z = first_z;
    // Iteration n loads stage n, computes the products of stage n - 1, and stores stage n.
    for (var stage = 0u; stage <= stages; stage++) {
        var loaded: array<ChannelVec, 8>;
        if stage < stages {
            if loads_input {
                let inside_z = (z >= 0) & (z < in_t);
                // unroll
                for (var i = 0u; i < 4u; i++) {
                    let y = top + i32(i);
                    let inside_y = inside_z & (y >= 0) & (y < in_h);
                    let line = ((clip * in_t + z) * in_h + y) * in_w;
                    // unroll
                    for (var j = 0u; j < 2u; j++) {
                        let x = columns[j];
                        let inside = inside_y & (x >= 0) & (x < in_w);
                        let at = select(0u, u32(line + x) * in_channel_blocks + channel_block, inside);
                        loaded[2u * i + j] = select(vec4(0.0), load4(input[at]), inside);
                    }
                }
                channel_block++;
                if channel_block == in_channel_blocks {
                    channel_block = 0u;
                    z += i32(p.window.dilation_t);
                }
            } else if loads_weights {
                // unroll
                for (var i = 0u; i < 4u; i++) {
                    loaded[i] = weights[(block * stages + stage) * WEIGHTS + i * WEIGHT_INVOCATIONS + weight_index];
                }
            }
        }

        if stage > 0u {
            var values: array<ChannelVec, INVOCATION_TILES>;
            // unroll
            for (var j = 0u; j < INVOCATION_TILES; j++) {
                values[j] = staged[select(values_odd, values_even, j % 2u == 0u) + 4u * j];
            }
            // unroll
            for (var k = 0u; k < 4u; k++) {
                let first = staged[weights_even + k * 8u];
                let other = staged[weights_odd + k * 8u + 4u];
                // unroll
                for (var j = 0u; j < INVOCATION_TILES; j++) {
                    sums[j][0] += first * values[j][k];
                    sums[j][1] += other * values[j][k];
                }
            }
        }
        workgroupBarrier(); // the stage before is read

        if stage < stages {
            if loads_input {
                var lines: array<ChannelVec, 4>;
                // unroll
                for (var i = 0u; i < 4u; i++) {
                    lines[i] = loaded[2u * i] + second * loaded[2u * i + 1u];
                }
                lines = transform_inputs(lines);
                // unroll
                for (var i = 0u; i < 4u; i++) {
                    staged[(i * 4u + share) * TILES + tile_slot] = lines[i];
                }
            } else if loads_weights {
                // unroll
                for (var i = 0u; i < 4u; i++) {
                    let at = i * WEIGHT_INVOCATIONS + weight_index;
                    staged[16u * TILES + (at ^ ((at / 8u) & 4u))] = loaded[i];
                }
            }
        }
        workgroupBarrier(); // the next stage is stored
    }

    // This invocation stores channel block `out_channel_block` of pixel (down, across) of one of eight tiles.
    let inner_channel_block = local_index % 8u;
    let inner_tile = local_index / 8u % 8u;
    let down = local_index / 64u % 2u;
    let across = local_index / 128u;
    // A pixel takes one row and one column of transform_outputs: 0 + 1 + 2, or 1 - 2 + 3.
    let middle_y = select(1.0, -1.0, down == 1u);
    let middle_x = select(1.0, -1.0, across == 1u);
    let products = (down * 4u + across) * 64u + inner_tile * 8u + (inner_channel_block ^ (inner_tile % 2u * 4u));
    let out_channel_block = p.first_channel_block + block * 8u + inner_channel_block;
    let channel_bias = bias[block * 8u + inner_channel_block];
    // unroll
    for (var step = 0u; step < EPILOGUE_STEPS; step++) {
        // unroll
        for (var half = 0u; half < 2u; half++) {
            let at = product * 64u + (half * 4u + column) * 8u + (row ^ (column % 2u * 4u));
            staged[at] = sums[2u * step + half][0];
            staged[at ^ 4u] = sums[2u * step + half][1];
        }
        workgroupBarrier(); // products of eight tiles are stored
        let tile = first_tile + step * 8u + inner_tile;
        let corner = corner_of(tile);
        let y = corner.y + down;
        let x = corner.x + across;
        if tile < p.tiles && y < p.out_h && x < p.out_w && out_channel_block < p.out_channel_blocks {
            var lines: array<ChannelVec, 3>;
            // unroll
            for (var i = 0u; i < 3u; i++) {
                let at = products + i * 256u;
                lines[i] = staged[at] + middle_x * staged[at + 64u] + staged[at + 128u];
            }
            var value = lines[0] + middle_y * lines[1] + lines[2] + channel_bias;
            let at = ((corner.frame * p.out_h + y) * p.out_w + x) * p.out_channel_blocks + out_channel_block;
            if p.add_residual == 1u {
                value += load4(residual[at]);
            }
            if p.relu == 1u {
                value = select(vec4(0.0), value, value > vec4(0.0));
            }
            output[at] = store4(value);
        }
        workgroupBarrier(); // products of eight tiles are read
    }
}
