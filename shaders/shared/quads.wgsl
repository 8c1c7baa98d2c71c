// Winograd's transforms with four channels for each invocation.

alias Part = vec4<f32>;
// And as they lie in a blob.
alias StoredPart = Value4;

fn load_part(stored: StoredPart) -> Part {
    return load4(stored);
}

fn store_part(value: Part) -> StoredPart {
    return store4(value);
}
