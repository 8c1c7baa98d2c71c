//! How a backbone runs.

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

/// The number format of blobs inside of a run.
impl From<Precision> for DType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
        }
    }
}

/// Which blobs are returned beside the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taps {
    /// No others.
    #[default]
    None,
    /// The last `_sum` of every stage.
    Stages,
    /// Blobs by name. A blob that fusion would do away with is kept.
    Named(Vec<String>),
}

/// How a [`GpuBackbone`](crate::GpuBackbone) runs.
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
    /// Number format on the device (default: [`Precision::F32`]).
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How closely the reference's arithmetic is followed (default: [`Numerics::Fast`]).
    pub fn numerics(self, numerics: Numerics) -> Self {
        Self { numerics, ..self }
    }

    /// Blobs to return beside the last (default: [`Taps::None`]).
    pub fn taps(self, taps: Taps) -> Self {
        Self { taps, ..self }
    }

    /// Whether operators are fused (default: yes). Without, the reference's operators run one by one.
    pub fn fusion(self, fusion: bool) -> Self {
        Self { fusion, ..self }
    }

    /// Whether shaders keep wgpu's run-time checks (default: no).
    pub fn checks(self, checks: ShaderChecks) -> Self {
        Self { checks, ..self }
    }

    /// Whether methods are found by trying, where the fixed table has a choice (default: no), see
    /// [`low_level::tuning`](crate::low_level::tuning). This takes from seconds to minutes for each new shape of clips,
    /// except for what a directory for caches knows already.
    pub fn tuning(self, tuning: bool) -> Self {
        Self { tuning, ..self }
    }

    /// Bytes of device memory that activations and workspaces of a clip shape may have together (default: as many as are
    /// best). What would need more is split into rounds, frames and rows, with the same bits as result; where nothing
    /// helps, [`GpuBackbone::prepare`](crate::GpuBackbone::prepare) is an
    /// [`ErrorKind::MemoryLimit`](crate::ErrorKind::MemoryLimit) that says how little would do. Weights and the buffers that
    /// clips and features pass through on their way are not counted.
    pub fn memory_limit(self, bytes: impl Into<Option<u64>>) -> Self {
        Self { memory_limit: bytes.into(), ..self }
    }

    /// Use this method for every operator that it can do, instead of the choice for the adapter. Methods are
    /// [low-level](crate::low_level), and not stable.
    pub fn method(self, method: impl Into<Option<Method>>) -> Self {
        Self { method: method.into(), ..self }
    }

    /// Plan as if the adapter allowed no more than this, for tests of what is split. Limits are
    /// [low-level](crate::low_level), and not stable.
    pub fn limits(self, limits: impl Into<Option<PlanLimits>>) -> Self {
        Self { limits: limits.into(), ..self }
    }
}
