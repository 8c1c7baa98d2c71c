// Shared by the implicit-GEMM convolutions: parameters, bindings, and where a product tile lies. Itself preceded by
// window.wgsl.
//
// The convolution is the matrix product weights (output channels x taps*channels) times patches (taps*channels x output
// positions). Nothing is gathered: patches are read where they lie.
//
// Layouts. input, residual, output: NTHWC in quads of four channels, padded with zeros. weights: [block of 4 * TILE_M
// output channels][tap][input quad][channel of the quad] of TILE_M vec4, the lanes of which are output channels; zero
// beyond the last channel on both sides. bias: [block] of TILE_M vec4.

struct Params {
    window: Window,
    // Columns of the folded grid; blocks of output channels, from `first_quad` on; workgroups with work.
    grid_x: u32,
    blocks: u32,
    workgroups: u32,
    // Output positions of the whole batch: N * T * H * W.
    positions: u32,

    in_quads: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_quads: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // The first output quad: weights and bias begin there.
    first_quad: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// Without a residual this is the bias once more, and never read.
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;

// Clip, and time, height and width of the first tap in the input: negative in the padding.
struct Origin {
    clip: u32,
    z: i32,
    y: i32,
    x: i32,
}

fn origin_at(position: u32) -> Origin {
    let out_x = position % p.out_w;
    let out_y = position / p.out_w % p.out_h;
    let out_z = position / (p.out_w * p.out_h) % p.out_t;
    return Origin(
        position / (p.out_w * p.out_h * p.out_t),
        i32(out_z * p.window.stride_t) - p.window.pad_t,
        i32(out_y * p.window.stride_h) - p.window.pad_h,
        i32(out_x * p.window.stride_w) - p.window.pad_w,
    );
}

// Index of the first input quad under a tap, or `OUTSIDE` in the padding.
const OUTSIDE: u32 = 0xffffffffu;

fn quads_at(origin: Origin, kt: u32, kh: u32, kw: u32) -> u32 {
    let z = origin.z + i32(kt * p.window.dilation_t);
    let y = origin.y + i32(kh * p.window.dilation_h);
    let x = origin.x + i32(kw * p.window.dilation_w);
    let inside = z >= 0 && z < i32(p.in_t) && y >= 0 && y < i32(p.in_h) && x >= 0 && x < i32(p.in_w);
    let position = ((origin.clip * p.in_t + u32(z)) * p.in_h + u32(y)) * p.in_w + u32(x);
    return select(OUTSIDE, position * p.in_quads, inside);
}

// Stores the sum of a quad, counted from the first of this dispatch.
fn store(position: u32, own_quad: u32, sum: vec4<f32>) {
    let quad = p.first_quad + own_quad;
    if position < p.positions && quad < p.out_quads {
        let at = position * p.out_quads + quad;
        var value = sum;
        if p.add_residual == 1u {
            value += residual[at];
        }
        if p.relu == 1u {
            value = max(value, vec4(0.0));
        }
        output[at] = value;
    }
}
