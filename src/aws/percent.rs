//! Percent-encoding as Signature Version 4 wants it (IAM User Guide, "Create a signed AWS API request", `UriEncode`; RFC 3986 §2).

/// A `%` that no two hexadecimal digits follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenEscape;

/// How a `+` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlusSign {
    /// As a space: in forms and queries.
    Space,
    /// As itself: in paths.
    Plus,
}

/// Decodes each `%XX` once.
pub fn decode(text: &[u8], plus: PlusSign) -> Result<Vec<u8>, BrokenEscape> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).ok_or(BrokenEscape);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                (high * 16 + low) as u8
            }
            b'+' if plus == PlusSign::Space => b' ',
            byte => byte,
        });
    }
    Ok(decoded)
}

/// Appends a text with everything encoded but letters, digits, `-._~`, and what `kept` names.
fn encode_into(encoded: &mut String, text: &[u8], kept: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// A name or value of a canonical query.
pub fn encode(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode_into(&mut encoded, text, |_| false);
    encoded
}

/// A path, segment by segment: its slashes stay.
pub fn encode_path(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    encode_into(&mut encoded, path, |byte| byte == b'/');
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escape_is_decoded_once() {
        assert_eq!(decode(b"a%253A+%2b", PlusSign::Space).unwrap(), b"a%3A +");
        assert_eq!(decode(b"a+b%2F", PlusSign::Plus).unwrap(), b"a+b/");
        for broken in ["%", "%4", "%zz", "a%+1", "%%41", "%\u{e9}1", "%4\u{e9}"] {
            assert_eq!(decode(broken.as_bytes(), PlusSign::Space), Err(BrokenEscape), "{broken}");
        }
    }

    #[test]
    fn every_byte_comes_back_and_only_unreserved_ones_stay() {
        let all: Vec<u8> = (0..=255).collect();
        let encoded = encode(&all);
        assert_eq!(decode(encoded.as_bytes(), PlusSign::Space).unwrap(), all);
        let kept: String = encoded.split('%').map(|piece| piece.get(2..).unwrap_or_default()).collect();
        assert_eq!(kept, "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~");
        assert_eq!(encode_path(b"/us-east-1%3Aa/ b"), "/us-east-1%253Aa/%20b");
    }
}
