// Shared by the implicit-GEMM convolutions: parameters, bindings, and the tile of the matrix product that a workgroup
// computes. Preceded by window.wgsl; by input_in_buffer.wgsl, input_in_texture.wgsl or input_in_planes.wgsl; and by
// weights_in_buffer.wgsl or weights_in_texture.wgsl.
//
// The convolution is a matrix product: weights (output channels x taps*channels) times patches (taps*channels x output
// positions). No patch matrix is built: the input is read where it lies.
//
// Winograd's products use the same code. They are a batch of convolutions with one window, stored one after the other
// along N, and each has separate weights. An ordinary convolution is a batch of one.
//
// A k index of the product is a tap and a channel block: four neighbouring input channels, which are one vec4.
//
// The product has one operand pair (input, weights) or two. The second pair is another convolution, of another input,
// whose result is added: the projection of a residual block. It adds further k indices to the same sums. Only
// conv_gemm_tiled.wgsl computes two pairs.
//
// A convolution in groups is a product for each group. A block of output channels holds whole groups, or a group holds
// whole blocks. A block reads only the input channels of its groups. Where a block holds several groups, weights
// between an output channel and the input of another group are zero.
//
// Layouts. input, residual, output: NTHWC, channels in blocks of four, padded with zeros. An input in planes is NCTHW:
// it has up to three channels, which are gathered into one channel block. weights: [block of 4 * TILE_M output
// channels][batch][operand pair][tap][input channel block], then 4 * TILE_M vec4 in an order that each shader states.
// Weights are zero beyond the last input and the last output channel. bias: [block] of TILE_M vec4. A dispatch may
// cover a range of the blocks.

struct Params {
    window: Window,
    // The window of the second operand pair. All fields of that pair are called `second_*` and are zero if there is
    // none.
    second_window: Window,
    // Columns of the folded grid; workgroups with work.
    grid_x: u32,
    workgroups: u32,
    batches: u32,
    // Position tiles of a batch, and blocks of output channels.
    position_tiles: u32,
    blocks: u32,
    // Output positions of a batch: N * T * H * W.
    positions: u32,

    in_channel_blocks: u32,
    // A block of output channels reads `group_channel_blocks` neighbouring channel blocks of the input.
    // `blocks_sharing_input` neighbouring blocks read the same ones; the blocks after them read the next. `first_block`
    // is the number of blocks of the operator before the first block of this dispatch.
    group_channel_blocks: u32,
    blocks_sharing_input: u32,
    first_block: u32,
    in_t: u32,
    in_h: u32,
    in_w: u32,
    // Frames from one clip of the input to the next. An input in planes counts the frames of all its planes.
    in_frames: u32,
    // In planes: offsets of the second and of the third channel from the first; 0 if the clip lacks the channel.
    second_plane: u32,
    third_plane: u32,
    second_channel_blocks: u32,
    second_t: u32,
    second_h: u32,
    second_w: u32,
    out_channel_blocks: u32,
    out_t: u32,
    out_h: u32,
    out_w: u32,
    // The first output channel block of this dispatch. The bound weights and bias begin there.
    first_channel_block: u32,

    // The epilogue: 1 for yes.
    add_residual: u32,
    relu: u32,

    // Max pooling. Rows and columns of the pooled output; pooled rows of a workgroup; 1 if the convolution has rows
    // above the first pooled row, 0 if padding is there; minus infinity, for which WGSL has no literal.
    pool_h: u32,
    pool_w: u32,
    pool_rows: u32,
    pool_above: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Bindings 1 and 2 are the input and the weights.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
// The input of the second operand pair if there is one, else the residual. With neither, the bias is bound here and
// never read.
@group(0) @binding(4) var<storage, read> residual: array<Value4>;
@group(0) @binding(5) var<storage, read_write> output: array<Value4>;

// What a workgroup computes: block `block` of the dispatch at the positions from `first_position` up to `end_position`.
// Positions count through all batches. `weight_block` is the index of the block's weights among those of all blocks and
// batches. `first_channel_block` is the first input channel block that the block reads.
struct WorkgroupTile {
    block: u32,
    weight_block: u32,
    first_channel_block: u32,
    first_position: u32,
    end_position: u32,
}

// The tile of workgroup `index`, which has `tile_positions` positions: blocks fastest, batches slowest, so that
// neighbours share inputs or weights.
fn workgroup_tile(index: u32, tile_positions: u32) -> WorkgroupTile {
    let block = index % p.blocks;
    let position_tile = index / p.blocks % p.position_tiles;
    let batch = index / (p.blocks * p.position_tiles);
    let start = batch * p.positions;
    let first_channel_block = (p.first_block + block) / p.blocks_sharing_input * p.group_channel_blocks;
    return WorkgroupTile(
        block,
        block * p.batches + batch,
        first_channel_block,
        start + position_tile * tile_positions,
        start + p.positions,
    );
}

// The parameters of an operand pair. They are read once, at the start: software drivers read a parameter again at every
// use.
struct Geometry {
    window: Window,
    in_channel_blocks: u32,
    group_channel_blocks: u32,
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

// The first operand pair.
fn load_geometry() -> Geometry {
    return Geometry(
        p.window,
        p.in_channel_blocks,
        p.group_channel_blocks,
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
}

// The number of k indices of an operand pair for a block.
fn k_len(geometry: Geometry) -> u32 {
    let taps = geometry.window.kernel_t * geometry.window.kernel_h * geometry.window.kernel_w;
    return taps * geometry.group_channel_blocks;
}

// Clip, and the time, height and width of the first tap in the input: negative in the padding.
struct Origin {
    clip: i32,
    z: i32,
    y: i32,
    x: i32,
}

fn origin_at(geometry: Geometry, position: u32) -> Origin {
    // Each division takes the quotient of the one before. Divisions are expensive on software drivers, which do them
    // one lane at a time.
    let row = position / geometry.out_w;
    let frame = row / geometry.out_h;
    let clip = frame / geometry.out_t;
    return Origin(
        i32(clip),
        i32((frame - clip * geometry.out_t) * geometry.window.stride_t) - geometry.window.pad_t,
        i32((row - frame * geometry.out_h) * geometry.window.stride_h) - geometry.window.pad_h,
        i32((position - row * geometry.out_w) * geometry.window.stride_w) - geometry.window.pad_w,
    );
}

// Index of the first input channel block under a tap, or `OUTSIDE` in the padding.
const OUTSIDE: u32 = 0xffffffffu;

fn channel_blocks_at(geometry: Geometry, origin: Origin, kt: u32, kh: u32, kw: u32) -> u32 {
    let z = origin.z + i32(kt * geometry.window.dilation_t);
    let y = origin.y + i32(kh * geometry.window.dilation_h);
    let x = origin.x + i32(kw * geometry.window.dilation_w);
    let inside = (z >= 0) & (z < geometry.in_t) & (y >= 0) & (y < geometry.in_h) & (x >= 0) & (x < geometry.in_w);
    let position = ((origin.clip * geometry.in_frames + z) * geometry.in_h + y) * geometry.in_w + x;
    return select(OUTSIDE, u32(position) * geometry.in_channel_blocks, inside);
}

// The parameters of the epilogue; read once, like `Geometry`.
struct Epilogue {
    first_channel_block: u32,
    out_channel_blocks: u32,
    add_residual: bool,
    relu: bool,
}

fn load_epilogue() -> Epilogue {
    return Epilogue(p.first_channel_block, p.out_channel_blocks, p.add_residual == 1u, p.relu == 1u);
}

fn rectified(epilogue: Epilogue, sum: vec4<f32>) -> vec4<f32> {
    if epilogue.relu {
        return select(vec4(0.0), sum, sum > vec4(0.0));
    }
    return sum;
}

// Stores the sum of a channel block. `relative_block` counts from the first channel block of this dispatch.
fn store(epilogue: Epilogue, position: u32, end: u32, relative_block: u32, sum: vec4<f32>) {
    let channel_block = epilogue.first_channel_block + relative_block;
    if position < end && channel_block < epilogue.out_channel_blocks {
        let at = position * epilogue.out_channel_blocks + channel_block;
        var value = sum;
        if epilogue.add_residual {
            value += load4(residual[at]);
        }
        output[at] = store4(rectified(epilogue, value));
    }
}
