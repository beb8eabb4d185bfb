//! All issuers that any pool trusts, found by a token's `iss` and `aud`.
//!
//! No two of them share both the issuer and an audience, so a token leads to one pool or to none.

use std::collections::HashMap;
use std::sync::Arc;

use super::claims::Claims;
use super::config::{IssuerConfig, MIN_SECRET_BYTES};
use super::config_error::{IssuerConfigError, Problem};
use super::fetcher::Fetchers;
use super::jwks_url;
use super::key::Key;
use super::key_file;
use super::key_set::KeySet;
use super::refusal::TokenRefusal;
use super::remote::Remote;

/// An issuer that a pool trusts.
pub(super) struct Trusted {
    /// The pool's name.
    pub(super) pool: Arc<str>,
    /// The issuer, as a token's `iss` names it.
    pub(super) issuer: Arc<str>,
    audience: Vec<String>,
    keys: Keys,
}

enum Keys {
    AtHand(KeySet),
    Published(Arc<Remote>),
}

impl Trusted {
    /// The key for a token with this `kid`.
    pub(super) async fn key(&self, kid: Option<&str>, now_s: u64) -> Result<Arc<Key>, TokenRefusal> {
        match &self.keys {
            Keys::AtHand(keys) => keys.choose(kid).cloned().ok_or(TokenRefusal::UnknownKey),
            Keys::Published(remote) => remote.key(kid, now_s).await,
        }
    }
}

/// All trusted issuers.
#[derive(Default)]
pub(super) struct Issuers {
    by_name: HashMap<Arc<str>, Vec<Trusted>>,
}

impl Issuers {
    /// The trusted issuer that a token claims to come from.
    ///
    /// A token whose `aud` names several of them is refused: which one is meant is not ours to guess.
    pub(super) fn choose(&self, claims: &Claims<'_>) -> Result<&Trusted, TokenRefusal> {
        let candidates = self.by_name.get(&*claims.issuer).ok_or(TokenRefusal::UnknownIssuer)?;
        let mut meant = candidates.iter().filter(|trusted| trusted.audience.iter().any(|name| claims.audience.holds(name)));
        match (meant.next(), meant.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) | (None, _) => Err(TokenRefusal::WrongAudience),
        }
    }

    /// Adds an issuer of a pool, if its configuration is sound.
    pub(super) fn trust(&mut self, pool: &Arc<str>, config: IssuerConfig, fetchers: &mut Fetchers) -> Result<(), IssuerConfigError> {
        let explain = |problem| IssuerConfigError { pool: pool.clone(), issuer: config.issuer.clone(), problem };
        check_names(&config).map_err(explain)?;
        self.check_overlap(&config).map_err(explain)?;
        let issuer: Arc<str> = config.issuer.as_str().into();
        let keys = keys(&config, &issuer, fetchers).map_err(explain)?;
        let trusted = Trusted { pool: pool.clone(), issuer: issuer.clone(), audience: config.audience, keys };
        self.by_name.entry(issuer).or_default().push(trusted);
        Ok(())
    }

    fn check_overlap(&self, config: &IssuerConfig) -> Result<(), Problem> {
        for other in self.by_name.get(config.issuer.as_str()).into_iter().flatten() {
            if let Some(audience) = config.audience.iter().find(|name| other.audience.contains(name)) {
                return Err(Problem::Ambiguous { audience: audience.clone(), other_pool: other.pool.clone() });
            }
        }
        Ok(())
    }
}

fn check_names(config: &IssuerConfig) -> Result<(), Problem> {
    if config.issuer.is_empty() {
        return Err(Problem::NoIssuer);
    }
    if config.audience.is_empty() || config.audience.iter().any(String::is_empty) {
        return Err(Problem::NoAudience);
    }
    Ok(())
}

fn keys(config: &IssuerConfig, issuer: &Arc<str>, fetchers: &mut Fetchers) -> Result<Keys, Problem> {
    match (&config.jwks_url, &config.keys_file, &config.secret) {
        (Some(url), None, None) => {
            let (url, scheme) = jwks_url::parse(url)?;
            Ok(Keys::Published(Arc::new(Remote::new(issuer.clone(), url, fetchers.of(scheme)?))))
        }
        (None, Some(path), None) => key_file::load(path).map(Keys::AtHand),
        (None, None, Some(secret)) => shared(secret).map(Keys::AtHand),
        (None, None, None) => Err(Problem::NoKeys),
        _ => Err(Problem::SeveralKeySources),
    }
}

/// A public key that was mistaken for a secret would let everyone who has it sign (RFC 8725 section 2.1).
fn shared(secret: &str) -> Result<KeySet, Problem> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(Problem::ShortSecret);
    }
    if secret.contains("-----BEGIN ") {
        return Err(Problem::SecretIsPem);
    }
    Ok(KeySet::of_one(Key::shared(secret)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::support::*;
    use super::*;

    #[test]
    fn configurations_that_cannot_work_are_refused() {
        let good = shared_config();
        let with_url = |url: &str| IssuerConfig { jwks_url: Some(url.to_owned()), secret: None, ..good.clone() };
        let missing = IssuerConfig { keys_file: Some("/no/such/file".into()), secret: None, ..good.clone() };
        let problem = |config: &IssuerConfig| verifier_of(&[(POOL, config.clone())]).unwrap_err().problem;
        assert_eq!(problem(&IssuerConfig { issuer: String::new(), ..good.clone() }), Problem::NoIssuer);
        assert_eq!(problem(&IssuerConfig { audience: vec![], ..good.clone() }), Problem::NoAudience);
        assert_eq!(problem(&IssuerConfig { audience: vec![String::new()], ..good.clone() }), Problem::NoAudience);
        assert_eq!(problem(&IssuerConfig { secret: None, ..good.clone() }), Problem::NoKeys);
        let both = IssuerConfig { secret: good.secret.clone(), ..with_url("https://issuer.example/keys") };
        assert_eq!(problem(&both), Problem::SeveralKeySources);
        assert_eq!(problem(&with_url("http://issuer.example/keys")), Problem::NotHttps);
        assert_eq!(problem(&with_url("keys")), Problem::NotAUrl);
        assert!(matches!(problem(&missing), Problem::UnreadableFile(_)));
        for text in ["", "hello", "{}", r#"{"keys":[]}"#, &format!("{}{}", RSA.pem(), P256.pem()), &pem("CERTIFICATE", b"x")] {
            assert!(matches!(file_verifier(text).unwrap_err().problem, Problem::UnusableFile(_)), "{text}");
        }
        assert_eq!(file_verifier("x".repeat(300 * 1024)).unwrap_err().problem, Problem::LargeFile);
    }

    #[test]
    fn an_error_names_the_pool_and_the_issuer_and_no_secret() {
        let config = IssuerConfig { secret: Some("hush".to_owned()), ..shared_config() };
        let error = verifier_of(&[(POOL, config)]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(POOL) && text.contains(ISSUER) && !text.contains("hush"), "{text}");
    }

    #[test]
    fn an_https_issuer_needs_only_root_certificates() {
        let url = Some("https://issuer.example/keys".to_owned());
        let config = IssuerConfig { jwks_url: url, secret: None, ..shared_config() };
        match verifier_of(&[(POOL, config)]) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error.problem, Problem::NoRootCertificates(_)), "{error}"),
        }
    }
}
