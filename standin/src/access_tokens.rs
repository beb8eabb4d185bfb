//! Google's token endpoint ("Using OAuth 2.0 for server to server applications", RFC 7523).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answer::Reply;
use super::jwt::Jwt;
use super::push::chance_text;
use super::refusal::Refusal;
use super::reply;

/// For how long an access token holds, unless a test says otherwise.
const LIFETIME_S: u64 = 3600;

/// Google refuses assertions that hold longer.
const ASSERTION_S: u64 = 3600;

/// By how much a sender's clock may be ahead.
const LEEWAY_S: u64 = 60;

/// How many access tokens are valid at once at most; then those that were issued before are not.
const REMEMBERED: usize = 10_000;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const SCOPES: [&str; 2] = ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];

pub(super) struct AccessTokens {
    account: &'static str,
    /// An RSA public key in DER.
    public: Vec<u8>,
    /// Where the token endpoint is.
    uri: String,
    lifetime_s: AtomicU64,
    issued: Mutex<HashMap<String, Issued>>,
}

#[derive(Clone, Copy)]
enum Issued {
    /// Holds until then, in Unix seconds.
    Until(u64),
    /// The gateway took it back: the sender cannot know.
    Revoked,
}

/// What the gateway knows of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    Revoked,
    Expired,
    Unknown,
}

impl AccessTokens {
    pub(super) fn new(account: &'static str, public: Vec<u8>, uri: String) -> AccessTokens {
        AccessTokens { account, public, uri, lifetime_s: LIFETIME_S.into(), issued: Mutex::default() }
    }

    pub(super) fn last(&self, lifetime_s: u64) {
        self.lifetime_s.store(lifetime_s, Ordering::Relaxed);
    }

    /// Takes back what was issued so far.
    pub(super) fn revoke(&self) {
        self.lock().values_mut().for_each(|one| *one = Issued::Revoked);
    }

    pub(super) fn access(&self, token: &str, now_s: u64) -> Access {
        match self.lock().get(token) {
            Some(Issued::Until(expires_s)) if *expires_s > now_s => Access::Granted,
            Some(Issued::Until(_)) => Access::Expired,
            Some(Issued::Revoked) => Access::Revoked,
            None => Access::Unknown,
        }
    }

    /// A fresh access token.
    pub(super) fn issue(&self, now_s: u64) -> Reply {
        let token = format!("ya29.{}", chance_text::<32>());
        let lifetime_s = self.lifetime_s.load(Ordering::Relaxed);
        let mut issued = self.lock();
        if issued.len() >= REMEMBERED {
            issued.clear();
        }
        issued.insert(token.clone(), Issued::Until(now_s + lifetime_s));
        reply::json(200, &json!({ "access_token": token, "expires_in": lifetime_s, "token_type": "Bearer" }))
    }

    /// Checks what a sender asks with: a form (RFC 7523 section 2.1).
    pub(super) fn check(&self, form: &str, now_s: u64) -> Result<(), Refusal> {
        let refuse = |code: &'static str, detail: &str| {
            Refusal::fault(reply::json(400, &json!({ "error": code, "error_description": detail })), code, detail)
        };
        let field = |name: &str| {
            let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            percent_decode_str(value).decode_utf8().ok()
        };
        if field("grant_type").as_deref() != Some(GRANT) {
            return Err(refuse("unsupported_grant_type", "grant_type is not jwt-bearer"));
        }
        let assertion = field("assertion").ok_or_else(|| refuse("invalid_request", "there is no assertion"))?;
        let jwt = Jwt::read(&assertion).ok_or_else(|| refuse("invalid_grant", "the assertion is no JWT"))?;
        if jwt.algorithm() != Some("RS256") || !jwt.is_signed_by(&RSA_PKCS1_2048_8192_SHA256, &self.public) {
            return Err(refuse("invalid_grant", "invalid JWT signature"));
        }
        self.wrong_claim(&jwt, now_s).map_or(Ok(()), |(code, detail)| Err(refuse(code, detail)))
    }

    fn wrong_claim(&self, jwt: &Jwt<'_>, now_s: u64) -> Option<(&'static str, &'static str)> {
        let claim = |name: &str| jwt.claims[name].as_str().unwrap_or_default();
        let time = |name: &str| jwt.claims[name].as_u64().unwrap_or_default();
        let (issued_s, expires_s) = (time("iat"), time("exp"));
        if claim("iss") != self.account {
            return Some(("invalid_grant", "iss is not the service account"));
        }
        if claim("aud") != self.uri {
            return Some(("invalid_grant", "aud is not the token endpoint"));
        }
        if issued_s > now_s + LEEWAY_S || expires_s <= now_s || expires_s.saturating_sub(issued_s) > ASSERTION_S {
            return Some(("invalid_grant", "iat and exp are not a time of at most an hour around now"));
        }
        if !claim("scope").split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Some(("invalid_scope", "no scope allows to send messages"));
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
