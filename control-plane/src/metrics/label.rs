//! Labels with a fixed, small number of values.

use std::fmt::Debug;
use std::hash::Hash;

/// A label with its values.
pub(super) trait Label: Copy + Into<Self::Set> + 'static {
    /// The label as the only one of a metric.
    type Set: Clone + Debug + Hash + Eq + Send + Sync;

    const ALL: &'static [Self];
}

/// `values! { pub Name, NameLabels { label } = { Variant: "value", ... } }` makes the
/// enum `Name`, and `NameLabels`, the label set of that one label.
macro_rules! values {
    ($(#[$doc:meta])* $vis:vis $name:ident, $set:ident { $label:ident } = { $($(#[$of:meta])* $variant:ident: $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$of])* $variant),+ }

        impl ::prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> Result<(), ::std::fmt::Error> {
                let value = match self { $(Self::$variant => $value),+ };
                ::prometheus_client::encoding::EncodeLabelValue::encode(&value, encoder)
            }
        }

        #[derive(Clone, Debug, PartialEq, Eq, Hash, ::prometheus_client::encoding::EncodeLabelSet)]
        pub(super) struct $set { $label: $name }

        impl From<$name> for $set {
            fn from($label: $name) -> Self {
                Self { $label }
            }
        }

        impl $crate::metrics::label::Label for $name {
            type Set = $set;

            const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}
pub(super) use values;
