//! What a plan may do with numbers.

use crate::graph::OpKind;
use crate::kernels::Method;
use crate::named::named;

/// How closely a device follows the reference's arithmetic. Finite values are within the tolerance in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Numerics {
    /// Whatever is quickest. Convolutions may be computed by Winograd's method: a NaN or an infinity then reaches, or
    /// gets lost in, a square of outputs of its Winograd tile.
    #[default]
    Fast,
    /// No convolution is computed by Winograd's method. A NaN or an infinity of a convolution in narrow groups may
    /// reach the channels of a few of them: such groups may be computed together, with zeros between them.
    NoWinograd,
    /// NaN and infinities of the clip appear in the features exactly where the reference has them. Nothing is computed
    /// by Winograd's method, nor by one that multiplies the channels of one group by zeros for another.
    ///
    /// Denormals, here as without, may be taken for zero by the device at any step, as WGSL allows. (Mesa's software
    /// drivers keep them.) They differ from zero by less than 1.2e-38, far below the tolerance.
    ///
    /// That is what the shaders say. WGSL lets a driver assume that there is no NaN and no infinity, and wgpu has Metal
    /// compile with fast mathematics, which do: test it on the adapter that it is needed on.
    Strict,
}

named!(Numerics, "numerics": Fast => "fast", NoWinograd => "no-winograd", Strict => "strict");

impl Numerics {
    /// Whether an operator of that kind may be computed by `method`.
    pub(crate) fn allow(self, method: Method, kind: &OpKind) -> bool {
        match self {
            Self::Fast => true,
            Self::NoWinograd => !method.is_winograd(),
            Self::Strict => method.keeps_floats(kind),
        }
    }
}
