// Winograd convolution, last step: out of the Winograd domain, with the epilogue of a convolution.
//
// The IN * IN products of a tile become OUT * OUT output pixels, along the height and then along the width; those beyond
// the edge are not stored.
//
// Layouts, in quads of four channels, which an invocation has whole or half of: a Part. input: [product of the tile,
// row-major][frame][tile, row-major][part]. residual, output: NTHWC. bias: [part]. Grid: one invocation for each (frame,
// tile, part), parts fastest, 64 a workgroup, folded into x and y. Shared code: shared/quads.wgsl or pairs.wgsl, and
// shared/winograd_OUTxOUT.wgsl. The prelude declares: const IN: u32, const OUT: u32.

struct Params {
    // Columns of the folded grid; number of invocations with work.
    grid_x: u32,
    len: u32,
    // Of the channels of the input; of the output; and where there the first of the input belongs. Bias begins there too.
    parts: u32,
    out_parts: u32,
    first_part: u32,
    // Frames of all clips, times the tiles of a frame.
    positions: u32,
    tiles_h: u32,
    tiles_w: u32,
    // The row of the output where the first tile belongs.
    first_row: u32,
    out_h: u32,
    out_w: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Part>;
@group(0) @binding(2) var<storage, read> bias: array<Part>;
// Without a residual this is the bias once more, and never read.
@group(0) @binding(3) var<storage, read> residual: array<StoredPart>;
@group(0) @binding(4) var<storage, read_write> output: array<StoredPart>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    // Read once, as in shared/conv_gemm.wgsl: a bias too would be read again behind every store.
    let parts = p.parts;
    let positions = p.positions;
    let out_h = p.out_h;
    let out_w = p.out_w;
    let out_parts = p.out_parts;
    let add_residual = p.add_residual == 1u;
    let relu = p.relu == 1u;

    let own_part = index % parts;
    let own_bias = bias[own_part];
    let part = p.first_part + own_part;
    let position = index / parts;
    let tiles_h = p.tiles_h;
    let tiles_w = p.tiles_w;
    let row = position / tiles_w;
    let frame = row / tiles_h;
    let y = (row - frame * tiles_h) * OUT + p.first_row;
    let x = (position - row * tiles_w) * OUT;

    // By column of the tile: along the height.
    var columns: array<array<Part, OUT>, IN>;
    // unroll
    for (var j = 0u; j < IN; j++) {
        var column: array<Part, IN>;
        // unroll
        for (var i = 0u; i < IN; i++) {
            column[i] = input[((i * IN + j) * positions + position) * parts + own_part];
        }
        columns[j] = transform_outputs(column);
    }
    // By row: along the width.
    // unroll
    for (var i = 0u; i < OUT; i++) {
        var row: array<Part, IN>;
        // unroll
        for (var j = 0u; j < IN; j++) {
            row[j] = columns[j][i];
        }
        var values = transform_outputs(row);
        let first = ((frame * out_h + y + i) * out_w + x) * out_parts + part;
        // unroll
        for (var j = 0u; j < OUT; j++) {
            values[j] += own_bias;
        }
        if add_residual {
            // Those of a row are loaded together: behind each other's stores each would wait for memory by itself.
            // unroll
            for (var j = 0u; j < OUT; j++) {
                let inside = (y + i < out_h) & (x + j < out_w);
                values[j] += load_part(residual[select(0u, first + j * out_parts, inside)]);
            }
        }
        // unroll
        for (var j = 0u; j < OUT; j++) {
            if y + i < out_h && x + j < out_w {
                var value = values[j];
                if relu {
                    value = select(Part(), value, value > Part());
                }
                output[first + j * out_parts] = store_part(value);
            }
        }
    }
}
