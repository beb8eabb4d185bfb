//! Flags as fields, read alike in both codecs: derived code asks a codec for its own type, and the error then names the codec's.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

/// True or false.
#[derive(Clone, Copy)]
pub(crate) struct Flag(pub(crate) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flag, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Flag, E> {
                Ok(Flag(truth))
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}
