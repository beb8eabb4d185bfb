//! The value of a record: any JSON value within bounds that are checked while it is decoded.
//!
//! A value is its canonical MessagePack (`packed`), so it takes as much memory as it has bytes there, and values are equal exactly when these bytes are.
//! No tree is made of it: what is in it is read in place ([`ValueRef`]).
//!
//! In either codec decoding fails on lists and maps nested deeper than [`limits::VALUE_DEPTH`], on a map that has a member
//! twice, on numbers that are not finite, and on MessagePack's binary and extension types. A map keeps its members in the order
//! of their names, and a number is in its canonical form.
//!
//! serde_json rounds whole numbers of more than 64 bits while it decodes. [`Value::from_json`] and [`crate::Codec::decode_client`] refuse
//! them: JSON from outside is decoded by these.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeSeed;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json_length::{ONE_BYTE_ITEMS, json_bytes};
use crate::packed::{self, ContainerHead, PackedHead};
use crate::packed_value::{ListItems, MapMembers, PackedValue, ValueRef};
use crate::value_decoder::ValueSeed;
use crate::{Number, limits, whole_numbers};

/// A JSON value. [`limits::VALUE_BYTES`] bounds its size, [`limits::VALUE_DEPTH`] its nesting. A clone shares its bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Bytes);

impl Value {
    /// The JSON value `null`. A record with this value is not removed.
    pub fn null() -> Value {
        Value(Bytes::from_static(packed::NULL))
    }

    /// Decodes a JSON text. The error is for people and may quote the text.
    pub fn from_json(json: &[u8]) -> Result<Value, String> {
        Value::read(json, limits::VALUE_DEPTH)
    }

    /// Decodes a JSON text of an object whose members are values, each of which may have all of [`limits::VALUE_DEPTH`] levels; `None` if it is no
    /// object. The error is for people and may quote the text.
    pub fn members_from_json(json: &[u8]) -> Result<Option<BTreeMap<String, Value>>, String> {
        let read = Value::read(json, limits::VALUE_DEPTH + 1)?;
        Ok(read.members().map(|members| members.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()))
    }

    /// A value from the bytes of [`Value::packed`], which were kept somewhere. They are not checked: other bytes make a value that reads as `null` or
    /// ends early.
    pub fn from_packed(packed: Bytes) -> Value {
        Value(packed)
    }

    pub(crate) fn owned(packed: Vec<u8>) -> Value {
        // Without the space that the buffer has left.
        Value(Bytes::from(packed.into_boxed_slice()))
    }

    /// The value in canonical MessagePack.
    pub fn packed(&self) -> &[u8] {
        &self.0
    }

    fn read(json: &[u8], levels: usize) -> Result<Value, String> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let mut packed = Vec::new();
        let value = ValueSeed::new(levels, &mut packed).deserialize(&mut reader);
        value.and_then(|()| reader.end()).map_err(|why| why.to_string())?;
        let value = Value::owned(packed);
        let text = if value.may_be_rounded() { std::str::from_utf8(json).unwrap_or_default() } else { "" };
        match whole_numbers::first_outside(text) {
            None => Ok(value),
            Some(number) => Err(format!("{}: {number:.40}", whole_numbers::RULE)),
        }
    }

    /// Whether a number in this value may stand for one that a JSON decoder has rounded.
    pub(crate) fn may_be_rounded(&self) -> bool {
        self.whole().heads().any(|head| matches!(head, PackedHead::Number(number) if number.may_be_rounded()))
    }

    /// The size of this value in MessagePack, in bytes. Limits of values and datasets are in these bytes, whichever codec is used.
    pub fn packed_bytes(&self) -> usize {
        self.0.len()
    }

    /// What the value is, and what is in it.
    pub fn view(&self) -> ValueRef<'_> {
        self.whole().view()
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<Number> {
        if let ValueRef::Number(number) = self.view() { Some(number) } else { None }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let ValueRef::Text(text) = self.view() { Some(text) } else { None }
    }

    /// The items, if it is a list.
    pub fn items(&self) -> Option<ListItems<'_>> {
        if let ValueRef::List(items) = self.view() { Some(items) } else { None }
    }

    /// The members in the order of their names, if it is a map.
    pub fn members(&self) -> Option<MapMembers<'_>> {
        if let ValueRef::Map(members) = self.view() { Some(members) } else { None }
    }

    /// All of it, as a part of a value is seen.
    pub fn whole(&self) -> PackedValue<'_> {
        PackedValue(&self.0)
    }

    /// Whether the value's JSON text is within [`limits::VALUE_JSON_BYTES`].
    pub fn fits_json(&self) -> bool {
        // One byte of MessagePack is at most six bytes of JSON (a control character), so most values need not be looked at to decide.
        let most = limits::VALUE_JSON_BYTES;
        if self.packed_bytes() <= most / 6 {
            return true;
        }
        let (mut least, mut longest) = (0, 0);
        let mut rest = self.packed();
        while let Some((&marker, after)) = rest.split_first() {
            let bytes = usize::from(ONE_BYTE_ITEMS[usize::from(marker)]);
            let ((short, long), after) = if bytes > 0 {
                ((bytes, bytes), after)
            } else {
                let Some((head, after)) = packed::read_head(rest) else { break };
                (json_bytes(head), after)
            };
            (least, longest, rest) = (least + short, longest + long, after);
            if least > most {
                return false;
            }
        }
        longest <= most || serde_json::to_writer(ByteBudget(most), self).is_ok()
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

/// A copy of its own.
impl From<PackedValue<'_>> for Value {
    fn from(part: PackedValue<'_>) -> Value {
        Value(Bytes::copy_from_slice(part.0))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        let mut packed = Vec::new();
        packed::write_text(text, &mut packed);
        Value::owned(packed)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::from(text.as_str())
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        let mut packed = Vec::with_capacity(9);
        packed::write_number(number, &mut packed);
        Value::owned(packed)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::from(Number::from(number))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value(Bytes::from_static(if truth { &[0xc3] } else { &[0xc2] }))
    }
}

/// A list. Lists are not checked for their depth here: the server refuses those that nest too deep.
impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        let mut packed = ContainerHead::list(items.len()).as_bytes().to_vec();
        items.iter().for_each(|item| packed.extend_from_slice(&item.0));
        Value::owned(packed)
    }
}

/// A map. Maps are not checked for their depth here: the server refuses those that nest too deep.
impl From<BTreeMap<String, Value>> for Value {
    fn from(members: BTreeMap<String, Value>) -> Value {
        let mut packed = ContainerHead::map(members.len()).as_bytes().to_vec();
        for (name, value) in &members {
            packed::write_text(name, &mut packed);
            packed.extend_from_slice(&value.0);
        }
        Value::owned(packed)
    }
}

impl fmt::Display for Value {
    /// The value as JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.whole().serialize(serializer)
    }
}

impl Serialize for PackedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.view() {
            ValueRef::Null => serializer.serialize_unit(),
            ValueRef::Bool(truth) => serializer.serialize_bool(truth),
            ValueRef::Number(number) => number.serialize(serializer),
            ValueRef::Text(text) => serializer.serialize_str(text),
            ValueRef::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&item)?;
                }
                list.end()
            }
            ValueRef::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        let mut packed = Vec::new();
        ValueSeed::new(limits::VALUE_DEPTH, &mut packed).deserialize(deserializer)?;
        Ok(Value::owned(packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn the_bytes_of_a_value_are_its_encoding() {
        let long = format!("[{}]", vec!["1"; 70_000].join(","));
        let wide = format!("{{{}}}", (0..300).map(|n| format!("\"{n}\":{n}")).collect::<Vec<_>>().join(","));
        let texts = [0, 31, 32, 255, 256, 65_535, 65_536].map(|n| format!("\"{}\"", "x".repeat(n)));
        let numbers = "[0,127,128,255,256,65535,65536,4294967295,4294967296,-1,-32,-33,-128,-129,-32768,-32769,-2147483648,\
            -2147483649,9223372036854775807,18446744073709551615,1.5,1e300]";
        for text in texts.iter().map(String::as_str).chain([long.as_str(), &wide, numbers, "null", "true", "{}", "[]"]) {
            let value = read(text).expect(text);
            assert_eq!(value.packed(), rmp_serde::to_vec(&value).expect("encodes"), "{text:.60}");
        }
    }

    #[test]
    fn a_value_whose_json_is_too_large_is_detected() {
        let fits = |value: Value| (value.fits_json(), serde_json::to_vec(&value).expect("encodes").len() <= limits::VALUE_JSON_BYTES);
        for length in [0, 262_142, 262_144, 314_572, 314_573] {
            for value in [
                Value::from(false),
                Value::null(),
                Value::from(-32),
                Value::from(""),
                Number::from_f64(-1e-300 / 3.0).map_or(Value::null(), Value::from),
            ] {
                let (fits_json, is_within) = fits(Value::from(vec![value.clone(); length]));
                assert_eq!(fits_json, is_within, "{length} times {value}");
            }
            for text in ["\u{1}", "\"", "ü"] {
                let (fits_json, is_within) = fits(Value::from(text.repeat(length)));
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
            let nearest = text.parse().ok().and_then(Number::from_f64).map(Value::from);
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
