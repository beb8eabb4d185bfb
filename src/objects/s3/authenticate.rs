//! Whose key signed a request. The one place where this wire learns it: keys of roots and users, and sessions with their tokens.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::errors::{error, unavailable};
use crate::access::{Accounts, UnusableKey};

/// What is done when a request has proved whose it is, before its body is read.
#[derive(Clone)]
pub struct OnAuthenticated(Arc<dyn Fn() + Send + Sync>);

impl OnAuthenticated {
    pub fn new(act: impl Fn() + Send + Sync + 'static) -> OnAuthenticated {
        OnAuthenticated(Arc::new(act))
    }
}

impl fmt::Debug for OnAuthenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnAuthenticated").finish_non_exhaustive()
    }
}

/// Gives the library the secrets of access keys, and the operations their callers.
#[derive(Clone)]
pub(super) struct S3Authenticator {
    pub accounts: Accounts,
}

#[async_trait::async_trait]
impl S3Auth for S3Authenticator {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.accounts.secret(access_key).await.map_err(unavailable)?.map_err(unusable)?;
        Ok(SecretKey::from(secret.expose().to_owned()))
    }
}

#[async_trait::async_trait]
impl S3Access for S3Authenticator {
    /// After the signature was checked, and before the input is parsed. What the caller may do is asked by each operation, which knows its input.
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(id) = context.credentials().map(|credentials| credentials.access_key.clone()) else { return Ok(()) };
        let token = session_token(context.headers(), context.uri().query().unwrap_or_default());
        let caller = self.accounts.signed_caller(&id, token.as_deref()).await.map_err(unavailable)?;
        let caller = caller.map_err(|why| match why {
            // As at AWS, the key of a session is unknown without its token.
            UnusableKey::InvalidToken if token.is_none() => unusable(UnusableKey::Unknown),
            why => unusable(why),
        })?;
        if let Some(OnAuthenticated(act)) = context.extensions_mut().get::<OnAuthenticated>() {
            act();
        }
        context.extensions_mut().insert(caller);
        Ok(())
    }
}

fn session_token(headers: &HeaderMap, query: &str) -> Option<String> {
    let in_header = headers.get("x-amz-security-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    in_header.or_else(|| {
        let decoded = |text| percent_encoding::percent_decode_str(text).decode_utf8().ok();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find_map(|(name, value)| (decoded(name)? == "X-Amz-Security-Token").then_some(value))?;
        decoded(value).map(|token| token.into_owned())
    })
}

fn unusable(why: UnusableKey) -> S3Error {
    match why {
        UnusableKey::Unknown | UnusableKey::Inactive => {
            error(S3ErrorCode::InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
        }
        UnusableKey::InvalidToken => error(S3ErrorCode::InvalidToken, "The provided token is malformed or otherwise invalid."),
        UnusableKey::ExpiredToken => error(S3ErrorCode::ExpiredToken, "The provided token has expired."),
    }
}
