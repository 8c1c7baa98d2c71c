// Shared by the depthwise convolutions: parameters, bindings, where weights begin, the epilogue. Preceded by
// window.wgsl.
//
// A channel block is four channels, which are one vec4. Weights are in larger blocks, of BLOCK_VEC4S channel blocks.
//
// The prelude declares: const BLOCK_VEC4S: u32.

struct Params {
    window: Window,
    // Columns of the folded grid, and the number of invocations with work.
    grid_x: u32,
    len: u32,
    // Channel blocks of this dispatch, and the index of the first. The bound weights and bias begin there.
    channel_blocks: u32,
    first_channel_block: u32,
    // Tiles of columns, of rows and of frames.
    tiles_w: u32,
    tiles_h: u32,
    tiles_t: u32,
    // Output frames of a tile.
    tile_t: u32,

    // Channel blocks of a position.
    position_blocks: u32,
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
// Without a residual the bias is bound here and never read.
@group(0) @binding(4) var<storage, read> residual: array<Value4>;
@group(0) @binding(5) var<storage, read_write> output: array<Value4>;

// The parameters that a shader needs. They are read once: software drivers read a parameter again at every use.
struct Geometry {
    window: Window,
    channel_blocks: u32,
    in_t: i32,
    in_h: i32,
    in_w: i32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    add_residual: bool,
    relu: bool,
}

fn load_geometry() -> Geometry {
    return Geometry(
        p.window,
        p.position_blocks,
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

// Where the weights of a channel block begin. `relative_block` counts from the first channel block of this dispatch.
// The weights of the next tap are BLOCK_VEC4S further on.
fn first_weight(geometry: Geometry, relative_block: u32) -> u32 {
    let taps = geometry.window.kernel_t * geometry.window.kernel_h * geometry.window.kernel_w;
    return relative_block / BLOCK_VEC4S * taps * BLOCK_VEC4S + relative_block % BLOCK_VEC4S;
}

// A channel block of position `x` of an input row; zeros if `x` lies outside of the row, or the row is not `inside` the
// input.
fn value_at(geometry: Geometry, line: i32, inside: bool, x: i32, channel_block: u32) -> vec4<f32> {
    let at = u32(line + clamp(x, 0, geometry.in_w - 1)) * geometry.channel_blocks + channel_block;
    return select(vec4(0.0), load4(input[at]), inside & (x >= 0) & (x < geometry.in_w));
}

// Without a branch, since the loops that call it are unrolled.
fn rectified(geometry: Geometry, sum: vec4<f32>) -> vec4<f32> {
    return select(sum, select(vec4(0.0), sum, sum > vec4(0.0)), geometry.relu);
}
