//! How far values are from what they should be, and how far they may be.

use serde::Serialize;

/// Allowed error against the norm of the expected values. Float32 sums of a few thousand products, in any order, stay
/// near 1e-6; the rest is margin for drivers that contract or reassociate.
pub const RELATIVE_TOLERANCE: f64 = 1e-5;

/// Allowed error per value, for expected values that are (nearly) all zero.
pub const ABSOLUTE_TOLERANCE: f64 = 1e-7;

/// How far one blob of one run was from what it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// Blob name.
    pub blob: String,
    /// ‖got − want‖₂ over what is allowed: beyond 1 is a failure. Infinite if a value is not finite.
    pub of_tolerance: f64,
    /// ‖got − want‖₂ / ‖want‖₂; zero where both are.
    pub relative: f64,
    /// Row-major index of the value furthest off.
    pub index: usize,
    /// That value.
    pub got: f32,
    /// What it should be.
    pub want: f64,
}

impl Deviation {
    /// Compares the values of a blob.
    pub(crate) fn measure(blob: &str, got: &[f32], want: &[f64]) -> Self {
        let off = |index: usize| {
            let error = (f64::from(got[index]) - want[index]).abs();
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let error = (0..want.len()).map(|i| off(i) * off(i)).sum::<f64>().sqrt();
        let norm = want.iter().map(|v| v * v).sum::<f64>().sqrt();
        let index = (0..want.len()).max_by(|&a, &b| off(a).total_cmp(&off(b))).unwrap_or(0);
        Self {
            blob: blob.to_owned(),
            of_tolerance: error / (RELATIVE_TOLERANCE * norm + ABSOLUTE_TOLERANCE * (want.len() as f64).sqrt()),
            relative: if error == 0.0 { 0.0 } else { error / norm },
            index,
            got: got[index],
            want: want[index],
        }
    }
}
