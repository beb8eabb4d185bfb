//! The value of a record: any JSON value within bounds that are checked while it is decoded.
//!
//! In either codec decoding fails on lists and maps nested deeper than [`limits::VALUE_DEPTH`], on a map that has a member
//! twice, on numbers that are not finite, and on MessagePack's binary and extension types. A map keeps its members in the order
//! of their names, and a number is in its canonical form, so values are equal exactly when their encodings are.
//!
//! serde_json rounds whole numbers of more than 64 bits while it decodes. [`Value::from_json`] and [`crate::Codec::decode_client`] refuse
//! them: JSON from outside is decoded by these.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::StrictText;
use crate::{Number, limits, whole_numbers};

/// A JSON value. [`limits::VALUE_BYTES`] bounds its size, [`limits::VALUE_DEPTH`] its nesting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// The JSON value `null`. A record with this value is not removed.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A string of UTF-8 text.
    Text(String),
    /// A list of values.
    List(Vec<Value>),
    /// A map from names to values.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// Decodes a JSON text. The error is for people and may quote the text.
    pub fn from_json(json: &[u8]) -> Result<Value, String> {
        Value::read(json, limits::VALUE_DEPTH)
    }

    /// Decodes a JSON text of an object whose members are values, each of which may have all of [`limits::VALUE_DEPTH`] levels; `None` if it is no
    /// object. The error is for people and may quote the text.
    pub fn members_from_json(json: &[u8]) -> Result<Option<BTreeMap<String, Value>>, String> {
        let read = Value::read(json, limits::VALUE_DEPTH + 1)?;
        Ok(if let Value::Map(members) = read { Some(members) } else { None })
    }

    fn read(json: &[u8], levels: usize) -> Result<Value, String> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let value = ValueSeed(levels).deserialize(&mut reader);
        let value = value.and_then(|value| reader.end().map(|()| value)).map_err(|why| why.to_string())?;
        let text = if value.may_be_rounded() { std::str::from_utf8(json).unwrap_or_default() } else { "" };
        match whole_numbers::first_outside(text) {
            None => Ok(value),
            Some(number) => Err(format!("{}: {number:.40}", whole_numbers::RULE)),
        }
    }

    /// Whether a number in this value may stand for one that a JSON decoder has rounded.
    pub(crate) fn may_be_rounded(&self) -> bool {
        match self {
            Value::Null | Value::Bool(_) | Value::Text(_) => false,
            Value::Number(number) => number.may_be_rounded(),
            Value::List(items) => items.iter().any(Value::may_be_rounded),
            Value::Map(members) => members.values().any(Value::may_be_rounded),
        }
    }

    /// The size of this value in MessagePack, in bytes. Limits of values and datasets are in these bytes, whichever codec is used.
    pub fn packed_bytes(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 1,
            Value::Number(number) => number.packed_bytes(),
            Value::Text(text) => packed_text_bytes(text),
            Value::List(items) => container_head(items.len()) + items.iter().map(Value::packed_bytes).sum::<usize>(),
            Value::Map(members) => {
                let inside: usize = members.iter().map(|(name, value)| packed_text_bytes(name) + value.packed_bytes()).sum();
                container_head(members.len()) + inside
            }
        }
    }
}

impl Value {
    /// About how much memory this value takes, in bytes: up to 32 times its size in MessagePack.
    pub fn memory_bytes(&self) -> usize {
        let inside = match self {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(Value::memory_bytes).sum(),
            Value::Map(members) => members.iter().map(|(name, value)| size_of::<String>() + name.len() + value.memory_bytes()).sum(),
        };
        size_of::<Value>() + inside
    }

    /// Whether the value's JSON text is within [`limits::VALUE_JSON_BYTES`].
    pub fn fits_json(&self) -> bool {
        // One byte of MessagePack is at most six bytes of JSON (a control character, `false`), so most values need not be encoded to decide.
        self.packed_bytes() <= limits::VALUE_JSON_BYTES / 6 || serde_json::to_writer(ByteBudget(limits::VALUE_JSON_BYTES), self).is_ok()
    }
}

/// A writer that discards what it is given, and fails after this many bytes.
struct ByteBudget(usize);

impl std::io::Write for ByteBudget {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn packed_text_bytes(text: &str) -> usize {
    let head = match text.len() {
        0..=31 => 1,
        32..=255 => 2,
        256..=65_535 => 3,
        _ => 5,
    };
    head + text.len()
}

fn container_head(members: usize) -> usize {
    match members {
        0..=15 => 1,
        16..=65_535 => 3,
        _ => 5,
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl fmt::Display for Value {
    /// The value as JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Number(number) => number.serialize(serializer),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Value::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        ValueSeed(limits::VALUE_DEPTH).deserialize(deserializer)
    }
}

/// Decodes a value that may nest this many levels more.
#[derive(Clone, Copy)]
struct ValueSeed(usize);

impl ValueSeed {
    fn inside<E: Error>(self) -> Result<ValueSeed, E> {
        match self.0.checked_sub(1) {
            Some(left) => Ok(ValueSeed(left)),
            None => Err(E::custom(format_args!("a value nests more than {} levels", limits::VALUE_DEPTH))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Number(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::Number(n.into()))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Value, E> {
        Number::from_f64(n).map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = BTreeMap::new();
        while let Some(StrictText(name)) = map.next_key()? {
            let value = map.next_value_seed(inside)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a map names a member twice"));
            }
        }
        Ok(Value::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn packed_bytes_is_the_size_of_the_encoding() {
        let long = format!("[{}]", vec!["1"; 70_000].join(","));
        let wide = format!("{{{}}}", (0..300).map(|n| format!("\"{n}\":{n}")).collect::<Vec<_>>().join(","));
        let texts = [0, 31, 32, 255, 256, 65_535, 65_536].map(|n| format!("\"{}\"", "x".repeat(n)));
        let numbers = "[0,127,128,255,256,65535,65536,4294967295,4294967296,-1,-32,-33,-128,-129,-32768,-32769,-2147483648,\
            -2147483649,9223372036854775807,18446744073709551615,1.5,1e300]";
        for text in texts.iter().map(String::as_str).chain([long.as_str(), &wide, numbers, "null", "true", "{}", "[]"]) {
            let value = read(text).expect(text);
            assert_eq!(value.packed_bytes(), rmp_serde::to_vec(&value).expect("encodes").len(), "{:.60}", text);
        }
    }

    #[test]
    fn a_value_whose_json_is_too_large_is_detected() {
        let fits = |value: Value| (value.fits_json(), serde_json::to_vec(&value).expect("encodes").len() <= limits::VALUE_JSON_BYTES);
        for length in [0, 262_142, 262_144, 314_572, 314_573] {
            for value in [
                Value::Bool(false),
                Value::Null,
                Value::from(-32),
                Value::from(""),
                Number::from_f64(-1e-300 / 3.0).map_or(Value::Null, Value::Number),
            ] {
                let (fits_json, is_within) = fits(Value::List(vec![value.clone(); length]));
                assert_eq!(fits_json, is_within, "{length} times {value}");
            }
            for text in ["\u{1}", "\"", "ü"] {
                let (fits_json, is_within) = fits(Value::Text(text.repeat(length)));
                assert_eq!(fits_json, is_within, "{length} times {text:?}");
            }
        }
    }

    #[test]
    fn depth_is_bounded_before_the_stack_overflows() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&nested(limits::VALUE_DEPTH)).is_ok());
        assert!(read(&nested(limits::VALUE_DEPTH + 1)).is_err());
        assert!(read(&nested(1_000_000)).is_err());
    }

    #[test]
    fn values_outside_of_json_are_rejected() {
        assert!(read("{\"a\":1,\"a\":2}").is_err(), "a member twice");
        for packed in [&[0xc4, 1, 0][..], &[0xd4, 1, 0], &[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], &[0xca, 0x7f, 0xc0, 0, 0], &[0xa1, 0xff]] {
            assert!(rmp_serde::from_slice::<Value>(packed).is_err(), "{packed:x?}");
        }
    }

    #[test]
    fn json_text_becomes_the_nearest_double() {
        for text in [
            "952510211.1858401",
            "0.30000000000000004",
            "117.63331139400017",
            "122.416294033786585",
            "10587.436593658975",
            "-4.4737164812014446e192",
            "1.5777777777770001",
            "0.00760939025925927263",
            "9007199254740993.0",
            "5e-324",
            "2.4703282292062328e-324",
            "123456789.123456789e-5",
        ] {
            let nearest = text.parse().ok().and_then(Number::from_f64).map(Value::Number);
            assert_eq!(read(text).ok(), nearest, "{text}");
        }
    }

    #[test]
    fn equal_numbers_have_equal_encodings() {
        for (text, canonical) in [
            ("1.0", "1"),
            ("1e5", "100000"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("-0e9", "0"),
            ("1E19", "10000000000000000000"),
            ("-9223372036854775808.0", "-9223372036854775808"),
            ("1e-400", "0"),
            ("[9007199254740993]", "[9007199254740993]"),
        ] {
            let (value, expected) = (read(text).expect(text), read(canonical).expect(canonical));
            assert_eq!(value, expected, "{text}");
            assert_eq!(value.to_string(), canonical);
            assert_eq!(rmp_serde::to_vec(&value).expect("encodes"), rmp_serde::to_vec(&expected).expect("encodes"), "{text}");
        }
        assert_ne!(read("9007199254740993").expect("odd"), read("9007199254740992.0").expect("even"));
        assert_eq!(rmp_serde::from_slice::<Value>(&[0xca, 0x3f, 0x80, 0, 0]).expect("a float of 32 bits"), Value::from(1));
        assert_eq!(rmp_serde::from_slice::<Value>(&[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]).expect("-0"), Value::from(0));
    }

    #[test]
    fn whole_numbers_of_more_than_64_bits_are_refused_and_doubles_are_not() {
        let read = |text: &str| Value::from_json(text.as_bytes());
        for refused in
            ["18446744073709551616", "-9223372036854775809", "[[18446744073709551616]]", "{\"a\":-99999999999999999999}", "1e400", "-1e309"]
        {
            assert!(read(refused).is_err(), "{refused}");
        }
        assert_eq!(read("[18446744073709551616]"), Err("a whole number must be from -2^63 to 2^64 - 1: 18446744073709551616".to_owned()));
        for kept in ["18446744073709551616.0", "2e19", "1e300", "-1e300", "-9223372036854775808", "18446744073709551615"] {
            let value = read(kept).expect(kept);
            assert_eq!(read(&value.to_string()), Ok(value), "{kept}");
        }
    }
}
