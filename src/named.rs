//! Enums whose values have names.

use crate::error::{Error, ErrorRepr};

/// Gives an enum `ALL`, `name`, `Display` and `FromStr` by a table of its values' names. `$what` says in errors what a name
/// stands for.
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

/// The error for a `text` that is the name of none of `all`.
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
    fn survive<T: Copy + Debug + Display + FromStr<Err = Error> + PartialEq>(all: &[T]) {
        for value in all {
            assert_eq!(value.to_string().parse::<T>().unwrap(), *value);
        }
    }

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        survive(Backend::ALL);
        survive(DeviceLimits::ALL);
        survive(Numerics::ALL);
        survive(Precision::ALL);
        survive(Transformation::ALL);
        survive(Normalization::ALL);
        survive(ChannelOrder::ALL);
        survive(Family::ALL);
        survive(InflateMode::ALL);
        let error = "mean".parse::<InflateMode>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownName);
        assert_eq!(error.known_names().len(), InflateMode::ALL.len());
        let known = "center-only, mean-repeat, repeat or center-only-rest-rand";
        assert_eq!(error.to_string(), format!("mode of inflation: wanted {known}, got \"mean\""));
        assert_eq!("f16".parse::<Precision>().unwrap_err().to_string(), "precision: wanted f32, got \"f16\"");
    }
}
