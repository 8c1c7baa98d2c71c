// The Winograd domain as a buffer. Shaders call `put`. Preceded by four_channels.wgsl or two_channels.wgsl.

@group(0) @binding(2) var<storage, read_write> output: array<ChannelVec>;

fn put(index: u32, value: ChannelVec) {
    output[index] = value;
}
