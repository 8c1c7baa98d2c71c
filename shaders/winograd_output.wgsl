// Winograd convolution, last step: transforms tiles out of the Winograd domain, with the epilogue of a convolution.
//
// The IN * IN products of a tile become OUT * OUT output pixels, along the height and then along the width. Pixels
// beyond the edge are not stored.
//
// Layouts. Channels are in blocks of four; an invocation takes a ChannelVec, which is a channel block or half of one.
// input: [product of the tile, row-major][frame][tile, row-major][channel vector]. residual, output: NTHWC. bias:
// [channel vector].
//
// Grid: one invocation for each (frame, tile, channel vector), channel vectors fastest, 64 a workgroup, folded into x
// and y.
//
// Shared code: shared/four_channels.wgsl or two_channels.wgsl, and shared/winograd_OUTxOUT.wgsl. The prelude declares:
// const IN: u32, const OUT: u32.

struct Params {
    // Columns of the folded grid; number of invocations with work.
    grid_x: u32,
    len: u32,
    // Channel vectors of an input position, and of an output position. The first channel vector of the input is number
    // `first_channel_vec` of the output; the bias begins there too.
    channel_vecs: u32,
    out_channel_vecs: u32,
    first_channel_vec: u32,
    // Frames of all clips, times the tiles of a frame.
    positions: u32,
    tiles_h: u32,
    tiles_w: u32,
    // The row of the output where the first tile begins.
    first_row: u32,
    out_h: u32,
    out_w: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<ChannelVec>;
@group(0) @binding(2) var<storage, read> bias: array<ChannelVec>;
// Without a residual the bias is bound here and never read.
@group(0) @binding(3) var<storage, read> residual: array<StoredChannelVec>;
@group(0) @binding(4) var<storage, read_write> output: array<StoredChannelVec>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    // Read once, as in shared/conv_gemm.wgsl. The bias, too, would be read again after every store.
    let channel_vecs = p.channel_vecs;
    let positions = p.positions;
    let out_h = p.out_h;
    let out_w = p.out_w;
    let out_channel_vecs = p.out_channel_vecs;
    let add_residual = p.add_residual == 1u;
    let relu = p.relu == 1u;

    let relative_vec = index % channel_vecs;
    let channel_bias = bias[relative_vec];
    let channel_vec = p.first_channel_vec + relative_vec;
    let position = index / channel_vecs;
    let tiles_h = p.tiles_h;
    let tiles_w = p.tiles_w;
    let row = position / tiles_w;
    let frame = row / tiles_h;
    let y = (row - frame * tiles_h) * OUT + p.first_row;
    let x = (position - row * tiles_w) * OUT;

    // By column of the tile: along the height.
    var columns: array<array<ChannelVec, OUT>, IN>;
    // unroll
    for (var j = 0u; j < IN; j++) {
        var column: array<ChannelVec, IN>;
        // unroll
        for (var i = 0u; i < IN; i++) {
            column[i] = input[((i * IN + j) * positions + position) * channel_vecs + relative_vec];
        }
        columns[j] = transform_outputs(column);
    }
    // By row: along the width.
    // unroll
    for (var i = 0u; i < OUT; i++) {
        var row: array<ChannelVec, IN>;
        // unroll
        for (var j = 0u; j < IN; j++) {
            row[j] = columns[j][i];
        }
        var values = transform_outputs(row);
        let first = ((frame * out_h + y + i) * out_w + x) * out_channel_vecs + channel_vec;
        // unroll
        for (var j = 0u; j < OUT; j++) {
            values[j] += channel_bias;
        }
        if add_residual {
            // A row of residuals is loaded together. Loaded between the stores, each would wait for memory by itself.
            // unroll
            for (var j = 0u; j < OUT; j++) {
                let inside = (y + i < out_h) & (x + j < out_w);
                values[j] += load_channel_vec(residual[select(0u, first + j * out_channel_vecs, inside)]);
            }
        }
        // unroll
        for (var j = 0u; j < OUT; j++) {
            if y + i < out_h && x + j < out_w {
                var value = values[j];
                if relu {
                    value = select(ChannelVec(), value, value > ChannelVec());
                }
                output[first + j * out_channel_vecs] = store_channel_vec(value);
            }
        }
    }
}
