// Winograd's transforms with two channels for each invocation, for GPUs with few registers: F(4, 3) has 36 parts at hand,
// which are 144 registers with four channels.

alias Part = vec2<f32>;
// And as they lie in a blob.
alias StoredPart = Value2;

fn load_part(stored: StoredPart) -> Part {
    return load2(stored);
}

fn store_part(value: Part) -> StoredPart {
    return store2(value);
}
