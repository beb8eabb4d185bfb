//! Verifies Apple's provider tokens ("Establishing a token-based connection to APNs").

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;

use super::jwt::ParsedJwt;

/// Apple rejects older tokens.
const MAX_AGE_MS: u64 = 3600 * 1000;

/// Apple rejects a new token that comes sooner after the previous one.
const MIN_RENEWAL_INTERVAL_MS: u64 = 20 * 60 * 1000;

/// How far a sender's clock may be ahead.
const CLOCK_LEEWAY_MS: u64 = 60 * 1000;

/// Tokens whose signature was verified and that are remembered. When there are more, all are forgotten and verified again.
const MAX_REMEMBERED: usize = 1000;

pub(crate) struct ApnsTokenChecker {
    team_id: &'static str,
    state: Mutex<ApnsTokenState>,
}

struct ApnsTokenState {
    key_id: String,
    /// An uncompressed point on P-256.
    public: Vec<u8>,
    /// When each accepted token was issued, in Unix milliseconds.
    issued_ms: HashMap<String, u64>,
    /// When the newest token was first received, in Unix milliseconds.
    newest_ms: Option<u64>,
    accepted: u64,
}

impl ApnsTokenChecker {
    pub(crate) fn new(key_id: &'static str, team_id: &'static str, public: Vec<u8>) -> ApnsTokenChecker {
        let state = ApnsTokenState { key_id: key_id.to_owned(), public, issued_ms: HashMap::new(), newest_ms: None, accepted: 0 };
        ApnsTokenChecker { team_id, state: Mutex::new(state) }
    }

    /// Replaces the team's key. Tokens that the previous key signed are rejected.
    pub(crate) fn rotate(&self, key_id: &str, public: Vec<u8>) {
        let mut state = self.lock();
        (state.key_id, state.public) = (key_id.to_owned(), public);
        state.issued_ms.clear();
        state.newest_ms = None;
    }

    /// Checks an `authorization` header. The error is Apple's reason, and what is wrong in words.
    pub(crate) fn check(&self, authorization: Option<&str>, now_ms: u64) -> Result<(), (&'static str, &'static str)> {
        let header = authorization.ok_or(("MissingProviderToken", "the request has neither an authorization nor a client certificate"))?;
        let (scheme, token) = header.split_once(' ').ok_or(("InvalidProviderToken", "the authorization is not a bearer token"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(("InvalidProviderToken", "the authorization is not a bearer token"));
        }
        let mut state = self.lock();
        let known = state.issued_ms.get(token).copied();
        let issued_ms = known.map_or_else(|| self.verify(token, &state).map_err(|detail| ("InvalidProviderToken", detail)), Ok)?;
        if issued_ms > now_ms + CLOCK_LEEWAY_MS {
            return Err(("InvalidProviderToken", "iat is in the future"));
        }
        if issued_ms + MAX_AGE_MS < now_ms {
            return Err(("ExpiredProviderToken", "the token was issued more than an hour ago"));
        }
        if known.is_none() {
            state.accept(token, issued_ms, now_ms)?;
        }
        Ok(())
    }

    /// When a token was issued, in Unix milliseconds, or what is wrong with it.
    fn verify(&self, token: &str, state: &ApnsTokenState) -> Result<u64, &'static str> {
        let jwt = ParsedJwt::parse(token).filter(|_| !token.contains('=')).ok_or("the token is not a JWT")?;
        if jwt.algorithm() != Some("ES256") {
            return Err("alg is not ES256");
        }
        if jwt.header["kid"].as_str() != Some(state.key_id.as_str()) {
            return Err("kid is not the key's id");
        }
        if jwt.claims["iss"].as_str() != Some(self.team_id) {
            return Err("iss is not the team's id");
        }
        if !jwt.is_signed_by(&ECDSA_P256_SHA256_FIXED, &state.public) {
            return Err("the signature is invalid");
        }
        jwt.claims["iat"].as_u64().and_then(|issued_s| issued_s.checked_mul(1000)).ok_or("iat is not a time in seconds")
    }

    /// Forgets all tokens, so that the next one does not count as renewed too soon.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.issued_ms.clear();
        state.newest_ms = None;
    }

    /// The number of different tokens that were accepted.
    pub(crate) fn accepted_count(&self) -> u64 {
        self.lock().accepted
    }

    fn lock(&self) -> MutexGuard<'_, ApnsTokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApnsTokenState {
    fn accept(&mut self, token: &str, issued_ms: u64, now_ms: u64) -> Result<(), (&'static str, &'static str)> {
        if self.newest_ms.is_some_and(|newest_ms| now_ms < newest_ms + MIN_RENEWAL_INTERVAL_MS) {
            return Err(("TooManyProviderTokenUpdates", "the previous token came less than 20 minutes ago"));
        }
        if self.issued_ms.len() >= MAX_REMEMBERED {
            self.issued_ms.clear();
        }
        self.issued_ms.insert(token.to_owned(), issued_ms);
        self.newest_ms = Some(now_ms);
        self.accepted += 1;
        Ok(())
    }
}
