//! The tokens of a sign-in: how they are made, exchanged, revoked, and what an access token lets its bearer do.

use uuid::Uuid;

use super::fault::UserFault;
use super::refresh_token::{RefreshOutcome, RefreshToken, refreshed};
use super::token_claims::{AccessClaims, TokenSubject, access_claims, id_claims, read_access_claims};
use super::user_pools::{ClientCall, UserPools, check_username};
use crate::committer::JobOwner;
use crate::keyring::SecretKey;
use crate::store::{AliasName, Family, FamilyState, Group, PoolUserKey, Store, User, UserPool, UserPoolId, UserPoolState, UserStatus};

/// The longest access token that is looked at, in bytes: one has less than 1.5 KiB.
const MAX_ACCESS_TOKEN_BYTES: usize = 4096;

/// The tokens of a sign-in.
#[derive(Clone)]
pub struct IssuedTokens {
    pub id: String,
    pub access: String,
    /// `None`: the client keeps the one that it has.
    pub refresh: Option<String>,
    /// How long the access token is valid, in seconds.
    pub expires_s: u32,
}

/// A user who has shown an access token.
pub(super) struct Bearer {
    pub key: PoolUserKey,
    pub pool: UserPool,
    pub user: User,
    /// The client that the token was given to, and whether it may write what.
    pub write: Vec<String>,
    pub read: Vec<String>,
}

const INVALID_ACCESS_TOKEN: UserFault = UserFault::NotAuthorized("Invalid Access Token");
const REVOKED_ACCESS_TOKEN: UserFault = UserFault::NotAuthorized("Access Token has been revoked");
const INVALID_REFRESH_TOKEN: UserFault = UserFault::NotAuthorized("Invalid Refresh Token");
const REVOKED_REFRESH_TOKEN: UserFault = UserFault::NotAuthorized("Refresh Token has been revoked");
const DISABLED: UserFault = UserFault::NotAuthorized("User is disabled.");

impl UserPools {
    pub(super) fn refresh_key(&self) -> Result<SecretKey, UserFault> {
        self.lasting_key("user pool refresh tokens")
    }

    /// Signs the tokens of a family. `refresh`: the token's number, if the client gets one.
    pub(super) async fn issue(
        &self,
        call: &ClientCall,
        user: User,
        family: (Uuid, u64),
        refresh: Option<u32>,
    ) -> Result<IssuedTokens, UserFault> {
        let pairs = self.keys.of(&call.pool_id).await?;
        let now_ms = self.clock.unix_ms();
        let (id, made_ms) = family;
        let sub = Uuid::parse_str(&user.sub).map_err(|_| UserFault::Internal)?;
        let refresh = match refresh {
            Some(exchange) => {
                let token = RefreshToken { sub, family: id, exchange };
                Some(token.text(&self.refresh_key()?, &call.pool_id, &call.client_id)?)
            }
            None => None,
        };
        let (issuer, client_id, client) = (self.issuer(&call.pool_id), call.client_id.clone(), call.client.clone());
        let make = move || -> Result<(String, String), UserFault> {
            let pair = pairs.signing(now_ms).ok_or(UserFault::Internal)?;
            let family = id.to_string();
            let of = TokenSubject {
                issuer: &issuer,
                client: &client_id,
                user: &user,
                family: &family,
                auth_s: made_ms / 1000,
                now_s: now_ms / 1000,
                read: &client.read,
            };
            let jti = || Uuid::new_v4().to_string();
            Ok((pair.sign(&id_claims(&of, &jti(), client.id_s))?, pair.sign(&access_claims(&of, &jti(), client.access_s))?))
        };
        let (id, access) = self.workers.run(make).await??;
        Ok(IssuedTokens { id, access, refresh, expires_s: call.client.access_s })
    }

    /// New tokens for a refresh token. `username` is what a client with a secret has hashed.
    pub async fn refresh(&self, call: &ClientCall, text: &str, secret_hash: SecretProof<'_>) -> Result<IssuedTokens, UserFault> {
        let token = RefreshToken::read(&self.refresh_key()?, &call.pool_id, &call.client_id, text).ok_or(INVALID_REFRESH_TOKEN)?;
        let (key, user) = self.user_of_sub(&call.pool_id, &token.sub.to_string()).await?.ok_or(REVOKED_REFRESH_TOKEN)?;
        match secret_hash {
            SecretProof::Secret(secret) => call.check_secret(secret)?,
            // Clients hash the name that the user signed in with, the username or the sub.
            SecretProof::Hash(hash) => {
                call.check_secret_hash(&user.username, hash).or_else(|_| call.check_secret_hash(&user.sub, hash))?;
            }
        }
        let (client_id, rotation) = (call.client_id.clone(), call.client.rotation_grace_s);
        let decide = move |group: &mut Group<'_>, now_ms| {
            let Some(user) = group.user(&key)?.filter(|now| now.sub == user.sub) else {
                return Ok((Err(REVOKED_REFRESH_TOKEN), Vec::new()));
            };
            if !user.enabled {
                return Ok((Err(DISABLED), Vec::new()));
            }
            let id = token.family.to_string();
            let before = group.family(&key, &id)?;
            match refreshed(before.clone(), &token, &client_id, rotation, now_ms) {
                RefreshOutcome::Good(family) => {
                    if before.as_ref() != Some(&family) {
                        group.put_family(&key, &id, &family)?;
                    }
                    Ok((Ok((user, family)), Vec::new()))
                }
                RefreshOutcome::Reused(family) => {
                    group.put_family(&key, &id, &family)?;
                    Ok((Err(UserFault::TokenReuse), Vec::new()))
                }
                RefreshOutcome::Revoked => Ok((Err(REVOKED_REFRESH_TOKEN), Vec::new())),
                RefreshOutcome::Expired => Ok((Err(UserFault::NotAuthorized("Refresh Token has expired")), Vec::new())),
            }
        };
        let (user, family): (User, Family) = self.committer.transact(JobOwner::Store, decide).await??;
        let refresh = rotation.map(|_| family.exchanges);
        self.issue(call, user, (token.family, family.made_ms), refresh).await
    }

    /// Ends the family of a refresh token, and with it the access tokens of the family. One that was ended before, or is of no family, is no fault.
    pub async fn revoke(&self, call: &ClientCall, text: &str) -> Result<(), UserFault> {
        let Some(token) = RefreshToken::read(&self.refresh_key()?, &call.pool_id, &call.client_id, text) else {
            // An access or an ID token.
            return if text.split('.').count() == 3 { Err(UserFault::TokenKind) } else { Ok(()) };
        };
        let Some((key, _)) = self.user_of_sub(&call.pool_id, &token.sub.to_string()).await? else { return Ok(()) };
        let client_id = call.client_id.clone();
        let decide = move |group: &mut Group<'_>, _| {
            let id = token.family.to_string();
            if let Some(family) = group.family(&key, &id)?.filter(|family| family.client == client_id) {
                group.put_family(&key, &id, &Family { state: FamilyState::Revoked, ..family })?;
            }
            Ok(((), Vec::new()))
        };
        Ok(self.committer.transact(JobOwner::Store, decide).await?)
    }

    /// The user with a `sub`.
    pub(super) async fn user_of_sub(&self, pool: &UserPoolId, sub: &str) -> Result<Option<(PoolUserKey, User)>, UserFault> {
        let (pool, sub) = (pool.clone(), sub.to_owned());
        let read = move |store: &Store| {
            let Some(key) = store.user_of_alias(&pool, AliasName { kind: "sub", value: &sub })? else { return Ok(None) };
            Ok(store.user(&key)?.filter(|user| user.sub == sub).map(|user| (key, user)))
        };
        Ok(self.reader.read(crate::committer::ReadOwner::Server, read).await?)
    }

    /// The user who has shown an access token. An ID token is none, nor is a token of a family that ended.
    pub(super) async fn bearer(&self, token: &str) -> Result<Bearer, UserFault> {
        let (pool_id, claims) = self.access_claims(token).await?;
        if claims.exp_s.saturating_mul(1000) <= self.clock.unix_ms() {
            return Err(UserFault::NotAuthorized("Access Token has expired"));
        }
        check_username(&claims.username).map_err(|_| INVALID_ACCESS_TOKEN)?;
        let key = PoolUserKey { pool: pool_id, name: claims.username.as_str().into() };
        let wanted = key.clone();
        let read = move |store: &Store| {
            let (user, family) = (store.user(&wanted)?, store.family(&wanted, &claims.family)?);
            let (pool, client) = (store.user_pool(&wanted.pool)?, store.user_pool_client(&claims.client)?);
            let user = user.filter(|user| user.sub == claims.sub);
            let pool = pool.filter(|pool| pool.state == UserPoolState::Live);
            let is_live = family.is_some_and(|family| family.state == FamilyState::Live && family.client == claims.client);
            Ok((user, pool, client.filter(|_| is_live)))
        };
        let (user, pool, client) = self.reader.read(crate::committer::ReadOwner::Server, read).await?;
        let user = user.ok_or(UserFault::NoUser)?;
        if !user.enabled {
            return Err(DISABLED);
        }
        let (Some(pool), Some((_, client))) = (pool, client) else { return Err(REVOKED_ACCESS_TOKEN) };
        if user.status == UserStatus::ResetRequired {
            return Err(UserFault::ResetRequired);
        }
        Ok(Bearer { key, pool, user, write: client.write, read: client.read })
    }

    /// The claims of an access token, by the pool that it names.
    async fn access_claims(&self, token: &str) -> Result<(UserPoolId, AccessClaims), UserFault> {
        if token.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(INVALID_ACCESS_TOKEN);
        }
        let pool = self.named_pool(token).ok_or(INVALID_ACCESS_TOKEN)?;
        let (known, _) = self.pool(pool.as_str()).await.map_err(|fault| match fault {
            UserFault::Unavailable => fault,
            _ => INVALID_ACCESS_TOKEN,
        })?;
        let verify = |pairs: std::sync::Arc<super::pool_keys::PoolPairs>| {
            let (workers, token) = (self.workers.clone(), token.to_owned());
            async move { workers.run(move || pairs.verified_claims(&token)).await }
        };
        let mut claims = verify(self.keys.of(&known).await?).await?;
        if claims.is_none() {
            claims = verify(self.keys.of_unknown(&known).await?).await?;
        }
        let claims = claims.and_then(|claims| read_access_claims(&claims, &self.issuer(&known)));
        claims.map(|claims| (known, claims)).ok_or(INVALID_ACCESS_TOKEN)
    }

    /// The pool that an unverified token names by its issuer.
    fn named_pool(&self, token: &str) -> Option<UserPoolId> {
        use base64::Engine;
        let claims = token.split('.').nth(1)?;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        let issuer = claims.get("iss")?.as_str()?;
        UserPoolId::parse(issuer.strip_prefix(&*self.public_url)?.strip_prefix('/')?)
    }
}

/// How a client with a secret proves that it has it when it refreshes.
#[derive(Clone, Copy, Debug)]
pub enum SecretProof<'a> {
    Hash(Option<&'a str>),
    Secret(Option<&'a str>),
}
