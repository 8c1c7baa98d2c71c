// Shared by the depthwise convolutions: parameters, bindings, where weights begin, the epilogue. Itself preceded by
// window.wgsl. The prelude declares: const QUADS: u32, the blocks of four of a block of channels.

struct Params {
    window: Window,
    // Columns of the folded grid, and the number of invocations with work.
    grid_x: u32,
    len: u32,
    // Quads of this dispatch, and which is the first: weights and bias begin there.
    quads: u32,
    first_quad: u32,
    // Tiles of columns, of rows and of frames.
    tiles_w: u32,
    tiles_h: u32,
    tiles_t: u32,
    // Output frames of a tile.
    tile_t: u32,

    // Quads of a position: channels, padded.
    all_quads: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<Value4>;
@group(0) @binding(2) var<storage, read> weights: array<Value4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// Without a residual this is the bias once more, and never read.
@group(0) @binding(4) var<storage, read> residual: array<Value4>;
@group(0) @binding(5) var<storage, read_write> output: array<Value4>;

// What a shader needs of the parameters, read once: software drivers read a parameter anew wherever it stands.
struct Field {
    window: Window,
    quads: u32,
    in_t: i32,
    in_h: i32,
    in_w: i32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    add_residual: bool,
    relu: bool,
}

fn field() -> Field {
    return Field(
        p.window,
        p.all_quads,
        i32(p.in_t),
        i32(p.in_h),
        i32(p.in_w),
        p.out_t,
        p.out_h,
        p.out_w,
        p.add_residual == 1u,
        p.relu == 1u,
    );
}

// Where the weights of a quad begin, which is counted from the first of this dispatch. Those of its next tap are QUADS
// further on.
fn first_weight(own: Field, own_quad: u32) -> u32 {
    let taps = own.window.kernel_t * own.window.kernel_h * own.window.kernel_w;
    return own_quad / QUADS * taps * QUADS + own_quad % QUADS;
}

// The input quad of a position of a row, zeros where that lies left or right of it, or where the row is not `inside`.
fn value_at(own: Field, line: i32, inside: bool, x: i32, quad: u32) -> vec4<f32> {
    let at = u32(line + clamp(x, 0, own.in_w - 1)) * own.quads + quad;
    return select(vec4(0.0), load4(input[at]), inside & (x >= 0) & (x < own.in_w));
}

// No branch: this stands in loops that are unrolled.
fn rectified(own: Field, sum: vec4<f32>) -> vec4<f32> {
    return select(sum, select(vec4(0.0), sum, sum > vec4(0.0)), own.relu);
}
