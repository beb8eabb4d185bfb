//! A value as JSON text, from its bytes in one pass: the same text as the derived code writes, without its calls for each element.

use crate::Number;
use crate::packed::{self, PackedHead};

/// The text of one-byte whole numbers, -32 to 127, by the first byte of their encoding. A value can have a million of them.
fn write_small(marker: u8, out: &mut Vec<u8>) -> bool {
    let (is_negative, size) = match marker {
        0x00..=0x7f => (false, marker),
        0xe0..=0xff => (true, marker.wrapping_neg()),
        _ => return false,
    };
    if is_negative {
        out.push(b'-');
    }
    if size >= 100 {
        out.push(b'1');
    }
    if size >= 10 {
        out.push(b'0' + size / 10 % 10);
    }
    out.push(b'0' + size % 10);
    true
}

/// Appends the value at the beginning of the bytes, and returns what follows it. Bytes that are no encoding read as `null`, and end there.
///
/// Values are as deep as they may be nested ([`limits::VALUE_DEPTH`](crate::limits::VALUE_DEPTH)), so this recursion is bounded.
pub(crate) fn write_value<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if let Some((&marker, rest)) = bytes.split_first()
        && write_small(marker, out)
    {
        return rest;
    }
    let Some((head, mut rest)) = packed::read_head(bytes) else {
        out.extend_from_slice(b"null");
        return &[];
    };
    match head {
        PackedHead::Null => out.extend_from_slice(b"null"),
        PackedHead::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        PackedHead::Number(number) => write_number(number, out),
        PackedHead::Text(text) => write_text(text, out),
        PackedHead::List(items) => {
            out.push(b'[');
            for at in 0..items {
                if at > 0 {
                    out.push(b',');
                }
                rest = write_value(rest, out);
            }
            out.push(b']');
        }
        PackedHead::Map(members) => {
            out.push(b'{');
            for at in 0..members {
                if at > 0 {
                    out.push(b',');
                }
                rest = write_value(rest, out);
                out.push(b':');
                rest = write_value(rest, out);
            }
            out.push(b'}');
        }
    }
    rest
}

pub(crate) fn write_number(number: Number, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, &number);
    debug_assert!(written.is_ok(), "a buffer takes everything: {written:?}");
}

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "a buffer takes everything: {written:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn the_text_is_that_of_the_derived_code() {
        let small: Vec<i64> = (-40..140).collect();
        let texts = [
            serde_json::to_string(&small).expect("is JSON"),
            r#"{"":[],"a":{"b":{},"c":[[],[{"d":null}]]},"t":[true,false]}"#.to_owned(),
            r#"[0.1,-0.0,1e300,5e-324,1.5,-2.5e-7,9007199254740993,18446744073709551615,-9223372036854775808,1e21]"#.to_owned(),
            r#"["\"\\\n\r\t\b\f\u0000\u001f\u007f\u2028é€😀",""]"#.to_owned(),
            format!("[{}1{}]", "[".repeat(30), "]".repeat(30)),
            serde_json::to_string(&"x".repeat(70_000)).expect("is JSON"),
            serde_json::to_string(&(0..70_000).collect::<Vec<_>>()).expect("is JSON"),
        ];
        for text in texts {
            let value: Value = serde_json::from_str(&text).expect("a value");
            let mut written = b"before".to_vec();
            assert!(write_value(value.packed(), &mut written).is_empty(), "{text:.40}");
            assert!(written[6..] == *serde_json::to_vec(&value).expect("encodes"), "{text:.60}");
        }
    }

    #[test]
    fn bytes_that_are_no_value_end_the_text() {
        for (bytes, text) in [(&[][..], "null"), (&[0xc1], "null"), (&[0x92, 1], "[1,null]"), (&[0x81, 0xa1], "{null:null}")] {
            let mut written = Vec::new();
            write_value(bytes, &mut written);
            assert_eq!(String::from_utf8(written).expect("is text"), text);
        }
    }
}
