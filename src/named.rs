//! Enums whose values have names.

use crate::error::{Error, ErrorRepr};

/// Implements `ALL`, `name`, `Display` and `FromStr` for an enum from a table of the names of its values. `$what`
/// describes the names in errors.
macro_rules! named {
    ($type:ty, $what:literal: $($value:ident => $name:literal),+ $(,)?) => {
        impl $type {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(text: &str) -> Result<Self, $crate::Error> {
                let named = Self::ALL.iter().copied().find(|value| value.name() == text);
                named.ok_or_else(|| $crate::named::unknown($what, text, Self::ALL))
            }
        }
    };
}

pub(crate) use named;

/// The error for a `text` that is not the name of any value in `all`.
pub(crate) fn unknown(what: &'static str, text: &str, all: &[impl std::fmt::Display]) -> Error {
    ErrorRepr::UnknownName { what, given: text.to_owned(), known: all.iter().map(ToString::to_string).collect() }.into()
}

#[cfg(test)]
mod tests {
    use crate::clip::preprocess::{ChannelOrder, Normalization};
    use crate::weights::{Family, InflateMode};
    use crate::{Backend, DeviceLimits, Error, ErrorKind, Numerics, Precision, Transformation};
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    #[track_caller]
    fn assert_round_trip<T: Copy + Debug + Display + FromStr<Err = Error> + PartialEq>(all: &[T]) {
        for value in all {
            assert_eq!(value.to_string().parse::<T>().unwrap(), *value);
        }
    }

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        assert_round_trip(Backend::ALL);
        assert_round_trip(DeviceLimits::ALL);
        assert_round_trip(Numerics::ALL);
        assert_round_trip(Precision::ALL);
        assert_round_trip(Transformation::ALL);
        assert_round_trip(Normalization::ALL);
        assert_round_trip(ChannelOrder::ALL);
        assert_round_trip(Family::ALL);
        assert_round_trip(InflateMode::ALL);
        let error = "mean".parse::<InflateMode>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownName);
        assert_eq!(error.known_names().len(), InflateMode::ALL.len());
        let known = "center-only, mean-repeat, repeat or center-only-rest-rand";
        assert_eq!(error.to_string(), format!("mode of inflation: wanted {known}, got \"mean\""));
        assert_eq!("f16".parse::<Precision>().unwrap_err().to_string(), "precision: wanted f32, got \"f16\"");
    }
}
