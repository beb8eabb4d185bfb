//! `Content-Type`, as far as a service depends on it (RFC 9110 §8.3).

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The type of a body, and what is wrong with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyType {
    /// That of the first header, if there are several.
    pub kind: BodyKind,
    pub fault: Option<BodyTypeFault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/x-amz-json-1.0`, `application/x-amz-json-1.1` or `application/json`.
    Json,
    /// Another type, or none. Clients leave it out, and Android's sends another one, so it decides nothing.
    Other,
}

/// Why a body would be read as something else than its sender meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyTypeFault {
    /// Its charset is not UTF-8.
    OtherCharset,
    /// The header is there twice.
    Repeated,
}

impl BodyTypeFault {
    /// The fault in words, for the sender.
    pub fn text(self) -> &'static str {
        match self {
            BodyTypeFault::OtherCharset => "The charset of the body must be UTF-8",
            BodyTypeFault::Repeated => "The header Content-Type is there twice",
        }
    }
}

impl BodyType {
    pub fn of(headers: &HeaderMap) -> BodyType {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let value = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let charsets =
            parts.filter_map(|parameter| parameter.split_once('=')).filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        // US-ASCII is a part of UTF-8.
        let is_utf8 = |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known));
        let other_charset = charsets.map(|(_, name)| name.trim().trim_matches('"')).any(|name| !is_utf8(name));
        let is = |one: &str| essence.eq_ignore_ascii_case(one);
        let kind = if is("application/x-www-form-urlencoded") {
            BodyKind::Form
        } else if is("application/x-amz-json-1.1") || is("application/x-amz-json-1.0") || is("application/json") {
            BodyKind::Json
        } else {
            BodyKind::Other
        };
        let fault = match (values.next(), other_charset) {
            (Some(_), _) => Some(BodyTypeFault::Repeated),
            (None, true) => Some(BodyTypeFault::OtherCharset),
            (None, false) => None,
        };
        BodyType { kind, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (BodyKind, Option<BodyTypeFault>) {
        let read = BodyType::of(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        (read.kind, read.fault)
    }

    #[test]
    fn charsets_other_than_utf_8_are_seen() {
        assert_eq!(read("application/x-www-form-urlencoded; charset=utf-8"), (BodyKind::Form, None));
        assert_eq!(read("Application/X-WWW-Form-Urlencoded;charset=\"UTF-8\""), (BodyKind::Form, None));
        assert_eq!(read("application/x-amz-json-1.1"), (BodyKind::Json, None));
        assert_eq!(read("text/plain; charset=us-ascii"), (BodyKind::Other, None));
        for other in ["utf-16", "iso-8859-1", "utf-7", "", "utf-8; charset=utf-16"] {
            let (kind, fault) = read(&format!("application/x-www-form-urlencoded; charset={other}"));
            assert_eq!((kind, fault), (BodyKind::Form, Some(BodyTypeFault::OtherCharset)), "{other}");
        }
        assert_eq!(BodyType::of(&HeaderMap::new()), BodyType { kind: BodyKind::Other, fault: None });
        let mut twice = HeaderMap::new();
        twice.append(CONTENT_TYPE, "application/json".parse().unwrap());
        twice.append(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(BodyType::of(&twice), BodyType { kind: BodyKind::Json, fault: Some(BodyTypeFault::Repeated) });
    }
}
