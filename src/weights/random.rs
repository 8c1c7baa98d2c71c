//! The deterministic generator of parameters and clips. It lets tests, benchmarks and demonstrations run without files.
//!
//! Value `i` (row-major, from 0) of the tensor `name` for a seed is as follows, with all integers modulo 2^64:
//!
//! ```text
//! start = FNV-1a-64(name) xor seed
//! z = start + (i + 1) * 0x9e3779b97f4a7c15            SplitMix64
//! z = (z xor z >> 30) * 0xbf58476d1ce4e5b9;  z = (z xor z >> 27) * 0x94d049bb133111eb;  z = z xor z >> 31
//! u = (z >> 40) / 2^24 * 2 - 1                        in [-1, 1)
//! ```
//!
//! Weights (`_w`) are `u * sqrt(3 / fan_in)`, scales (`_s`) `1 + u / 2`, biases (`_b`) `u / 4` and clips `u`, computed
//! in f64 and rounded once.

use crate::clip::Clip;
use crate::error::Result;
use crate::graph::Parameter;
use crate::shape::Shape;

/// The stream of `u` for the tensor `name`, in [-1, 1).
pub fn uniform(name: &str, seed: u64) -> impl Iterator<Item = f64> + use<> {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut state = hash ^ seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        (z >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0
    })
}

/// A random clip of this shape, generated as the tensor `data`.
///
/// # Errors
/// The errors of [`Clip::new`].
pub fn clip(shape: Shape, seed: u64) -> Result<Clip> {
    let shape = shape.checked("clip")?;
    Clip::new(shape, uniform("data", seed).take(shape.len()).map(|u| u as f32).collect())
}

/// The values of a parameter, scaled according to the suffix of its name.
pub(super) fn parameter(parameter: &Parameter, seed: u64) -> Vec<f32> {
    let len = parameter.shape.iter().product();
    let stream = uniform(&parameter.name, seed).take(len);
    match parameter.name.rsplit('_').next() {
        Some("s") => stream.map(|u| (1.0 + 0.5 * u) as f32).collect(),
        Some("b") => stream.map(|u| (0.25 * u) as f32).collect(),
        _ => {
            let fan_in: usize = parameter.shape[1..].iter().product();
            let scale = (3.0 / fan_in as f64).sqrt();
            stream.map(|u| (u * scale) as f32).collect()
        }
    }
}
