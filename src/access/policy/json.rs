//! Reads JSON of bounded depth into a tree that keeps the order of members, and refuses members that occur twice: of two readers of
//! `{"Effect":"Deny","Effect":"Allow"}` each may take another one.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Objects and lists inside each other: document, statements, statement, condition, operator, values; and two more for a clear message.
const DEPTH: usize = 8;

/// From here on doubles leave out whole numbers, so a number may already be another one than the text says.
const EXACT_NUMBER: f64 = 9_007_199_254_740_992.0;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PolicyJson {
    Null,
    Bool(bool),
    /// A number by its decimal digits, without an exponent.
    Number(String),
    Text(String),
    List(Vec<PolicyJson>),
    Object(Vec<(String, PolicyJson)>),
}

impl PolicyJson {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Result<PolicyJson, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = JsonSeed { depth: 0 }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            PolicyJson::Null => "null",
            PolicyJson::Bool(_) => "a boolean",
            PolicyJson::Number(_) => "a number",
            PolicyJson::Text(_) => "a string",
            PolicyJson::List(_) => "a list",
            PolicyJson::Object(_) => "an object",
        }
    }
}

/// Written compactly. Numbers are written as strings, which say the same in a policy.
impl Serialize for PolicyJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            PolicyJson::Null => serializer.serialize_unit(),
            PolicyJson::Bool(value) => serializer.serialize_bool(*value),
            PolicyJson::Number(text) | PolicyJson::Text(text) => serializer.serialize_str(text),
            PolicyJson::List(items) => serializer.collect_seq(items),
            PolicyJson::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Reads one value at a depth.
#[derive(Clone, Copy)]
struct JsonSeed {
    depth: usize,
}

impl JsonSeed {
    fn deeper<E: Error>(self) -> Result<JsonSeed, E> {
        let depth = self.depth + 1;
        if depth > DEPTH { Err(E::custom("nested too deeply")) } else { Ok(JsonSeed { depth }) }
    }
}

impl<'de> DeserializeSeed<'de> for JsonSeed {
    type Value = PolicyJson;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PolicyJson, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonSeed {
    type Value = PolicyJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<PolicyJson, E> {
        Ok(PolicyJson::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<PolicyJson, E> {
        Ok(PolicyJson::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<PolicyJson, E> {
        Ok(PolicyJson::Number(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<PolicyJson, E> {
        Ok(PolicyJson::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<PolicyJson, E> {
        if value.abs() >= EXACT_NUMBER {
            return Err(E::custom("a number of this size has to be a string"));
        }
        Ok(PolicyJson::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<PolicyJson, E> {
        Ok(PolicyJson::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<PolicyJson, E> {
        Ok(PolicyJson::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PolicyJson, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(PolicyJson::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PolicyJson, A::Error> {
        let seed = self.deeper()?;
        let mut members = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("the member {name:?} occurs twice")));
            }
            members.push((name, map.next_value_seed(seed)?));
        }
        Ok(PolicyJson::Object(members))
    }
}
