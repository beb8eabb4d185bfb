//! Decodes maps with names so that an error says where it is: `changes[0].base`, then what is wrong there.
//!
//! A path is text in front of the decoder's error, because serde knows no other. It costs a copy of each field's name and nothing else until
//! there is an error.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Bytes of a field's name that an error shows: the longest one is `subscription`.
const NAME_BYTES: usize = 12;

/// A struct that must be a map with names on the wire: derived code would also accept a list, by the order of the fields.
pub(crate) struct NamedMap<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NamedMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedMapVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedMapVisitor<T> {
            type Value = NamedMap<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with names")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NamedMap<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(TextKeys { map, name: FieldName::default() })).map(NamedMap)
            }
        }
        deserializer.deserialize_map(NamedMapVisitor(PhantomData))
    }
}

/// An error with the place that it was found in.
pub(crate) fn within<E: Error>(place: impl fmt::Display, why: &E) -> E {
    let why = why.to_string();
    let separator = if why.starts_with(['.', '[']) { "" } else { ": " };
    E::custom(format_args!("{place}{separator}{why}"))
}

/// A map whose keys must be texts: derived code would also accept a field's index as its name, and MessagePack's binary type as text.
struct TextKeys<A> {
    map: A,
    /// The field that is being decoded.
    name: FieldName,
}

#[derive(Default)]
struct FieldName {
    bytes: [u8; NAME_BYTES],
    len: usize,
}

impl FieldName {
    /// Keeps the beginning of the name.
    fn set(&mut self, name: &str) {
        self.len = (0..=name.len().min(NAME_BYTES)).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
        self.bytes[..self.len].copy_from_slice(&name.as_bytes()[..self.len]);
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for TextKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.map.next_key_seed(NameSeed { seed, name: &mut self.name })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed).map_err(|why| within(format_args!(".{}", self.name), &why))
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

/// Passes a name on to the seed and keeps it; any other type than text is an error.
struct NameSeed<'a, S> {
    seed: S,
    name: &'a mut FieldName,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for NameSeed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for NameSeed<'_, S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<S::Value, E> {
        self.name.set(text);
        self.seed.deserialize(text.into_deserializer())
    }
}
