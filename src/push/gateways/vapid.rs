//! Who we are to a push service (VAPID, RFC 8292): a token for each origin, kept because signing costs more than all the rest of a request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::credentials::SigningKey;

/// How long a token is valid, in seconds. A day is the most that may be (RFC 8292 section 2); half of it leaves room for clocks.
const VALID_S: u64 = 12 * 60 * 60;

/// How long before its end a token is no longer used, in seconds: a push service's clock may be ahead of ours.
const MARGIN_S: u64 = 60 * 60;

/// Origins whose tokens are kept. Browsers use a handful of push services; an endpoint is a stranger's word, so there could be any number.
const ORIGINS: usize = 256;

/// Signs for one app.
pub(super) struct Vapid {
    key: EncodingKey,
    /// In base64url.
    public: String,
    contact: String,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    header: HeaderValue,
    minted_s: u64,
}

/// The claims of RFC 8292 section 2.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl Vapid {
    /// With an application server's key, and an address where its operator is reached.
    pub(super) fn new(key: SigningKey, contact: &str) -> Vapid {
        let public = BASE64_URL_SAFE_NO_PAD.encode(&key.public);
        Vapid { key: key.private, public, contact: contact.to_owned(), kept: Mutex::default() }
    }

    /// The header `Authorization` for an origin; `None` if it cannot be signed.
    pub(super) fn header(&self, origin: &str, now_s: u64) -> Option<HeaderValue> {
        let fresh = |kept: &Kept| now_s.checked_sub(kept.minted_s).is_some_and(|age_s| age_s < VALID_S - MARGIN_S);
        if let Some(kept) = self.locked().get(origin).filter(|kept| fresh(kept)) {
            return Some(kept.header.clone());
        }
        // Signed outside the lock: two that come at once sign twice, and nobody waits.
        let header = self.sign(origin, now_s)?;
        let mut all = self.locked();
        if all.len() >= ORIGINS {
            all.retain(|_, kept| fresh(kept));
        }
        if all.len() >= ORIGINS {
            all.clear();
        }
        all.insert(origin.to_owned(), Kept { header: header.clone(), minted_s: now_s });
        Some(header)
    }

    fn sign(&self, origin: &str, now_s: u64) -> Option<HeaderValue> {
        let claims = Claims { aud: origin, exp: now_s + VALID_S, sub: &self.contact };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).ok()?;
        let mut header = HeaderValue::try_from(format!("vapid t={token}, k={}", self.public)).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    const NOW_S: u64 = 1_790_000_000;

    fn vapid() -> Vapid {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let key = SigningKey { private: EncodingKey::from_ec_der(&pair.serialize_der()), public: pair.public_key_raw().to_vec() };
        Vapid::new(key, "mailto:push@example.com")
    }

    #[test]
    fn a_token_names_the_origin_the_end_and_the_contact() {
        let header = vapid().header("https://push.example", NOW_S).expect("signed");
        let (token, key) =
            header.to_str().expect("a text").strip_prefix("vapid t=").and_then(|rest| rest.split_once(", k=")).expect("two parts");
        let public = BASE64_URL_SAFE_NO_PAD.decode(key).expect("base64url");
        let mut rules = Validation::new(Algorithm::ES256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        let read = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_ec_der(&public), &rules).expect("signed");
        let claims = serde_json::json!({"aud": "https://push.example", "exp": NOW_S + 43_200, "sub": "mailto:push@example.com"});
        assert_eq!(read.claims, claims);
        assert!(header.is_sensitive());
    }

    #[test]
    fn a_token_is_kept_for_its_origin_until_an_hour_before_its_end() {
        let vapid = vapid();
        let at = |origin: &str, now_s| vapid.header(origin, now_s).expect("signed");
        let first = at("https://push.example", NOW_S);
        assert_eq!(at("https://push.example", NOW_S + 11 * 3600 - 1), first);
        assert_ne!(at("https://other.example", NOW_S), first);
        assert_ne!(at("https://push.example", NOW_S + 11 * 3600), first);
        assert_ne!(at("https://push.example", NOW_S - 1), first, "a clock that was set back makes a new one");
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let vapid = vapid();
        for number in 0..ORIGINS + 10 {
            vapid.header(&format!("https://{number}.example"), NOW_S).expect("signed");
        }
        assert!(vapid.locked().len() <= ORIGINS);
    }
}
