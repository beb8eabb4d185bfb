//! Providers of OpenID Connect tokens that an account's roles may trust.

use super::change::Decided;
use super::error::{IamError, IamResult};
use super::names::check_tags;
use crate::access::shared::Accounts;
use crate::access::{AccountId, Arn};
use crate::store::{IamTag, OidcProvider, Store};

/// Providers of an account.
const MOST_PROVIDERS: u32 = 100;

/// Audiences of a provider.
const MOST_CLIENT_IDS: usize = 100;

/// Characters of an audience or an address.
const MAX_TEXT: usize = 255;

/// Thumbprints of a provider. They are kept and shown; a provider's certificate is checked against the authorities that the server trusts.
const MOST_THUMBPRINTS: usize = 5;

/// A provider to be added.
#[derive(Clone, Debug)]
pub struct NewProvider {
    /// The issuer: `https://` and no query; `http://` for one on this machine.
    pub url: String,
    pub client_ids: Vec<String>,
    pub thumbprints: Vec<String>,
    pub tags: Vec<IamTag>,
}

impl OidcProvider {
    pub fn arn(&self, account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:oidc-provider/{}", self.issuer)
    }

    /// The issuer with its scheme: `http` only for one on this machine.
    pub fn url(&self) -> String {
        let scheme = if is_local(&self.issuer) { "http" } else { "https" };
        format!("{scheme}://{}", self.issuer)
    }
}

impl Accounts {
    /// Adds a provider; returns its ARN.
    pub async fn create_provider(&self, account: &AccountId, new: NewProvider) -> IamResult<String> {
        self.change(account, move |change| {
            let issuer = issuer_of(&new.url)?;
            check(&new)?;
            if change.get::<OidcProvider>(&[&issuer])?.is_some() {
                return Err(IamError::exists(format!("Provider with url {} already exists.", new.url)).into());
            }
            if change.account.state.providers >= MOST_PROVIDERS {
                return Err(IamError::quota("OpenIDConnectProvidersPerAccount", MOST_PROVIDERS as usize).into());
            }
            let (client_ids, thumbprints, tags) = (new.client_ids.clone(), new.thumbprints.clone(), new.tags.clone());
            let provider = OidcProvider { issuer: issuer.clone(), client_ids, thumbprints, made_ms: change.now_ms, tags };
            change.account.state.providers += 1;
            change.put(&[&issuer], &provider)?;
            Ok(provider.arn(&change.account.id))
        })
        .await
    }

    /// A provider by its ARN.
    pub async fn provider(&self, account: &AccountId, arn: &str) -> IamResult<OidcProvider> {
        let arn = arn.to_owned();
        self.look(account, move |store, account| find(store, account, &arn)).await
    }

    /// The providers of an account: 100 at most.
    pub async fn providers(&self, account: &AccountId) -> IamResult<Vec<OidcProvider>> {
        self.look(account, move |store, account| {
            let found = store.account_records::<OidcProvider>(account, &[], None, MOST_PROVIDERS as usize)?;
            Ok(found.into_iter().map(|(_, provider)| provider).collect())
        })
        .await
    }

    /// Removes a provider. Roles that trust it stay, and trust nobody by it.
    pub async fn delete_provider(&self, account: &AccountId, arn: &str) -> IamResult<()> {
        let arn = arn.to_owned();
        self.change(account, move |change| {
            let issuer = issuer_of_arn(&change.account.id, &arn)?;
            change.get::<OidcProvider>(&[&issuer])?.ok_or_else(|| absent(&arn))?;
            change.account.state.providers = change.account.state.providers.saturating_sub(1);
            change.delete::<OidcProvider>(&[&issuer]);
            Ok(())
        })
        .await
    }
}

fn find(store: &Store, account: &AccountId, arn: &str) -> Decided<OidcProvider> {
    let provider = store.account_record(account, &[&issuer_of_arn(account, arn)?])?;
    provider.ok_or_else(|| absent(arn).into())
}

fn absent(arn: &str) -> IamError {
    IamError::absent(format!("OpenIDConnect Provider not found for arn {arn}"))
}

fn issuer_of_arn(account: &AccountId, arn: &str) -> Result<String, IamError> {
    let parsed = Arn::parse(arn).filter(|parsed| parsed.service == "iam" && parsed.account == account.as_str());
    let issuer = parsed.and_then(|parsed| parsed.resource.strip_prefix("oidc-provider/"));
    issuer.map(str::to_owned).ok_or_else(|| absent(arn))
}

/// The issuer as an ARN has it: without the scheme.
fn issuer_of(url: &str) -> Result<String, IamError> {
    let invalid = |why: &str| IamError::invalid(format!("Invalid Open ID Connect Provider URL: {why}"));
    if url.is_empty() || url.len() > MAX_TEXT || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("it has up to 255 characters without spaces"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it begins with https://"))?;
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    // A provider on this machine has no certificate; one elsewhere has.
    if scheme != if is_local(rest) { "http" } else { "https" } {
        return Err(invalid("it begins with https://; http:// is accepted for a provider on this machine"));
    }
    if host.is_empty() || rest.contains(['?', '#', '@']) {
        return Err(invalid("it has a host, and no query, fragment or user"));
    }
    Ok(rest.trim_end_matches('/').to_owned())
}

/// Whether an address without its scheme is of this machine.
fn is_local(address: &str) -> bool {
    let host = address.split(['/', ':']).next().unwrap_or_default();
    ["localhost", "127.0.0.1"].contains(&host) || address.starts_with("[::1]")
}

fn check(new: &NewProvider) -> Result<(), IamError> {
    check_tags(&new.tags)?;
    if new.client_ids.len() > MOST_CLIENT_IDS {
        return Err(IamError::quota("ClientIdsPerOpenIdConnectProvider", MOST_CLIENT_IDS));
    }
    if new.thumbprints.len() > MOST_THUMBPRINTS {
        return Err(IamError::invalid("Thumbprint list must contain fewer than 5 entries."));
    }
    let is_text = |text: &String| (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
    let is_print = |text: &String| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !new.client_ids.iter().all(is_text) || !new.thumbprints.iter().all(is_print) {
        return Err(IamError::invalid("A client id has 1 to 255 characters, and a thumbprint 40 hexadecimal digits"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_of_this_machine() {
        assert_eq!(issuer_of("https://idp.example/realm/").as_deref(), Ok("idp.example/realm"));
        assert_eq!(issuer_of("http://127.0.0.1:9000").as_deref(), Ok("127.0.0.1:9000"));
        for url in
            ["", "idp.example", "http://idp.example", "https://", "https://a@b", "https://a?b", "https://a b", "http://127.0.0.1.example"]
        {
            assert_eq!(issuer_of(url).map_err(|error| error.code), Err("ValidationError"), "{url}");
        }
    }
}
