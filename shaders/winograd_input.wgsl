// Winograd convolution, first step: transforms square tiles of the input, IN x IN pixels and OUT apart, into the
// Winograd domain.
//
// The IN * IN values of a tile are transformed along the height and then along the width. Each of the IN * IN results
// belongs to a separate batch of the matrix product.
//
// Layouts. Channels are in blocks of four; an invocation takes a ChannelVec, which is a channel block or half of one.
// input: NTHWC. output: [value of the tile, row-major][frame][tile, row-major][channel vector].
//
// Grid: one invocation for each (frame, tile, channel vector), channel vectors fastest, 64 a workgroup, folded into x
// and y.
//
// Shared code: shared/four_channels.wgsl or two_channels.wgsl, shared/winograd_OUTxOUT.wgsl, and
// shared/domain_in_buffer.wgsl or domain_in_texture.wgsl. The prelude declares: const IN: u32, const OUT: u32.

struct Params {
    // Columns of the folded grid; number of invocations with work.
    grid_x: u32,
    len: u32,
    // Channel vectors of a pixel.
    channel_vecs: u32,
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
@group(0) @binding(1) var<storage, read> input: array<StoredChannelVec>;
// Binding 2 is the output.

// A channel vector in a frame of the input, with the parameters needed to read it. They are read once, as in
// shared/conv_gemm.wgsl.
struct Plane {
    frame: u32,
    channel_vec: u32,
    channel_vecs: u32,
    in_h: i32,
    in_w: i32,
}

// The channel vector of a pixel; zero in the padding.
fn pixel(plane: Plane, y: i32, x: i32) -> ChannelVec {
    let inside = (y >= 0) & (y < plane.in_h) & (x >= 0) & (x < plane.in_w);
    let position = (plane.frame * u32(plane.in_h) + u32(y)) * u32(plane.in_w) + u32(x);
    let at = position * plane.channel_vecs + plane.channel_vec;
    return select(ChannelVec(), load_channel_vec(input[select(0u, at, inside)]), inside);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let channel_vecs = p.channel_vecs;
    let positions = p.positions;
    let channel_vec = index % channel_vecs;
    let position = index / channel_vecs;
    let tiles_h = p.tiles_h;
    let tiles_w = p.tiles_w;
    // Each division takes the quotient of the one before, as in shared/conv_gemm.wgsl.
    let row = position / tiles_w;
    let frame = row / tiles_h;
    let plane = Plane(frame, channel_vec, channel_vecs, i32(p.in_h), i32(p.in_w));
    let y = i32((row - frame * tiles_h) * OUT) - p.pad_h;
    let x = i32((position - row * tiles_w) * OUT) - p.pad_w;

    // By column of the tile: along the height.
    var columns: array<array<ChannelVec, IN>, IN>;
    // unroll
    for (var j = 0u; j < IN; j++) {
        var column: array<ChannelVec, IN>;
        // unroll
        for (var i = 0u; i < IN; i++) {
            column[i] = pixel(plane, y + i32(i), x + i32(j));
        }
        columns[j] = transform_inputs(column);
    }
    // By row: along the width.
    // unroll
    for (var i = 0u; i < IN; i++) {
        var row: array<ChannelVec, IN>;
        // unroll
        for (var j = 0u; j < IN; j++) {
            row[j] = columns[j][i];
        }
        row = transform_inputs(row);
        // unroll
        for (var j = 0u; j < IN; j++) {
            put(((i * IN + j) * positions + position) * channel_vecs + channel_vec, row[j]);
        }
    }
}
