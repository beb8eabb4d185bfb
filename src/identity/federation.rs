//! Identities for people whom others vouch for: a token of an issuer that the pool trusts leads to an identity, and an identity to credentials of a role.
//! Source: "Identity pools authentication flow" (Amazon Cognito Developer Guide).
//!
//! - A login is the token's issuer and subject, never the name under which the token was sent, so a socket's hello and a federated call lead to the same
//!   identity.
//! - Every token that is sent has to be valid. An identity that has logins needs one of them; a guest's identity has none.
//! - A guest who proves a login keeps the identity, unless the login has one: then the guest's data is merged into that, and the caller is told its id.
//! - Two identities that have logins are never merged here: a login that leads to another one is refused (ResourceConflictException).

use std::sync::Arc;

use tracing::info;
use uuid::Uuid;

use super::federation_refused::{FederationRefused, FederationResult};
use super::issuer::IdentityIssuer;
use super::links::{IdentityLinks, IdentityMergeOutcome, LinkOutcome, LoginName};
use super::proved_login::{MOST_LOGINS, ProvedLogin, SentLogins, federation, provider_name};
use super::role_choice::{NoRole, ProvedClaims, choose};
use super::{Identities, IdentityPools, LoginRequest, PoolDetails, SignInPurpose, SignInResult};
use crate::access::{Accounts, AssumeRefused, RequestContext, RoleAsk, TemporaryCredentials};
use crate::auth::Verifier;
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};
use crate::logging::AUDIT;
use crate::pools::Pool;
use crate::store::{Group, Identity, IdentityState, LoginKey, StoreError};

/// The name of the sessions of identities.
const SESSION_NAME: &str = "CognitoIdentityCredentials";

/// How often an id is drawn for a guest.
const MOST_DRAWS: u32 = 4;

/// Credentials of an identity. Its id may be another one than the one that was asked for.
#[derive(Clone, Debug)]
pub struct IdentityCredentials {
    pub identity: Identity,
    pub credentials: TemporaryCredentials,
}

/// By what right logins are linked to an identity.
#[derive(Clone, Copy)]
enum LinkRight {
    /// One of its logins was proved.
    ItsLogin,
    /// It is a guest's, whose id is enough: until a login is linked, which may happen meanwhile.
    Guest,
}

/// A guest's identity got a login while another one was about to be linked.
struct NotAGuest;

impl LinkRight {
    fn obstacle(self, group: &mut Group<'_>, identity: &Identity) -> Result<Option<NotAGuest>, StoreError> {
        match self {
            LinkRight::ItsLogin => Ok(None),
            LinkRight::Guest => Ok(if group.is_guest(identity)? { None } else { Some(NotAGuest) }),
        }
    }
}

/// Federation. Clones share it.
#[derive(Clone)]
pub struct FederatedIdentities {
    pub pools: IdentityPools,
    identities: Identities,
    links: IdentityLinks,
    verifier: Verifier,
    accounts: Accounts,
    reader: Reader,
    committer: Committer,
    clock: Clock,
    pub issuer: IdentityIssuer,
}

/// What the federation of a server is made of.
pub struct FederationParts {
    pub pools: IdentityPools,
    pub identities: Identities,
    pub links: IdentityLinks,
    pub verifier: Verifier,
    pub accounts: Accounts,
    pub reader: Reader,
    pub committer: Committer,
    pub clock: Clock,
    pub issuer: IdentityIssuer,
}

impl FederatedIdentities {
    pub fn new(parts: FederationParts) -> FederatedIdentities {
        let FederationParts { pools, identities, links, verifier, accounts, reader, committer, clock, issuer } = parts;
        FederatedIdentities { pools, identities, links, verifier, accounts, reader, committer, clock, issuer }
    }

    /// The identity to which logins lead, which is made if there is none; without logins a guest's, a new one each time.
    pub async fn identity_of(&self, pool_id: &str, logins: &SentLogins) -> FederationResult<Identity> {
        let Ok(details) = self.pools.find(pool_id).await? else { return Ok(Err(FederationRefused::NoPool(pool_id.to_owned()))) };
        let Some(pool) = self.pools.pools().by_id(pool_id) else { return Ok(Err(FederationRefused::NoPool(pool_id.to_owned()))) };
        if logins.is_empty() {
            return match self.lets_guests_in(&details, &pool) {
                true => self.make_guest(&pool).await.map(Ok),
                false => Ok(Err(FederationRefused::NoGuests)),
            };
        }
        let proved = match self.prove(&pool, logins).await {
            Ok(proved) => proved,
            Err(refused) => return Ok(Err(refused)),
        };
        // One that leads somewhere decides: the others are linked to that identity.
        let mut found = None;
        for login in &proved {
            found = found.or(self.leads_to(&pool, login).await?);
        }
        let identity = match (found, proved.first()) {
            (Some(identity), _) => identity,
            (None, Some(first)) => match self.sign_in(&pool, first).await? {
                Ok(identity) => identity,
                Err(refused) => return Ok(Err(refused)),
            },
            (None, None) => return Ok(Err(FederationRefused::NoGuests)),
        };
        self.link_all(&pool, identity, &proved, LinkRight::ItsLogin).await
    }

    /// Credentials of an identity for who has a right to it. `wanted` is one of the person's roles.
    pub async fn credentials(
        &self,
        identity: &Identity,
        logins: &SentLogins,
        wanted: Option<String>,
        context: RequestContext,
    ) -> FederationResult<IdentityCredentials> {
        let (identity, pool, proved) = match self.admitted(identity, logins).await? {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err(refused)),
        };
        let Ok(details) = self.pools.find(&pool.id()).await? else { return Ok(Err(FederationRefused::NoPool(pool.id().to_string()))) };
        let claims: Vec<ProvedClaims<'_>> =
            proved.iter().map(|login| ProvedClaims { provider: &login.provider, claims: &login.claims }).collect();
        let role = match choose(&details.roles, &claims, wanted.as_deref()) {
            Ok(role) => role,
            Err(NoRole::NotConfigured) => {
                let text = "Invalid identity pool configuration. Check assigned IAM roles for this pool.";
                return Ok(Err(FederationRefused::NoRole(text.to_owned())));
            }
            Err(NoRole::Denied) => return Ok(Err(FederationRefused::NotItsLogin(identity.to_string()))),
        };
        let federation = federation(&pool.id(), &identity, &proved);
        let ask = RoleAsk { role_arn: role, session_name: SESSION_NAME.to_owned(), ..RoleAsk::default() };
        Ok(match self.accounts.assume_with_token(federation, &ask, context).await? {
            Ok(assumed) => Ok(IdentityCredentials { identity, credentials: assumed.credentials }),
            Err(AssumeRefused::Denied(_) | AssumeRefused::Invalid(_) | AssumeRefused::Policy(_) | AssumeRefused::PolicyTooLarge) => {
                let text = "Invalid identity pool configuration. Check assigned IAM roles for this pool.";
                Err(FederationRefused::NoRole(text.to_owned()))
            }
        })
    }

    /// A token of an identity for who has a right to it, with which a role can be taken.
    pub async fn open_id_token(&self, identity: &Identity, logins: &SentLogins) -> FederationResult<(Identity, String)> {
        let (identity, pool, proved) = match self.admitted(identity, logins).await? {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err(refused)),
        };
        let Ok(details) = self.pools.find(&pool.id()).await? else { return Ok(Err(FederationRefused::NoPool(pool.id().to_string()))) };
        if details.made.is_some_and(|made| made.allow_classic_flow != Some(true)) {
            return Ok(Err(FederationRefused::NoClassicFlow));
        }
        let token = self.issuer.token(&federation(&pool.id(), &identity, &proved)).await?;
        Ok(Ok((identity, token)))
    }

    /// Who gets to an identity with these logins: the identity, which may be another one by now, its pool, and the logins.
    pub async fn admitted(&self, identity: &Identity, logins: &SentLogins) -> FederationResult<(Identity, Arc<Pool>, Vec<ProvedLogin>)> {
        let state = match self.state(identity).await? {
            Ok(state) => state,
            Err(refused) => return Ok(self.merged_into(identity, logins).await?.ok_or(refused)),
        };
        let Some(pool) = self.pools.pools().get(&state.pool) else { return Ok(Err(FederationRefused::NoIdentity(identity.to_string()))) };
        let forbidden = || FederationRefused::NotItsLogin(identity.to_string());
        if logins.is_empty() {
            let Ok(details) = self.pools.find(&pool.id()).await? else { return Ok(Err(forbidden())) };
            let is_let_in = state.is_guest && state.moved_to.is_none() && self.lets_guests_in(&details, &pool);
            return Ok(is_let_in.then(|| (identity.clone(), pool, Vec::new())).ok_or_else(forbidden));
        }
        let proved = match self.prove(&pool, logins).await {
            Ok(proved) => proved,
            Err(refused) => return Ok(Err(refused)),
        };
        // The identity may have been merged into the one that the logins lead to.
        let current = state.moved_to.clone().unwrap_or_else(|| identity.clone());
        let mut leads_there = false;
        for login in &proved {
            leads_there |= self.leads_to(&pool, login).await?.as_ref() == Some(&current);
        }
        let right = match leads_there {
            true => LinkRight::ItsLogin,
            false if state.is_guest && state.moved_to.is_none() => LinkRight::Guest,
            false => return Ok(Err(forbidden())),
        };
        Ok(self.link_all(&pool, current, &proved, right).await?.map(|identity| (identity, pool, proved)))
    }

    /// The identity into which one was merged that is gone since, for who proves a login of it.
    async fn merged_into(
        &self,
        gone: &Identity,
        logins: &SentLogins,
    ) -> Result<Option<(Identity, Arc<Pool>, Vec<ProvedLogin>)>, Unavailable> {
        let Some(pool) = logins.first().and_then(|(_, token)| self.verifier.named_pool(token)) else { return Ok(None) };
        let Some(pool) = self.pools.pools().get(&pool) else { return Ok(None) };
        let Ok(proved) = self.prove(&pool, logins).await else { return Ok(None) };
        for login in &proved {
            let Some(identity) = self.leads_to(&pool, login).await? else { continue };
            let of = identity.clone();
            let merged = self.reader.read(&identity, move |store| store.merged(&of)).await?.unwrap_or_default();
            if merged.iter().any(|id| id == gone.as_str()) {
                return Ok(self
                    .link_all(&pool, identity, &proved, LinkRight::ItsLogin)
                    .await?
                    .ok()
                    .map(|identity| (identity, pool, proved)));
            }
        }
        Ok(None)
    }

    /// An identity that was not erased.
    pub async fn state(&self, identity: &Identity) -> FederationResult<IdentityState> {
        let of = identity.clone();
        let state = self.reader.read(identity, move |store| store.identity_state(&of, MOST_LOGINS)).await?;
        Ok(state.ok_or_else(|| FederationRefused::NoIdentity(identity.to_string())))
    }

    /// Takes logins away from an identity, for who proves all of them.
    pub async fn unlink(&self, identity: &Identity, logins: &SentLogins, removed: &[String]) -> FederationResult<()> {
        let (identity, pool, proved) = match self.admitted(identity, logins).await? {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err(refused)),
        };
        for login in proved.into_iter().filter(|login| removed.contains(&login.sent_as)) {
            let (of, name) = (identity.clone(), Arc::clone(&pool.name));
            let (issuer, subject) = (Arc::clone(&login.issuer), login.subject.clone());
            let transaction = move |group: &mut Group<'_>, _| {
                let key = LoginKey { pool: &name, issuer: &login.issuer, subject: &login.subject };
                Ok((group.unlink(key, &of)?, Vec::new()))
            };
            if self.committer.transact(JobOwner::Identity(identity.clone()), transaction).await? {
                info!(target: AUDIT, %identity, ?issuer, ?subject, "login unlinked by its owner");
            }
        }
        Ok(Ok(()))
    }

    fn lets_guests_in(&self, details: &PoolDetails, pool: &Pool) -> bool {
        details.made.as_ref().map_or(pool.guests, |made| made.allow_guests)
    }

    /// Verifies all tokens in the pool.
    async fn prove(&self, pool: &Pool, logins: &SentLogins) -> Result<Vec<ProvedLogin>, FederationRefused> {
        let now_s = self.clock.unix_ms() / 1000;
        let made = self.pools.find(&pool.id()).await.ok().and_then(Result::ok).and_then(|details| details.made);
        let mut proved = Vec::new();
        for (provider, token) in logins.iter().take(MOST_LOGINS) {
            let verified = self.verifier.verify_in(&pool.name, token, now_s).await.map_err(|why| match why {
                crate::auth::TokenRefusal::KeysUnavailable => FederationRefused::ProviderUnavailable { provider: provider.clone() },
                why => FederationRefused::InvalidToken { provider: provider.clone(), why: why.to_string() },
            })?;
            let claims = Verifier::claims(token).unwrap_or_default();
            let (issuer, subject, issued_s) = (verified.issuer, verified.subject, verified.issued_s);
            let name = provider_name(made.as_ref(), &issuer);
            proved.push(ProvedLogin { sent_as: provider.clone(), provider: name, issuer, subject, issued_s, claims });
        }
        Ok(proved)
    }

    async fn leads_to(&self, pool: &Pool, login: &ProvedLogin) -> Result<Option<Identity>, Unavailable> {
        let (name, issuer, subject) = (Arc::clone(&pool.name), Arc::clone(&login.issuer), login.subject.clone());
        let read = move |store: &crate::store::Store| store.identity(LoginKey { pool: &name, issuer: &issuer, subject: &subject });
        self.reader.read(ReadOwner::Login(login.subject.clone()), read).await
    }

    /// The identity of a login, which is made if there is none.
    async fn sign_in(&self, pool: &Pool, login: &ProvedLogin) -> FederationResult<Identity> {
        // A federated call names no device, and makes none.
        let Ok(device) = driftless_protocol::DeviceId::new("federation") else { return Err(Unavailable::Now) };
        let request = LoginRequest {
            pool: Arc::clone(&pool.name),
            region: Arc::clone(&pool.region),
            issuer: Arc::clone(&login.issuer),
            subject: login.subject.clone(),
            issued_s: login.issued_s,
            device,
            purpose: SignInPurpose::Read,
            max_devices: pool.limits.devices,
        };
        Ok(match self.identities.sign_in(request).await? {
            SignInResult::SignedIn(identity) => Ok(identity),
            SignInResult::TokenRefused { .. } | SignInResult::Revoked | SignInResult::TooManyDevices => {
                Err(FederationRefused::TokenRefused)
            }
        })
    }

    /// Lets all proved logins lead to one identity, and returns it: that of a login which has another one, if the first is a guest's.
    async fn link_all(&self, pool: &Pool, identity: Identity, proved: &[ProvedLogin], right: LinkRight) -> FederationResult<Identity> {
        let (mut identity, mut right) = (identity, right);
        for login in proved {
            // A refused token is no proof, whatever it leads to.
            let (name, key, of) = (Arc::clone(&pool.name), login.clone(), identity.clone());
            let is_refused = self.reader.read(&identity, move |store| {
                let login = LoginKey { pool: &name, issuer: &key.issuer, subject: &key.subject };
                let leads_to = store.identity(login)?.unwrap_or(of);
                store.refused_until(login, &leads_to, key.issued_s)
            });
            if is_refused.await?.is_some() {
                return Ok(Err(FederationRefused::TokenRefused));
            }
            let name = LoginName { issuer: login.issuer.to_string(), subject: login.subject.clone() };
            let claimed = identity.clone();
            let linked = self.links.link(identity.clone(), name, move |group| right.obstacle(group, &claimed)).await?;
            let (issuer, subject) = (&login.issuer, &login.subject);
            match linked {
                None => return Ok(Err(FederationRefused::NoIdentity(identity.to_string()))),
                Some(Err(NotAGuest)) => return Ok(Err(FederationRefused::NotItsLogin(identity.to_string()))),
                Some(Ok(LinkOutcome::Known)) => {}
                Some(Ok(LinkOutcome::Linked)) => info!(target: AUDIT, %identity, ?issuer, ?subject, "login linked by federation"),
                Some(Ok(LinkOutcome::TooManyLogins)) => return Ok(Err(FederationRefused::TooManyLogins)),
                // Two people's identities, or one's who has signed in twice: nobody but their owner may make them one, on a device or by an operator.
                Some(Ok(LinkOutcome::LeadsElsewhere(_))) if matches!(right, LinkRight::ItsLogin) => {
                    return Ok(Err(FederationRefused::LoginOfAnother));
                }
                Some(Ok(LinkOutcome::LeadsElsewhere(other))) => {
                    let claimed = identity.clone();
                    let merged =
                        self.links.merge_unless(identity.clone(), other.clone(), move |group| right.obstacle(group, &claimed)).await?;
                    match merged {
                        Err(NotAGuest) => return Ok(Err(FederationRefused::NotItsLogin(identity.to_string()))),
                        Ok(IdentityMergeOutcome::Merged { .. }) => {
                            info!(target: AUDIT, from = %identity, into = %other, ?issuer, ?subject, "identity merged by federation");
                            identity = other;
                        }
                        Ok(IdentityMergeOutcome::TooManyLogins) => return Ok(Err(FederationRefused::TooManyLogins)),
                        Ok(IdentityMergeOutcome::SameIdentity) => {}
                        Ok(IdentityMergeOutcome::NoIdentity(_) | IdentityMergeOutcome::OtherPool) => return Err(Unavailable::Now),
                    }
                }
            }
            // From here on the identity has a login that was proved.
            right = LinkRight::ItsLogin;
        }
        Ok(Ok(identity))
    }

    /// A new identity without a login.
    async fn make_guest(&self, pool: &Pool) -> Result<Identity, Unavailable> {
        for _ in 0..MOST_DRAWS {
            let identity = Identity::from(format!("{}:{}", pool.region, Uuid::new_v4()).as_str());
            let (name, made) = (Arc::clone(&pool.name), identity.clone());
            let transaction = move |group: &mut Group<'_>, now_ms| Ok((group.make_guest(&name, &made, now_ms)?, Vec::new()));
            if self.committer.transact(JobOwner::Identity(identity.clone()), transaction).await? {
                return Ok(identity);
            }
        }
        Err(Unavailable::Now)
    }
}
