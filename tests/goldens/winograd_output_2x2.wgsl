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
alias Part = vec4<f32>;
alias StoredPart = Value4;
fn load_part(stored: StoredPart) -> Part {
    return load4(stored);
}
fn store_part(value: Part) -> StoredPart {
    return store4(value);
}
fn transform_inputs(d: array<Part, 4>) -> array<Part, 4> {
    return array(d[2] - d[0], d[1] + d[2], d[2] - d[1], d[3] - d[1]);
}
fn transform_outputs(m: array<Part, 4>) -> array<Part, 2> {
    return array(m[0] + m[1] + m[2], m[1] - m[2] + m[3]);
}
struct Params {
    grid_x: u32,
    len: u32,
    parts: u32,
    out_parts: u32,
    first_part: u32,
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
@group(0) @binding(1) var<storage, read> input: array<Part>;
@group(0) @binding(2) var<storage, read> bias: array<Part>;
@group(0) @binding(3) var<storage, read> residual: array<StoredPart>;
@group(0) @binding(4) var<storage, read_write> output: array<StoredPart>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * p.grid_x + workgroup.x) * 64u + lane;
    if index >= p.len {
        return;
    }
    let parts = p.parts;
    let positions = p.positions;
    let out_h = p.out_h;
    let out_w = p.out_w;
    let out_parts = p.out_parts;
    let add_residual = p.add_residual == 1u;
    let relu = p.relu == 1u;
    let own_part = index % parts;
    let own_bias = bias[own_part];
    let part = p.first_part + own_part;
    let position = index / parts;
    let tiles_h = p.tiles_h;
    let tiles_w = p.tiles_w;
    let row = position / tiles_w;
    let frame = row / tiles_h;
    let y = (row - frame * tiles_h) * OUT + p.first_row;
    let x = (position - row * tiles_w) * OUT;
    var columns: array<array<Part, OUT>, IN>;
{
        var column: array<Part, IN>;
{
            column[0u] = input[((0u * IN + 0u) * positions + position) * parts + own_part];
}
{
            column[1u] = input[((1u * IN + 0u) * positions + position) * parts + own_part];
}
{
            column[2u] = input[((2u * IN + 0u) * positions + position) * parts + own_part];
}
{
            column[3u] = input[((3u * IN + 0u) * positions + position) * parts + own_part];
}
        columns[0u] = transform_outputs(column);
}
{
        var column: array<Part, IN>;
{
            column[0u] = input[((0u * IN + 1u) * positions + position) * parts + own_part];
}
{
            column[1u] = input[((1u * IN + 1u) * positions + position) * parts + own_part];
}
{
            column[2u] = input[((2u * IN + 1u) * positions + position) * parts + own_part];
}
{
            column[3u] = input[((3u * IN + 1u) * positions + position) * parts + own_part];
}
        columns[1u] = transform_outputs(column);
}
{
        var column: array<Part, IN>;
{
            column[0u] = input[((0u * IN + 2u) * positions + position) * parts + own_part];
}
{
            column[1u] = input[((1u * IN + 2u) * positions + position) * parts + own_part];
}
{
            column[2u] = input[((2u * IN + 2u) * positions + position) * parts + own_part];
}
{
            column[3u] = input[((3u * IN + 2u) * positions + position) * parts + own_part];
}
        columns[2u] = transform_outputs(column);
}
{
        var column: array<Part, IN>;
{
            column[0u] = input[((0u * IN + 3u) * positions + position) * parts + own_part];
}
{
            column[1u] = input[((1u * IN + 3u) * positions + position) * parts + own_part];
}
{
            column[2u] = input[((2u * IN + 3u) * positions + position) * parts + own_part];
}
{
            column[3u] = input[((3u * IN + 3u) * positions + position) * parts + own_part];
}
        columns[3u] = transform_outputs(column);
}
{
        var row: array<Part, IN>;
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
        let first = ((frame * out_h + y + 0u) * out_w + x) * out_parts + part;
{
            values[0u] += own_bias;
}
{
            values[1u] += own_bias;
}
        if add_residual {
{
                let inside = (y + 0u < out_h) & (x + 0u < out_w);
                values[0u] += load_part(residual[select(0u, first + 0u * out_parts, inside)]);
}
{
                let inside = (y + 0u < out_h) & (x + 1u < out_w);
                values[1u] += load_part(residual[select(0u, first + 1u * out_parts, inside)]);
}
        }
{
            if y + 0u < out_h && x + 0u < out_w {
                var value = values[0u];
                if relu {
                    value = select(Part(), value, value > Part());
                }
                output[first + 0u * out_parts] = store_part(value);
            }
}
{
            if y + 0u < out_h && x + 1u < out_w {
                var value = values[1u];
                if relu {
                    value = select(Part(), value, value > Part());
                }
                output[first + 1u * out_parts] = store_part(value);
            }
}
}
{
        var row: array<Part, IN>;
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
        let first = ((frame * out_h + y + 1u) * out_w + x) * out_parts + part;
{
            values[0u] += own_bias;
}
{
            values[1u] += own_bias;
}
        if add_residual {
{
                let inside = (y + 1u < out_h) & (x + 0u < out_w);
                values[0u] += load_part(residual[select(0u, first + 0u * out_parts, inside)]);
}
{
                let inside = (y + 1u < out_h) & (x + 1u < out_w);
                values[1u] += load_part(residual[select(0u, first + 1u * out_parts, inside)]);
}
        }
{
            if y + 1u < out_h && x + 0u < out_w {
                var value = values[0u];
                if relu {
                    value = select(Part(), value, value > Part());
                }
                output[first + 0u * out_parts] = store_part(value);
            }
}
{
            if y + 1u < out_h && x + 1u < out_w {
                var value = values[1u];
                if relu {
                    value = select(Part(), value, value > Part());
                }
                output[first + 1u * out_parts] = store_part(value);
            }
}
}
}
