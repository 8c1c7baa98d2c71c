// Direct 3D convolution: any kernel, stride, padding, dilation and groups.
//
// Contract. For every output position and output channel: the bias, plus the weights times the input under the window,
// plus the residual if `add_residual` is set, rectified if `relu` is set. Beyond the last channel the output is zero.
//
// Index map. An invocation computes a register tile: TILE_W neighbouring columns of one row by 4 * TILE_C output
// channels.
//
//                       channels of the tile
//                       0 .. 3       4 .. 7                 (TILE_C is 2)
//     column out_x      sums[0][0]   sums[0][1]
//     column out_x + 1  sums[1][0]   sums[1][1]
//     ..                                                    (TILE_W is 4)
//
// Grid: one invocation for each (clip, frame, row, column tile, channel tile), channel tiles fastest, 64 a workgroup,
// folded into x and y.
//
// Layouts. input, residual, output: NTHWC, channels padded to in_stride and out_stride with zeros. weights: [channel
// tile][input channel of the group][tap] of TILE_C vec4, whose components are output channels. Channel tiles do not
// cross groups; components beyond a group's last channel are zero. bias: [channel tile] of TILE_C vec4.
//
// Why. It needs no workgroup memory, no barrier, no subgroup and no assumption about any size. So it runs everywhere,
// and computes every convolution that no other kernel does. A loaded input value serves 4 * TILE_C products, a loaded
// weight TILE_W. conv_gemm.wgsl is the next step: there all loads are vec4.
//
// Shared code: shared/window.wgsl. The prelude declares: const TILE_W: u32, const TILE_C: u32.

struct Params {
    window: Window,
    // Columns of the folded grid, and the number of invocations with work.
    grid_x: u32,
    len: u32,
    // Channel tiles of this dispatch, and the index of the first: the bound weights and bias begin there. Channel tiles
    // of a group. Column tiles of a row.
    tiles: u32,
    first_tile: u32,
    group_tiles: u32,
    row_tiles: u32,

    // Values from one position to the next: the channels, padded.
    in_stride: u32,
    out_stride: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_c: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    group_in_c: u32,
    group_out_c: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value>;
@group(0) @binding(2) var<storage, read> weights: array<Value4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// Without a residual the bias is bound here and never read.
@group(0) @binding(4) var<storage, read> residual: array<Value>;
@group(0) @binding(5) var<storage, read_write> output: array<Value>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    // `relative_tile` counts from the first tile of this dispatch, `tile` from the first of the operator.
    let relative_tile = index % p.tiles;
    let tile = p.first_tile + relative_tile;
    let group = tile / p.group_tiles;
    let out_x = index / p.tiles % p.row_tiles * TILE_W;
    let row = index / (p.tiles * p.row_tiles);
    let out_y = row % p.out_h;
    let out_z = row / p.out_h % p.out_t;
    let clip = row / (p.out_h * p.out_t);

    // Input coordinates of the first tap: negative in the padding.
    let base_z = i32(out_z * p.window.stride_t) - p.window.pad_t;
    let base_y = i32(out_y * p.window.stride_h) - p.window.pad_h;
    let base_x = i32(out_x * p.window.stride_w) - p.window.pad_w;
    let size_z = i32(p.in_t);
    let size_y = i32(p.in_h);
    let size_x = i32(p.in_w);
    let taps = p.window.kernel_t * p.window.kernel_h * p.window.kernel_w;

    var sums: array<array<vec4<f32>, TILE_C>, TILE_W>;
    // unroll
    for (var v = 0u; v < TILE_C; v++) {
        let start = bias[relative_tile * TILE_C + v];
        // unroll
        for (var j = 0u; j < TILE_W; j++) {
            sums[j][v] = start;
        }
    }

    for (var c = 0u; c < p.group_in_c; c++) {
        let channel = group * p.group_in_c + c;
        var weight_row = (relative_tile * p.group_in_c + c) * taps * TILE_C;
        for (var kt = 0u; kt < p.window.kernel_t; kt++) {
            let z = base_z + i32(kt * p.window.dilation_t);
            for (var kh = 0u; kh < p.window.kernel_h; kh++) {
                let y = base_y + i32(kh * p.window.dilation_h);
                if z >= 0 && z < size_z && y >= 0 && y < size_y {
                    let line = ((clip * p.in_t + u32(z)) * p.in_h + u32(y)) * p.in_w;
                    for (var kw = 0u; kw < p.window.kernel_w; kw++) {
                        let tap = weight_row + kw * TILE_C;
                        var values: array<f32, TILE_W>;
                        // unroll
                        for (var j = 0u; j < TILE_W; j++) {
                            let x = base_x + i32(j * p.window.stride_w + kw * p.window.dilation_w);
                            let position = line + u32(clamp(x, 0, size_x - 1));
                            let value = load1(input[position * p.in_stride + channel]);
                            values[j] = select(0.0, value, x >= 0 && x < size_x);
                        }
                        // unroll
                        for (var v = 0u; v < TILE_C; v++) {
                            let weight = load4(weights[tap + v]);
                            // unroll
                            for (var j = 0u; j < TILE_W; j++) {
                                sums[j][v] += weight * values[j];
                            }
                        }
                    }
                }
                weight_row += p.window.kernel_w * TILE_C;
            }
        }
    }

    let first_c = (tile % p.group_tiles) * TILE_C * 4u;
    // unroll
    for (var j = 0u; j < TILE_W; j++) {
        let x = out_x + j;
        if x < p.out_w {
            let position = (row * p.out_w + x) * p.out_stride;
            // unroll
            for (var v = 0u; v < TILE_C; v++) {
                // unroll
                for (var k = 0u; k < 4u; k++) {
                    let c = first_c + v * 4u + k;
                    if c < p.group_out_c {
                        let at = position + group * p.group_out_c + c;
                        var value = sums[j][v][k];
                        if p.add_residual == 1u {
                            value += load1(residual[at]);
                        }
                        if p.relu == 1u {
                            value = select(0.0, value, value > 0.0);
                        }
                        output[at] = store1(value);
                    }
                }
            }
            if tile + 1u == p.out_c / p.group_out_c * p.group_tiles {
                for (var c = p.out_c; c < p.out_stride; c++) {
                    output[position + c] = store1(0.0);
                }
            }
        }
    }
}
