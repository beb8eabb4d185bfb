//! A token's header (RFC 7515 section 4). Only `alg`, `kid`, `typ` and `crit` are ever read.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::algorithm::Algorithm;
use super::json::{JsonText, object, present};
use super::refusal::TokenRefusal;

/// An acceptable header.
pub(super) struct TokenHeader<'a> {
    /// The algorithm that the token claims. It must fit the key.
    pub(super) algorithm: Algorithm,
    /// Which of the issuer's keys the token claims to be signed with.
    pub(super) kid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct HeaderMembers<'a> {
    #[serde(borrow)]
    alg: JsonText<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    kid: Option<JsonText<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    typ: Option<JsonText<'a>>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

impl<'a> TokenHeader<'a> {
    /// Any `crit` is rejected, as no extension is supported (RFC 7515 section 4.1.11). A `typ` that names another kind of token is rejected
    /// (RFC 8725 section 3.11).
    pub(super) fn read(json: &'a [u8]) -> Result<Self, TokenRefusal> {
        let members: HeaderMembers<'a> = object(json)
            .ok_or(TokenRefusal::Malformed("its header must be a JSON object with alg, and with alg, kid, typ at most once"))?;
        if members.crit.is_some() {
            return Err(TokenRefusal::Malformed("critical header extensions (crit) are not supported"));
        }
        if members.typ.is_some_and(|typ| !is_jwt(&typ.0)) {
            return Err(TokenRefusal::WrongType);
        }
        Ok(Self { algorithm: Algorithm::from_name(&members.alg.0).ok_or(TokenRefusal::WrongAlgorithm)?, kid: members.kid.map(|kid| kid.0) })
    }
}

/// Whether a `typ` is `JWT` (RFC 7519 section 5.1) or `at+jwt` (RFC 9068 section 2.1). Media types are case-insensitive, and `application/` may
/// be omitted (RFC 7515 section 4.1.9).
fn is_jwt(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = match typ.get(..PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        Some(_) | None => typ,
    };
    short.eq_ignore_ascii_case("jwt") || short.eq_ignore_ascii_case("at+jwt")
}
