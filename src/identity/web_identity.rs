//! Roles for who has a token of an OpenID Connect provider of the role's account. Source: "AssumeRoleWithWebIdentity" (AWS STS API Reference).
//!
//! The tokens are verified apart from those of the identity pools: what an account trusts lets nobody into a pool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::issuer::{IDENTITY_ISSUER, IdentityIssuer};
use crate::access::{Accounts, Arn, AssumeRefused, AssumedRole, Federation, IDENTITY_PROVIDER, RequestContext, RoleAsk};
use crate::auth::{IssuerConfig, OutboundProxy, TokenRefusal, Verifier};
use crate::clock::Clock;
use crate::committer::{ReadOwner, Reader, Unavailable};
use crate::store::{AccountId, OidcProvider};

/// Providers whose keys are kept. With more than that, all are fetched again.
const MOST_KEPT: usize = 1024;

/// The longest token ("WebIdentityToken": 4 to 20,000 characters).
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 4..=20_000;

/// A role that was taken with a token, and what the token said.
#[derive(Clone, Debug)]
pub struct WebIdentitySession {
    pub assumed: AssumedRole,
    pub subject: String,
    pub audience: String,
    /// The ARN of the provider.
    pub provider: String,
}

/// Why no role was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebIdentityRefused {
    /// The token is not valid, or of no provider of the role's account.
    Token(String),
    Expired,
    /// The provider's keys could not be fetched.
    ProviderUnavailable,
    Role(AssumeRefused),
}

/// Verifies tokens of accounts' providers. Clones share the keys that were fetched.
#[derive(Clone)]
pub struct WebIdentities {
    accounts: Accounts,
    reader: Reader,
    clock: Clock,
    issuer: IdentityIssuer,
    kept: Arc<Mutex<KeptProviders>>,
}

/// The providers whose tokens the verifier knows, each with the audiences and the issuer that it was told.
struct KeptProviders {
    verifier: Verifier,
    known: HashMap<String, (String, Vec<String>)>,
}

impl KeptProviders {
    fn new() -> Option<KeptProviders> {
        let verifier = Verifier::with_proxy([], OutboundProxy::from_variables(|name| std::env::var(name).ok())).ok()?;
        Some(KeptProviders { verifier, known: HashMap::new() })
    }
}

impl WebIdentities {
    /// `None`: there is no verifier, because the root certificates of the system cannot be read.
    pub fn new(accounts: Accounts, reader: Reader, clock: Clock, issuer: IdentityIssuer) -> Option<WebIdentities> {
        Some(WebIdentities { accounts, reader, clock, issuer, kept: Arc::new(Mutex::new(KeptProviders::new()?)) })
    }

    /// Gives the bearer of a token a session of a role, if the role trusts the provider and what the token says.
    pub async fn assume(
        &self,
        ask: &RoleAsk,
        token: &str,
        context: RequestContext,
    ) -> Result<Result<WebIdentitySession, WebIdentityRefused>, Unavailable> {
        let invalid = |why: &str| WebIdentityRefused::Token(why.to_owned());
        if !TOKEN_CHARS.contains(&token.len()) {
            return Ok(Err(invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")));
        }
        let Some(claims) = Verifier::claims(token) else {
            return Ok(Err(invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")));
        };
        let Some(issuer) = claims.get("iss").and_then(Value::as_str) else { return Ok(Err(invalid("Missing a required claim: iss"))) };
        if issuer == IDENTITY_ISSUER {
            return self.assume_as_identity(ask, token, context).await;
        }
        let Some(account) = Arn::parse(&ask.role_arn).and_then(|arn| AccountId::parse(arn.account)) else {
            return Ok(Err(WebIdentityRefused::Role(AssumeRefused::Invalid("The role's ARN is invalid".to_owned()))));
        };
        let Some(provider) = self.provider(&account, issuer).await? else {
            let issuer: String = issuer.chars().filter(|c| !c.is_control()).take(256).collect();
            return Ok(Err(WebIdentityRefused::Token(format!("No OpenIDConnect provider found in your account for {issuer}"))));
        };
        let name: Arc<str> = format!("{account}/{}", provider.issuer).into();
        let verifier = self.verifier_of(&name, issuer, &provider.client_ids).await?;
        let Some(verifier) = verifier else { return Ok(Err(WebIdentityRefused::ProviderUnavailable)) };
        let verified = match verifier.verify_in(&name, token, self.clock.unix_ms() / 1000).await {
            Ok(verified) => verified,
            Err(TokenRefusal::Expired) => return Ok(Err(WebIdentityRefused::Expired)),
            Err(TokenRefusal::KeysUnavailable) => return Ok(Err(WebIdentityRefused::ProviderUnavailable)),
            Err(TokenRefusal::WrongAudience) => return Ok(Err(invalid("Incorrect token audience"))),
            Err(why) => return Ok(Err(WebIdentityRefused::Token(why.to_string()))),
        };
        let (arn, audience) = (provider.arn(&account), audience(&claims, &provider.client_ids));
        let federation = Federation {
            provider: provider.issuer.clone(),
            principal: arn.clone(),
            claims: policy_claims(&claims, &verified.subject, &audience),
        };
        let assumed = self.accounts.assume_with_token(federation, ask, context).await?;
        Ok(assumed
            .map(|assumed| WebIdentitySession { assumed, subject: verified.subject, audience, provider: arn })
            .map_err(WebIdentityRefused::Role))
    }

    /// The same for an identity of an identity pool of this server, with a token of GetOpenIdToken.
    async fn assume_as_identity(
        &self,
        ask: &RoleAsk,
        token: &str,
        context: RequestContext,
    ) -> Result<Result<WebIdentitySession, WebIdentityRefused>, Unavailable> {
        let Some(claims) = self.issuer.verified(token).await? else {
            return Ok(Err(WebIdentityRefused::Token("The token is not one of this server's identity pools, or has expired".to_owned())));
        };
        let assumed = self.accounts.assume_with_token(claims.federation(), ask, context).await?;
        let (subject, audience, provider) = (claims.sub, claims.aud, IDENTITY_PROVIDER.to_owned());
        Ok(assumed.map(|assumed| WebIdentitySession { assumed, subject, audience, provider }).map_err(WebIdentityRefused::Role))
    }

    /// The account's provider of an issuer, which has tokens for nobody if it has no audience.
    async fn provider(&self, account: &AccountId, issuer: &str) -> Result<Option<OidcProvider>, Unavailable> {
        let Some((_, name)) = issuer.split_once("://") else { return Ok(None) };
        let (account, name) = (account.clone(), name.trim_end_matches('/').to_owned());
        let found: Option<OidcProvider> =
            self.reader.read(ReadOwner::Server, move |store| store.account_record(&account, &[&name])).await?;
        // The scheme is the provider's, so a token of `http://` is none of a provider of `https://`.
        Ok(found.filter(|provider| !provider.client_ids.is_empty() && issuer.trim_end_matches('/') == provider.url()))
    }

    /// A verifier that knows the provider as it is now.
    async fn verifier_of(&self, name: &Arc<str>, issuer: &str, audience: &[String]) -> Result<Option<Verifier>, Unavailable> {
        let wanted = (issuer.to_owned(), audience.to_vec());
        let kept = Arc::clone(&self.kept);
        {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.known.get(&**name) == Some(&wanted) {
                return Ok(Some(kept.verifier.clone()));
            }
        }
        let name = Arc::clone(name);
        // It may read root certificates.
        let learned = tokio::task::spawn_blocking(move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.known.len() >= MOST_KEPT {
                *kept = KeptProviders::new()?;
            }
            kept.verifier.set_issuers(&name, vec![IssuerConfig::discovered(wanted.0.clone(), wanted.1.clone())]).ok()?;
            kept.known.insert(name.to_string(), wanted);
            Some(kept.verifier.clone())
        });
        learned.await.map_err(|_| Unavailable::Now)
    }
}

/// The audience that the provider knows.
fn audience(claims: &Map<String, Value>, known: &[String]) -> String {
    let all = texts(claims.get("aud"));
    all.into_iter().find(|audience| known.contains(audience)).unwrap_or_default()
}

/// The claims that policies may ask for: "Available keys for AWS OIDC federation".
fn policy_claims(claims: &Map<String, Value>, subject: &str, audience: &str) -> Vec<(String, Vec<String>)> {
    let mut found = vec![("sub".to_owned(), vec![subject.to_owned()]), ("aud".to_owned(), vec![audience.to_owned()])];
    for name in ["amr", "azp", "email"] {
        let values = texts(claims.get(name));
        if !values.is_empty() {
            found.push((name.to_owned(), values));
        }
    }
    found
}

/// Up to 16 texts of a claim, of 256 bytes at most.
fn texts(claim: Option<&Value>) -> Vec<String> {
    let items = match claim {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    items.into_iter().filter(|text| text.len() <= 256).take(16).collect()
}
