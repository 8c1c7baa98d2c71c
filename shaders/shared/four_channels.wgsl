// Winograd's transforms with four channels for each invocation.

alias ChannelVec = vec4<f32>;
// A `ChannelVec` in a blob.
alias StoredChannelVec = Value4;

fn load_channel_vec(stored: StoredChannelVec) -> ChannelVec {
    return load4(stored);
}

fn store_channel_vec(value: ChannelVec) -> StoredChannelVec {
    return store4(value);
}
