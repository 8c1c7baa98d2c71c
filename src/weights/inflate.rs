//! Inflation of 2-D kernels over time: `inflate_weights_2d` of the reference's `lib/utils/net.py`.

use super::random;
use crate::named::named;

/// How one 2-D kernel becomes the slices of a time kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InflateMode {
    /// The kernel in the middle slice, zeros in the others. On every frame the network computes what the image network
    /// computes.
    CenterOnly,
    /// The kernel divided by the number of slices, in every slice. On a clip of equal frames the inner frames give the
    /// result of the image network.
    MeanRepeat,
    /// The kernel in every slice.
    Repeat,
    /// The kernel in the middle slice and normal noise of standard deviation 0.001 in the others, then *all* slices
    /// divided by their number, as in the reference.
    CenterOnlyRestRand,
}

named!(InflateMode, "mode of inflation":
    CenterOnly => "center-only",
    MeanRepeat => "mean-repeat",
    Repeat => "repeat",
    CenterOnlyRestRand => "center-only-rest-rand",
);

impl InflateMode {
    /// Kernels of shape (…, kt, kh, kw) from kernels of shape (…, kh, kw) with `area` values each. `name` and `seed`
    /// determine the noise.
    pub(crate) fn inflate(self, kernels: &[f32], area: usize, kt: usize, name: &str, seed: u64) -> Vec<f32> {
        let mut noise = normal(name, seed);
        let mut inflated = Vec::with_capacity(kernels.len() * kt);
        for kernel in kernels.chunks_exact(area.max(1)) {
            for t in 0..kt {
                let center = t == kt / 2;
                inflated.extend(kernel.iter().map(|&value| match (self, center) {
                    (Self::CenterOnly, false) => 0.0,
                    (Self::CenterOnly, true) | (Self::Repeat, _) => value,
                    (Self::MeanRepeat, _) | (Self::CenterOnlyRestRand, true) => (f64::from(value) / kt as f64) as f32,
                    (Self::CenterOnlyRestRand, false) => (0.001 * noise() / kt as f64) as f32,
                }));
            }
        }
        inflated
    }
}

/// Normal deviates by the Box-Muller method from the deterministic generator.
fn normal(name: &str, seed: u64) -> impl FnMut() -> f64 {
    let mut uniform = random::uniform(&format!("{name} inflated"), seed);
    let mut unit = move || (uniform.next().unwrap_or(0.0) + 1.0) / 2.0;
    move || {
        // The generator may return 0 but never 1, so 1 - u is in (0, 1].
        let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two kernels of two values each, over three frames.
    fn inflate(mode: InflateMode, kt: usize) -> Vec<f32> {
        mode.inflate(&[3.0, 6.0, -9.0, 12.0], 2, kt, "conv", 0)
    }

    #[test]
    fn slices_are_those_of_the_reference() {
        use InflateMode::{CenterOnly, MeanRepeat, Repeat};
        assert_eq!(inflate(CenterOnly, 3), [0., 0., 3., 6., 0., 0., 0., 0., -9., 12., 0., 0.]);
        assert_eq!(inflate(CenterOnly, 2), [0., 0., 3., 6., 0., 0., -9., 12.], "the later of two middle slices");
        assert_eq!(inflate(MeanRepeat, 3), [1., 2., 1., 2., 1., 2., -3., 4., -3., 4., -3., 4.]);
        assert_eq!(inflate(Repeat, 3), [3., 6., 3., 6., 3., 6., -9., 12., -9., 12., -9., 12.]);
        for &mode in InflateMode::ALL {
            assert_eq!(inflate(mode, 1), [3., 6., -9., 12.], "{mode:?}");
        }
    }

    #[test]
    fn noise_is_normal_small_and_seeded() {
        let mode = InflateMode::CenterOnlyRestRand;
        let kernels = vec![3.0; 20_000];
        let inflated = mode.inflate(&kernels, 1, 3, "conv", 0);
        let centers: Vec<f32> = inflated.iter().copied().skip(1).step_by(3).collect();
        assert!(centers.iter().all(|&v| v == 1.0), "the centre is divided too");
        let noise: Vec<f64> = inflated.iter().filter(|&&v| v != 1.0).map(|&v| f64::from(v) * 3.0 / 0.001).collect();
        assert_eq!(noise.len(), 40_000);
        let moment = |power: i32| noise.iter().map(|v| v.powi(power)).sum::<f64>() / noise.len() as f64;
        // A normal distribution has mean 0, variance 1 and fourth moment 3. The bounds are a few standard errors.
        assert!(moment(1).abs() < 0.02, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.03, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.2, "{}", moment(4));
        assert_eq!(mode.inflate(&kernels, 1, 3, "conv", 0), inflated);
        assert_ne!(mode.inflate(&kernels, 1, 3, "conv", 1), inflated);
        assert_ne!(mode.inflate(&kernels, 1, 3, "other", 0), inflated);
    }
}
