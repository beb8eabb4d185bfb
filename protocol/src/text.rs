//! Text that must be text on the wire: code derived by serde would also accept MessagePack's binary type as text, and a field's index as its name.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A string that was a text on the wire.
#[derive(Default)]
pub(crate) struct StrictText(pub String);

impl<'de> Deserialize<'de> for StrictText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrictText, D::Error> {
        deserializer.deserialize_string(StrictTextSeed(std::marker::PhantomData::<String>)).map(StrictText)
    }
}

/// A map whose keys must be texts.
pub(crate) struct TextKeys<A>(pub A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for TextKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(StrictTextSeed(seed))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
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
