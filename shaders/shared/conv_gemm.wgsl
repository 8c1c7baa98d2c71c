// Shared by the implicit-GEMM convolutions: parameters, bindings, and where a product tile lies. Itself preceded by
// window.wgsl, by input_in_buffer.wgsl, input_in_image.wgsl or input_in_planes.wgsl, and by weights_in_buffer.wgsl or
// weights_in_image.wgsl.
//
// The convolution is the matrix product weights (output channels x taps*channels) times patches (taps*channels x output
// positions). Nothing is gathered: patches are read where they lie.
//
// The products of Winograd's convolution are this as well: a batch of convolutions of one window, one behind the other
// along N, each with weights of its own. An ordinary convolution is a batch of one.
//
// The product has one term or two: TERMS, which the prelude declares. The second is another convolution, of another
// input, whose result is added: the projection of a residual block. Its products are further entries of the same sums.
//
// A convolution in groups is that for each group. A block of output channels has whole groups, or a group whole blocks: it
// reads the input quads of its own, with zeros for weights between an output channel and the input of another group.
//
// Layouts. input, residual, output: NTHWC in quads of four channels, padded with zeros; in planes the input is NCTHW, and
// its one quad of up to three channels is gathered. weights: [block of 4 * TILE_M output channels][batch][term][tap][input
// quad], then 4 * TILE_M vec4 in an order that each shader states, zero beyond the last channel on both sides. bias:
// [block] of TILE_M vec4. A dispatch may have a range of the blocks only.

struct Params {
    window: Window,
    // Of the second term, as all that is called so; zeros where there is none.
    second_window: Window,
    // Columns of the folded grid; workgroups with work.
    grid_x: u32,
    workgroups: u32,
    batches: u32,
    // Runs of positions in a batch, and blocks of output channels.
    runs: u32,
    blocks: u32,
    // Output positions of a batch: N * T * H * W.
    positions: u32,

    in_quads: u32,
    // Of these a block of output channels reads so many side by side; the next `blocks_alike` blocks read the next. Blocks
    // count from the first of all, which `first_block` of them lie before.
    group_quads: u32,
    blocks_alike: u32,
    first_block: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    // Frames of the input from a clip to the next: those of all its planes where it is in planes.
    in_frames: u32,
    // In planes, how far behind the first those of the second and of the third channel begin; 0 where there is none.
    second_plane: u32,
    third_plane: u32,
    second_quads: u32,
    second_t: u32,
    second_h: u32,
    second_w: u32,
    out_quads: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // The first output quad: weights and bias begin there.
    first_quad: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,

    // Where the maximum is taken besides: rows and columns that leaves, how many of the rows a workgroup computes, whether
    // the first of them has rows of the convolution above it, 1 for yes, or padding, and minus infinity, which WGSL has no
    // literal for.
    pool_h: u32,
    pool_w: u32,
    pool_rows: u32,
    pool_above: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Bindings 1 and 2 are the input and the weights.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// With a second term its input, without a residual the bias once more, which is never read.
@group(0) @binding(4) var<storage, read> residual: array<Value4>;
@group(0) @binding(5) var<storage, read_write> output: array<Value4>;

// What one workgroup computes: a block of output channels, whose weights are number `weights` of those of all blocks and
// batches, at the positions from `first` on, as far as they are below `end`. Positions count through all batches. The input
// quads that the block reads begin with `in_quad`.
struct Part {
    block: u32,
    weights: u32,
    in_quad: u32,
    first: u32,
    end: u32,
}

// The part of workgroup `index`: blocks fastest, batches slowest, so that neighbours share inputs or weights.
fn part_of(index: u32, run_len: u32) -> Part {
    let block = index % p.blocks;
    let run = index / p.blocks % p.runs;
    let batch = index / (p.blocks * p.runs);
    let start = batch * p.positions;
    let in_quad = (p.first_block + block) / p.blocks_alike * p.group_quads;
    return Part(block, block * p.batches + batch, in_quad, start + run * run_len, start + p.positions);
}

// What a shader needs of the parameters while it computes a term. Read once, at its beginning: software drivers read a
// parameter anew wherever it stands.
struct Field {
    window: Window,
    in_quads: u32,
    group_quads: u32,
    in_t: i32,
    in_h: i32,
    in_w: i32,
    in_frames: i32,
    second_plane: u32,
    third_plane: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
}

fn field(term: u32) -> Field {
    var own = Field(
        p.window,
        p.in_quads,
        p.group_quads,
        i32(p.in_t),
        i32(p.in_h),
        i32(p.in_w),
        i32(p.in_frames),
        p.second_plane,
        p.third_plane,
        p.out_t,
        p.out_h,
        p.out_w,
    );
    if term == 1u {
        own.window = p.second_window;
        own.in_quads = p.second_quads;
        own.group_quads = p.second_quads;
        own.in_t = i32(p.second_t);
        own.in_h = i32(p.second_h);
        own.in_w = i32(p.second_w);
        own.in_frames = own.in_t;
    }
    return own;
}

// A quad of a term's input.
fn input_at(own: Field, term: u32, at: u32) -> vec4<f32> {
    if term == 1u {
        return load4(residual[at]);
    }
    return value_at(own, at);
}

// Entries (tap, input quad) of a term for a block.
fn entries_of(own: Field) -> u32 {
    return own.window.kernel_t * own.window.kernel_h * own.window.kernel_w * own.group_quads;
}

// Entries of all terms: what a block has weights for in a batch.
fn all_entries() -> u32 {
    var entries = entries_of(field(0u));
    if TERMS == 2u {
        entries += entries_of(field(1u));
    }
    return entries;
}

// Clip, and time, height and width of the first tap in the input: negative in the padding.
struct Origin {
    clip: i32,
    z: i32,
    y: i32,
    x: i32,
}

fn origin_at(own: Field, position: u32) -> Origin {
    // One division after the other, each of what the last one left: to software drivers they are dear, lane by lane.
    let row = position / own.out_w;
    let frame = row / own.out_h;
    let clip = frame / own.out_t;
    return Origin(
        i32(clip),
        i32((frame - clip * own.out_t) * own.window.stride_t) - own.window.pad_t,
        i32((row - frame * own.out_h) * own.window.stride_h) - own.window.pad_h,
        i32((position - row * own.out_w) * own.window.stride_w) - own.window.pad_w,
    );
}

// Index of the first input quad under a tap, or `OUTSIDE` in the padding.
const OUTSIDE: u32 = 0xffffffffu;

fn quads_at(own: Field, origin: Origin, kt: u32, kh: u32, kw: u32) -> u32 {
    let z = origin.z + i32(kt * own.window.dilation_t);
    let y = origin.y + i32(kh * own.window.dilation_h);
    let x = origin.x + i32(kw * own.window.dilation_w);
    let inside = (z >= 0) & (z < own.in_t) & (y >= 0) & (y < own.in_h) & (x >= 0) & (x < own.in_w);
    let position = ((origin.clip * own.in_frames + z) * own.in_h + y) * own.in_w + x;
    return select(OUTSIDE, u32(position) * own.in_quads, inside);
}

// What a shader needs of the parameters when it stores; read once like `Field`.
struct Epilogue {
    first_quad: u32,
    out_quads: u32,
    add_residual: bool,
    relu: bool,
}

fn epilogue() -> Epilogue {
    return Epilogue(p.first_quad, p.out_quads, p.add_residual == 1u, p.relu == 1u);
}

fn rectified(own: Epilogue, sum: vec4<f32>) -> vec4<f32> {
    if own.relu {
        return select(vec4(0.0), sum, sum > vec4(0.0));
    }
    return sum;
}

// Stores the sum of a quad, counted from the first of this dispatch.
fn store(own: Epilogue, position: u32, end: u32, own_quad: u32, sum: vec4<f32>) {
    let quad = own.first_quad + own_quad;
    if position < end && quad < own.out_quads {
        let at = position * own.out_quads + quad;
        var value = sum;
        if own.add_residual {
            value += load4(residual[at]);
        }
        output[at] = store4(rectified(own, value));
    }
}
