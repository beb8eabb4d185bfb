//! All issuers that the pools trust, looked up by a token's `iss` and audience.
//!
//! Invariant: no two entries have a common issuer and a common audience in the same claim, and a token that matches entries of two pools is
//! rejected, so a token belongs to at most one pool.

use std::collections::HashMap;
use std::sync::Arc;

use super::claims::TokenClaims;
use super::config::{IssuerConfig, MIN_SECRET_BYTES};
use super::config_error::{IssuerConfigError, IssuerProblem};
use super::discovery::{IssuerMetadata, KeyLocation};
use super::fetcher::Fetchers;
use super::issuer_name::IssuerName;
use super::key::VerificationKey;
use super::key_file;
use super::key_set::{KeySet, SignedMessage};
use super::key_url;
use super::refusal::TokenRefusal;
use super::remote::RemoteKeys;
use super::shared_secret::shared_secret;

/// An issuer that a pool trusts.
pub(super) struct TrustedIssuer {
    pub(super) pool: Arc<str>,
    /// The issuer as the configuration has it.
    configured: Arc<str>,
    /// The `iss` of its tokens.
    pub(super) name: IssuerName,
    keys: KeySource,
    /// What it was made of.
    config: IssuerConfig,
}

enum KeySource {
    /// From the configuration or a file.
    Static(KeySet),
    /// From a JWKS endpoint.
    Remote(Arc<RemoteKeys>),
}

impl TrustedIssuer {
    /// Verifies the signature of a token with the issuer's keys.
    pub(super) async fn verify(&self, token: &SignedMessage<'_>, now_s: u64) -> Result<(), TokenRefusal> {
        match &self.keys {
            KeySource::Static(keys) => keys.verify(token),
            KeySource::Remote(remote) => remote.verify(token, now_s).await,
        }
    }
}

/// The entries are shared with earlier tables, and with them the keys that were fetched.
#[derive(Clone, Default)]
pub(super) struct TrustedIssuers {
    exact: HashMap<Arc<str>, Vec<Arc<TrustedIssuer>>>,
    /// Few: each is a line that an operator wrote.
    templates: Vec<Arc<TrustedIssuer>>,
}

impl TrustedIssuers {
    /// The trusted issuer that a token claims to come from. Each entry is judged by itself: what one of them cannot read says nothing about
    /// another one. Of several entries of one pool that fit, one with the exact name is chosen before a template, and the one that was
    /// configured first.
    ///
    /// A token whose audience matches issuers of several pools is rejected, as it is ambiguous which pool it is for, unless its bearer has named the
    /// pool.
    pub(super) fn choose(&self, claims: &TokenClaims<'_>, pool: Option<&str>) -> Result<&Arc<TrustedIssuer>, TokenRefusal> {
        let mut refusal = TokenRefusal::UnknownIssuer;
        let mut chosen: Option<&Arc<TrustedIssuer>> = None;
        for trusted in self.named(&claims.issuer).filter(|trusted| pool.is_none_or(|pool| *trusted.pool == *pool)) {
            let unread = match claims.audience(&trusted.config.audience_claim) {
                Ok(Some(audience)) if trusted.config.audience.iter().any(|name| audience.contains(name)) => match chosen {
                    Some(first) if first.pool != trusted.pool => return Err(TokenRefusal::WrongAudience),
                    Some(_) => continue,
                    None => {
                        chosen = Some(trusted);
                        continue;
                    }
                },
                Ok(Some(_)) => {
                    refusal = TokenRefusal::WrongAudience;
                    continue;
                }
                Ok(None) => {
                    TokenRefusal::Malformed("it lacks the claim that names its audience (aud, or the audience_claim of its issuer)")
                }
                Err(malformed) => malformed,
            };
            if refusal == TokenRefusal::UnknownIssuer {
                refusal = unread;
            }
        }
        chosen.ok_or_else(|| match refusal {
            TokenRefusal::UnknownIssuer if self.knows_but_for_a_slash(&claims.issuer) => TokenRefusal::IssuerSlash,
            other => other,
        })
    }

    /// The entries for this `iss`.
    fn named<'s, 'i>(&'s self, iss: &'i str) -> impl Iterator<Item = &'s Arc<TrustedIssuer>> + use<'s, 'i> {
        let exact = self.exact.get(iss).into_iter().flatten();
        exact.chain(self.templates.iter().filter(move |trusted| trusted.name.matches(iss)))
    }

    /// The issuer of this `iss` as the configuration has it, and the claims that name the audience of its tokens; `None`: no pool trusts it.
    pub(super) fn configured(&self, iss: &str) -> Option<(&Arc<str>, Vec<&str>)> {
        let first = self.named(iss).next()?;
        Some((&first.configured, self.named(iss).map(|trusted| trusted.config.audience_claim.as_str()).collect()))
    }

    /// Whether an issuer has the same name but for a slash at its end: the most common mistake in a configuration.
    fn knows_but_for_a_slash(&self, iss: &str) -> bool {
        let other = iss.strip_suffix('/').map_or_else(|| format!("{iss}/"), str::to_owned);
        self.exact.contains_key(other.as_str()) || self.templates.iter().any(|trusted| trusted.name.matches(&other))
    }

    /// The issuers whose keys are fetched.
    pub(super) fn remotes(&self) -> impl Iterator<Item = &Arc<RemoteKeys>> {
        self.exact.values().flatten().chain(&self.templates).filter_map(|trusted| match &trusted.keys {
            KeySource::Remote(remote) => Some(remote),
            KeySource::Static(_) => None,
        })
    }

    /// Adds issuers of a pool, after checking their configuration.
    pub(super) fn add_all(
        &mut self,
        pool: &Arc<str>,
        configs: Vec<IssuerConfig>,
        fetchers: &mut Fetchers,
    ) -> Result<(), IssuerConfigError> {
        configs.into_iter().try_for_each(|config| self.add(pool, config, fetchers, |_| true))
    }

    /// Sets the issuers of a pool in place of those that it has. One that stays as it is keeps its keys.
    ///
    /// Another pool may trust the same tokens: their bearers name the pool ([`TrustedIssuers::choose`]).
    pub(super) fn replace(
        &mut self,
        pool: &Arc<str>,
        configs: Vec<IssuerConfig>,
        fetchers: &mut Fetchers,
    ) -> Result<(), IssuerConfigError> {
        let mut before = Vec::new();
        let is_of_pool = |trusted: &mut Arc<TrustedIssuer>| trusted.pool == *pool;
        before.extend(self.exact.values_mut().flat_map(|entries| entries.extract_if(.., is_of_pool)));
        before.extend(self.templates.extract_if(.., is_of_pool));
        self.exact.retain(|_, entries| !entries.is_empty());
        for config in configs {
            match before.iter().position(|trusted| trusted.config == config) {
                Some(same) => self.insert(before.swap_remove(same)),
                None => self.add(pool, config, fetchers, |other| *other == **pool)?,
            }
        }
        Ok(())
    }

    /// Adds an issuer, unless one of a pool that `is_rival` names trusts some of its tokens already.
    fn add(
        &mut self,
        pool: &Arc<str>,
        config: IssuerConfig,
        fetchers: &mut Fetchers,
        is_rival: impl Fn(&str) -> bool,
    ) -> Result<(), IssuerConfigError> {
        let config_error = |problem| IssuerConfigError { pool: pool.clone(), issuer: config.issuer.clone(), problem };
        let name = IssuerName::parse(&config.issuer).map_err(config_error)?;
        check_audience(&config).map_err(config_error)?;
        self.check_overlap(&name, &config, is_rival).map_err(config_error)?;
        let keys = key_source(pool, &config, fetchers).map_err(config_error)?;
        let configured = config.issuer.as_str().into();
        self.insert(Arc::new(TrustedIssuer { pool: pool.clone(), configured, name, keys, config }));
        Ok(())
    }

    fn insert(&mut self, trusted: Arc<TrustedIssuer>) {
        match &trusted.name {
            IssuerName::Exact(name) => self.exact.entry(name.clone()).or_default().push(trusted),
            IssuerName::Template { .. } => self.templates.push(trusted),
        }
    }

    fn check_overlap(&self, name: &IssuerName, config: &IssuerConfig, is_rival: impl Fn(&str) -> bool) -> Result<(), IssuerProblem> {
        let others = self.exact.values().flatten().chain(&self.templates).filter(|other| is_rival(&other.pool));
        for other in others.filter(|other| other.config.audience_claim == config.audience_claim && other.name.overlaps(name)) {
            if let Some(audience) = config.audience.iter().find(|name| other.config.audience.contains(name)) {
                return Err(IssuerProblem::Ambiguous {
                    audience: audience.clone(),
                    other_issuer: other.configured.clone(),
                    other_pool: other.pool.clone(),
                });
            }
        }
        Ok(())
    }
}

fn check_audience(config: &IssuerConfig) -> Result<(), IssuerProblem> {
    if config.audience_claim.is_empty() {
        return Err(IssuerProblem::NoAudienceClaim);
    }
    if config.audience.is_empty() || config.audience.iter().any(String::is_empty) {
        return Err(IssuerProblem::NoAudience);
    }
    Ok(())
}

fn key_source(pool: &Arc<str>, config: &IssuerConfig, fetchers: &mut Fetchers) -> Result<KeySource, IssuerProblem> {
    if let Some(keys) = &config.own_keys {
        return key_file::own(keys).map(KeySource::Static);
    }
    let (location, scheme) = match (&config.jwks_url, &config.keys_file, shared_secret(config)?) {
        (None, Some(path), None) => return key_file::load(path).map(KeySource::Static),
        (None, None, Some(secret)) => return shared_key(&secret).map(KeySource::Static),
        (Some(url), None, None) => {
            let (url, scheme) = key_url::parse(url, config.allow_private_http)?;
            (KeyLocation::Document(url), scheme)
        }
        (None, None, None) => {
            let metadata = IssuerMetadata::of(&config.issuer, config.allow_private_http)?;
            let scheme = metadata.scheme;
            (KeyLocation::Discovered(metadata), scheme)
        }
        _ => return Err(IssuerProblem::SeveralKeySources),
    };
    let first_url = match &location {
        KeyLocation::Document(url) => url,
        KeyLocation::Discovered(metadata) => &metadata.url,
    };
    let fetcher = fetchers.for_url(first_url, scheme, config.authority_file.as_deref())?;
    Ok(KeySource::Remote(Arc::new(RemoteKeys::new(pool.clone(), config.issuer.as_str().into(), location, fetcher))))
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
        assert_eq!(problem(&IssuerConfig { issuer: "no-url".to_owned(), secret: None, ..good.clone() }), IssuerProblem::NoKeys);
        let no_authority = Some("/no/such/authority.pem".into());
        let problem_of_authority = problem(&IssuerConfig { authority_file: no_authority, ..with_url("https://issuer.example/keys") });
        assert!(matches!(problem_of_authority, IssuerProblem::BadAuthority(_)), "{problem_of_authority}");
        let no_secret_file = IssuerConfig { secret_file: Some("/no/such/secret".into()), secret: None, ..good.clone() };
        assert!(matches!(problem(&no_secret_file), IssuerProblem::UnreadableSecret(_)));
        let two_secrets = IssuerConfig { secret_file: Some("/no/such/secret".into()), ..good.clone() };
        assert_eq!(problem(&two_secrets), IssuerProblem::SeveralKeySources);
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

    #[tokio::test]
    async fn a_secret_can_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let config = IssuerConfig { secret_file: Some(file.clone()), secret: None, ..shared_config() };
        for end in ["", "\n", "\r\n"] {
            std::fs::write(&file, format!("{SECRET}{end}")).unwrap();
            accepted(&verifier_of(&[(POOL, config.clone())]).unwrap(), &shared_token(claims())).await;
        }
        std::fs::write(&file, "short").unwrap();
        assert_eq!(verifier_of(&[(POOL, config.clone())]).unwrap_err().problem, IssuerProblem::ShortSecret);
        std::fs::write(&file, super::super::DEVELOPMENT_SECRET).unwrap();
        assert_eq!(verifier_of(&[(POOL, config)]).unwrap_err().problem, IssuerProblem::DevelopmentSecretInFile);
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
