// Winograd's F(4, 3) along one axis: four outputs of a three-tap filter from six inputs, through six products. It is
// Toom and Cook's product of polynomials at the points 0, A, -A, B, -B and infinity; `src/kernels/winograd.rs` says why
// these points. Preceded by four_channels.wgsl or two_channels.wgsl.

const A: f32 = 0.625;
const B: f32 = 1.5;

fn transform_inputs(d: array<ChannelVec, 6>) -> array<ChannelVec, 6> {
    // Even and odd powers at A and at B: their sum is the value at the point, their difference the value at its
    // negative.
    let even_a = d[4] - B * B * d[2];
    let odd_a = A * (d[3] - B * B * d[1]);
    let even_b = d[4] - A * A * d[2];
    let odd_b = B * (d[3] - A * A * d[1]);
    return array(
        A * A * B * B * d[0] - (A * A + B * B) * d[2] + d[4],
        even_a + odd_a,
        even_a - odd_a,
        even_b + odd_b,
        even_b - odd_b,
        A * A * B * B * d[1] - (A * A + B * B) * d[3] + d[5],
    );
}

fn transform_outputs(m: array<ChannelVec, 6>) -> array<ChannelVec, 4> {
    let even_a = m[1] + m[2];
    let odd_a = m[1] - m[2];
    let even_b = m[3] + m[4];
    let odd_b = m[3] - m[4];
    return array(
        m[0] + even_a + even_b,
        A * odd_a + B * odd_b,
        A * A * even_a + B * B * even_b,
        A * A * A * odd_a + B * B * B * odd_b + m[5],
    );
}
