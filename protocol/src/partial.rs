//! A second, lenient decoding of a message with invalid fields: it finds only the request's patch number and dataset, and allocates nothing else.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Number, limits};

/// The fields by which a request with other, invalid fields can be refused.
#[derive(Default)]
pub(crate) struct PartialRequest {
    pub id: Option<u64>,
    pub dataset: Option<String>,
}

impl<'de> Deserialize<'de> for PartialRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PartialRequest, D::Error> {
        struct PartialRequestVisitor;
        impl<'de> Visitor<'de> for PartialRequestVisitor {
            type Value = PartialRequest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PartialRequest, A::Error> {
                let mut request = PartialRequest::default();
                while let Some(name) = map.next_key::<LenientValue>()? {
                    match name {
                        LenientValue::Text(name) if name == "id" => request.id = map.next_value::<LenientValue>()?.id(),
                        LenientValue::Text(name) if name == "dataset" => request.dataset = map.next_value::<LenientValue>()?.dataset(),
                        _ => map.next_value::<IgnoredAny>().map(drop)?,
                    }
                }
                Ok(request)
            }
        }
        deserializer.deserialize_map(PartialRequestVisitor)
    }
}

/// A value of any type; only what can be an id or a name is kept.
enum LenientValue {
    Number(u64),
    Text(String),
    Other,
}

impl LenientValue {
    fn id(self) -> Option<u64> {
        if let LenientValue::Number(id) = self { Some(id) } else { None }
    }

    fn dataset(self) -> Option<String> {
        if let LenientValue::Text(name) = self { Some(name).filter(|name| name.len() <= limits::DATASET_NAME_BYTES) } else { None }
    }
}

impl<'de> Deserialize<'de> for LenientValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LenientValue, D::Error> {
        struct LenientValueVisitor;
        impl<'de> Visitor<'de> for LenientValueVisitor {
            type Value = LenientValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_u64<E>(self, number: u64) -> Result<LenientValue, E> {
                Ok(LenientValue::Number(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<LenientValue, E> {
                Ok(LenientValue::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<LenientValue, E> {
                Ok(LenientValue::Other)
            }
            fn visit_i64<E>(self, number: i64) -> Result<LenientValue, E> {
                Ok(u64::try_from(number).map_or(LenientValue::Other, LenientValue::Number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<LenientValue, E> {
                Ok(Number::from_f64(number).and_then(Number::as_u64).map_or(LenientValue::Other, LenientValue::Number))
            }
            fn visit_bytes<E>(self, _: &[u8]) -> Result<LenientValue, E> {
                Ok(LenientValue::Other)
            }
            fn visit_unit<E>(self) -> Result<LenientValue, E> {
                Ok(LenientValue::Other)
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<LenientValue, D::Error> {
                IgnoredAny::deserialize(extension).map(|_| LenientValue::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<LenientValue, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| LenientValue::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LenientValue, A::Error> {
                IgnoredAny.visit_map(map).map(|_| LenientValue::Other)
            }
        }
        deserializer.deserialize_any(LenientValueVisitor)
    }
}
