//! Verifies a Web Push sender's authorization (VAPID, RFC 8292).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;

use super::jwt::{ParsedJwt, decode_base64url};

/// A token is valid for at most 24 hours (RFC 8292 section 2).
const MAX_LIFETIME_S: u64 = 24 * 3600;

/// Headers whose signature was verified and that are remembered. When there are more, all are forgotten and verified again.
const MAX_REMEMBERED: usize = 1000;

pub(crate) struct VapidChecker {
    /// The key that subscriptions are bound to: an uncompressed point on P-256.
    public: Vec<u8>,
    /// The audience that a token must name.
    origin: String,
    accepted: Mutex<AcceptedVapidHeaders>,
}

#[derive(Default)]
struct AcceptedVapidHeaders {
    /// When the token of each header expires, in Unix seconds.
    expires_s: HashMap<String, u64>,
    count: u64,
}

impl VapidChecker {
    pub(crate) fn new(public: Vec<u8>, origin: String) -> VapidChecker {
        VapidChecker { public, origin, accepted: Mutex::default() }
    }

    /// Checks an `authorization` header; the error says what is wrong with it.
    pub(crate) fn check(&self, header: &str, now_s: u64) -> Result<(), &'static str> {
        let mut accepted = self.lock();
        let known = accepted.expires_s.get(header).copied();
        let expires_s = known.map_or_else(|| self.verify(header), Ok)?;
        if expires_s <= now_s {
            return Err("exp is in the past");
        }
        if known.is_none() {
            if expires_s > now_s + MAX_LIFETIME_S {
                return Err("exp is more than 24 hours ahead");
            }
            if accepted.expires_s.len() >= MAX_REMEMBERED {
                accepted.expires_s.clear();
            }
            accepted.expires_s.insert(header.to_owned(), expires_s);
            accepted.count += 1;
        }
        Ok(())
    }

    /// When the header's token expires, in Unix seconds.
    fn verify(&self, header: &str) -> Result<u64, &'static str> {
        let (token, key) = parameters(header).ok_or("the header is not of the form: vapid t=..., k=...")?;
        let jwt = ParsedJwt::parse(token).filter(|_| !token.contains('=')).ok_or("t is not a JWT")?;
        let key = decode_base64url(key).ok_or("k is not base64url")?;
        if jwt.algorithm() != Some("ES256") {
            return Err("alg is not ES256");
        }
        if key != self.public {
            return Err("k is not the key that the subscription is bound to");
        }
        if !jwt.is_signed_by(&ECDSA_P256_SHA256_FIXED, &key) {
            return Err("the signature is invalid");
        }
        if jwt.claims["aud"].as_str() != Some(&self.origin) {
            return Err("aud is not the push service's origin");
        }
        if !jwt.claims["sub"].as_str().is_some_and(|contact| contact.starts_with("mailto:") || contact.starts_with("https:")) {
            return Err("sub is not a mailto or https address");
        }
        jwt.claims["exp"].as_u64().ok_or("exp is not a time in seconds")
    }

    /// The number of different headers that were accepted.
    pub(crate) fn accepted_count(&self) -> u64 {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, AcceptedVapidHeaders> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token `t` and the key `k` (RFC 8292 section 3).
fn parameters(header: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = header.split_once(' ')?;
    let of = |name: &str| rest.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='));
    scheme.eq_ignore_ascii_case("vapid").then_some((of("t")?, of("k")?))
}
