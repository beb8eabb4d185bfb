//! VAPID (RFC 8292): signs the token that identifies this server to a push service. There is one for each origin, cached because signing costs
//! more than the rest of a request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::credentials::SigningKey;
use super::vapid_key::application_server_key;

/// How long a token is valid, in seconds. RFC 8292 section 2 allows a day; half of it leaves a margin for clocks.
const LIFETIME_S: u64 = 12 * 60 * 60;

/// How long before its expiry a token is no longer used, in seconds: a push service's clock may be ahead of ours.
const CLOCK_MARGIN_S: u64 = 60 * 60;

/// The origins whose tokens are cached. Browsers use a handful of push services, but a device may register any endpoint, so there must be a bound.
const MAX_ORIGINS: usize = 256;

/// The application server key of one app.
pub(super) struct VapidSigner {
    key: EncodingKey,
    /// In base64url without padding.
    public_key: String,
    contact: String,
    cache: Mutex<HashMap<String, CachedVapidHeader>>,
}

struct CachedVapidHeader {
    header: HeaderValue,
    signed_s: u64,
}

/// The claims of RFC 8292 section 2.
#[derive(Serialize)]
struct VapidClaims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl VapidSigner {
    /// `contact` is a `mailto:` or `https:` address of the operator.
    pub(super) fn new(key: SigningKey, contact: &str) -> VapidSigner {
        let public_key = application_server_key(&key.public);
        VapidSigner { key: key.private, public_key, contact: contact.to_owned(), cache: Mutex::default() }
    }

    /// The public key, as browsers take it.
    pub(super) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The header `Authorization` for an origin; `None` if it cannot be signed.
    pub(super) fn header(&self, origin: &str, now_s: u64) -> Option<HeaderValue> {
        let is_usable =
            |cached: &CachedVapidHeader| now_s.checked_sub(cached.signed_s).is_some_and(|age_s| age_s < LIFETIME_S - CLOCK_MARGIN_S);
        if let Some(cached) = self.lock_cache().get(origin).filter(|cached| is_usable(cached)) {
            return Some(cached.header.clone());
        }
        // Signed outside the lock: two concurrent requests may sign twice, but neither waits.
        let header = self.sign(origin, now_s)?;
        let mut cache = self.lock_cache();
        if cache.len() >= MAX_ORIGINS {
            cache.retain(|_, cached| is_usable(cached));
        }
        if cache.len() >= MAX_ORIGINS {
            cache.clear();
        }
        cache.insert(origin.to_owned(), CachedVapidHeader { header: header.clone(), signed_s: now_s });
        Some(header)
    }

    fn sign(&self, origin: &str, now_s: u64) -> Option<HeaderValue> {
        let claims = VapidClaims { aud: origin, exp: now_s + LIFETIME_S, sub: &self.contact };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).ok()?;
        let mut header = HeaderValue::try_from(format!("vapid t={token}, k={}", self.public_key)).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, HashMap<String, CachedVapidHeader>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a push service takes this address as the operator's (RFC 8292 section 2.1). Apple's refuses a token whose address has a name of no
/// public domain, with `BadJwtToken`, where others take it.
pub(super) fn check_contact(contact: &str) -> Result<(), &'static str> {
    let host = if let Some(address) = contact.strip_prefix("mailto:") {
        address.split_once('@').filter(|(name, _)| !name.is_empty()).map(|(_, host)| host)
    } else {
        contact.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next())
    };
    let host = host.ok_or("must be a mailto: or https: address (RFC 8292 section 2.1)")?;
    if contact.bytes().any(|byte| !byte.is_ascii_graphic() || b"<>\"".contains(&byte)) {
        return Err("must have no spaces and no brackets");
    }
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let top = name.rsplit_once('.').map(|(rest, top)| (rest.is_empty(), top));
    match top {
        Some((false, top)) if !PRIVATE_TOP_DOMAINS.contains(&top) && !top.is_empty() => Ok(()),
        _ => Err("must be at a public domain: Apple's push service refuses others"),
    }
}

/// Domains that no public name ends in (RFC 6761, RFC 6762; `internal` is ICANN's).
const PRIVATE_TOP_DOMAINS: [&str; 5] = ["localhost", "local", "invalid", "test", "internal"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_an_address_that_every_push_service_takes() {
        for good in ["mailto:push@example.com", "https://example.com", "https://example.com:8443/contact?a", "mailto:a+b@mail.example.org"]
        {
            assert_eq!(check_contact(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "push@example.com",
            "mailto:push",
            "mailto:@example.com",
            "mailto: push@example.com",
            "mailto:<push@example.com>",
            "mailto:Me <push@example.com>",
            "mailto:push@localhost",
            "mailto:push@server",
            "mailto:push@server.local",
            "mailto:push@server.invalid",
            "https://localhost",
            "https://localhost:8443/",
            "https://",
            "https://.com",
            "http://example.com",
        ] {
            assert!(check_contact(bad).is_err(), "{bad}");
        }
    }
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    const NOW_S: u64 = 1_790_000_000;

    fn vapid() -> VapidSigner {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let key = SigningKey { private: EncodingKey::from_ec_der(&pair.serialize_der()), public: pair.public_key_raw().to_vec() };
        VapidSigner::new(key, "mailto:push@example.com")
    }

    #[test]
    fn a_token_names_the_origin_the_expiry_and_the_contact() {
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
    fn a_token_is_used_for_its_origin_until_an_hour_before_its_expiry() {
        let vapid = vapid();
        let at = |origin: &str, now_s| vapid.header(origin, now_s).expect("signed");
        let first = at("https://push.example", NOW_S);
        assert_eq!(at("https://push.example", NOW_S + 11 * 3600 - 1), first);
        assert_ne!(at("https://other.example", NOW_S), first);
        assert_ne!(at("https://push.example", NOW_S + 11 * 3600), first);
        assert_ne!(at("https://push.example", NOW_S - 1), first, "after the clock was set back a new one is signed");
    }

    #[test]
    fn the_cache_is_bounded() {
        let vapid = vapid();
        for number in 0..MAX_ORIGINS + 10 {
            vapid.header(&format!("https://{number}.example"), NOW_S).expect("signed");
        }
        assert!(vapid.lock_cache().len() <= MAX_ORIGINS);
    }
}
