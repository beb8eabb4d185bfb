//! All issuers that the pools trust, looked up by a token's `iss` and `aud`.
//!
//! Invariant: no two entries have the same issuer and a common audience, so a token belongs to at most one pool.

use std::collections::HashMap;
use std::sync::Arc;

use super::claims::TokenClaims;
use super::config::{IssuerConfig, MIN_SECRET_BYTES};
use super::config_error::{IssuerConfigError, IssuerProblem};
use super::fetcher::Fetchers;
use super::jwks_url;
use super::key::VerificationKey;
use super::key_file;
use super::key_set::KeySet;
use super::refusal::TokenRefusal;
use super::remote::RemoteKeys;

/// An issuer that a pool trusts.
pub(super) struct TrustedIssuer {
    pub(super) pool: Arc<str>,
    /// The `iss` of its tokens.
    pub(super) issuer: Arc<str>,
    audience: Vec<String>,
    keys: KeySource,
}

enum KeySource {
    /// From the configuration or a file.
    Static(KeySet),
    /// From a JWKS endpoint.
    Remote(Arc<RemoteKeys>),
}

impl TrustedIssuer {
    /// The key for a token with this `kid`.
    pub(super) async fn key(&self, kid: Option<&str>, now_s: u64) -> Result<Arc<VerificationKey>, TokenRefusal> {
        match &self.keys {
            KeySource::Static(keys) => keys.choose(kid).cloned().ok_or(TokenRefusal::UnknownKey),
            KeySource::Remote(remote) => remote.key(kid, now_s).await,
        }
    }
}

#[derive(Default)]
pub(super) struct TrustedIssuers {
    by_name: HashMap<Arc<str>, Vec<TrustedIssuer>>,
}

impl TrustedIssuers {
    /// The trusted issuer that a token claims to come from.
    ///
    /// A token whose `aud` matches several of them is rejected, as it is ambiguous which pool it is for.
    pub(super) fn choose(&self, claims: &TokenClaims<'_>) -> Result<&TrustedIssuer, TokenRefusal> {
        let candidates = self.by_name.get(&*claims.issuer).ok_or(TokenRefusal::UnknownIssuer)?;
        let mut matching = candidates.iter().filter(|trusted| trusted.audience.iter().any(|name| claims.audience.contains(name)));
        match (matching.next(), matching.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) | (None, _) => Err(TokenRefusal::WrongAudience),
        }
    }

    /// Adds an issuer of a pool, after checking its configuration.
    pub(super) fn add(&mut self, pool: &Arc<str>, config: IssuerConfig, fetchers: &mut Fetchers) -> Result<(), IssuerConfigError> {
        let config_error = |problem| IssuerConfigError { pool: pool.clone(), issuer: config.issuer.clone(), problem };
        check_names(&config).map_err(config_error)?;
        self.check_overlap(&config).map_err(config_error)?;
        let issuer: Arc<str> = config.issuer.as_str().into();
        let keys = key_source(&config, &issuer, fetchers).map_err(config_error)?;
        let trusted = TrustedIssuer { pool: pool.clone(), issuer: issuer.clone(), audience: config.audience, keys };
        self.by_name.entry(issuer).or_default().push(trusted);
        Ok(())
    }

    fn check_overlap(&self, config: &IssuerConfig) -> Result<(), IssuerProblem> {
        for other in self.by_name.get(config.issuer.as_str()).into_iter().flatten() {
            if let Some(audience) = config.audience.iter().find(|name| other.audience.contains(name)) {
                return Err(IssuerProblem::Ambiguous { audience: audience.clone(), other_pool: other.pool.clone() });
            }
        }
        Ok(())
    }
}

fn check_names(config: &IssuerConfig) -> Result<(), IssuerProblem> {
    if config.issuer.is_empty() {
        return Err(IssuerProblem::NoIssuer);
    }
    if config.audience.is_empty() || config.audience.iter().any(String::is_empty) {
        return Err(IssuerProblem::NoAudience);
    }
    Ok(())
}

fn key_source(config: &IssuerConfig, issuer: &Arc<str>, fetchers: &mut Fetchers) -> Result<KeySource, IssuerProblem> {
    match (&config.jwks_url, &config.keys_file, &config.secret) {
        (Some(url), None, None) => {
            let (url, scheme) = jwks_url::parse(url)?;
            Ok(KeySource::Remote(Arc::new(RemoteKeys::new(issuer.clone(), url, fetchers.for_scheme(scheme)?))))
        }
        (None, Some(path), None) => key_file::load(path).map(KeySource::Static),
        (None, None, Some(secret)) => shared_key(secret).map(KeySource::Static),
        (None, None, None) => Err(IssuerProblem::NoKeys),
        _ => Err(IssuerProblem::SeveralKeySources),
    }
}

/// The key made from a shared secret. A public key that is configured as a secret by mistake would let anyone sign (RFC 8725 section 2.1).
fn shared_key(secret: &str) -> Result<KeySet, IssuerProblem> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(IssuerProblem::ShortSecret);
    }
    if secret.contains("-----BEGIN ") {
        return Err(IssuerProblem::SecretIsPem);
    }
    Ok(KeySet::of_one(VerificationKey::shared(secret)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::support::*;
    use super::*;

    #[test]
    fn an_unusable_configuration_is_an_error() {
        let good = shared_config();
        let with_url = |url: &str| IssuerConfig { jwks_url: Some(url.to_owned()), secret: None, ..good.clone() };
        let missing = IssuerConfig { keys_file: Some("/no/such/file".into()), secret: None, ..good.clone() };
        let problem = |config: &IssuerConfig| verifier_of(&[(POOL, config.clone())]).unwrap_err().problem;
        assert_eq!(problem(&IssuerConfig { issuer: String::new(), ..good.clone() }), IssuerProblem::NoIssuer);
        assert_eq!(problem(&IssuerConfig { audience: vec![], ..good.clone() }), IssuerProblem::NoAudience);
        assert_eq!(problem(&IssuerConfig { audience: vec![String::new()], ..good.clone() }), IssuerProblem::NoAudience);
        assert_eq!(problem(&IssuerConfig { secret: None, ..good.clone() }), IssuerProblem::NoKeys);
        let both = IssuerConfig { secret: good.secret.clone(), ..with_url("https://issuer.example/keys") };
        assert_eq!(problem(&both), IssuerProblem::SeveralKeySources);
        assert_eq!(problem(&with_url("http://issuer.example/keys")), IssuerProblem::NotHttps);
        assert_eq!(problem(&with_url("keys")), IssuerProblem::NotAUrl);
        assert!(matches!(problem(&missing), IssuerProblem::UnreadableFile(_)));
        for text in ["", "hello", "{}", r#"{"keys":[]}"#, &format!("{}{}", RSA.pem(), P256.pem()), &pem("CERTIFICATE", b"x")] {
            assert!(matches!(file_verifier(text).unwrap_err().problem, IssuerProblem::UnusableFile(_)), "{text}");
        }
        assert_eq!(file_verifier("x".repeat(300 * 1024)).unwrap_err().problem, IssuerProblem::LargeFile);
    }

    #[test]
    fn an_error_names_the_pool_and_the_issuer_but_no_secret() {
        let config = IssuerConfig { secret: Some("hush".to_owned()), ..shared_config() };
        let error = verifier_of(&[(POOL, config)]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(POOL) && text.contains(ISSUER) && !text.contains("hush"), "{text}");
    }

    #[test]
    fn an_https_issuer_needs_nothing_but_root_certificates() {
        let url = Some("https://issuer.example/keys".to_owned());
        let config = IssuerConfig { jwks_url: url, secret: None, ..shared_config() };
        match verifier_of(&[(POOL, config)]) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error.problem, IssuerProblem::NoRootCertificates(_)), "{error}"),
        }
    }
}
