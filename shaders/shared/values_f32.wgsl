// Values in storage as 32-bit floats. Shaders compute in f32. They read blobs and weights through `load1`, `load2` and
// `load4`, and write blobs through `store1`, `store2` and `store4`. In this file all six are the identity.
//
// The prelude declares: alias Value, Value2, Value4, the types in storage.

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
