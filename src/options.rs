//! Options of a backbone.

use crate::dtype::DType;
use crate::gpu::ShaderChecks;
use crate::kernels::Method;
use crate::named::named;
use crate::plan::{Numerics, PlanLimits};

/// The number format of activations and weights on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
}

named!(Precision, "precision": F32 => "f32");

/// The number format of blobs within a run.
impl From<Precision> for DType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
        }
    }
}

/// The blobs that are returned in addition to the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taps {
    /// No other blobs.
    #[default]
    None,
    /// The last `_sum` of every stage.
    Stages,
    /// Blobs by name. A blob that fusion would remove is kept.
    Named(Vec<String>),
}

/// Options of a [`GpuBackbone`](crate::GpuBackbone).
///
/// ```
/// use resnet3d_wgpu::{Numerics, Options, Taps};
///
/// let options = Options::default().taps(Taps::Stages).numerics(Numerics::Strict).memory_limit(512 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(crate) precision: Precision,
    pub(crate) numerics: Numerics,
    pub(crate) taps: Taps,
    pub(crate) fusion: bool,
    pub(crate) checks: ShaderChecks,
    pub(crate) method: Option<Method>,
    pub(crate) tuning: bool,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) limits: Option<PlanLimits>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            numerics: Numerics::default(),
            taps: Taps::default(),
            fusion: true,
            checks: ShaderChecks::default(),
            method: None,
            tuning: false,
            memory_limit: None,
            limits: None,
        }
    }
}

impl Options {
    /// The number format on the device (default: [`Precision::F32`]).
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How closely the reference's arithmetic is followed (default: [`Numerics::Fast`]).
    pub fn numerics(self, numerics: Numerics) -> Self {
        Self { numerics, ..self }
    }

    /// The blobs to return in addition to the last (default: [`Taps::None`]).
    pub fn taps(self, taps: Taps) -> Self {
        Self { taps, ..self }
    }

    /// Whether operators are fused (default: yes). Without fusion, the reference's operators run one by one.
    pub fn fusion(self, fusion: bool) -> Self {
        Self { fusion, ..self }
    }

    /// Whether shaders keep wgpu's run-time checks (default: no).
    pub fn checks(self, checks: ShaderChecks) -> Self {
        Self { checks, ..self }
    }

    /// Whether methods are tuned, for operators that have a choice (default: no), see
    /// [`low_level::tuning`](crate::low_level::tuning). This takes from seconds to minutes for each new clip shape, and
    /// less if a cache directory already holds the choice for some operators.
    pub fn tuning(self, tuning: bool) -> Self {
        Self { tuning, ..self }
    }

    /// The limit in bytes on device memory for the activations and workspaces of a clip shape (default: no limit). A
    /// plan that would need more is split into micro-batches, frames and rows, and gives the same bits. If no plan is
    /// within the limit, [`GpuBackbone::prepare`](crate::GpuBackbone::prepare) returns an
    /// [`ErrorKind::MemoryLimit`](crate::ErrorKind::MemoryLimit) with the smallest limit that would do. Weights and the
    /// staging buffers of clips and features are not counted.
    pub fn memory_limit(self, bytes: impl Into<Option<u64>>) -> Self {
        Self { memory_limit: bytes.into(), ..self }
    }

    /// A method for every operator that it supports, instead of the choice for the adapter. Methods are
    /// [low-level](crate::low_level) and not stable.
    pub fn method(self, method: impl Into<Option<Method>>) -> Self {
        Self { method: method.into(), ..self }
    }

    /// Limits to plan with, if they are lower than the adapter's, for tests of splitting. Limits are
    /// [low-level](crate::low_level) and not stable.
    pub fn limits(self, limits: impl Into<Option<PlanLimits>>) -> Self {
        Self { limits: limits.into(), ..self }
    }
}
