//! Operations of people: their identity, its credentials, and its logins.

use std::collections::BTreeMap;

use serde::Serialize;

use super::context::IdentityContext;
use super::input::{CredentialsInput, DescribeIdentityInput, DescribedIdentity, GetIdInput, OpenIdTokenInput, UnlinkInput};
use crate::aws::call::AwsAnswer;
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::timestamp::EpochSeconds;
use crate::identity::{MOST_LOGINS, SentLogins};
use crate::store::Identity;

/// The longest id of an identity ("IdentityId": 1 to 55 characters).
const MAX_ID: usize = 55;

/// The longest name of a provider, and the longest token, in bytes.
const MAX_LOGIN: (usize, usize) = (128, 50_000);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IdentityOutput {
    identity_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OpenIdTokenOutput {
    identity_id: String,
    token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsOutput {
    identity_id: String,
    credentials: CredentialsShape,
}

/// `Credentials`: the secret is called `SecretKey` here, and nowhere else.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsShape {
    access_key_id: String,
    secret_key: String,
    session_token: String,
    expiration: EpochSeconds,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IdentityDescription {
    identity_id: String,
    logins: Vec<String>,
    creation_date: EpochSeconds,
    last_modified_date: EpochSeconds,
}

pub(super) async fn get_id(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: GetIdInput = context.input()?;
    let logins = sent(context, input.logins)?;
    let identity = context.federated(context.services.federation.identity_of(&input.identity_pool_id, &logins).await)?;
    context.output(&IdentityOutput { identity_id: identity.to_string() })
}

pub(super) async fn credentials(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: CredentialsInput = context.input()?;
    let (identity, logins) = (identity(context, &input.identity_id)?, sent(context, input.logins)?);
    let given = context.services.federation.credentials(&identity, &logins, input.custom_role_arn, context.call.context.clone()).await;
    let given = context.federated(given)?;
    let credentials = CredentialsShape {
        access_key_id: given.credentials.access_key_id,
        secret_key: given.credentials.secret.expose().to_owned(),
        session_token: given.credentials.session_token,
        expiration: EpochSeconds::from_ms(given.credentials.expires_ms),
    };
    context.output(&CredentialsOutput { identity_id: given.identity.to_string(), credentials })
}

pub(super) async fn open_id_token(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: OpenIdTokenInput = context.input()?;
    let (identity, logins) = (identity(context, &input.identity_id)?, sent(context, input.logins)?);
    let (identity, token) = context.federated(context.services.federation.open_id_token(&identity, &logins).await)?;
    context.output(&OpenIdTokenOutput { identity_id: identity.to_string(), token })
}

pub(super) async fn unlink(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: UnlinkInput = context.input()?;
    let (identity, logins) = (identity(context, &input.identity_id)?, sent(context, input.logins)?);
    if logins.is_empty() {
        return Err(context.invalid("UnlinkIdentity needs the logins of the identity"));
    }
    context.federated(context.services.federation.unlink(&identity, &logins, &input.logins_to_remove).await)?;
    Ok(json::empty_answer(context.call.wire, context.call.id))
}

pub(super) async fn describe(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: DescribeIdentityInput = context.input()?;
    let identity = identity(context, &input.identity_id)?;
    context.call.signed()?;
    let state = context.services.federation.state(&identity).await.map_err(|why| context.call.unavailable(why))?;
    let pool = state.as_ref().ok().and_then(|state| context.services.federation.pools.pools().get(&state.pool));
    let pool_id = pool.map_or_else(String::new, |pool| pool.id().to_string());
    // Who may not see the pool learns nothing of its identities.
    let asked = DescribedIdentity { identity_pool_id: pool_id.clone() };
    let checked = context.checked_pool(&pool_id, &asked).await;
    let state = context.federated(Ok(state))?;
    checked?;
    let logins =
        state.logins.iter().map(|(issuer, _)| issuer.split_once("://").map_or(issuer.as_str(), |(_, rest)| rest).to_owned()).collect();
    let date = EpochSeconds::from_ms(state.made_ms);
    let output = IdentityDescription { identity_id: identity.to_string(), logins, creation_date: date, last_modified_date: date };
    context.output(&output)
}

fn identity(context: &IdentityContext<'_>, id: &str) -> Result<Identity, AwsError> {
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let is_id = id.len() <= MAX_ID && id.split_once(':').is_some_and(|(region, rest)| is_plain(region) && is_plain(rest));
    is_id.then(|| Identity::from(id)).ok_or_else(|| {
        let words = "failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w-]+:[0-9a-f-]+";
        context.invalid(format!("1 validation error detected: Value at 'identityId' {words}"))
    })
}

fn sent(context: &IdentityContext<'_>, logins: BTreeMap<String, String>) -> Result<SentLogins, AwsError> {
    let (name, token) = MAX_LOGIN;
    if logins.len() > MOST_LOGINS {
        return Err(context.invalid(format!("Logins has at most {MOST_LOGINS} entries")));
    }
    if logins.iter().any(|(key, value)| key.is_empty() || key.len() > name || value.is_empty() || value.len() > token) {
        return Err(context.invalid(format!("A key of Logins has 1 to {name} characters, and its token 1 to {token}")));
    }
    Ok(logins.into_iter().collect())
}
