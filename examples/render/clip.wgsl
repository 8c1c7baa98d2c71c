// Converts the frames of a texture to a clip for Detectron's weights: 1 x 3 x T x H x W, blue, green, red, minus the
// means. One invocation per pixel of each frame.

@group(0) @binding(0) var frames: texture_2d_array<f32>;
@group(0) @binding(1) var<storage, read_write> clip: array<f32>;

const MEANS_BGR = vec3f(102.9801, 115.9465, 122.7717);

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let size = textureDimensions(frames);
    if any(id.xy >= size) {
        return;
    }
    let count = textureNumLayers(frames);
    let pixel = 255.0 * textureLoad(frames, id.xy, id.z, 0).bgr - MEANS_BGR;
    for (var c = 0u; c < 3u; c++) {
        clip[((c * count + id.z) * size.y + id.y) * size.x + id.x] = pixel[c];
    }
}
