//! The configuration of a ResNet3D body: every choice that shapes it.
//!
//! The fields mirror the reference's configuration (*Detect-and-Track*, `lib/core/config.py` and
//! `lib/modeling/ResNet3D.py`). The presets are its published bodies, and the R-18 with bottleneck blocks.

use crate::error::{Error, Result};
use crate::named::named;
use serde::{Deserialize, Serialize};

/// The residual branch of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Transformation {
    /// 1×1×1, k×3×3, 1×1×1 (`bottleneck_transformation`).
    Bottleneck,
    /// k×3×3, k×3×3 (`basic_transformation`).
    Basic,
}

named!(Transformation, "transformation": Bottleneck => "bottleneck", Basic => "basic");

/// The configuration of a ResNet3D body.
///
/// The keys of its JSON are `preset` and the names of the fields. All are optional: fields without a key have the value
/// of the preset, which is `r18-conv4` by default.
///
/// ```
/// use resnet3d_wgpu::BackboneConfig;
///
/// let published = BackboneConfig::from_json(r#"{"preset": "r18-conv4", "transformation": "basic"}"#)?;
/// assert_eq!(published.feat_dims, [64, 64, 128, 256]);
/// # Ok::<(), resnet3d_wgpu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct BackboneConfig {
    /// The residual branch (`RESNETS.TRANS_FUNC`).
    pub transformation: Transformation,
    /// The number of blocks in res2, res3, res4 and, for a conv5 body, res5.
    pub block_counts: Vec<usize>,
    /// The widths of the stem and of every stage's output: one more than `block_counts`.
    pub feat_dims: Vec<usize>,
    /// Groups of the 3×3 convolution (`RESNETS.NUM_GROUPS`): 1 for ResNet, more for ResNeXt.
    pub num_groups: usize,
    /// Inner channels per group in res2 (`RESNETS.WIDTH_PER_GROUP`). The number doubles with every stage.
    pub width_per_group: usize,
    /// Whether a bottleneck's stride is on its first 1×1×1 convolution (`RESNETS.STRIDE_1X1`) or on its 3×3.
    pub stride_1x1: bool,
    /// Time extent of the 3×3 kernels from res3 on (`VIDEO.TIME_KERNEL_DIM.BODY`). It is odd. In res2 it is always 1.
    pub time_kernel_dim: usize,
    /// Whether strided convolutions from res3 on stride over time too (`VIDEO.TIME_STRIDE_ON`).
    pub time_stride_on: bool,
    /// Dilation of res5's 3×3 convolutions over height and width (`MODEL.DILATION`). Above 1, res5 has no stride.
    pub dilation: usize,
    /// The stage after which the reference stops gradients, or 0 for none. It changes no value.
    pub freeze_at: usize,
}

/// The JSON of a configuration. Every key is optional; unknown keys are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Overrides {
    preset: Option<String>,
    transformation: Option<Transformation>,
    block_counts: Option<Vec<usize>>,
    feat_dims: Option<Vec<usize>>,
    num_groups: Option<usize>,
    width_per_group: Option<usize>,
    stride_1x1: Option<bool>,
    time_kernel_dim: Option<usize>,
    time_stride_on: Option<bool>,
    dilation: Option<usize>,
    freeze_at: Option<usize>,
}

impl BackboneConfig {
    /// The names that [`BackboneConfig::preset`] accepts.
    pub const PRESETS: &[&str] = &[
        "r18-conv4",
        "r18-conv5",
        "r34-conv4",
        "r34-conv5",
        "r50-conv4",
        "r50-conv5",
        "r101-conv4",
        "r101-conv5",
        "r152-conv5",
    ];

    /// The flagship: the R-18 conv4 body with bottleneck blocks.
    pub fn r18_conv4() -> Self {
        Self::from_depth(Transformation::Bottleneck, &[2, 2, 2], [64, 64, 128, 256, 512])
    }

    /// The preset `name`, one of [`BackboneConfig::PRESETS`].
    ///
    /// `r18-*` have bottleneck blocks. The published R-18 bodies are these with `transformation` set to
    /// [`Transformation::Basic`]. Counts and widths are those in `lib/modeling/ResNet3D.py`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        use Transformation::{Basic, Bottleneck};
        const NARROW: [usize; 5] = [64, 64, 128, 256, 512];
        const WIDE: [usize; 5] = [64, 256, 512, 1024, 2048];
        Ok(match name {
            "r18-conv4" => Self::r18_conv4(),
            "r18-conv5" => Self::from_depth(Bottleneck, &[2, 2, 2, 2], NARROW),
            "r34-conv4" => Self::from_depth(Basic, &[3, 4, 6], NARROW),
            "r34-conv5" => Self::from_depth(Basic, &[3, 4, 6, 3], NARROW),
            "r50-conv4" => Self::from_depth(Bottleneck, &[3, 4, 6], WIDE),
            "r50-conv5" => Self::from_depth(Bottleneck, &[3, 4, 6, 3], WIDE),
            "r101-conv4" => Self::from_depth(Bottleneck, &[3, 4, 23], WIDE),
            "r101-conv5" => Self::from_depth(Bottleneck, &[3, 4, 23, 3], WIDE),
            "r152-conv5" => Self::from_depth(Bottleneck, &[3, 8, 36, 3], WIDE),
            _ => {
                let wanted = format!("one of {}", Self::PRESETS.join(", "));
                return Err(Error::config("preset", wanted, format!("{name:?}")));
            }
        })
    }

    fn from_depth(transformation: Transformation, block_counts: &[usize], feat_dims: [usize; 5]) -> Self {
        Self {
            transformation,
            block_counts: block_counts.to_vec(),
            feat_dims: feat_dims[..=block_counts.len()].to_vec(),
            num_groups: 1,
            width_per_group: 64,
            stride_1x1: true,
            time_kernel_dim: 3,
            time_stride_on: false,
            dilation: 1,
            freeze_at: 2,
        }
    }

    /// Parses and validates a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for text that is not a JSON object, an unknown key, a value of
    /// the wrong type, or a network that cannot be built (see [`BackboneConfig::validate`]).
    pub fn from_json(json: &str) -> Result<Self> {
        let overrides: Overrides = serde_json::from_str(json)
            .map_err(|e| Error::config("JSON", "an object of known keys, all optional", e))?;
        let mut config = Self::preset(overrides.preset.as_deref().unwrap_or("r18-conv4"))?;
        macro_rules! replace {
            ($($field:ident),*) => { $(if let Some(value) = overrides.$field { config.$field = value; })* };
        }
        replace!(
            transformation,
            block_counts,
            feat_dims,
            num_groups,
            width_per_group,
            stride_1x1,
            time_kernel_dim,
            time_stride_on,
            dilation,
            freeze_at
        );
        config.validate()?;
        Ok(config)
    }

    /// The configuration as JSON with every field, which [`BackboneConfig::from_json`] reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers, strings and lists always serialises")
    }

    /// Checks that the network can be built and run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the first invalid field. A valid body has three or four
    /// stages of at least one block; a width for the stem and each stage; no zero; widths whose weights can be indexed;
    /// groups that divide the convolved width; an odd time kernel (an even one would give T + 1 frames, which cannot be
    /// added to the shortcut); `freeze_at` one of 0, 2, 3, 4, 5.
    pub fn validate(&self) -> Result<()> {
        let stages = self.block_counts.len();
        if !(3..=4).contains(&stages) {
            return Err(Error::config("block_counts", "three or four counts", format!("{:?}", self.block_counts)));
        }
        // The deepest published body has 36 blocks in a stage. The bound keeps a typing error from using all memory.
        if self.block_counts.iter().any(|&n| n == 0 || n > 1000) {
            let wanted = "counts of 1 to 1000";
            return Err(Error::config("block_counts", wanted, format!("{:?}", self.block_counts)));
        }
        if self.feat_dims.len() != stages + 1 {
            let wanted = format!("{} widths (stem and {stages} stages)", stages + 1);
            return Err(Error::config("feat_dims", wanted, format!("{:?}", self.feat_dims)));
        }
        let at_least_one =
            [("num_groups", self.num_groups), ("width_per_group", self.width_per_group), ("dilation", self.dilation)];
        for (field, value) in at_least_one.into_iter().chain(self.feat_dims.iter().map(|&d| ("feat_dims", d))) {
            if value == 0 {
                return Err(Error::config(field, "at least 1", 0));
            }
        }
        if self.time_kernel_dim.is_multiple_of(2) {
            let wanted = "odd (an even kernel gives T + 1 frames, which cannot be added to the shortcut)";
            return Err(Error::config("time_kernel_dim", wanted, self.time_kernel_dim));
        }
        if ![0, 2, 3, 4, 5].contains(&self.freeze_at) {
            return Err(Error::config("freeze_at", "one of 0, 2, 3, 4, 5", self.freeze_at));
        }
        self.validate_sizes()
    }

    /// Checks that 32-bit offsets can address every weight, and that groups divide the channels.
    fn validate_sizes(&self) -> Result<()> {
        // Far beyond any use, and small enough that no product below overflows.
        const WIDEST: usize = 1 << 20;
        for (field, values) in [
            ("feat_dims", self.feat_dims.as_slice()),
            ("num_groups", &[self.num_groups]),
            ("width_per_group", &[self.width_per_group]),
            ("time_kernel_dim", &[self.time_kernel_dim]),
            ("dilation", &[self.dilation]),
        ] {
            if let Some(&value) = values.iter().find(|&&v| v > WIDEST) {
                return Err(Error::config(field, format!("at most {WIDEST}"), value));
            }
        }
        for stage in 0..self.block_counts.len() {
            let [dim_in, dim_out] = [self.feat_dims[stage], self.feat_dims[stage + 1]];
            let inner = self.dim_inner(stage);
            let kt = if stage == 0 { 1 } else { self.time_kernel_dim };
            let wide = dim_in.max(dim_out);
            let largest = match self.transformation {
                Transformation::Bottleneck => (inner as u128 * (inner / self.num_groups) as u128 * 9 * kt as u128)
                    .max(wide as u128 * inner as u128),
                Transformation::Basic => wide as u128 * inner as u128 * 9 * kt as u128,
            };
            if largest.max(wide as u128 * wide as u128) > u128::from(u32::MAX / 4) {
                let wanted = "such that every convolution has fewer than 2^30 weights";
                let given = format!("res{}: {dim_in} to {dim_out} channels through {inner}", stage + 2);
                return Err(Error::config("feat_dims and num_groups * width_per_group", wanted, given));
            }
            if self.transformation == Transformation::Basic && !dim_out.is_multiple_of(self.num_groups) {
                let wanted = format!("divisible by num_groups ({}) in basic blocks", self.num_groups);
                return Err(Error::config("feat_dims", wanted, dim_out));
            }
        }
        Ok(())
    }

    /// The inner width of the blocks of stage `stage` (0 is res2): `num_groups * width_per_group * 2^stage`.
    ///
    /// As in the reference it applies to basic blocks too, so two groups make these twice as wide inside.
    pub fn dim_inner(&self, stage: usize) -> usize {
        (self.num_groups * self.width_per_group) << stage
    }

    /// The spatial scale that the reference returns: 1/16 for three stages, `dilation`/32 for four.
    ///
    /// This is the *nominal* scale. A stage whose width does not change has no stride, and `dilation` 4 removes only
    /// one factor of two, but the reference returns the same numbers.
    pub fn spatial_scale(&self) -> f64 {
        if self.block_counts.len() == 3 { 1.0 / 16.0 } else { self.dilation as f64 / 32.0 }
    }
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::r18_conv4()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for &name in BackboneConfig::PRESETS {
            let config = BackboneConfig::preset(name).unwrap();
            config.validate().unwrap();
            assert_eq!(BackboneConfig::from_json(&config.to_json()).unwrap(), config, "{name}");
            assert_eq!(BackboneConfig::from_json(&format!(r#"{{"preset": "{name}"}}"#)).unwrap(), config);
        }
    }

    #[test]
    fn json_builds_on_the_flagship() {
        let config = BackboneConfig::from_json(r#"{"time_kernel_dim": 1}"#).unwrap();
        assert_eq!(config, BackboneConfig { time_kernel_dim: 1, ..BackboneConfig::r18_conv4() });
    }

    #[test]
    fn refuses_invalid_networks() {
        let cases = [
            ("{", "JSON"),
            ("[]", "JSON"),
            (r#"{"depth": 18}"#, "depth"),
            (r#"{"preset": "r19-conv4"}"#, "preset"),
            (r#"{"transformation": "wide"}"#, "wide"),
            (r#"{"block_counts": [2, 2]}"#, "block_counts"),
            (r#"{"block_counts": [2, 0, 2]}"#, "block_counts"),
            (r#"{"block_counts": [2, 2, 18446744073709551615]}"#, "block_counts"),
            (r#"{"block_counts": [2, 2, 2, 2]}"#, "feat_dims"),
            (r#"{"feat_dims": [64, 64, 0, 256]}"#, "feat_dims"),
            (r#"{"feat_dims": [64, 64, 128, 1048576]}"#, "feat_dims"),
            (r#"{"feat_dims": [64, 64, 128, 18446744073709551615]}"#, "feat_dims"),
            (r#"{"feat_dims": [-1, 64, 128, 256]}"#, "-1"),
            (r#"{"width_per_group": 0}"#, "width_per_group"),
            (r#"{"width_per_group": 9223372036854775807}"#, "width_per_group"),
            (r#"{"num_groups": 0}"#, "num_groups"),
            (r#"{"num_groups": 3, "transformation": "basic"}"#, "num_groups"),
            (r#"{"time_kernel_dim": 2}"#, "time_kernel_dim"),
            (r#"{"time_kernel_dim": 0}"#, "time_kernel_dim"),
            (r#"{"time_kernel_dim": 4294967297}"#, "time_kernel_dim"),
            (r#"{"dilation": 0}"#, "dilation"),
            (r#"{"freeze_at": 1}"#, "freeze_at"),
        ];
        for (json, names) in cases {
            let error = BackboneConfig::from_json(json).expect_err(json).to_string();
            assert!(error.contains(names), "{json}: {error}");
        }
    }
}
