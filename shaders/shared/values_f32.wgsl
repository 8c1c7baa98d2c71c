// Values in storage as 32-bit floats. Shaders compute in f32: what they read from a blob or of weights goes through `load1`,
// `load2` or `load4`, what they write into a blob through `store1` and so on. Here that is the identity. The prelude
// declares: alias Value, Value2, Value4, what these are in storage.

fn load1(stored: Value) -> f32 {
    return stored;
}

fn load2(stored: Value2) -> vec2<f32> {
    return stored;
}

fn load4(stored: Value4) -> vec4<f32> {
    return stored;
}

fn store1(value: f32) -> Value {
    return value;
}

fn store2(value: vec2<f32>) -> Value2 {
    return value;
}

fn store4(value: vec4<f32>) -> Value4 {
    return value;
}
