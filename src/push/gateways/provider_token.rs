//! APNs' provider tokens: one for each key, shared by its apps, renewed as rarely as Apple asks.
//!
//! Apple rejects a token that is older than an hour, and renewals more often than every 20 minutes ("Establishing a token-based connection to
//! APNs"). The time is an argument.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// The age at which a token is renewed, in seconds: ten minutes before Apple's limit, for a clock that is behind Apple's.
const RENEW_AFTER_S: u64 = 50 * 60;

/// The lowest age at which a token is renewed, even if APNs calls it expired, in seconds.
const MIN_RENEW_AGE_S: u64 = 20 * 60;

/// Signs with one key, and keeps the current token.
pub(super) struct ProviderTokenCache {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    cached: Mutex<Option<ProviderToken>>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct ProviderToken {
    /// `bearer` and the token, for the header `authorization`.
    pub(super) header: HeaderValue,
    signed_s: u64,
}

#[derive(Serialize)]
struct ProviderTokenClaims<'a> {
    iss: &'a str,
    iat: u64,
}

impl ProviderTokenCache {
    pub(super) fn new(key: EncodingKey, key_id: &str, team_id: &str) -> Arc<ProviderTokenCache> {
        Arc::new(ProviderTokenCache { key, key_id: key_id.to_owned(), team_id: team_id.to_owned(), cached: Mutex::new(None) })
    }

    /// The token to use now; `None` if it cannot be signed.
    pub(super) fn current(&self, now_s: u64) -> Option<ProviderToken> {
        self.cached_or_new(now_s, |token| token.age_s(now_s).is_some_and(|age_s| age_s < RENEW_AFTER_S))
    }

    /// The token to use after APNs called this one expired; `None` if it is too new to be renewed.
    pub(super) fn after_expired(&self, expired: &ProviderToken, now_s: u64) -> Option<ProviderToken> {
        let recent = |token: &ProviderToken| token.age_s(now_s).is_some_and(|age_s| age_s < MIN_RENEW_AGE_S);
        let next = self.cached_or_new(now_s, recent)?;
        // The same token again means that it is too new to be renewed; another one was signed for a concurrent request.
        (next.signed_s != expired.signed_s).then_some(next)
    }

    /// The cached token if it is usable, else a new one, which is then cached.
    fn cached_or_new(&self, now_s: u64, is_usable: impl Fn(&ProviderToken) -> bool) -> Option<ProviderToken> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = cached.as_ref().filter(|token| is_usable(token)) {
            return Some(token.clone());
        }
        let token = self.sign(now_s)?;
        *cached = Some(token.clone());
        Some(token)
    }

    fn sign(&self, now_s: u64) -> Option<ProviderToken> {
        // Apple asks for `alg` and `kid`, and nothing else.
        let header = Header { typ: None, kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let token = jsonwebtoken::encode(&header, &ProviderTokenClaims { iss: &self.team_id, iat: now_s }, &self.key).ok()?;
        let mut header = HeaderValue::try_from(format!("bearer {token}")).ok()?;
        header.set_sensitive(true);
        Some(ProviderToken { header, signed_s: now_s })
    }
}

impl ProviderToken {
    /// `None` if the clock was set back: the token was signed in the future, and Apple would reject it.
    fn age_s(&self, now_s: u64) -> Option<u64> {
        now_s.checked_sub(self.signed_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    const MINUTE_S: u64 = 60;
    const START_S: u64 = 1_790_000_000;

    fn tokens() -> (Arc<ProviderTokenCache>, Vec<u8>) {
        let pair = rcgen::KeyPair::generate().expect("a key");
        (ProviderTokenCache::new(EncodingKey::from_ec_der(&pair.serialize_der()), "KEY", "TEAM"), pair.public_key_raw().to_vec())
    }

    fn at(tokens: &ProviderTokenCache, now_s: u64) -> ProviderToken {
        tokens.current(now_s).expect("a token")
    }

    #[test]
    fn a_token_has_the_claims_that_apple_asks_for() {
        let (tokens, public) = tokens();
        let header = at(&tokens, START_S).header;
        assert!(header.is_sensitive());
        let token = header.to_str().expect("a text").strip_prefix("bearer ").expect("bearer");
        let mut rules = Validation::new(Algorithm::ES256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_ec_der(&public), &rules).expect("signed");
        assert_eq!(read.claims, serde_json::json!({"iss": "TEAM", "iat": START_S}));
        assert_eq!((read.header.kid.as_deref(), read.header.typ), (Some("KEY"), None));
    }

    #[test]
    fn a_token_is_used_for_fifty_minutes() {
        let (tokens, _) = tokens();
        assert_eq!(at(&tokens, START_S).signed_s, START_S);
        assert_eq!(at(&tokens, START_S + 50 * MINUTE_S - 1).signed_s, START_S);
        assert_eq!(at(&tokens, START_S + 50 * MINUTE_S).signed_s, START_S + 50 * MINUTE_S);
        assert_eq!(at(&tokens, START_S + 99 * MINUTE_S).signed_s, START_S + 50 * MINUTE_S);
    }

    #[test]
    fn a_token_is_signed_anew_after_the_clock_was_set_back() {
        let (tokens, _) = tokens();
        at(&tokens, START_S);
        assert_eq!(at(&tokens, START_S - MINUTE_S).signed_s, START_S - MINUTE_S);
    }

    #[test]
    fn a_token_that_apns_calls_expired_is_renewed_once_and_never_within_twenty_minutes() {
        let (tokens, _) = tokens();
        let first = at(&tokens, START_S);
        assert!(tokens.after_expired(&first, START_S + 20 * MINUTE_S - 1).is_none());
        let second = tokens.after_expired(&first, START_S + 20 * MINUTE_S).expect("a new one");
        assert_eq!(second.signed_s, START_S + 20 * MINUTE_S);
        // Concurrent requests that were rejected with the first token use the second.
        assert_eq!(tokens.after_expired(&first, START_S + 21 * MINUTE_S).map(|token| token.signed_s), Some(second.signed_s));
        assert!(tokens.after_expired(&second, START_S + 21 * MINUTE_S).is_none());
    }
}
