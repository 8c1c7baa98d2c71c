// The input of a convolution as a clip comes: NCTHW, a plane of floats for each of one to three channels; shaders call
// `value_at` with the index in the first.

@group(0) @binding(1) var<storage, read> input: array<f32>;

fn value_at(own: Field, index: u32) -> vec4<f32> {
    // Of a channel that the clip lacks the first is read in its place, and not used: whatever that holds, even not a number.
    let second = input[index + own.second_plane];
    let third = input[index + own.third_plane];
    let has_second = own.second_plane > 0u;
    let has_third = own.third_plane > 0u;
    return vec4(input[index], select(0.0, second, has_second), select(0.0, third, has_third), 0.0);
}
