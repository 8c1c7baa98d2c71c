// Winograd's transforms with two channels for each invocation, for GPUs with few registers. F(4, 3) holds 36 values at
// once, which take 144 registers with four channels.

alias ChannelVec = vec2<f32>;
// A `ChannelVec` in a blob.
alias StoredChannelVec = Value2;

fn load_channel_vec(stored: StoredChannelVec) -> ChannelVec {
    return load2(stored);
}

fn store_channel_vec(value: ChannelVec) -> StoredChannelVec {
    return store2(value);
}
