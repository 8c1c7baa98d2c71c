//! How far results are from the expected values, and how far they may be.
//!
//! Two bounds must hold. One is on the norm of the errors of a blob, `‖got − want‖₂`: it notices small errors in all
//! values. The other is on the error of every value, because one wrong value hardly changes the norm of a large blob.

use crate::dtype::DType;
use serde::Serialize;

/// The bounds on errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The error of a blob, as a share of the norm of the expected values.
    pub relative: f64,
    /// The error of one value, as a share of its magnitude plus the root mean square of the blob. The root mean square
    /// is needed because a sum that cancels keeps the rounding errors of its terms.
    pub element: f64,
    /// The error per value that is allowed in addition, for blobs whose expected values are (nearly) all zero.
    pub absolute: f64,
}

impl Tolerance {
    /// The bounds for plans with values of that format.
    pub const fn of(dtype: DType) -> Self {
        match dtype {
            // Measured on lavapipe: at most 1.8e-6 of the norm, and 7.9e-6 for a value, both in whole networks at full
            // width (5.0e-6 for a value of the random operators of the default seed, by Winograd's F(4x4)). Either
            // bound is about six times that, as margin for drivers that contract or reassociate.
            DType::F32 => Self { relative: 1e-5, element: 5e-5, absolute: 1e-7 },
        }
    }
}

/// How far one blob of one run is from the expected values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// Blob name.
    pub blob: String,
    /// The larger of ‖got − want‖₂ over its bound and [`Self::element`]. More than 1 is a failure. Infinite if a value
    /// is not finite.
    pub of_tolerance: f64,
    /// ‖got − want‖₂ / ‖want‖₂; zero if the error is zero.
    pub relative: f64,
    /// The largest error of a value over its bound.
    pub element: f64,
    /// Row-major index of that value.
    pub index: usize,
    /// That value.
    pub got: f32,
    /// The expected value.
    pub want: f64,
}

impl Deviation {
    /// Compares the values of a blob.
    ///
    /// # Panics
    /// If the numbers of values differ, or are zero.
    pub fn measure(blob: &str, got: &[f32], want: &[f64], tolerance: Tolerance) -> Self {
        assert_eq!(got.len(), want.len(), "{blob} has as many values as expected");
        let Tolerance { relative, element, absolute } = tolerance;
        let error_at = |index: usize| {
            let error = (f64::from(got[index]) - want[index]).abs();
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let error = (0..want.len()).map(|index| error_at(index).powi(2)).sum::<f64>().sqrt();
        let norm = want.iter().map(|value| value * value).sum::<f64>().sqrt();
        let root = (want.len() as f64).sqrt();
        let share_at = |index: usize| error_at(index) / (element * (norm / root + want[index].abs()) + absolute);
        let shares = (0..want.len()).map(|index| (index, share_at(index)));
        let (index, worst) = shares.max_by(|(_, a), (_, b)| a.total_cmp(b)).expect("a blob has values");
        Self {
            blob: blob.to_owned(),
            of_tolerance: (error / (relative * norm + absolute * root)).max(worst),
            relative: if error == 0.0 { 0.0 } else { error / norm },
            element: worst,
            index,
            got: got[index],
            want: want[index],
        }
    }

    /// Whether it is within tolerance.
    pub fn passed(&self) -> bool {
        self.of_tolerance <= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 1 << 20;

    fn of(got: &[f32], want: &[f64]) -> Deviation {
        Deviation::measure("blob", got, want, Tolerance::of(DType::F32))
    }

    /// Right and expected values of a large blob, from -1 to 1.
    fn large() -> (Vec<f32>, Vec<f64>) {
        let want: Vec<f64> = (0..LARGE).map(|index| (index as f64 * 0.7).sin()).collect();
        (want.iter().map(|&value| value as f32).collect(), want)
    }

    #[test]
    fn a_single_wrong_value_of_many_is_noticed() {
        let (right, want) = large();
        assert!(of(&right, &want).of_tolerance < 0.05, "rounding is nothing");
        for (index, error) in [(0, 1e-3), (LARGE / 2 + 1, -1e-3), (LARGE - 1, 1e-3)] {
            let mut got = right.clone();
            got[index] += error;
            let deviation = of(&got, &want);
            assert!(deviation.relative < 1e-5 && !deviation.passed(), "{deviation:?}");
            assert_eq!((deviation.index, deviation.got), (index, got[index]));
        }
    }

    /// The errors are too small for the bound on every value.
    #[test]
    fn small_errors_of_all_values_are_noticed() {
        let (right, want) = large();
        let got: Vec<f32> =
            right.iter().enumerate().map(|(index, v)| v + if index % 2 == 0 { 2e-5 } else { -2e-5 }).collect();
        let deviation = of(&got, &want);
        assert!(deviation.element < 1.0 && !deviation.passed(), "{deviation:?}");
    }

    #[test]
    fn what_is_not_finite_is_never_right() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut got, want) = large();
            got[77] = wrong;
            let deviation = of(&got, &want);
            assert_eq!((deviation.of_tolerance, deviation.index), (f64::INFINITY, 77));
        }
    }

    #[test]
    fn zeros_may_be_off_by_next_to_nothing() {
        let want = [0.0; 100];
        assert_eq!(of(&[0.0; 100], &want).of_tolerance, 0.0);
        assert!(of(&[1e-8; 100], &want).passed() && !of(&[1e-6; 100], &want).passed());
    }

    #[test]
    #[should_panic(expected = "as many values as expected")]
    fn other_lengths_are_no_match() {
        of(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
    }
}
