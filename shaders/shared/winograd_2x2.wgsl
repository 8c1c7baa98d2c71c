// Winograd's F(2, 3) along one axis: two outputs of a three-tap filter from four inputs, through four products. It is
// Toom and Cook's product of polynomials at the points 0, 1, -1 and infinity (`src/kernels/winograd.rs`).
// Preceded by four_channels.wgsl or two_channels.wgsl.

fn transform_inputs(d: array<ChannelVec, 4>) -> array<ChannelVec, 4> {
    return array(d[2] - d[0], d[1] + d[2], d[2] - d[1], d[3] - d[1]);
}

fn transform_outputs(m: array<ChannelVec, 4>) -> array<ChannelVec, 2> {
    return array(m[0] + m[1] + m[2], m[1] - m[2] + m[3]);
}
