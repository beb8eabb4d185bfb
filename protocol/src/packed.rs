//! Canonical MessagePack: how the bytes of a [`Value`](crate::Value) are written and read.
//!
//! Each value has one encoding: heads and whole numbers are as short as they can be, a whole number that is not negative has one of the unsigned
//! formats, any other number is a double of 64 bits, and the members of a map stand in the order of their names' bytes.
//!
//! Reading allocates nothing and never panics: bytes that are no such encoding end an iteration early, or read as `null`.

use crate::Number;

/// The encoding of `null`.
pub(crate) const NULL: &[u8] = &[0xc0];

/// The first item of an encoding. The members of a list or a map follow it, as many as it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PackedHead<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(&'a str),
    List(usize),
    Map(usize),
}

/// Reads the first item; returns it and what follows. `None` if the bytes are no canonical MessagePack.
pub(crate) fn read_head(bytes: &[u8]) -> Option<(PackedHead<'_>, &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    let integer = |number: i64| Some((PackedHead::Number(number.into()), rest));
    match marker {
        0x00..=0x7f => integer(marker.into()),
        0x80..=0x8f => Some((PackedHead::Map(usize::from(marker & 0x0f)), rest)),
        0x90..=0x9f => Some((PackedHead::List(usize::from(marker & 0x0f)), rest)),
        0xa0..=0xbf => text(rest, usize::from(marker & 0x1f)),
        0xc0 => Some((PackedHead::Null, rest)),
        0xc2 | 0xc3 => Some((PackedHead::Bool(marker == 0xc3), rest)),
        0xcb => fixed(rest).and_then(|(bits, rest)| Some((PackedHead::Number(Number::from_f64(f64::from_be_bytes(bits))?), rest))),
        0xcc => fixed(rest).map(|([n], rest)| (PackedHead::Number(i64::from(n).into()), rest)),
        0xcd => fixed(rest).map(|(n, rest)| (PackedHead::Number(i64::from(u16::from_be_bytes(n)).into()), rest)),
        0xce => fixed(rest).map(|(n, rest)| (PackedHead::Number(i64::from(u32::from_be_bytes(n)).into()), rest)),
        0xcf => fixed(rest).map(|(n, rest)| (PackedHead::Number(u64::from_be_bytes(n).into()), rest)),
        0xd0 => fixed(rest).map(|(n, rest)| (PackedHead::Number(i64::from(i8::from_be_bytes(n)).into()), rest)),
        0xd1 => fixed(rest).map(|(n, rest)| (PackedHead::Number(i64::from(i16::from_be_bytes(n)).into()), rest)),
        0xd2 => fixed(rest).map(|(n, rest)| (PackedHead::Number(i64::from(i32::from_be_bytes(n)).into()), rest)),
        0xd3 => fixed(rest).map(|(n, rest)| (PackedHead::Number(i64::from_be_bytes(n).into()), rest)),
        0xd9 => fixed(rest).and_then(|([n], rest)| text(rest, n.into())),
        0xda => fixed(rest).and_then(|(n, rest)| text(rest, u16::from_be_bytes(n).into())),
        0xdb => fixed(rest).and_then(|(n, rest)| text(rest, usize::try_from(u32::from_be_bytes(n)).ok()?)),
        0xdc => fixed(rest).map(|(n, rest)| (PackedHead::List(u16::from_be_bytes(n).into()), rest)),
        0xdd => fixed(rest).and_then(|(n, rest)| Some((PackedHead::List(usize::try_from(u32::from_be_bytes(n)).ok()?), rest))),
        0xde => fixed(rest).map(|(n, rest)| (PackedHead::Map(u16::from_be_bytes(n).into()), rest)),
        0xdf => fixed(rest).and_then(|(n, rest)| Some((PackedHead::Map(usize::try_from(u32::from_be_bytes(n)).ok()?), rest))),
        0xe0..=0xff => integer(i64::from(i8::from_be_bytes([marker]))),
        0xc1 | 0xc4..=0xca | 0xd4..=0xd8 => None,
    }
}

/// How many bytes an item has that is `null`, a truth value, a number or a short text, by its first byte; 0: it is another one.
const SCALAR_BYTES: [u8; 256] = scalar_bytes();

const fn scalar_bytes() -> [u8; 256] {
    let mut bytes = [0; 256];
    let mut marker = 0_u8;
    loop {
        bytes[marker as usize] = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            0xa0..=0xbf => 1 + (marker & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            _ => 0,
        };
        if marker == u8::MAX {
            return bytes;
        }
        marker += 1;
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest))
}

fn text(bytes: &[u8], length: usize) -> Option<(PackedHead<'_>, &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    Some((PackedHead::Text(std::str::from_utf8(text).ok()?), rest))
}

/// The first value, with all that is in it, and what follows.
pub(crate) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Of these a list can have a million.
    let scalar = usize::from(SCALAR_BYTES[usize::from(*bytes.first()?)]);
    if scalar > 0 {
        return bytes.split_at_checked(scalar);
    }
    let (mut rest, mut open) = (bytes, 1_usize);
    while open > 0 {
        let (head, after) = skip_head(rest)?;
        open = (open - 1).checked_add(head)?;
        rest = after;
    }
    Some(bytes.split_at(bytes.len() - rest.len()))
}

/// Skips the first item; returns how many values are in it. Texts are not looked at.
pub(crate) fn skip_head(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let marker = *bytes.first()?;
    let scalar = usize::from(SCALAR_BYTES[usize::from(marker)]);
    if scalar > 0 {
        return Some((0, bytes.get(scalar..)?));
    }
    let length = match marker {
        0xd9 => fixed(&bytes[1..]).map(|([n], _)| (2, n.into())),
        0xda => fixed(&bytes[1..]).map(|(n, _)| (3, u16::from_be_bytes(n).into())),
        0xdb => fixed(&bytes[1..]).and_then(|(n, _)| Some((5, usize::try_from(u32::from_be_bytes(n)).ok()?))),
        _ => {
            return match read_head(bytes)? {
                (PackedHead::List(items), rest) => Some((items, rest)),
                (PackedHead::Map(members), rest) => Some((members.checked_mul(2)?, rest)),
                (_, rest) => Some((0, rest)),
            };
        }
    };
    let (head, text) = length?;
    Some((0, bytes.get(head..)?.get(text..)?))
}

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    if out.is_empty() {
        // A value that is a text has no space left over.
        out.reserve_exact(text_head_bytes(text.len()) + text.len());
    }
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length @ 32..=255 => out.extend([0xd9, length as u8]),
        length @ 256..=65_535 => {
            out.push(0xda);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0xdb);
            out.extend((length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn text_head_bytes(length: usize) -> usize {
    match length {
        0..=31 => 1,
        32..=255 => 2,
        256..=65_535 => 3,
        _ => 5,
    }
}

pub(crate) fn write_number(number: Number, out: &mut Vec<u8>) {
    if let Some(n) = number.as_u64() {
        match n {
            0..=0x7f => out.push(n as u8),
            0x80..=0xff => out.extend([0xcc, n as u8]),
            0x100..=0xffff => {
                out.push(0xcd);
                out.extend((n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                out.push(0xce);
                out.extend((n as u32).to_be_bytes());
            }
            _ => {
                out.push(0xcf);
                out.extend(n.to_be_bytes());
            }
        }
    } else if let Some(n) = number.as_i64() {
        match n {
            -32.. => out.push(n as i8 as u8),
            -128..-32 => out.extend([0xd0, n as i8 as u8]),
            -32_768..-128 => {
                out.push(0xd1);
                out.extend((n as i16).to_be_bytes());
            }
            -2_147_483_648..-32_768 => {
                out.push(0xd2);
                out.extend((n as i32).to_be_bytes());
            }
            _ => {
                out.push(0xd3);
                out.extend(n.to_be_bytes());
            }
        }
    } else {
        out.push(0xcb);
        out.extend(number.as_f64().to_be_bytes());
    }
}

/// The head of a list or a map, which has at most 5 bytes.
pub(crate) struct ContainerHead {
    bytes: [u8; 5],
    length: usize,
}

impl ContainerHead {
    pub(crate) fn list(items: usize) -> ContainerHead {
        ContainerHead::new(items, 0x90, 0xdc)
    }

    pub(crate) fn map(members: usize) -> ContainerHead {
        ContainerHead::new(members, 0x80, 0xde)
    }

    fn new(count: usize, short: u8, long: u8) -> ContainerHead {
        let [.., a, b, c, d] = (count as u64).to_be_bytes();
        match count {
            0..=15 => ContainerHead { bytes: [short | d, 0, 0, 0, 0], length: 1 },
            16..=65_535 => ContainerHead { bytes: [long, c, d, 0, 0], length: 3 },
            _ => ContainerHead { bytes: [long + 1, a, b, c, d], length: 5 },
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Puts the head of a container in front of its members, whose number is known only behind them. `at` is where the head begins; one byte is there
/// for it already, which is enough for up to 15.
pub(crate) fn set_head(out: &mut Vec<u8>, at: usize, head: &ContainerHead) {
    match head.as_bytes() {
        [only] => out[at] = *only,
        longer => drop(out.splice(at..=at, longer.iter().copied())),
    }
}

/// Sorts the members of a map, which stand in `out` from `at` on, by their names. False if two have one name.
pub(crate) fn sort_members(out: &mut Vec<u8>, at: usize) -> bool {
    let mut members = Vec::new();
    let mut rest = &out[at..];
    while let Some(((PackedHead::Text(name), after), whole)) = read_head(rest).map(|head| (head, rest)) {
        let Some((_, next)) = split_first(after) else { return false };
        members.push((name, &whole[..whole.len() - next.len()]));
        rest = next;
    }
    members.sort_unstable_by_key(|(name, _)| *name);
    let is_unique = members.windows(2).all(|pair| pair[0].0 != pair[1].0);
    let mut sorted = Vec::with_capacity(out.len() - at);
    members.into_iter().for_each(|(_, member)| sorted.extend_from_slice(member));
    out.truncate(at);
    out.extend_from_slice(&sorted);
    is_unique
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, ValueRef};

    /// Goes through all that is in a value.
    fn count(value: crate::PackedValue<'_>) -> usize {
        match value.view() {
            ValueRef::List(items) => 1 + items.map(count).sum::<usize>(),
            ValueRef::Map(members) => 1 + members.map(|(_, value)| 1 + count(value)).sum::<usize>(),
            ValueRef::Null | ValueRef::Bool(_) | ValueRef::Number(_) | ValueRef::Text(_) => 1,
        }
    }

    #[test]
    fn bytes_that_are_no_encoding_are_read_to_an_end() {
        let whole =
            Value::from_json(br#"{"a":[1,-1,300,-300,70000,-70000,5e9,-5e9,1.5],"b":{"c":"text","d":null},"e":true}"#).expect("JSON");
        assert_eq!(count(whole.whole()), 20);
        // Every byte replaced by every other one, and the bytes cut at each place.
        for at in 0..whole.packed().len() {
            for byte in 0..=255 {
                let mut bytes = whole.packed().to_vec();
                bytes[at] = byte;
                count(Value::from_packed(bytes.into()).whole());
            }
            count(Value::from_packed(whole.packed()[..at].to_vec().into()).whole());
        }
        for count_bytes in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xdf, 0xff, 0xff, 0xff, 0xff], &[0xdb, 0xff, 0xff, 0xff, 0xff], &[]] {
            assert_eq!(split_first(count_bytes), None);
        }
    }

    #[test]
    fn members_in_any_order_and_of_any_number_have_one_encoding() {
        for members in [0, 1, 2, 15, 16, 17, 300, 70_000] {
            let member = |n: usize| format!("\"{}\":[{n}]", n.wrapping_mul(2_654_435_761) % 1_000_003);
            let (forwards, backwards): (Vec<_>, Vec<_>) = ((0..members).map(member).collect(), (0..members).rev().map(member).collect());
            let read = |members: &[String]| Value::from_json(format!("{{{}}}", members.join(",")).as_bytes()).expect("JSON");
            let value = read(&forwards);
            assert_eq!(value, read(&backwards));
            let names: Vec<&str> = value.members().expect("a map").map(|(name, _)| name).collect();
            assert!(names.len() == members && names.is_sorted());
            assert_eq!(value.packed(), rmp_serde::to_vec(&value).expect("encodes"));
        }
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"a":1}"#, r#"[{"b":{"y":1,"x":2,"y":3}}]"#] {
            assert!(Value::from_json(twice.as_bytes()).is_err(), "{twice}");
        }
    }
}
