// Direct 3D convolution: any kernel, stride, padding, dilation and groups.
//
// The portable kernel: no workgroup memory, no barriers, no assumptions on any size. Every invocation computes a
// register tile of TILE_W neighbouring columns by 4 * TILE_C output channels of one row, so that a loaded input value
// serves 4 * TILE_C products and a loaded weight serves TILE_W.
//
// Layouts. input, residual, output: NCTHW. weights: [channel tile][input channel of the group][tap] of TILE_C vec4,
// the lanes of which are output channels; channel tiles do not cross groups, and the lanes beyond a group's last channel
// are zero. bias: [channel tile] of TILE_C vec4.
//
// Grid: one workgroup for every (clip, channel tile, run of 64 column tiles), folded into x and y.
//
// The prelude declares: const TILE_W: u32, const TILE_C: u32.

struct Params {
    // Columns of the folded grid, and how many workgroups share a (clip, channel tile).
    grid_x: u32,
    runs: u32,
    // (clip, channel tile) pairs; channel tiles of a clip; channel tiles of a group; column tiles of a row.
    planes: u32,
    tiles: u32,
    group_tiles: u32,
    row_tiles: u32,

    in_c: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_c: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    group_in_c: u32,
    group_out_c: u32,

    kernel_t: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_t: u32,
    stride_h: u32,
    stride_w: u32,
    pad_t: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_t: u32,
    dilation_h: u32,
    dilation_w: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// Without a residual this is the bias once more, and never read.
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    let plane = index / p.runs;
    let column_tile = (index % p.runs) * 64u + lane;
    if plane >= p.planes || column_tile >= p.out_t * p.out_h * p.row_tiles {
        return;
    }
    let clip = plane / p.tiles;
    let tile = plane % p.tiles;
    let group = tile / p.group_tiles;
    let out_x = (column_tile % p.row_tiles) * TILE_W;
    let row = column_tile / p.row_tiles;
    let out_y = row % p.out_h;
    let out_z = row / p.out_h;

    // Input coordinates of the first tap: negative in the padding.
    let base_z = i32(out_z * p.stride_t) - i32(p.pad_t);
    let base_y = i32(out_y * p.stride_h) - i32(p.pad_h);
    let base_x = i32(out_x * p.stride_w) - i32(p.pad_w);
    let size_z = i32(p.in_t);
    let size_y = i32(p.in_h);
    let size_x = i32(p.in_w);
    let taps = p.kernel_t * p.kernel_h * p.kernel_w;
    let channel_stride = p.in_t * p.in_h * p.in_w;

    var sums: array<array<vec4<f32>, TILE_C>, TILE_W>;
    for (var v = 0u; v < TILE_C; v++) {
        let start = bias[tile * TILE_C + v];
        for (var j = 0u; j < TILE_W; j++) {
            sums[j][v] = start;
        }
    }

    for (var c = 0u; c < p.group_in_c; c++) {
        let channel = (clip * p.in_c + group * p.group_in_c + c) * channel_stride;
        var weight_row = (tile * p.group_in_c + c) * taps * TILE_C;
        for (var kt = 0u; kt < p.kernel_t; kt++) {
            let z = base_z + i32(kt * p.dilation_t);
            for (var kh = 0u; kh < p.kernel_h; kh++) {
                let y = base_y + i32(kh * p.dilation_h);
                if z >= 0 && z < size_z && y >= 0 && y < size_y {
                    let line = channel + (u32(z) * p.in_h + u32(y)) * p.in_w;
                    for (var kw = 0u; kw < p.kernel_w; kw++) {
                        let tap = weight_row + kw * TILE_C;
                        var values: array<f32, TILE_W>;
                        for (var j = 0u; j < TILE_W; j++) {
                            let x = base_x + i32(j * p.stride_w + kw * p.dilation_w);
                            let value = input[line + u32(clamp(x, 0, size_x - 1))];
                            values[j] = select(0.0, value, x >= 0 && x < size_x);
                        }
                        for (var v = 0u; v < TILE_C; v++) {
                            let weight = weights[tap + v];
                            for (var j = 0u; j < TILE_W; j++) {
                                sums[j][v] += weight * values[j];
                            }
                        }
                    }
                }
                weight_row += p.kernel_w * TILE_C;
            }
        }
    }

    let first_c = (tile % p.group_tiles) * TILE_C * 4u;
    let out_channel_stride = p.out_t * p.out_h * p.out_w;
    for (var v = 0u; v < TILE_C; v++) {
        for (var k = 0u; k < 4u; k++) {
            let c = first_c + v * 4u + k;
            if c < p.group_out_c {
                let channel = (clip * p.out_c + group * p.group_out_c + c) * out_channel_stride;
                let line = channel + (out_z * p.out_h + out_y) * p.out_w;
                for (var j = 0u; j < TILE_W; j++) {
                    let x = out_x + j;
                    if x < p.out_w {
                        var value = sums[j][v][k];
                        if p.add_residual == 1u {
                            value += residual[line + x];
                        }
                        if p.relu == 1u {
                            value = max(value, 0.0);
                        }
                        output[line + x] = value;
                    }
                }
            }
        }
    }
}
