//! Finds whole numbers outside of -2^63 to 2^64 - 1 in JSON text: a JSON decoder rounds them to doubles without a word.
//!
//! A whole number is one that is written with digits alone, as `-12`. `12.0` and `12e0` are doubles, however large.

/// What a whole number that is found breaks.
pub(crate) const RULE: &str = "a whole number must be from -2^63 to 2^64 - 1";

/// Digits of the shortest number that can be outside of the range.
const MIN_DIGITS: usize = 19;

/// The first whole number of a JSON text that is outside of the range. The text must be valid JSON.
pub(crate) fn first_outside(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = text_end(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(|byte| is_of_number(byte)).count();
                let number = &json[at..end];
                if is_outside(number) {
                    return Some(number);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// The place after a text whose first character is at `at`.
fn text_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn is_outside(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.len() < MIN_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::first_outside;

    #[test]
    fn only_whole_numbers_that_do_not_fit_64_bits_are_found() {
        for inside in [
            "18446744073709551615",
            "-9223372036854775808",
            "[9223372036854775808,0,-0]",
            "18446744073709551616.0",
            "18446744073709551616e0",
            "1E19",
            "[1e300,\"18446744073709551616\"]",
            r#""\"18446744073709551616""#,
            r#"{"18446744073709551616":1,"\\":2}"#,
            "0.00000000000000000000018446744073709551616",
        ] {
            assert_eq!(first_outside(inside), None, "{inside}");
        }
        for (text, found) in [
            ("18446744073709551616", "18446744073709551616"),
            ("-9223372036854775809", "-9223372036854775809"),
            ("[1,[-18446744073709551615]]", "-18446744073709551615"),
            (r#"{"a\\":18446744073709551616}"#, "18446744073709551616"),
            ("[99999999999999999999 ,1]", "99999999999999999999"),
        ] {
            assert_eq!(first_outside(text), Some(found), "{text}");
        }
    }
}
