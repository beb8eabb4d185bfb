//! Who sends, in Web Push (VAPID, RFC 8292).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;

use super::jwt::{Jwt, base64url};

/// A token may hold no longer (RFC 8292 section 2).
const LONGEST_S: u64 = 24 * 3600;

/// How many headers are remembered; then all are forgotten, and their signatures are checked again.
const REMEMBERED: usize = 1000;

pub(super) struct Vapid {
    /// What subscriptions are bound to: an uncompressed point on P-256.
    public: Vec<u8>,
    /// What a token must be for.
    origin: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Until when those that were taken hold, in Unix seconds.
    expires_s: HashMap<String, u64>,
    taken: u64,
}

impl Vapid {
    pub(super) fn new(public: Vec<u8>, origin: String) -> Vapid {
        Vapid { public, origin, seen: Mutex::default() }
    }

    /// What is wrong with an `authorization` header.
    pub(super) fn check(&self, header: &str, now_s: u64) -> Result<(), &'static str> {
        let mut seen = self.lock();
        let known = seen.expires_s.get(header).copied();
        let expires_s = known.map_or_else(|| self.verified(header), Ok)?;
        if expires_s <= now_s {
            return Err("its exp is past");
        }
        if known.is_none() {
            if expires_s > now_s + LONGEST_S {
                return Err("its exp is more than 24 hours ahead");
            }
            if seen.expires_s.len() >= REMEMBERED {
                seen.expires_s.clear();
            }
            seen.expires_s.insert(header.to_owned(), expires_s);
            seen.taken += 1;
        }
        Ok(())
    }

    /// Until when a header's token holds, in Unix seconds.
    fn verified(&self, header: &str) -> Result<u64, &'static str> {
        let (token, key) = parameters(header).ok_or("it is not: vapid t=..., k=...")?;
        let jwt = Jwt::read(token).filter(|_| !token.contains('=')).ok_or("its t is no JWT")?;
        let key = base64url(key).ok_or("its k is no base64url")?;
        if jwt.algorithm() != Some("ES256") {
            return Err("its alg is not ES256");
        }
        if key != self.public {
            return Err("its k is not the key that the subscription is bound to");
        }
        if !jwt.is_signed_by(&ECDSA_P256_SHA256_FIXED, &key) {
            return Err("its signature does not hold");
        }
        if jwt.claims["aud"].as_str() != Some(&self.origin) {
            return Err("its aud is not the push service's origin");
        }
        if !jwt.claims["sub"].as_str().is_some_and(|contact| contact.starts_with("mailto:") || contact.starts_with("https:")) {
            return Err("its sub is no mailto or https address");
        }
        jwt.claims["exp"].as_u64().ok_or("its exp is no time in seconds")
    }

    /// How many different ones were taken.
    pub(super) fn taken(&self) -> u64 {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token and the key (RFC 8292 section 3).
fn parameters(header: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = header.split_once(' ')?;
    let of = |name: &str| rest.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='));
    scheme.eq_ignore_ascii_case("vapid").then_some((of("t")?, of("k")?))
}
