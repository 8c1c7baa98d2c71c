//! What a plan may do with numbers.

use crate::graph::OpKind;
use crate::kernels::Method;
use crate::named::named;

/// How closely a device follows the reference's arithmetic. Finite values are within the tolerance in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Numerics {
    /// Whatever is quickest. Convolutions may be computed by Winograd's method: then a NaN or an infinity spreads over
    /// the outputs of its Winograd tile, or gets lost there.
    #[default]
    Fast,
    /// No convolution is computed by Winograd's method. In a convolution with narrow groups, a NaN or an infinity may
    /// reach the channels of a few other groups: narrow groups may be computed together, with zeros between them.
    NoWinograd,
    /// NaN and infinities of the clip appear in the features exactly where the reference has them. Nothing is computed
    /// by Winograd's method, nor by one that multiplies the channels of one group by zeros for another.
    ///
    /// As with the other variants, the device may take denormals for zero at any step, as WGSL allows. (Mesa's software
    /// drivers keep them.) They differ from zero by less than 1.2e-38, far below the tolerance.
    ///
    /// The shaders are written for this, but WGSL lets a driver assume that there is no NaN and no infinity, and wgpu
    /// has Metal compile with fast mathematics, which assume it. Test it on the adapter on which it is needed.
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
