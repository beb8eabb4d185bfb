//! User pools themselves: made, listed, deleted, and their documents for applications.

use super::fault::UserFault;
use super::self_service::delete;
use super::user_pools::UserPools;
use crate::committer::{JobOwner, ReadOwner};
use crate::store::{AccountId, Group, UserPool, UserPoolId, UserPoolRefused, UserPoolSettings, UserPoolState};

/// Letters and digits behind the underscore of an id.
const NAME_CHARS: usize = 9;

/// Users and clients that one transaction of a deletion deletes.
const DELETED_AT_ONCE: usize = 16;

/// A pool that is to be made.
#[derive(Clone, Debug)]
pub struct NewUserPool {
    pub name: String,
    pub settings: UserPoolSettings,
}

/// Random letters and digits.
pub(super) fn random_name(length: usize, letters: &[u8]) -> Result<String, UserFault> {
    let draw = |_| Ok(char::from(letters[getrandom::u64().map_err(|_| UserFault::Internal)? as usize % letters.len()]));
    (0..length).map(draw).collect()
}

impl UserPools {
    /// Makes a pool, with its first key pair.
    pub async fn create_pool(&self, account: &AccountId, new: NewUserPool) -> Result<(UserPoolId, UserPool), UserFault> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let id = format!("{}_{}", self.region, random_name(NAME_CHARS, LETTERS)?);
        let id = UserPoolId::parse(&id).ok_or(UserFault::Internal)?;
        let (made_ms, NewUserPool { name, settings }) = (self.clock.unix_ms(), new);
        let state = UserPoolState::Live;
        let pool = UserPool { account: account.to_string(), name, made_ms, changed_ms: made_ms, state, settings };
        let (new_id, row) = (id.clone(), pool.clone());
        let decide = move |group: &mut Group<'_>, _| Ok((group.make_user_pool(&new_id, &row)?, Vec::new()));
        self.committer.transact(JobOwner::Store, decide).await?.map_err(|why| match why {
            UserPoolRefused::TooMany => UserFault::TooMany("The account has as many user pools as it can have"),
            UserPoolRefused::NoAccount | UserPoolRefused::NoPool | UserPoolRefused::IdTaken => UserFault::Internal,
        })?;
        self.keys.of(&id).await?;
        Ok((id, pool))
    }

    /// Up to `limit` pools of an account behind an id; those that are being deleted are left out.
    pub async fn list_pools(
        &self,
        account: &AccountId,
        after: Option<UserPoolId>,
        limit: usize,
    ) -> Result<(Vec<(UserPoolId, UserPool)>, Option<UserPoolId>), UserFault> {
        let account = account.clone();
        let read = move |store: &crate::store::Store| store.user_pools(&account, after.as_ref(), limit);
        let mut pools = self.reader.read(ReadOwner::Server, read).await?;
        let next = if pools.len() == limit { pools.last().map(|(id, _)| id.clone()) } else { None };
        pools.retain(|(_, pool)| pool.state == UserPoolState::Live);
        Ok((pools, next))
    }

    /// Deletes a pool with all users, in bounded steps. From the first step on it is there for nobody; a deletion that was interrupted goes on when it is
    /// asked for again.
    pub async fn delete_pool(&self, id: &str) -> Result<(), UserFault> {
        let pool_id = UserPoolId::parse(id).ok_or_else(|| UserFault::no_pool(id))?;
        let wanted = pool_id.clone();
        let pool = self.reader.read(ReadOwner::Server, move |store| store.user_pool(&wanted)).await?;
        let pool = pool.ok_or_else(|| UserFault::no_pool(id))?;
        if pool.settings.protected {
            return Err(UserFault::parameter("The user pool cannot be deleted because deletion protection is activated."));
        }
        let (of, row) = (pool_id.clone(), UserPool { state: UserPoolState::Deleting, ..pool.clone() });
        let begin = move |group: &mut Group<'_>, _| {
            if group.live_user_pool(&of)?.is_some() {
                group.put_user_pool(&of, &row)?;
            }
            Ok(((), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, begin).await?;
        loop {
            let of = pool_id.clone();
            let users = self.reader.read(ReadOwner::Server, move |store| store.users(&of, None, DELETED_AT_ONCE)).await?;
            if users.is_empty() {
                break;
            }
            let settings = pool.settings.clone();
            let step = move |group: &mut Group<'_>, _| {
                for (key, user) in &users {
                    delete(group, &settings, key, &user.sub)?;
                }
                Ok(((), Vec::new()))
            };
            self.committer.transact(JobOwner::Store, step).await?;
        }
        loop {
            let of = pool_id.clone();
            let step = move |group: &mut Group<'_>, _| Ok((group.delete_user_pool(&of, DELETED_AT_ONCE)?, Vec::new()));
            if self.committer.transact(JobOwner::Store, step).await? {
                break;
            }
        }
        self.keys.forget(&pool_id);
        Ok(())
    }

    /// The keys with which applications check tokens of a pool (RFC 7517).
    pub async fn jwks(&self, id: &str) -> Result<String, UserFault> {
        let (id, _) = self.pool(id).await?;
        Ok(self.keys.of(&id).await?.jwks())
    }

    /// The metadata of a pool as an issuer (OpenID Connect Discovery 1.0, section 3).
    pub async fn discovery(&self, id: &str) -> Result<String, UserFault> {
        let (id, _) = self.pool(id).await?;
        let issuer = self.issuer(&id);
        let document = serde_json::json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": ["code", "token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "phone", "profile"],
        });
        Ok(document.to_string())
    }
}
