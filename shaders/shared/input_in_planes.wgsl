// The input of a convolution as a clip is uploaded: NCTHW, a plane of floats for each of one to three channels. Shaders
// call `value_at` with an index into the first plane.

@group(0) @binding(1) var<storage, read> input: array<f32>;

fn value_at(geometry: Geometry, index: u32) -> vec4<f32> {
    // For a channel that the clip lacks, the first plane is read and the value dropped, even if it is NaN.
    let second = input[index + geometry.second_plane];
    let third = input[index + geometry.third_plane];
    let has_second = geometry.second_plane > 0u;
    let has_third = geometry.third_plane > 0u;
    return vec4(input[index], select(0.0, second, has_second), select(0.0, third, has_third), 0.0);
}
