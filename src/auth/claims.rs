//! A token's claims (RFC 7519 section 4.1). Only `iss`, `aud`, `sub`, `exp` and `nbf` are ever read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::config::{LEEWAY_S, MAX_DATE_S, MAX_SUBJECT_BYTES};
use super::json::{JsonText, object, present};
use super::refusal::TokenRefusal;

/// The claims that are used.
pub(super) struct TokenClaims<'a> {
    /// `iss`: who issued the token.
    pub(super) issuer: Cow<'a, str>,
    /// `aud`: whom the token is for.
    pub(super) audience: Audience<'a>,
    /// `sub`: the user, 1 to [`MAX_SUBJECT_BYTES`] bytes without control characters.
    pub(super) subject: Cow<'a, str>,
    /// `exp`, in Unix seconds.
    pub(super) expires_s: u64,
    not_before_s: Option<u64>,
}

/// `aud`: one name or several.
pub(super) enum Audience<'a> {
    One(Cow<'a, str>),
    Several(Vec<JsonText<'a>>),
}

#[derive(Deserialize)]
struct ClaimMembers<'a> {
    #[serde(borrow)]
    iss: JsonText<'a>,
    #[serde(borrow)]
    aud: Audience<'a>,
    #[serde(borrow)]
    sub: JsonText<'a>,
    exp: NumericDate,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<NumericDate>,
}

impl<'a> TokenClaims<'a> {
    /// Reads the claims. `iss`, `aud`, `sub` and `exp` are required.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, TokenRefusal> {
        let members: ClaimMembers<'a> = object(json).ok_or(TokenRefusal::Malformed(
            "its claims must be a JSON object with iss, aud, sub and exp, each once, and dates in seconds",
        ))?;
        let subject = members.sub.0;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.contains(char::is_control) {
            return Err(TokenRefusal::Malformed("its sub must be 1 to 255 bytes without control characters"));
        }
        Ok(Self {
            issuer: members.iss.0,
            audience: members.aud,
            subject,
            expires_s: members.exp.0,
            not_before_s: members.nbf.map(|date| date.0),
        })
    }

    /// Checks that the token is valid at `now_s`, in Unix seconds: before `exp` and not before `nbf`, each with
    /// [`LEEWAY_S`] (RFC 7519 sections 4.1.4 and 4.1.5).
    pub(super) fn check_times(&self, now_s: u64) -> Result<(), TokenRefusal> {
        if now_s >= self.expires_s.saturating_add(LEEWAY_S) {
            return Err(TokenRefusal::Expired);
        }
        match self.not_before_s {
            Some(not_before_s) if now_s.saturating_add(LEEWAY_S) < not_before_s => Err(TokenRefusal::NotYetValid),
            Some(_) | None => Ok(()),
        }
    }
}

impl Audience<'_> {
    /// Whether `name` is one of the audience. The comparison is exact.
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(only) => only == name,
            Self::Several(names) => names.iter().any(|text| text.0 == name),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Audience<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;
        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Audience<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Audience::One(Cow::Borrowed(name)))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Audience::One(Cow::Owned(name.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut several = Vec::new();
                while let Some(name) = names.next_element()? {
                    several.push(name);
                }
                Ok(Audience::Several(several))
            }
        }
        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// A date in seconds since 1970, at most [`MAX_DATE_S`]. Fractions are truncated (RFC 7519 section 2).
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // f64 represents every whole second in this range exactly. NaN fails the comparison.
        if (0.0..=MAX_DATE_S as f64).contains(&seconds) { Ok(Self(seconds as u64)) } else { Err(D::Error::custom("a date out of range")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(members: &str) -> Result<u64, TokenRefusal> {
        let json = format!(r#"{{"iss":"i","aud":"a",{members}}}"#);
        TokenClaims::read(json.as_bytes()).map(|claims| claims.expires_s)
    }

    #[test]
    fn dates_are_json_numbers_of_seconds() {
        assert_eq!(read(r#""sub":"s","exp":1790000000"#), Ok(1_790_000_000));
        assert_eq!(read(r#""sub":"s","exp":1790000000.9"#), Ok(1_790_000_000));
        assert_eq!(read(r#""sub":"s","exp":1.79e9"#), Ok(1_790_000_000));
        for wrong in ["1790000000000", "-1", "1e300", "\"1790000000\"", "null", "true", "[]"] {
            let refusal = read(&format!(r#""sub":"s","exp":{wrong}"#)).unwrap_err();
            assert!(matches!(refusal, TokenRefusal::Malformed(_)), "{wrong}");
        }
    }

    #[test]
    fn a_subject_has_1_to_255_bytes_and_no_control_characters() {
        assert!(read(&format!(r#""exp":1,"sub":"{}""#, "s".repeat(255))).is_ok());
        assert!(read(&format!(r#""exp":1,"sub":"{}""#, "s".repeat(256))).is_err());
        assert!(read(r#""exp":1,"sub":"""#).is_err());
        assert!(read(r#""exp":1,"sub":"a\u0000b""#).is_err());
        assert!(read(r#""exp":1,"sub":7"#).is_err());
    }
}
