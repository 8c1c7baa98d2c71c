alias Value = f32;
alias Value2 = vec2<f32>;
alias Value4 = vec4<f32>;
const IN: u32 = 4u;
const OUT: u32 = 2u;
fn load1(stored: Value) -> f32 {
    return stored;
}
fn load2(stored: Value2) -> vec2<f32> {
    return stored;
}
fn load4(stored: Value4) -> vec4<f32> {
    return stored;
}
fn store1(value: f32) -> Value {
    return value;
}
fn store2(value: vec2<f32>) -> Value2 {
    return value;
}
fn store4(value: vec4<f32>) -> Value4 {
    return value;
}
alias ChannelVec = vec4<f32>;
alias StoredChannelVec = Value4;
fn load_channel_vec(stored: StoredChannelVec) -> ChannelVec {
    return load4(stored);
}
fn store_channel_vec(value: ChannelVec) -> StoredChannelVec {
    return store4(value);
}
fn transform_inputs(d: array<ChannelVec, 4>) -> array<ChannelVec, 4> {
    return array(d[2] - d[0], d[1] + d[2], d[2] - d[1], d[3] - d[1]);
}
fn transform_outputs(m: array<ChannelVec, 4>) -> array<ChannelVec, 2> {
    return array(m[0] + m[1] + m[2], m[1] - m[2] + m[3]);
}
struct Params {
    grid_x: u32,
    len: u32,
    channel_vecs: u32,
    out_channel_vecs: u32,
    first_channel_vec: u32,
    positions: u32,
    tiles_h: u32,
    tiles_w: u32,
    first_row: u32,
    out_h: u32,
    out_w: u32,
    add_residual: u32,
    relu: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<ChannelVec>;
@group(0) @binding(2) var<storage, read> bias: array<ChannelVec>;
@group(0) @binding(3) var<storage, read> residual: array<StoredChannelVec>;
@group(0) @binding(4) var<storage, read_write> output: array<StoredChannelVec>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + local_index;
    if index >= p.len {
        return;
    }
    let channel_vecs = p.channel_vecs;
    let positions = p.positions;
    let out_h = p.out_h;
    let out_w = p.out_w;
    let out_channel_vecs = p.out_channel_vecs;
    let add_residual = p.add_residual == 1u;
    let relu = p.relu == 1u;
    let relative_vec = index % channel_vecs;
    let channel_bias = bias[relative_vec];
    let channel_vec = p.first_channel_vec + relative_vec;
    let position = index / channel_vecs;
    let tiles_h = p.tiles_h;
    let tiles_w = p.tiles_w;
    let row = position / tiles_w;
    let frame = row / tiles_h;
    let y = (row - frame * tiles_h) * OUT + p.first_row;
    let x = (position - row * tiles_w) * OUT;
    var columns: array<array<ChannelVec, OUT>, IN>;
{
        var column: array<ChannelVec, IN>;
{
            column[0u] = input[((0u * IN + 0u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[1u] = input[((1u * IN + 0u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[2u] = input[((2u * IN + 0u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[3u] = input[((3u * IN + 0u) * positions + position) * channel_vecs + relative_vec];
}
        columns[0u] = transform_outputs(column);
}
{
        var column: array<ChannelVec, IN>;
{
            column[0u] = input[((0u * IN + 1u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[1u] = input[((1u * IN + 1u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[2u] = input[((2u * IN + 1u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[3u] = input[((3u * IN + 1u) * positions + position) * channel_vecs + relative_vec];
}
        columns[1u] = transform_outputs(column);
}
{
        var column: array<ChannelVec, IN>;
{
            column[0u] = input[((0u * IN + 2u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[1u] = input[((1u * IN + 2u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[2u] = input[((2u * IN + 2u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[3u] = input[((3u * IN + 2u) * positions + position) * channel_vecs + relative_vec];
}
        columns[2u] = transform_outputs(column);
}
{
        var column: array<ChannelVec, IN>;
{
            column[0u] = input[((0u * IN + 3u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[1u] = input[((1u * IN + 3u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[2u] = input[((2u * IN + 3u) * positions + position) * channel_vecs + relative_vec];
}
{
            column[3u] = input[((3u * IN + 3u) * positions + position) * channel_vecs + relative_vec];
}
        columns[3u] = transform_outputs(column);
}
{
        var row: array<ChannelVec, IN>;
{
            row[0u] = columns[0u][0u];
}
{
            row[1u] = columns[1u][0u];
}
{
            row[2u] = columns[2u][0u];
}
{
            row[3u] = columns[3u][0u];
}
        var values = transform_outputs(row);
        let first = ((frame * out_h + y + 0u) * out_w + x) * out_channel_vecs + channel_vec;
{
            values[0u] += channel_bias;
}
{
            values[1u] += channel_bias;
}
        if add_residual {
{
                let inside = (y + 0u < out_h) & (x + 0u < out_w);
                values[0u] += load_channel_vec(residual[select(0u, first + 0u * out_channel_vecs, inside)]);
}
{
                let inside = (y + 0u < out_h) & (x + 1u < out_w);
                values[1u] += load_channel_vec(residual[select(0u, first + 1u * out_channel_vecs, inside)]);
}
        }
{
            if y + 0u < out_h && x + 0u < out_w {
                var value = values[0u];
                if relu {
                    value = select(ChannelVec(), value, value > ChannelVec());
                }
                output[first + 0u * out_channel_vecs] = store_channel_vec(value);
            }
}
{
            if y + 0u < out_h && x + 1u < out_w {
                var value = values[1u];
                if relu {
                    value = select(ChannelVec(), value, value > ChannelVec());
                }
                output[first + 1u * out_channel_vecs] = store_channel_vec(value);
            }
}
}
{
        var row: array<ChannelVec, IN>;
{
            row[0u] = columns[0u][1u];
}
{
            row[1u] = columns[1u][1u];
}
{
            row[2u] = columns[2u][1u];
}
{
            row[3u] = columns[3u][1u];
}
        var values = transform_outputs(row);
        let first = ((frame * out_h + y + 1u) * out_w + x) * out_channel_vecs + channel_vec;
{
            values[0u] += channel_bias;
}
{
            values[1u] += channel_bias;
}
        if add_residual {
{
                let inside = (y + 1u < out_h) & (x + 0u < out_w);
                values[0u] += load_channel_vec(residual[select(0u, first + 0u * out_channel_vecs, inside)]);
}
{
                let inside = (y + 1u < out_h) & (x + 1u < out_w);
                values[1u] += load_channel_vec(residual[select(0u, first + 1u * out_channel_vecs, inside)]);
}
        }
{
            if y + 1u < out_h && x + 0u < out_w {
                var value = values[0u];
                if relu {
                    value = select(ChannelVec(), value, value > ChannelVec());
                }
                output[first + 0u * out_channel_vecs] = store_channel_vec(value);
            }
}
{
            if y + 1u < out_h && x + 1u < out_w {
                var value = values[1u];
                if relu {
                    value = select(ChannelVec(), value, value > ChannelVec());
                }
                output[first + 1u * out_channel_vecs] = store_channel_vec(value);
            }
}
}
}
