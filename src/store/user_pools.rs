//! User pools and their clients.
//!
//! A user pool is an owner, and so is each of its users; the pool's own rows stand under the user with no name. A pool is found by its account, a client
//! by its id alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::AccountId;
use super::commit::Group;
use super::engine::Bytes;
use super::keys::{KeyParts, RowKind};
use super::row_source::RowSource;
use super::user_pool_id::UserPoolId;
use super::{Store, StoreError, keys, rows};

/// User pools of an account: the quota of "Quotas in Amazon Cognito".
pub const MOST_USER_POOLS: usize = 1_000;

/// Clients of a user pool: the quota of "Quotas in Amazon Cognito".
pub const MOST_CLIENTS: usize = 1_000;

/// A user pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPool {
    /// The account that owns it.
    pub account: String,
    pub name: String,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    pub changed_ms: u64,
    pub state: UserPoolState,
    pub settings: UserPoolSettings,
}

/// Whether a pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserPoolState {
    Live,
    /// Its users are being deleted: it is there for nobody any more.
    Deleting,
}

/// What a pool demands of its users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPoolSettings {
    pub password: PasswordDemands,
    pub usernames: UsernameKind,
    /// The attributes by which users also sign in, once they are verified.
    pub aliases: Vec<String>,
    /// The attributes that are verified by a code at sign-up.
    pub auto_verified: Vec<String>,
    /// Whether `Ann` and `ann` are two users.
    pub case_sensitive: bool,
    /// Whether only an administrator makes users.
    pub admin_only: bool,
    /// Attributes that every user must have from the beginning.
    pub required: Vec<String>,
    pub custom: Vec<CustomAttribute>,
    pub email_subject: Option<String>,
    pub email_message: Option<String>,
    pub invite_subject: Option<String>,
    pub invite_message: Option<String>,
    /// Whether the pool cannot be deleted.
    pub protected: bool,
    pub tags: BTreeMap<String, String>,
}

/// What a pool demands of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordDemands {
    pub minimum_length: u8,
    pub uppercase: bool,
    pub lowercase: bool,
    pub numbers: bool,
    pub symbols: bool,
    /// How long a password that an administrator chose can be used, in days.
    pub temporary_days: u16,
}

/// What a user's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsernameKind {
    /// The user chooses one.
    Chosen,
    /// The server chooses one; the user signs in with an address or a number.
    Attribute { email: bool, phone: bool },
}

/// An attribute that a pool has beside the standard ones. Its name begins with `custom:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomAttribute {
    pub name: String,
    pub kind: CustomKind,
    pub mutable: bool,
}

/// What a custom attribute's value is, with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CustomKind {
    Text { min: u32, max: u32 },
    Number { min: Option<i64>, max: Option<i64> },
    Boolean,
    DateTime,
}

/// A client of a user pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPoolClient {
    pub name: String,
    /// The secret, sealed by the keyring; `None`: the client has none.
    pub sealed_secret: Option<SealedSecret>,
    pub made_ms: u64,
    pub changed_ms: u64,
    /// How long its tokens are valid, in seconds.
    pub access_s: u32,
    pub id_s: u32,
    pub refresh_s: u32,
    /// The units in which the three were said.
    pub units: [TokenUnit; 3],
    /// The ways to sign in, in the service's words.
    pub flows: Vec<String>,
    /// Whether answers hide that a user is not there.
    pub hides_users: bool,
    /// How long a challenge can be answered, in minutes.
    pub session_minutes: u8,
    /// If refresh tokens are exchanged at each use: for how many seconds the earlier one is still good.
    pub rotation_grace_s: Option<u8>,
    pub read: Vec<String>,
    pub write: Vec<String>,
}

/// A sealed secret in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// A unit of a token's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenUnit {
    Seconds,
    Minutes,
    Hours,
    Days,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClientPoolRow {
    pub pool: String,
}

/// Why a pool or a client was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserPoolRefused {
    NoAccount,
    NoPool,
    /// There are as many as there can be.
    TooMany,
    /// The id is taken.
    IdTaken,
}

fn pool(source: &(impl RowSource + ?Sized), id: &UserPoolId) -> Result<Option<UserPool>, StoreError> {
    source.row(&keys::user_pool(id))
}

impl Store {
    /// The user pool with an id, in whichever state it is.
    pub fn user_pool(&self, id: &UserPoolId) -> Result<Option<UserPool>, StoreError> {
        pool(&*self.engine, id)
    }

    /// Up to `limit` user pools of an account, behind an id.
    pub fn user_pools(
        &self,
        account: &AccountId,
        after: Option<&UserPoolId>,
        limit: usize,
    ) -> Result<Vec<(UserPoolId, UserPool)>, StoreError> {
        let prefix = keys::user_pools_of(account);
        let start = after.map_or_else(|| prefix.clone(), |after| keys::prefix_end(&keys::account_user_pool(account, after)));
        let rows = self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?;
        let ids = rows.iter().map(|(key, _)| pool_id(KeyParts::after(key, &prefix)?));
        ids.filter_map(|id| id.and_then(|id| Ok(pool(&*self.engine, &id)?.map(|pool| (id, pool)))).transpose()).collect()
    }

    /// Up to `limit` ids of user pools of all accounts, behind that of one: for the server's own rounds.
    pub fn all_user_pools(
        &self,
        after: Option<(&AccountId, &UserPoolId)>,
        limit: usize,
    ) -> Result<Vec<(AccountId, UserPoolId)>, StoreError> {
        let prefix = keys::of_kind(RowKind::AccountUserPool);
        let start = after.map_or_else(|| prefix.clone(), |(account, id)| keys::prefix_end(&keys::account_user_pool(account, id)));
        let one = |(key, _): &(Bytes, Bytes)| {
            let mut parts = KeyParts::after(key, &prefix)?;
            let account = AccountId::parse(parts.name()?).ok_or_else(|| StoreError::Damaged("the account of a user pool".to_owned()))?;
            Ok((account, pool_id(parts)?))
        };
        self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?.iter().map(one).collect()
    }

    /// The client with an id, and its pool.
    pub fn user_pool_client(&self, client: &str) -> Result<Option<(UserPoolId, UserPoolClient)>, StoreError> {
        let Some(ClientPoolRow { pool }) = self.engine.row(&keys::client_pool(client))? else { return Ok(None) };
        let pool = UserPoolId::parse(&pool).ok_or_else(|| StoreError::Damaged("the pool of a client".to_owned()))?;
        Ok(self.engine.row(&keys::user_pool_client(&pool, client))?.map(|row| (pool, row)))
    }

    /// Up to `limit` clients of a pool, behind one.
    pub fn user_pool_clients(
        &self,
        pool: &UserPoolId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, UserPoolClient)>, StoreError> {
        let prefix = keys::user_pool_clients(pool);
        let start = after.map_or_else(|| prefix.clone(), |after| keys::prefix_end(&keys::user_pool_client(pool, after)));
        let rows = self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?;
        rows.iter().map(|(key, row)| Ok((KeyParts::after(key, &prefix)?.name()?.to_owned(), rows::decode(row)?))).collect()
    }

    /// The rows of a pool's key pairs, whose content the keyring knows. There are three at most.
    pub fn pool_signing_keys(&self, pool: &UserPoolId) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = self.engine.all_of(&keys::pool_signing_keys(pool))?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

fn pool_id(mut parts: KeyParts<'_>) -> Result<UserPoolId, StoreError> {
    UserPoolId::parse(parts.name()?).ok_or_else(|| StoreError::Damaged("the id of a user pool".to_owned()))
}

impl Group<'_> {
    /// The user pool with an id, if it is live.
    pub fn live_user_pool(&mut self, id: &UserPoolId) -> Result<Option<UserPool>, StoreError> {
        Ok(pool(&self.view, id)?.filter(|pool| pool.state == UserPoolState::Live))
    }

    /// Makes a user pool of an account.
    pub fn make_user_pool(&mut self, id: &UserPoolId, pool: &UserPool) -> Result<Result<(), UserPoolRefused>, StoreError> {
        let account = AccountId::parse(&pool.account);
        let Some(account) = account else { return Ok(Err(UserPoolRefused::NoAccount)) };
        if self.view.get(&keys::account(&account))?.is_none() {
            return Ok(Err(UserPoolRefused::NoAccount));
        }
        let key = keys::user_pool(id);
        if self.view.get(&key)?.is_some() {
            return Ok(Err(UserPoolRefused::IdTaken));
        }
        if self.view.some_of(&keys::user_pools_of(&account), MOST_USER_POOLS)?.len() >= MOST_USER_POOLS {
            return Ok(Err(UserPoolRefused::TooMany));
        }
        self.view.decide(vec![(key, Some(rows::encode(pool)?)), (keys::account_user_pool(&account, id), Some(rows::encode(&())?))]);
        Ok(Ok(()))
    }

    /// Replaces a pool's row.
    pub fn put_user_pool(&mut self, id: &UserPoolId, pool: &UserPool) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::user_pool(id), Some(rows::encode(pool)?))]);
        Ok(())
    }

    /// Deletes one pool's own rows, at most `limit` clients at a time; whether all of them are gone. Its users have to be gone before.
    pub fn delete_user_pool(&mut self, id: &UserPoolId, limit: usize) -> Result<bool, StoreError> {
        let Some(pool) = pool(&self.view, id)? else { return Ok(true) };
        let prefix = keys::user_pool_clients(id);
        let clients = self.view.some_of(&prefix, limit)?;
        let mut batch = Vec::new();
        for (key, _) in &clients {
            batch.push((keys::client_pool(KeyParts::after(key, &prefix)?.name()?), None));
            batch.push((key.clone(), None));
        }
        let is_last = clients.len() < limit;
        if is_last {
            batch.extend(self.view.all_of(&keys::pool_signing_keys(id))?.into_iter().map(|(key, _)| (key, None)));
            batch.push((keys::user_pool(id), None));
            batch.extend(AccountId::parse(&pool.account).map(|account| (keys::account_user_pool(&account, id), None)));
        }
        self.view.decide(batch);
        Ok(is_last)
    }

    /// Adds a client to a live pool.
    pub fn add_user_pool_client(
        &mut self,
        pool: &UserPoolId,
        id: &str,
        client: &UserPoolClient,
    ) -> Result<Result<(), UserPoolRefused>, StoreError> {
        if self.live_user_pool(pool)?.is_none() {
            return Ok(Err(UserPoolRefused::NoPool));
        }
        let index = keys::client_pool(id);
        if self.view.get(&index)?.is_some() {
            return Ok(Err(UserPoolRefused::IdTaken));
        }
        if self.view.some_of(&keys::user_pool_clients(pool), MOST_CLIENTS)?.len() >= MOST_CLIENTS {
            return Ok(Err(UserPoolRefused::TooMany));
        }
        let of_pool = ClientPoolRow { pool: pool.as_str().to_owned() };
        self.view.decide(vec![(keys::user_pool_client(pool, id), Some(rows::encode(client)?)), (index, Some(rows::encode(&of_pool)?))]);
        Ok(Ok(()))
    }

    /// Replaces the row of a client that is there.
    pub fn put_user_pool_client(&mut self, pool: &UserPoolId, id: &str, client: &UserPoolClient) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::user_pool_client(pool, id), Some(rows::encode(client)?))]);
        Ok(())
    }

    /// Deletes a client; whether the pool had it.
    pub fn delete_user_pool_client(&mut self, pool: &UserPoolId, id: &str) -> Result<bool, StoreError> {
        let key = keys::user_pool_client(pool, id);
        let had = self.view.get(&key)?.is_some();
        if had {
            self.view.decide(vec![(key, None), (keys::client_pool(id), None)]);
        }
        Ok(had)
    }

    /// Adds a key pair of a pool, unless others have made one for the same time or a later one. Returns whether it was added.
    pub fn add_pool_signing_key(&mut self, pool: &UserPoolId, from_ms: u64, row: &[u8]) -> Result<bool, StoreError> {
        if self.live_user_pool(pool)?.is_none() {
            return Ok(false);
        }
        let key = keys::pool_signing_key(pool, from_ms);
        let newest = self.view.all_of(&keys::pool_signing_keys(pool))?.pop();
        let is_newest = newest.is_none_or(|(newest, _)| newest < key);
        if is_newest {
            self.view.decide(vec![(key, Some(row.to_owned()))]);
        }
        Ok(is_newest)
    }

    /// Deletes all key pairs of a pool.
    pub fn delete_pool_signing_keys(&mut self, pool: &UserPoolId) -> Result<(), StoreError> {
        let rows = self.view.all_of(&keys::pool_signing_keys(pool))?;
        self.view.decide(rows.into_iter().map(|(key, _)| (key, None)).collect());
        Ok(())
    }

    /// Deletes the key pair of a pool that signs from a time.
    pub fn delete_pool_signing_key(&mut self, pool: &UserPoolId, from_ms: u64) {
        self.view.decide(vec![(keys::pool_signing_key(pool, from_ms), None)]);
    }
}
