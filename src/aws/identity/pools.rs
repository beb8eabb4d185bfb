//! Operations on identity pools.

use serde::Serialize;

use super::context::IdentityContext;
use super::input::{CreatedPool, DeletePoolInput, DescribePoolInput, ListPoolsInput, PoolShape, UpdatedPool, UserPoolShape};
use crate::access::AccountId;
use crate::aws::call::AwsAnswer;
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::identity::PoolDetails;
use crate::store::{MadePool, TrustedUserPool};

/// Characters of a pool's name, providers of a pool, and tags.
const BOUNDS: (usize, usize, usize) = (128, 50, 50);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PoolList {
    identity_pools: Vec<ShortPool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShortPool {
    identity_pool_id: String,
    identity_pool_name: String,
}

pub(super) async fn create(context: &IdentityContext<'_>) -> AwsAnswer {
    let shape: PoolShape = context.input()?;
    let account = context.check_account(&CreatedPool).await?;
    let made = made(context, &account, shape)?;
    let pool = context.pool_done(context.services.federation.pools.create(&account, made).await, "")?;
    context.output(&shown(&pool))
}

pub(super) async fn describe(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: DescribePoolInput = context.input()?;
    let mut pool = context.checked_pool(&input.identity_pool_id, &input).await?;
    if pool.made.is_none() {
        let guests = context.services.federation.pools.pools().by_id(&pool.id).is_some_and(|pool| pool.guests);
        pool.made = Some(declared(&pool, guests));
    }
    context.output(&shown(&pool))
}

pub(super) async fn update(context: &IdentityContext<'_>) -> AwsAnswer {
    let shape: PoolShape = context.input()?;
    let id = shape.identity_pool_id.clone();
    let pool = context.checked_pool(&id, &UpdatedPool { identity_pool_id: id.clone() }).await?;
    let account = pool.account.unwrap_or(context.call.signed()?.account().cloned().ok_or_else(|| AwsError::internal(context.call.wire))?);
    let change = made(context, &account, shape)?;
    let pool = context.pool_done(context.services.federation.pools.update(&id, change).await, &id)?;
    context.output(&shown(&pool))
}

pub(super) async fn delete(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: DeletePoolInput = context.input()?;
    let pool = context.checked_pool(&input.identity_pool_id, &input).await?;
    if pool.account.is_none() {
        return Err(context.error("NotAuthorizedException", "The pool is declared by the server's configuration: take it out there."));
    }
    context.pool_done(context.services.federation.pools.delete(&input.identity_pool_id).await, &input.identity_pool_id)?;
    Ok(json::empty_answer(context.call.wire, context.call.id))
}

pub(super) async fn list(context: &IdentityContext<'_>) -> AwsAnswer {
    /// "MaxResults": 1 to 60.
    const MOST: i64 = 60;
    let input: ListPoolsInput = context.input()?;
    let account = context.check_account(&input).await?;
    if !(1..=MOST).contains(&input.max_results) {
        return Err(context.invalid(format!("MaxResults must be between 1 and {MOST}")));
    }
    let most = usize::try_from(input.max_results).unwrap_or_default();
    let owns_declared = context.services.declared_scope(context.call).await?.account == account;
    let found = context.services.federation.pools.list(&account, owns_declared, input.next_token, most).await;
    let found = found.map_err(|why| context.call.unavailable(why))?;
    let next_token = (found.len() == most).then(|| found.last().map(|(id, _)| id.to_string())).flatten();
    let short = |(id, name): (std::sync::Arc<str>, String)| ShortPool { identity_pool_id: id.to_string(), identity_pool_name: name };
    context.output(&PoolList { identity_pools: found.into_iter().map(short).collect(), next_token })
}

/// A pool as it is asked for, if all of it is within bounds.
fn made(context: &IdentityContext<'_>, account: &AccountId, shape: PoolShape) -> Result<MadePool, AwsError> {
    let (name, providers, tags) = BOUNDS;
    let is_letter = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_+=,.@-".contains(c);
    if shape.identity_pool_name.is_empty()
        || shape.identity_pool_name.chars().count() > name
        || !shape.identity_pool_name.chars().all(is_letter)
    {
        return Err(context.invalid(format!("IdentityPoolName has 1 to {name} characters of letters, digits, spaces and _+=,.@-")));
    }
    let count = shape.supported_login_providers.len() + shape.open_id_connect_provider_arns.len() + shape.cognito_identity_providers.len();
    if count > providers || shape.identity_pool_tags.len() > tags {
        return Err(context.error("LimitExceededException", format!("A pool has at most {providers} providers and {tags} tags")));
    }
    if !shape.saml_provider_arns.is_empty() {
        return Err(context.invalid("SamlProviderARNs: providers of SAML are not supported yet"));
    }
    let is_text =
        |text: &String| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:-".contains(&b));
    if !shape.supported_login_providers.iter().all(|(key, value)| is_text(key) && is_text(value)) {
        return Err(context.invalid("SupportedLoginProviders names providers and app ids of 1 to 128 characters"));
    }
    let own = format!("arn:aws:iam::{account}:oidc-provider/");
    if !shape.open_id_connect_provider_arns.iter().all(|arn| arn.starts_with(&own)) {
        return Err(context.invalid(format!("OpenIdConnectProviderARNs must begin with {own}")));
    }
    let user_pool = |pool: UserPoolShape| TrustedUserPool {
        provider: pool.provider_name,
        client_id: pool.client_id,
        server_side_check: pool.server_side_token_check,
    };
    Ok(MadePool {
        account: account.as_str().to_owned(),
        name: shape.identity_pool_name,
        allow_guests: shape.allow_unauthenticated_identities,
        allow_classic_flow: shape.allow_classic_flow,
        login_providers: shape.supported_login_providers,
        oidc_providers: shape.open_id_connect_provider_arns,
        user_pools: shape.cognito_identity_providers.into_iter().map(user_pool).collect(),
        developer_provider: shape.developer_provider_name,
        tags: shape.identity_pool_tags,
        made_ms: 0,
    })
}

/// What the configuration says of a declared pool: its issuers are the operator's, and not shown.
fn declared(pool: &PoolDetails, allow_guests: bool) -> MadePool {
    MadePool {
        account: String::new(),
        name: pool.name.clone(),
        allow_guests,
        allow_classic_flow: None,
        login_providers: Default::default(),
        oidc_providers: Vec::new(),
        user_pools: Vec::new(),
        developer_provider: None,
        tags: Default::default(),
        made_ms: 0,
    }
}

fn shown(pool: &PoolDetails) -> PoolShape {
    let made = pool.made.clone().unwrap_or_else(|| declared(pool, false));
    let user_pool = |pool: TrustedUserPool| UserPoolShape {
        provider_name: pool.provider,
        client_id: pool.client_id,
        server_side_token_check: pool.server_side_check,
    };
    PoolShape {
        identity_pool_id: pool.id.to_string(),
        identity_pool_name: made.name,
        allow_unauthenticated_identities: made.allow_guests,
        allow_classic_flow: made.allow_classic_flow,
        supported_login_providers: made.login_providers,
        developer_provider_name: made.developer_provider,
        open_id_connect_provider_arns: made.oidc_providers,
        cognito_identity_providers: made.user_pools.into_iter().map(user_pool).collect(),
        saml_provider_arns: Vec::new(),
        identity_pool_tags: made.tags,
    }
}
