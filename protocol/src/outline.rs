//! A second, lenient look at a message whose fields are wrong: which request it was. It keeps nothing of what it passes over.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::limits;

/// What can still be said of a request whose fields are wrong.
#[derive(Default)]
pub(crate) struct Outline {
    pub id: Option<u64>,
    pub dataset: Option<String>,
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outline, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Outline;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
                let mut outline = Outline::default();
                while let Some(name) = map.next_key::<Lenient>()? {
                    match name {
                        Lenient::Text(name) if name == "id" => outline.id = map.next_value::<Lenient>()?.id(),
                        Lenient::Text(name) if name == "dataset" => outline.dataset = map.next_value::<Lenient>()?.dataset(),
                        _ => map.next_value::<IgnoredAny>().map(drop)?,
                    }
                }
                Ok(outline)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Something of any type, of which nothing is kept but what can be an id or a name.
enum Lenient {
    Number(u64),
    Text(String),
    Other,
}

impl Lenient {
    fn id(self) -> Option<u64> {
        if let Lenient::Number(id) = self { Some(id) } else { None }
    }

    fn dataset(self) -> Option<String> {
        if let Lenient::Text(name) = self { Some(name).filter(|name| name.len() <= limits::DATASET_NAME_BYTES) } else { None }
    }
}

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lenient, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Lenient;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Lenient, E> {
                Ok(Lenient::Number(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<Lenient, E> {
                Ok(Lenient::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Lenient, E> {
                Ok(Lenient::Other)
            }
            fn visit_i64<E>(self, number: i64) -> Result<Lenient, E> {
                Ok(u64::try_from(number).map_or(Lenient::Other, Lenient::Number))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Lenient, E> {
                Ok(Lenient::Other)
            }
            fn visit_bytes<E>(self, _: &[u8]) -> Result<Lenient, E> {
                Ok(Lenient::Other)
            }
            fn visit_unit<E>(self) -> Result<Lenient, E> {
                Ok(Lenient::Other)
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Lenient, D::Error> {
                IgnoredAny::deserialize(extension).map(|_| Lenient::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Lenient, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Lenient::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Lenient::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
