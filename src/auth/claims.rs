//! A token's claims (RFC 7519 section 4.1). Read are `iss`, `aud`, `sub`, `exp`, `nbf`, `iat`, `auth_time`, and the claim that names the
//! audience, if the issuer's configuration names another one than `aud`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::config::{AUDIENCE_CLAIM, LEEWAY_S, MAX_DATE_S, MAX_SUBJECT_BYTES};
use super::json::{JsonText, object, present};
use super::refusal::TokenRefusal;

/// The claims that are used.
pub(super) struct TokenClaims<'a> {
    /// `iss`: who issued the token.
    pub(super) issuer: Cow<'a, str>,
    /// `sub`: the user, 1 to [`MAX_SUBJECT_BYTES`] bytes without control characters.
    pub(super) subject: Cow<'a, str>,
    /// `exp`, in Unix seconds.
    pub(super) expires_s: u64,
    /// `iat`, in Unix seconds; 0 if it is no date.
    pub(super) issued_s: Option<u64>,
    /// `auth_time`: when the user proved who they are, in Unix seconds; 0 if it is no date (OpenID Connect Core section 2).
    pub(super) authenticated_s: Option<u64>,
    not_before_s: Option<u64>,
    /// `aud`, or that it is neither a text nor a list of texts: an issuer whose audience is in another claim does not mind.
    audience: Result<Option<Audience<'a>>, TokenRefusal>,
    json: &'a [u8],
}

/// Whom a token is for: one name or several.
#[derive(Clone)]
pub(super) enum Audience<'a> {
    One(Cow<'a, str>),
    Several(Vec<JsonText<'a>>),
}

/// The members that are read, with an `aud` of the type `A`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "A: Deserialize<'de>"))]
struct ClaimMembers<'a, A> {
    #[serde(borrow, default, deserialize_with = "present")]
    iss: Option<JsonText<'a>>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<A>,
    #[serde(borrow, default, deserialize_with = "present")]
    sub: Option<JsonText<'a>>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<NumericDate>,
    #[serde(default)]
    iat: PastDate,
    #[serde(default)]
    auth_time: PastDate,
}

impl<'a> TokenClaims<'a> {
    /// Reads the claims. `iss`, `sub` and `exp` are required.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, TokenRefusal> {
        match object::<ClaimMembers<'a, Audience<'a>>>(json) {
            Some(mut members) => {
                let audience = members.aud.take();
                Self::of(members, Ok(audience), json)
            }
            None => Self::of(object::<ClaimMembers<'a, IgnoredAny>>(json).ok_or(MALFORMED_CLAIMS)?, Err(MALFORMED_AUDIENCE), json),
        }
    }

    fn of<A>(
        members: ClaimMembers<'a, A>,
        audience: Result<Option<Audience<'a>>, TokenRefusal>,
        json: &'a [u8],
    ) -> Result<Self, TokenRefusal> {
        let issuer = members.iss.ok_or(TokenRefusal::Malformed("it has no iss claim"))?.0;
        let subject = members.sub.ok_or(TokenRefusal::Malformed("it has no sub claim"))?.0;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.contains(char::is_control) {
            return Err(TokenRefusal::Malformed("its sub must be 1 to 255 bytes without control characters"));
        }
        Ok(Self {
            issuer,
            subject,
            expires_s: members.exp.ok_or(TokenRefusal::Malformed("it has no exp claim"))?.0,
            issued_s: members.iat.0,
            authenticated_s: members.auth_time.0,
            not_before_s: members.nbf.map(|date| date.0),
            audience,
            json,
        })
    }

    /// The audience as this claim names it; `None` if the token has no such claim.
    pub(super) fn audience(&self, claim: &str) -> Result<Option<Cow<'_, Audience<'a>>>, TokenRefusal> {
        if claim == AUDIENCE_CLAIM {
            return self.audience.as_ref().map(|found| found.as_ref().map(Cow::Borrowed)).map_err(|refusal| *refusal);
        }
        Ok(read_member(self.json, claim).map_err(|_| MALFORMED_AUDIENCE)?.map(Cow::Owned))
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

const MALFORMED_CLAIMS: TokenRefusal = TokenRefusal::Malformed(
    "its claims must be a JSON object in which iss, aud, sub, exp, nbf, iat and auth_time stand at most once, and exp and nbf are seconds",
);

const MALFORMED_AUDIENCE: TokenRefusal =
    TokenRefusal::Malformed("the claim that names its audience must stand once, and be a text or a list of texts");

/// The issuer that a token's claims name, whatever else is wrong with them.
pub(super) fn read_issuer(json: &[u8]) -> Option<Cow<'_, str>> {
    read_member::<JsonText<'_>>(json, "iss").ok()?.map(|text| text.0)
}

/// The audience that a token's claims name in this claim, whatever else is wrong with them.
pub(super) fn read_audience<'a>(json: &'a [u8], claim: &str) -> Option<Audience<'a>> {
    read_member(json, claim).ok()?
}

/// The member `name` of an object.
fn read_member<'a, T: Deserialize<'a>>(json: &'a [u8], name: &str) -> serde_json::Result<Option<T>> {
    struct Member<'n, T>(&'n str, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Member<'_, T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(JsonText(member)) = members.next_key()? {
                if member != self.0 {
                    members.next_value::<IgnoredAny>()?;
                } else if found.replace(members.next_value()?).is_some() {
                    return Err(A::Error::custom("a claim stands twice"));
                }
            }
            Ok(found)
        }
    }
    serde_json::Deserializer::from_slice(json).deserialize_map(Member(name, PhantomData))
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

/// A date that is compared with the clock only where the token's age matters. Issuers write it in several ways, and no token is refused for it
/// elsewhere: `null` and 0, which Keycloak writes for an unknown `auth_time`, count as absent, and what is no date in seconds as the oldest one.
#[derive(Default)]
struct PastDate(Option<u64>);

impl<'de> Deserialize<'de> for PastDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Number(f64),
            #[serde(borrow)]
            Text(Cow<'a, str>),
            Null(()),
            Other(IgnoredAny),
        }
        let seconds = match Written::deserialize(deserializer)? {
            Written::Null(()) | Written::Number(0.0) => return Ok(Self(None)),
            Written::Number(seconds) if (0.0..=MAX_DATE_S as f64).contains(&seconds) => seconds as u64,
            Written::Text(digits) => digits.parse().ok().filter(|seconds| *seconds <= MAX_DATE_S).unwrap_or(0),
            Written::Number(_) | Written::Other(_) => 0,
        };
        Ok(Self(Some(seconds)))
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
    fn a_date_of_issue_that_is_no_date_counts_as_the_oldest_one() {
        let issued = |iat: &str| {
            let json = format!(r#"{{"iss":"i","sub":"s","exp":1,"iat":{iat}}}"#);
            TokenClaims::read(json.as_bytes()).unwrap().issued_s
        };
        assert_eq!(issued("1790000000"), Some(1_790_000_000));
        assert_eq!(issued("1790000000.5"), Some(1_790_000_000));
        assert_eq!(issued("\"1790000000\""), Some(1_790_000_000));
        assert_eq!(issued("null"), None);
        assert_eq!(issued("0"), None);
        for wrong in ["1790000000000", "-1", "\"2026-09-21\"", "\"1790000000000\"", "true", "[1]", "{\"a\":1}"] {
            assert_eq!(issued(wrong), Some(0), "{wrong}");
        }
    }

    #[test]
    fn another_claim_can_name_the_audience() {
        let audience = |members: &str, claim: &str| {
            let json = format!(r#"{{"iss":"i","sub":"s","exp":1{members}}}"#);
            let claims = TokenClaims::read(json.as_bytes()).unwrap();
            claims.audience(claim).map(|found| found.map(|found| found.contains("app")))
        };
        assert_eq!(audience(r#","client_id":"app""#, "client_id"), Ok(Some(true)));
        assert_eq!(audience(r#","client_id":"other""#, "client_id"), Ok(Some(false)));
        assert_eq!(audience(r#","cid":["other","app"]"#, "cid"), Ok(Some(true)));
        assert_eq!(audience(r#","\u0061zp":"app""#, "azp"), Ok(Some(true)));
        assert_eq!(audience(r#","aud":"app""#, "azp"), Ok(None));
        assert_eq!(audience(r#","x":{"azp":"app"}"#, "azp"), Ok(None), "only a claim of the token itself");
        assert_eq!(audience("", "aud"), Ok(None));
        for wrong in
            [r#","azp":"app","azp":"app""#, r#","azp":"app","\u0061zp":"b""#, r#","azp":7"#, r#","azp":null"#, r#","azp":{"app":1}"#]
        {
            assert!(matches!(audience(wrong, "azp"), Err(TokenRefusal::Malformed(_))), "{wrong}");
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
