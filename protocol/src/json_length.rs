//! How long a value is as JSON, item by item, without writing it.

use crate::packed::PackedHead;

/// At least and at most how many bytes an item takes in JSON: a list and a map with the commas and colons between what is in them, a text with its
/// escapes. The two differ only for a double.
pub(crate) fn json_bytes(head: PackedHead<'_>) -> (usize, usize) {
    let exactly = |bytes| (bytes, bytes);
    match head {
        PackedHead::Null | PackedHead::Bool(true) => exactly(4),
        PackedHead::Bool(false) => exactly(5),
        PackedHead::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => exactly(digits(whole)),
            (None, Some(negative)) => exactly(1 + digits(negative.unsigned_abs())),
            // From 1.5 to -2.2250738585072014e-308.
            (None, None) => (3, 24),
        },
        PackedHead::Text(text) => exactly(2 + text.len() + text.bytes().map(escape_bytes).sum::<usize>()),
        PackedHead::List(items) => exactly(2 + items.saturating_sub(1)),
        PackedHead::Map(members) => exactly(2 + members + members.saturating_sub(1)),
    }
}

/// How many bytes an item of one byte takes in JSON; 0: the byte is only the beginning of an item. A value can have a million such items, and they are
/// added up on the server's writer thread.
pub(crate) const ONE_BYTE_ITEMS: [u8; 256] = one_byte_items();

const fn one_byte_items() -> [u8; 256] {
    let mut items = [0; 256];
    let mut marker = 0_u8;
    loop {
        items[marker as usize] = match marker {
            0x00..=0x09 => 1,
            0x0a..=0x63 => 2,
            0x64..=0x7f => 3,
            0x80 | 0x90 => 2,
            // A map of some members, and a list of some items.
            0x81..=0x8f => 1 + 2 * (marker & 0x0f),
            0x91..=0x9f => 1 + (marker & 0x0f),
            0xc0 | 0xc3 => 4,
            0xc2 => 5,
            // -32 to -10, and -9 to -1.
            0xe0..=0xf6 => 3,
            0xf7..=0xff => 2,
            _ => 0,
        };
        if marker == u8::MAX {
            return items;
        }
        marker += 1;
    }
}

fn digits(number: u64) -> usize {
    1 + number.checked_ilog10().unwrap_or(0) as usize
}

/// How many bytes more a byte of a text takes within JSON.
fn escape_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..=0x1f => 5,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn read(text: &str) -> Value {
        Value::from_json(text.as_bytes()).expect(text)
    }

    #[test]
    fn items_of_one_byte_are_as_long_as_any_other_way_of_counting_says() {
        for marker in 0..=u8::MAX {
            let of_one_byte = usize::from(ONE_BYTE_ITEMS[usize::from(marker)]);
            match crate::packed::read_head(&[marker]) {
                Some((PackedHead::Text(""), _)) | None => assert_eq!(of_one_byte, 0, "{marker:#x}"),
                Some((head, _)) => assert_eq!((of_one_byte, of_one_byte), json_bytes(head), "{marker:#x}"),
            }
        }
    }

    #[test]
    fn every_item_is_in_json_as_long_as_its_bounds_say() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "9",
            "10",
            "-9223372036854775808",
            "18446744073709551615",
            "-2.2250738585072014e-308",
            "1.5",
            "\"\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\ü/\u{7f}\"",
            "\"\"",
        ] {
            let value = read(text);
            let (least, most) = bounds(&value);
            assert!((least..=most).contains(&value.to_string().len()), "{text}: {least} to {most}");
            assert!(least == most || text.contains("e-") || text.contains("1.5"), "{text}: {least} to {most}");
        }
        let nested = read(r#"{"a":[1,{"b":[]},"c"],"d":{},"e":[],"f":[null],"g":{"h":-1,"i":[true,false]}}"#);
        let length = nested.to_string().len();
        assert_eq!(bounds(&nested), (length, length));
    }

    fn bounds(value: &Value) -> (usize, usize) {
        value.whole().heads().map(json_bytes).fold((0, 0), |(least, most), (short, long)| (least + short, most + long))
    }
}
