// Winograd convolution, first step: square tiles of the input, of IN x IN pixels and OUT apart, into the Winograd domain.
//
// The IN * IN values of a tile become IN * IN others, along the height and then along the width. Between the steps each of
// them is a batch of its own: that is where the product of its batch finds it.
//
// Layouts, in quads of four channels, which an invocation has whole or half of: a Part. input: NTHWC. output: [value of the
// tile, row-major][frame][tile, row-major][part]. Grid: one invocation for each (frame, tile, part), parts fastest, 64 a
// workgroup, folded into x and y. Shared code: shared/quads.wgsl or pairs.wgsl, shared/winograd_OUTxOUT.wgsl, and
// shared/domain_in_buffer.wgsl or domain_in_image.wgsl. The prelude declares: const IN: u32, const OUT: u32.

struct Params {
    // Columns of the folded grid; number of invocations with work.
    grid_x: u32,
    len: u32,
    // Of the channels of a pixel.
    parts: u32,
    // Frames of all clips, times the tiles of a frame.
    positions: u32,
    tiles_h: u32,
    tiles_w: u32,
    in_h: u32,
    in_w: u32,
    pad_h: i32,
    pad_w: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<StoredPart>;
// Binding 2 is the output.

// A part of the channels of a frame of the input, with the parameters that it takes to read it: read once, as in
// shared/conv_gemm.wgsl.
struct Plane {
    frame: u32,
    part: u32,
    parts: u32,
    in_h: i32,
    in_w: i32,
}

// The part of a pixel; zero in the padding.
fn pixel(own: Plane, y: i32, x: i32) -> Part {
    let inside = (y >= 0) & (y < own.in_h) & (x >= 0) & (x < own.in_w);
    let at = ((own.frame * u32(own.in_h) + u32(y)) * u32(own.in_w) + u32(x)) * own.parts + own.part;
    return select(Part(), load_part(input[select(0u, at, inside)]), inside);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let parts = p.parts;
    let positions = p.positions;
    let part = index % parts;
    let position = index / parts;
    let tiles_h = p.tiles_h;
    let tiles_w = p.tiles_w;
    // Each division of what the last one left, as in shared/conv_gemm.wgsl.
    let row = position / tiles_w;
    let frame = row / tiles_h;
    let plane = Plane(frame, part, parts, i32(p.in_h), i32(p.in_w));
    let y = i32((row - frame * tiles_h) * OUT) - p.pad_h;
    let x = i32((position - row * tiles_w) * OUT) - p.pad_w;

    // By column of the tile: along the height.
    var columns: array<array<Part, IN>, IN>;
    // unroll
    for (var j = 0u; j < IN; j++) {
        var column: array<Part, IN>;
        // unroll
        for (var i = 0u; i < IN; i++) {
            column[i] = pixel(plane, y + i32(i), x + i32(j));
        }
        columns[j] = transform_inputs(column);
    }
    // By row: along the width.
    // unroll
    for (var i = 0u; i < IN; i++) {
        var row: array<Part, IN>;
        // unroll
        for (var j = 0u; j < IN; j++) {
            row[j] = columns[j][i];
        }
        row = transform_inputs(row);
        // unroll
        for (var j = 0u; j < IN; j++) {
            put(((i * IN + j) * positions + position) * parts + part, row[j]);
        }
    }
}
