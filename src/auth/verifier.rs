//! The verifier: a token and the time in, a login or a refusal out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::config::{FETCH_TIMEOUT_MS, IssuerConfig};
use super::config_error::ConfigError;
use super::fetcher::Fetchers;
use super::issuers::Issuers;
use super::refusal::Refusal;
use super::token::Token;

/// Verifies tokens against the issuers that the pools trust. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    issuers: Arc<Issuers>,
}

/// What a believed token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The pool that the token is for.
    pub pool: Arc<str>,
    /// Who issued it: its `iss`.
    pub issuer: Arc<str>,
    /// Who it is about, as the issuer names them: its `sub`, 1 to 255 bytes.
    pub subject: String,
    /// Until when the token is valid, in Unix seconds: its `exp`, without leeway.
    pub expires_s: u64,
}

impl Verifier {
    /// A verifier for these pools, each a name and its issuers.
    ///
    /// Reads key files, and root certificates if any `jwks_url` is `https`, so it blocks; keys are fetched when the
    /// first token needs them.
    ///
    /// # Errors
    /// The first issuer that cannot be used as it is configured; [`Problem`](super::Problem) lists what is refused.
    pub fn new(
        pools: impl IntoIterator<Item = (Arc<str>, Vec<IssuerConfig>)>,
    ) -> Result<Self, ConfigError> {
        Self::with_fetch_timeout(pools, Duration::from_millis(FETCH_TIMEOUT_MS))
    }

    pub(super) fn with_fetch_timeout(
        pools: impl IntoIterator<Item = (Arc<str>, Vec<IssuerConfig>)>,
        fetch_timeout: Duration,
    ) -> Result<Self, ConfigError> {
        let mut fetchers = Fetchers::new(fetch_timeout);
        let mut issuers = Issuers::default();
        for (pool, configs) in pools {
            for config in configs {
                issuers.trust(&pool, config, &mut fetchers)?;
            }
        }
        Ok(Self {
            issuers: Arc::new(issuers),
        })
    }

    /// What a token proves at `now_s`, in Unix seconds.
    ///
    /// Waits only for an issuer whose keys must be fetched, and then at most
    /// [`FETCH_TIMEOUT_MS`](super::FETCH_TIMEOUT_MS) for a fetch. Cancel safe.
    ///
    /// # Errors
    /// The first reason not to believe it. The times are judged last: "expired" is said of genuine tokens only.
    pub async fn verify(&self, token: &str, now_s: u64) -> Result<Login, Refusal> {
        let token = Token::split(token)?;
        let header = token.header()?;
        let claims = token.claims()?;
        let trusted = self.issuers.choose(&claims)?;
        let key = trusted.key(header.kid.as_deref(), now_s).await?;
        if header.algorithm != key.algorithm {
            return Err(Refusal::WrongAlgorithm);
        }
        if !key.made(token.signature, token.message) {
            return Err(Refusal::BadSignature);
        }
        claims.check_times(now_s)?;
        Ok(Login {
            pool: trusted.pool.clone(),
            issuer: trusted.issuer.clone(),
            subject: claims.subject.into_owned(),
            expires_s: claims.expires_s,
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}
