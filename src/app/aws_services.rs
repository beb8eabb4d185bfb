//! Puts AWS's services before the routes of devices.

use std::sync::Arc;

use super::development_key::DevelopmentKey;
use super::development_roles;
use super::error::AppError;
use crate::access::Accounts;
use crate::auth::Verifier;
use crate::aws::endpoint::AwsEndpoint;
use crate::aws::services::{AwsServices, EndSessions};
use crate::clock::Clock;
use crate::committer::{Committer, Reader, Unavailable};
use crate::config::ServerConfig;
use crate::http::{ServiceBeforeRoutes, mark_authenticated};
use crate::identity::{
    FederatedIdentities, FederationParts, Identities, IdentityIssuer, IdentityLinks, IdentityPools, UserPoolKeys, WebIdentities,
};
use crate::keyring::SharedKeyring;
use crate::objects::{Objects, OnAuthenticated, S3Endpoint};
use crate::pools::Pools;
use crate::sync::SyncService;
use crate::users::{EndedSignIns, UserFault, UserPools};

/// The parts of a server that AWS's services act on.
pub(super) struct AwsParts<'a> {
    pub pools: &'a Pools,
    pub verifier: &'a Verifier,
    pub reader: &'a Reader,
    pub committer: &'a Committer,
    pub accounts: &'a Accounts,
    pub objects: &'a Objects,
    pub identities: &'a Identities,
    pub development_key: DevelopmentKey,
    pub sync: &'a SyncService,
    pub keyring: &'a SharedKeyring,
    pub user_pools: &'a UserPools,
}

/// What a user pool signs with, for those who trust its tokens.
fn keys_of(user_pools: UserPools) -> UserPoolKeys {
    Arc::new(move |id| {
        let user_pools = user_pools.clone();
        Box::pin(async move {
            let (pool, _) = match user_pools.pool(&id).await {
                Ok(found) => found,
                Err(UserFault::NoResource(_)) => return Ok(None),
                Err(_) => return Err(Unavailable::Now),
            };
            let keys = user_pools.jwks(&id).await.map_err(|_| Unavailable::Now)?;
            Ok(Some((user_pools.issuer(&pool), keys)))
        })
    })
}

/// Reads the pools that requests have made, and opens the services.
pub(super) async fn open(
    parts: AwsParts<'_>,
    config: &ServerConfig,
    clock: Clock,
) -> Result<(ServiceBeforeRoutes, IdentityPools), AppError> {
    let AwsParts { pools, verifier, reader, committer, accounts, objects, identities, user_pools, sync, keyring, development_key } = parts;
    let region = config.aws_region();
    let made =
        IdentityPools::open(pools.clone(), verifier.clone(), reader.clone(), committer.clone(), &region, keys_of(user_pools.clone())).await;
    let identity_pools = made.map_err(|_| AppError::StoreFailed)?;
    development_roles::prepare(accounts, &identity_pools, objects, development_key).await.map_err(|_| AppError::StoreFailed)?;
    let pools_to_run = identity_pools.clone();
    let issuer = IdentityIssuer::new(reader.clone(), committer.clone(), keyring.clone(), clock);
    let federation = FederatedIdentities::new(FederationParts {
        pools: identity_pools,
        identities: identities.clone(),
        links: IdentityLinks::new(reader.clone(), committer.clone(), pools.clone()),
        verifier: verifier.clone(),
        accounts: accounts.clone(),
        reader: reader.clone(),
        committer: committer.clone(),
        clock,
        issuer: issuer.clone(),
    });
    let (of_accounts, reading) = (accounts.clone(), reader.clone());
    let web_identities = tokio::task::spawn_blocking(move || WebIdentities::new(of_accounts, reading, clock, issuer)).await;
    let services = AwsServices {
        accounts: accounts.clone(),
        clock,
        s3: S3Endpoint::new(objects.clone()),
        federation,
        web_identities: web_identities.ok().flatten(),
        region,
        declared_owner: config.aws_account(),
        pools: pools.clone(),
        sync: sync.clone(),
        keyring: keyring.clone(),
        end_sessions: end_sessions(user_pools.clone(), identities.clone(), pools.clone()),
        user_pools: user_pools.clone(),
    };
    let endpoint = AwsEndpoint::new(services);
    let (claims, pages) = (endpoint.clone(), endpoint.clone());
    let services = ServiceBeforeRoutes::new(
        move |request| claims.is_for(request),
        move |request| Box::pin(pages.allows_page(request)),
        move |mut request| {
            let endpoint = endpoint.clone();
            // An upload may be slow once its signature was checked.
            let extensions = request.extensions().clone();
            request.extensions_mut().insert(OnAuthenticated::new(move || mark_authenticated(&extensions)));
            Box::pin(async move { endpoint.answer(request).await })
        },
    );
    Ok((services, pools_to_run))
}

/// Ends the sessions of the identities that a user's logins lead to, and refuses the tokens with which they were opened.
fn end_sessions(user_pools: UserPools, identities: Identities, pools: Pools) -> EndSessions {
    Box::new(move |ended: EndedSignIns| {
        let (issuer, identities) = (user_pools.issuer(&ended.pool), identities.clone());
        let names = pools.list().into_iter().map(|(name, _, _)| name).collect();
        Box::pin(async move { identities.refuse_tokens(names, issuer.into(), ended.sub, ended.until_ms / 1000).await })
    })
}
