//! The verifier: from a token and the time to a login or a refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::config::{FETCH_TIMEOUT_MS, IssuerConfig, LEEWAY_S, RETRY_AFTER_S};
use super::config_error::IssuerConfigError;
use super::fetcher::Fetchers;
#[cfg(test)]
use super::issuers::TrustedIssuers;
use super::key_set::SignedMessage;
use super::proxy::OutboundProxy;
use super::refusal::TokenRefusal;
use super::refusal_log::RefusalLog;
use super::remote::IssuerWithoutKeys;
use super::shared_issuers::SharedIssuers;
use super::token::CompactToken;

/// Verifies tokens with the keys of the issuers that the pools trust. Cheap to clone; clones share the cached keys.
#[derive(Clone)]
pub struct Verifier {
    issuers: Arc<SharedIssuers>,
    log: Arc<RefusalLog>,
}

/// What a valid token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLogin {
    /// The pool that the token is for.
    pub pool: Arc<str>,
    /// The issuer: its `iss`.
    pub issuer: Arc<str>,
    /// The user, by the issuer's name for them: its `sub`, 1 to 255 bytes.
    pub subject: String,
    /// When the token expires, in Unix seconds: its `exp`, without leeway.
    pub expires_s: u64,
    /// When the token was issued, in Unix seconds: its `iat`, 0 if that is no date.
    pub issued_s: Option<u64>,
    /// When the user proved who they are, in Unix seconds: its `auth_time`, 0 if that is no date.
    pub authenticated_s: Option<u64>,
}

impl VerifiedLogin {
    /// Whether the user has proved who they are within `within_s` before `now_s`, in Unix seconds: by `auth_time`, or by `iat` if the issuer
    /// does not say when the user did. A date in the future, beyond the leeway, is not believed.
    pub fn is_fresh(&self, within_s: u64, now_s: u64) -> bool {
        self.authenticated_s
            .or(self.issued_s)
            .is_some_and(|proved_s| proved_s <= now_s.saturating_add(LEEWAY_S) && now_s <= proved_s.saturating_add(within_s))
    }
}

impl Verifier {
    /// A verifier for these pools, each a name and its issuers.
    ///
    /// Blocks: it reads the files that the configuration names, and root certificates if keys are fetched over `https`. Keys are fetched when
    /// the first token needs them, or by [`Verifier::fetch_first_keys`].
    ///
    /// # Errors
    /// The first issuer whose configuration cannot be used; [`IssuerProblem`](super::IssuerProblem) lists the reasons.
    pub fn new(pools: impl IntoIterator<Item = (Arc<str>, Vec<IssuerConfig>)>) -> Result<Self, IssuerConfigError> {
        Self::with_proxy(pools, OutboundProxy::default())
    }

    /// The same, with a proxy for `https` requests to issuers.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_proxy(
        pools: impl IntoIterator<Item = (Arc<str>, Vec<IssuerConfig>)>,
        proxy: OutboundProxy,
    ) -> Result<Self, IssuerConfigError> {
        Self::with_fetchers(pools, Fetchers::new(Duration::from_millis(FETCH_TIMEOUT_MS), proxy))
    }

    pub(super) fn with_fetchers(
        pools: impl IntoIterator<Item = (Arc<str>, Vec<IssuerConfig>)>,
        fetchers: Fetchers,
    ) -> Result<Self, IssuerConfigError> {
        let issuers = SharedIssuers::new(fetchers);
        issuers.change(|issuers, fetchers| {
            for (pool, configs) in pools {
                issuers.add_all(&pool, configs, fetchers)?;
            }
            Ok(())
        })?;
        Ok(Self { issuers: Arc::new(issuers), log: Arc::default() })
    }

    /// Sets the issuers that a pool trusts from now on, in place of those that it trusted. Keys that were fetched for an issuer that stays are kept.
    /// Other pools may trust the same tokens, which are then accepted only where the pool is named ([`Verifier::verify_in`]).
    ///
    /// Blocks: as [`Verifier::new`].
    ///
    /// # Errors
    /// The first issuer whose configuration cannot be used; the pool then trusts those that it trusted before.
    pub fn set_issuers(&self, pool: &Arc<str>, configs: Vec<IssuerConfig>) -> Result<(), IssuerConfigError> {
        self.issuers.change(|issuers, fetchers| issuers.replace(pool, configs, fetchers))
    }

    /// Fetches the keys of every issuer, and tries again until each has some. The log says which issuer has none.
    pub async fn fetch_first_keys(&self, now_s: impl Fn() -> u64) {
        self.fetch_first_keys_every(Duration::from_secs(RETRY_AFTER_S), now_s).await;
    }

    pub(super) async fn fetch_first_keys_every(&self, interval: Duration, now_s: impl Fn() -> u64) {
        loop {
            let issuers = self.issuers.current();
            join_all(issuers.remotes().map(|remote| remote.prefetch(now_s()))).await;
            if self.issuers_without_keys().is_empty() {
                return;
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// The issuers whose keys could not be fetched yet. Once an issuer has keys it keeps them, even if it cannot be reached any more.
    pub fn issuers_without_keys(&self) -> Vec<IssuerWithoutKeys> {
        self.issuers.current().remotes().filter_map(|remote| remote.without_keys()).collect()
    }

    #[cfg(test)]
    pub(super) fn issuers(&self) -> Arc<TrustedIssuers> {
        self.issuers.current()
    }

    /// Verifies a token at `now_s`, in Unix seconds.
    ///
    /// Waits only if the issuer's keys must be fetched, and then at most [`FETCH_TIMEOUT_MS`](super::FETCH_TIMEOUT_MS). Cancel safe.
    ///
    /// # Errors
    /// The first reason to reject the token, which is logged at the level `info`. Times are checked last, so `Expired` is returned for genuine
    /// tokens only, and while the issuer's keys are not at hand for tokens that may be.
    pub async fn verify(&self, token: &str, now_s: u64) -> Result<VerifiedLogin, TokenRefusal> {
        self.verify_and_log(token, None, now_s).await
    }

    /// The same for a caller that has named the pool: what other pools trust does not matter.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub async fn verify_in(&self, pool: &str, token: &str, now_s: u64) -> Result<VerifiedLogin, TokenRefusal> {
        self.verify_and_log(token, Some(pool), now_s).await
    }

    async fn verify_and_log(&self, token: &str, pool: Option<&str>, now_s: u64) -> Result<VerifiedLogin, TokenRefusal> {
        let result = self.verify_parts(token, pool, now_s).await;
        if let Err(refusal) = &result {
            self.log.refused(&self.issuers.current(), token, *refusal, now_s);
        }
        result
    }

    /// The claims of a token as JSON. Nothing of them is verified: for a token that was verified.
    pub fn claims(token: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
        let token = CompactToken::split(token).ok()?;
        serde_json::from_slice(token.claims_json()).ok()
    }

    /// The pool that a token names, which nobody has verified.
    pub fn named_pool(&self, token: &str) -> Option<Arc<str>> {
        let token = CompactToken::split(token).ok()?;
        let claims = token.claims().ok()?;
        self.issuers.current().choose(&claims, None).ok().map(|trusted| Arc::clone(&trusted.pool))
    }

    async fn verify_parts(&self, token: &str, pool: Option<&str>, now_s: u64) -> Result<VerifiedLogin, TokenRefusal> {
        let token = CompactToken::split(token)?;
        let header = token.header()?;
        let claims = token.claims()?;
        let trusted = self.issuers.current().choose(&claims, pool).map(Arc::clone)?;
        let signed = SignedMessage {
            header: &header,
            tenant: trusted.name.tenant(&claims.issuer),
            message: token.message,
            signature: token.signature,
        };
        match trusted.verify(&signed, now_s).await {
            // A token that no key could make good is not worth a retry.
            Err(TokenRefusal::KeysUnavailable) => claims.check_times(now_s).and(Err(TokenRefusal::KeysUnavailable))?,
            verified => verified.and_then(|()| claims.check_times(now_s))?,
        }
        Ok(VerifiedLogin {
            pool: trusted.pool.clone(),
            issuer: trusted.name.of_token(&claims.issuer),
            expires_s: claims.expires_s,
            issued_s: claims.issued_s,
            authenticated_s: claims.authenticated_s,
            subject: claims.subject.into_owned(),
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::support::*;
    use super::super::{DEVELOPMENT_SECRET, LEEWAY_S, MintClaims, MintError, mint};
    use super::*;

    #[tokio::test]
    async fn a_genuine_token_of_each_algorithm_is_accepted() {
        let login = VerifiedLogin {
            pool: POOL.into(),
            issuer: ISSUER.into(),
            subject: "ann".into(),
            expires_s: NOW_S + 3600,
            issued_s: Some(NOW_S),
            authenticated_s: None,
        };
        assert_eq!(accepted(&shared_verifier(), &shared_token(claims())).await, login);
        for signer in [&*RSA, &*P256, &*ED25519] {
            let named = keys_verifier(&[signer.jwk("k")]);
            assert_eq!(accepted(&named, &token_of(signer, "k")).await, login);
            let from_pem = file_verifier(signer.pem()).unwrap();
            assert_eq!(accepted(&from_pem, &token_of(signer, "any kid, as a PEM file contains only one key")).await, login);
        }
    }

    #[tokio::test]
    async fn a_token_that_was_accepted_is_checked_again_each_time() {
        let verifier = keys_verifier(&[P256.jwk("k")]);
        let token = token_of(&P256, "k");
        let first = accepted(&verifier, &token).await;
        assert_eq!(accepted(&verifier, &token).await, first);
        assert_eq!(verifier.verify(&token, first.expires_s + LEEWAY_S).await, Err(TokenRefusal::Expired));
        // A cached signature does not make another signature of the same message valid.
        let (message, signature) = token.rsplit_once('.').unwrap();
        let other = token_of(&P256, "k");
        let (_, other_signature) = other.rsplit_once('.').unwrap();
        assert_ne!(signature, other_signature, "an ECDSA signature is randomized");
        accepted(&verifier, &format!("{message}.{other_signature}")).await;
        let forged = format!("{message}.{}", base64url([7; 64]));
        for _ in 0..2 {
            assert_eq!(verifier.verify(&forged, NOW_S).await, Err(TokenRefusal::BadSignature));
        }
    }

    #[tokio::test]
    async fn escapes_in_claims_are_decoded() {
        let spelt = claims().to_string().replace("https:", r"\u0068ttps:").replace("notes-app", r"notes\u002dapp");
        assert!(spelt.contains(r"\u"));
        accepted(&shared_verifier(), &shared_token(spelt)).await;
    }

    #[tokio::test]
    async fn a_minted_token_is_accepted() {
        let config = IssuerConfig { secret: Some(DEVELOPMENT_SECRET.to_owned()), ..shared_config() };
        let verifier = verifier_of(&[(POOL, config)]).unwrap();
        let claims = MintClaims { issuer: ISSUER, audience: AUDIENCE, subject: "dev", issued_s: NOW_S, expires_s: NOW_S + 60 };
        let token = mint(DEVELOPMENT_SECRET, &claims).unwrap();
        assert_eq!(accepted(&verifier, &token).await.subject, "dev");
        assert_eq!(mint("too short", &claims), Err(MintError::ShortSecret));
    }

    #[test]
    fn a_verifier_may_be_shared_between_threads() {
        fn shared<T: Clone + Send + Sync + 'static>() {}
        shared::<Verifier>();
        let verifier = shared_verifier();
        fn sendable(_: impl Send) {}
        sendable(verifier.verify("", NOW_S));
    }

    #[tokio::test]
    async fn an_rsa_modulus_may_have_a_sign_byte() {
        let mut jwk = RSA.jwk("k");
        let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
        jwk["n"] = base64url([&[0], &modulus[..]].concat()).into();
        accepted(&keys_verifier(&[jwk]), &token_of(&RSA, "k")).await;
    }

    #[tokio::test]
    async fn parameters_may_be_in_either_alphabet_of_base64_and_padded() {
        for signer in [&*RSA, &*P256, &*P384, &*ED25519] {
            let mut jwk = signer.jwk("k");
            for member in ["n", "e", "x", "y"] {
                let Some(bytes) = jwk.get(member).and_then(|value| URL_SAFE_NO_PAD.decode(value.as_str()?).ok()) else { continue };
                jwk[member] = base64::engine::general_purpose::STANDARD.encode(bytes).into();
            }
            accepted(&keys_verifier(&[jwk]), &token_of(signer, "k")).await;
        }
    }
}
