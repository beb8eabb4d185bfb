//! Apple's provider tokens ("Establishing a token-based connection to APNs").

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;

use super::jwt::Jwt;

/// Apple refuses tokens that are older.
const LIFETIME_MS: u64 = 3600 * 1000;

/// Apple refuses a token that follows another one sooner.
const RENEWAL_MS: u64 = 20 * 60 * 1000;

/// By how much a sender's clock may be ahead.
const LEEWAY_MS: u64 = 60 * 1000;

/// How many tokens are remembered; then all are forgotten, and their signatures are checked again.
const REMEMBERED: usize = 1000;

pub(super) struct ProviderTokens {
    team_id: &'static str,
    seen: Mutex<Seen>,
}

struct Seen {
    key_id: String,
    /// An uncompressed point on P-256.
    public: Vec<u8>,
    /// When those that were taken were issued, in Unix milliseconds.
    issued_ms: HashMap<String, u64>,
    /// When the newest one came.
    newest_ms: Option<u64>,
    taken: u64,
}

impl ProviderTokens {
    pub(super) fn new(key_id: &'static str, team_id: &'static str, public: Vec<u8>) -> ProviderTokens {
        let seen = Seen { key_id: key_id.to_owned(), public, issued_ms: HashMap::new(), newest_ms: None, taken: 0 };
        ProviderTokens { team_id, seen: Mutex::new(seen) }
    }

    /// The team has another key: tokens that the old one signed are refused.
    pub(super) fn rotate(&self, key_id: &str, public: Vec<u8>) {
        let mut seen = self.lock();
        (seen.key_id, seen.public) = (key_id.to_owned(), public);
        seen.issued_ms.clear();
        seen.newest_ms = None;
    }

    /// Apple's reason against an `authorization` header, and what is wrong in words.
    pub(super) fn check(&self, authorization: Option<&str>, now_ms: u64) -> Result<(), (&'static str, &'static str)> {
        let header = authorization.ok_or(("MissingProviderToken", "no authorization and no client certificate"))?;
        let (scheme, token) = header.split_once(' ').ok_or(("InvalidProviderToken", "the authorization is no bearer token"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(("InvalidProviderToken", "the authorization is no bearer token"));
        }
        let mut seen = self.lock();
        let known = seen.issued_ms.get(token).copied();
        let issued_ms = known.map_or_else(|| self.verified(token, &seen).map_err(|wrong| ("InvalidProviderToken", wrong)), Ok)?;
        if issued_ms > now_ms + LEEWAY_MS {
            return Err(("InvalidProviderToken", "its iat lies in the future"));
        }
        if issued_ms + LIFETIME_MS < now_ms {
            return Err(("ExpiredProviderToken", "it was issued more than an hour ago"));
        }
        if known.is_none() {
            seen.take(token, issued_ms, now_ms)?;
        }
        Ok(())
    }

    /// When a token was issued, in Unix milliseconds, or what is wrong with it.
    fn verified(&self, token: &str, seen: &Seen) -> Result<u64, &'static str> {
        let jwt = Jwt::read(token).filter(|_| !token.contains('=')).ok_or("it is no JWT")?;
        if jwt.algorithm() != Some("ES256") {
            return Err("its alg is not ES256");
        }
        if jwt.header["kid"].as_str() != Some(seen.key_id.as_str()) {
            return Err("its kid is not the key's id");
        }
        if jwt.claims["iss"].as_str() != Some(self.team_id) {
            return Err("its iss is not the team's id");
        }
        if !jwt.is_signed_by(&ECDSA_P256_SHA256_FIXED, &seen.public) {
            return Err("its signature does not hold");
        }
        jwt.claims["iat"].as_u64().and_then(|issued_s| issued_s.checked_mul(1000)).ok_or("its iat is no time in seconds")
    }

    /// As if the sender had not sent for long: the next token comes late enough.
    pub(super) fn forget(&self) {
        let mut seen = self.lock();
        seen.issued_ms.clear();
        seen.newest_ms = None;
    }

    /// How many different ones were taken.
    pub(super) fn taken(&self) -> u64 {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn take(&mut self, token: &str, issued_ms: u64, now_ms: u64) -> Result<(), (&'static str, &'static str)> {
        if self.newest_ms.is_some_and(|newest_ms| now_ms < newest_ms + RENEWAL_MS) {
            return Err(("TooManyProviderTokenUpdates", "the token before it came less than 20 minutes ago"));
        }
        if self.issued_ms.len() >= REMEMBERED {
            self.issued_ms.clear();
        }
        self.issued_ms.insert(token.to_owned(), issued_ms);
        self.newest_ms = Some(now_ms);
        self.taken += 1;
        Ok(())
    }
}
