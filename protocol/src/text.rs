//! Text that must be text on the wire: code derived by serde would also accept MessagePack's binary type as text.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

/// A string that was a text on the wire.
#[derive(Default)]
pub(crate) struct StrictText(pub String);

impl<'de> Deserialize<'de> for StrictText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrictText, D::Error> {
        deserializer.deserialize_string(StrictTextSeed(std::marker::PhantomData::<String>)).map(StrictText)
    }
}

/// Passes a text on to the seed; any other type is an error.
struct StrictTextSeed<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for StrictTextSeed<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for StrictTextSeed<S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<S::Value, E> {
        self.0.deserialize(text.into_deserializer())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<S::Value, E> {
        self.0.deserialize(text.into_deserializer())
    }
}
