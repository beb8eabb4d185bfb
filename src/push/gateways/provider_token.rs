//! APNs' provider tokens: one for each key, shared by all its apps, renewed as rarely as Apple wants it.
//!
//! Apple refuses a token that is older than an hour, and renewals that come more often than every 20 minutes ("Establishing a token-based
//! connection to APNs"). The time is an argument.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// When a token is renewed, in seconds of its age: late, but with ten minutes for a clock that is behind Apple's.
const RENEW_AFTER_S: u64 = 50 * 60;

/// The least age at which a token is renewed, whatever APNs says of it, in seconds.
const RENEW_NEVER_BEFORE_S: u64 = 20 * 60;

/// The tokens of one key.
pub(super) struct ProviderTokens {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    kept: Mutex<Option<ProviderToken>>,
}

/// A token, cheap to copy.
#[derive(Clone)]
pub(super) struct ProviderToken {
    /// `bearer` and the token.
    pub(super) bearer: HeaderValue,
    minted_s: u64,
}

/// Apple's claims: who, and since when.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl ProviderTokens {
    /// For a key of a team.
    pub(super) fn new(key: EncodingKey, key_id: &str, team_id: &str) -> Arc<ProviderTokens> {
        Arc::new(ProviderTokens { key, key_id: key_id.to_owned(), team_id: team_id.to_owned(), kept: Mutex::new(None) })
    }

    /// The token to use now; `None` if it cannot be signed.
    pub(super) fn current(&self, now_s: u64) -> Option<ProviderToken> {
        self.kept_if(now_s, |token| token.age_s(now_s).is_some_and(|age_s| age_s < RENEW_AFTER_S))
    }

    /// The token to use after APNs called this one expired; `None` if it is too young to be renewed.
    pub(super) fn after_expired(&self, expired: &ProviderToken, now_s: u64) -> Option<ProviderToken> {
        let young = |token: &ProviderToken| token.age_s(now_s).is_some_and(|age_s| age_s < RENEW_NEVER_BEFORE_S);
        let next = self.kept_if(now_s, young)?;
        // Another request has renewed it in the meantime, or nobody may.
        (next.minted_s != expired.minted_s).then_some(next)
    }

    /// The kept token if it will do, else a new one, which is kept.
    fn kept_if(&self, now_s: u64, will_do: impl Fn(&ProviderToken) -> bool) -> Option<ProviderToken> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = kept.as_ref().filter(|token| will_do(token)) {
            return Some(token.clone());
        }
        let token = self.mint(now_s)?;
        *kept = Some(token.clone());
        Some(token)
    }

    fn mint(&self, now_s: u64) -> Option<ProviderToken> {
        // Apple asks for `alg` and `kid` alone.
        let header = Header { typ: None, kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let token = jsonwebtoken::encode(&header, &Claims { iss: &self.team_id, iat: now_s }, &self.key).ok()?;
        let mut bearer = HeaderValue::try_from(format!("bearer {token}")).ok()?;
        bearer.set_sensitive(true);
        Some(ProviderToken { bearer, minted_s: now_s })
    }
}

impl ProviderToken {
    /// `None`: the clock was set back, and the token is of a time to come, which Apple would not believe.
    fn age_s(&self, now_s: u64) -> Option<u64> {
        now_s.checked_sub(self.minted_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    const MINUTE: u64 = 60;
    const START: u64 = 1_790_000_000;

    fn tokens() -> (Arc<ProviderTokens>, Vec<u8>) {
        let pair = rcgen::KeyPair::generate().expect("a key");
        (ProviderTokens::new(EncodingKey::from_ec_der(&pair.serialize_der()), "KEY", "TEAM"), pair.public_key_raw().to_vec())
    }

    fn at(tokens: &ProviderTokens, now_s: u64) -> ProviderToken {
        tokens.current(now_s).expect("a token")
    }

    #[test]
    fn a_token_says_what_apple_asks_for() {
        let (tokens, public) = tokens();
        let bearer = at(&tokens, START).bearer;
        assert!(bearer.is_sensitive());
        let token = bearer.to_str().expect("a text").strip_prefix("bearer ").expect("bearer");
        let mut rules = Validation::new(Algorithm::ES256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_ec_der(&public), &rules).expect("signed");
        assert_eq!(read.claims, serde_json::json!({"iss": "TEAM", "iat": START}));
        assert_eq!((read.header.kid.as_deref(), read.header.typ), (Some("KEY"), None));
    }

    #[test]
    fn a_token_is_kept_for_fifty_minutes() {
        let (tokens, _) = tokens();
        assert_eq!(at(&tokens, START).minted_s, START);
        assert_eq!(at(&tokens, START + 50 * MINUTE - 1).minted_s, START);
        assert_eq!(at(&tokens, START + 50 * MINUTE).minted_s, START + 50 * MINUTE);
        assert_eq!(at(&tokens, START + 99 * MINUTE).minted_s, START + 50 * MINUTE);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_new_one() {
        let (tokens, _) = tokens();
        at(&tokens, START);
        assert_eq!(at(&tokens, START - MINUTE).minted_s, START - MINUTE);
    }

    #[test]
    fn one_that_apns_calls_expired_is_renewed_once_and_never_within_twenty_minutes() {
        let (tokens, _) = tokens();
        let first = at(&tokens, START);
        assert!(tokens.after_expired(&first, START + 20 * MINUTE - 1).is_none());
        let second = tokens.after_expired(&first, START + 20 * MINUTE).expect("a new one");
        assert_eq!(second.minted_s, START + 20 * MINUTE);
        // Others whose requests were refused with the first one use what was made.
        assert_eq!(tokens.after_expired(&first, START + 21 * MINUTE).map(|token| token.minted_s), Some(second.minted_s));
        assert!(tokens.after_expired(&second, START + 21 * MINUTE).is_none());
    }
}
