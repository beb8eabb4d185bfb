//! Google's token endpoint ("Using OAuth 2.0 for server to server applications", RFC 7523).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::jwt::ParsedJwt;
use super::random::random_text;
use super::rejection::Rejection;
use super::response::{self, HttpResponse};

/// An access token's lifetime, unless a test sets another.
const DEFAULT_LIFETIME_S: u64 = 3600;

/// Google rejects assertions with a longer lifetime.
const MAX_ASSERTION_LIFETIME_S: u64 = 3600;

/// How far a sender's clock may be ahead.
const CLOCK_LEEWAY_S: u64 = 60;

/// Access tokens that are valid at once. When there are more, all earlier ones become unknown.
const MAX_ISSUED: usize = 10_000;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const SCOPES: [&str; 2] = ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];

pub(crate) struct AccessTokens {
    account: &'static str,
    /// An RSA public key in DER.
    public: Vec<u8>,
    /// The token endpoint's address.
    uri: String,
    lifetime_s: AtomicU64,
    issued: Mutex<HashMap<String, IssuedToken>>,
}

#[derive(Clone, Copy)]
enum IssuedToken {
    /// Valid until this time, in Unix seconds.
    ValidUntil(u64),
    /// The gateway revoked it. The sender cannot know.
    Revoked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessTokenStatus {
    Valid,
    Revoked,
    Expired,
    Unknown,
}

impl AccessTokens {
    pub(crate) fn new(account: &'static str, public: Vec<u8>, uri: String) -> AccessTokens {
        AccessTokens { account, public, uri, lifetime_s: DEFAULT_LIFETIME_S.into(), issued: Mutex::default() }
    }

    /// Sets the lifetime of the tokens that are issued from now on.
    pub(crate) fn set_lifetime_s(&self, lifetime_s: u64) {
        self.lifetime_s.store(lifetime_s, Ordering::Relaxed);
    }

    pub(crate) fn revoke_all(&self) {
        self.lock().values_mut().for_each(|token| *token = IssuedToken::Revoked);
    }

    pub(crate) fn status(&self, token: &str, now_s: u64) -> AccessTokenStatus {
        match self.lock().get(token) {
            Some(IssuedToken::ValidUntil(expires_s)) if *expires_s > now_s => AccessTokenStatus::Valid,
            Some(IssuedToken::ValidUntil(_)) => AccessTokenStatus::Expired,
            Some(IssuedToken::Revoked) => AccessTokenStatus::Revoked,
            None => AccessTokenStatus::Unknown,
        }
    }

    /// Issues a new access token.
    pub(crate) fn issue(&self, now_s: u64) -> HttpResponse {
        let token = format!("ya29.{}", random_text::<32>());
        let lifetime_s = self.lifetime_s.load(Ordering::Relaxed);
        let mut issued = self.lock();
        if issued.len() >= MAX_ISSUED {
            issued.clear();
        }
        issued.insert(token.clone(), IssuedToken::ValidUntil(now_s + lifetime_s));
        response::json(200, &json!({ "access_token": token, "expires_in": lifetime_s, "token_type": "Bearer" }))
    }

    /// Checks the form of a token request (RFC 7523 section 2.1).
    pub(crate) fn check(&self, form: &str, now_s: u64) -> Result<(), Rejection> {
        let reject = |code: &'static str, detail: &str| {
            Rejection::sender_error(response::json(400, &json!({ "error": code, "error_description": detail })), code, detail)
        };
        let field = |name: &str| {
            let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            percent_decode_str(value).decode_utf8().ok()
        };
        if field("grant_type").as_deref() != Some(GRANT_TYPE) {
            return Err(reject("unsupported_grant_type", "grant_type is not jwt-bearer"));
        }
        let assertion = field("assertion").ok_or_else(|| reject("invalid_request", "the assertion is missing"))?;
        let jwt = ParsedJwt::parse(&assertion).ok_or_else(|| reject("invalid_grant", "the assertion is not a JWT"))?;
        if jwt.algorithm() != Some("RS256") || !jwt.is_signed_by(&RSA_PKCS1_2048_8192_SHA256, &self.public) {
            return Err(reject("invalid_grant", "invalid JWT signature"));
        }
        self.check_claims(&jwt, now_s).map_err(|(code, detail)| reject(code, detail))
    }

    fn check_claims(&self, jwt: &ParsedJwt<'_>, now_s: u64) -> Result<(), (&'static str, &'static str)> {
        let claim = |name: &str| jwt.claims[name].as_str().unwrap_or_default();
        let time = |name: &str| jwt.claims[name].as_u64().unwrap_or_default();
        let (issued_s, expires_s) = (time("iat"), time("exp"));
        if claim("iss") != self.account {
            return Err(("invalid_grant", "iss is not the service account"));
        }
        if claim("aud") != self.uri {
            return Err(("invalid_grant", "aud is not the token endpoint"));
        }
        if issued_s > now_s + CLOCK_LEEWAY_S || expires_s <= now_s || expires_s.saturating_sub(issued_s) > MAX_ASSERTION_LIFETIME_S {
            return Err(("invalid_grant", "iat and exp do not span at most an hour around now"));
        }
        if !claim("scope").split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err(("invalid_scope", "no scope permits sending messages"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, IssuedToken>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
