//! The users of user pools: their rows, their other names, codes and families of refresh tokens.

use serde::{Deserialize, Serialize};

use super::commit::Group;
use super::engine::Bytes;
use super::keys::{KeyParts, RowKind};
use super::row_source::RowSource;
use super::user_names::{AliasName, CodeUse};
use super::user_pool_id::{PoolUserKey, UserPoolId};
use super::user_pools::SealedSecret;
use super::{Store, StoreError, keys, rows};

/// Families of refresh tokens of a user at a time: one sign-in more ends the oldest. A person has a hundred live devices at most.
pub const MOST_FAMILIES: usize = 100;

/// A user of a user pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name as it was written.
    pub username: String,
    /// The id that stays the same, a UUID; no other user ever has it.
    pub sub: String,
    pub status: UserStatus,
    pub enabled: bool,
    pub made_ms: u64,
    pub changed_ms: u64,
    /// In the order of their names.
    pub attributes: Vec<(String, String)>,
    /// `None`: there is no password yet.
    pub password: Option<StoredPassword>,
    /// Tokens of sign-ins until then are refused, in milliseconds since 1970 (UTC).
    pub signed_out_ms: u64,
    /// Wrong passwords since the last right one.
    pub tries: Tries,
}

/// Where a user stands. The names are the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserStatus {
    Unconfirmed,
    Confirmed,
    ResetRequired,
    ForceChangePassword,
}

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPassword {
    /// Another password has another number: an answer to a challenge counts for the password that it was made for.
    pub number: u64,
    pub srp: SealedSecret,
    pub hash: SealedSecret,
    /// Until when a password that an administrator chose can be used, in milliseconds since 1970 (UTC).
    pub until_ms: Option<u64>,
}

/// Attempts that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    pub failed: u32,
    pub last_ms: u64,
}

/// A code that was sent, and how often it was asked for and tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCode {
    /// The keyed hash of the code; empty once it was used.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    pub expires_ms: u64,
    /// The attribute and the value that the code proves.
    pub attribute: String,
    pub value: String,
    /// When the hour began in which the next two are counted.
    pub counted_from_ms: u64,
    pub sent: u32,
    pub tries: u32,
}

/// One sign-in's chain of refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    pub client: String,
    pub state: FamilyState,
    pub made_ms: u64,
    pub expires_ms: u64,
    /// How often the token was exchanged.
    pub exchanges: u32,
    /// When the last exchange was.
    pub exchanged_ms: u64,
}

/// Whether a family's tokens are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FamilyState {
    /// The password was proved, and something else is still to be answered.
    Pending,
    Live,
    /// Revoked. The row stays until its time is over, so that the challenge that made it cannot be answered again.
    Revoked,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AliasRow {
    pub name: String,
}

/// How many rows of a user are read at a time where they are deleted: codes, families and the user itself are fewer.
const USER_ROWS: usize = 256;

impl Store {
    pub fn user(&self, key: &PoolUserKey) -> Result<Option<User>, StoreError> {
        self.engine.row(&keys::user(key))
    }

    /// The name of the user with an alias.
    pub fn user_of_alias(&self, pool: &UserPoolId, alias: AliasName<'_>) -> Result<Option<PoolUserKey>, StoreError> {
        let row: Option<AliasRow> = self.engine.row(&keys::user_alias(pool, alias))?;
        Ok(row.map(|AliasRow { name }| PoolUserKey { pool: pool.clone(), name: name.into() }))
    }

    /// Up to `limit` users of a pool, behind a name. Reads two rows for each, whatever they own.
    pub fn users(&self, pool: &UserPoolId, after: Option<&str>, limit: usize) -> Result<Vec<(PoolUserKey, User)>, StoreError> {
        let prefix = keys::of_user_pool(pool);
        let end = keys::prefix_end(&prefix);
        // The pool's own rows stand first, under the empty name.
        let mut start = keys::prefix_end(&keys::of_user(pool, after.unwrap_or_default()));
        let mut found = Vec::new();
        while found.len() < limit
            && let Some((key, _)) = self.engine.scan(&start, &end, 1)?.pop()
        {
            let name = KeyParts::after(&key, &prefix)?.name()?;
            start = keys::prefix_end(&keys::of_user(pool, name));
            let key = PoolUserKey { pool: pool.clone(), name: name.into() };
            let user = self.user(&key)?;
            found.extend(user.map(|user| (key, user)));
        }
        Ok(found)
    }

    pub fn user_code(&self, key: &PoolUserKey, code: CodeUse) -> Result<Option<StoredCode>, StoreError> {
        self.engine.row(&keys::user_code(key, code))
    }

    pub fn family(&self, key: &PoolUserKey, family: &str) -> Result<Option<Family>, StoreError> {
        self.engine.row(&keys::family(key, family))
    }
}

impl Group<'_> {
    pub fn user(&mut self, key: &PoolUserKey) -> Result<Option<User>, StoreError> {
        self.view.row(&keys::user(key))
    }

    pub fn put_user(&mut self, key: &PoolUserKey, user: &User) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::user(key), Some(rows::encode(user)?))]);
        Ok(())
    }

    pub fn user_of_alias(&mut self, pool: &UserPoolId, alias: AliasName<'_>) -> Result<Option<PoolUserKey>, StoreError> {
        let row: Option<AliasRow> = self.view.row(&keys::user_alias(pool, alias))?;
        Ok(row.map(|AliasRow { name }| PoolUserKey { pool: pool.clone(), name: name.into() }))
    }

    /// Gives a user an alias, which may be another's until now.
    pub fn put_alias(&mut self, key: &PoolUserKey, alias: AliasName<'_>) -> Result<(), StoreError> {
        let row = rows::encode(&AliasRow { name: key.name.to_string() })?;
        self.view.decide(vec![(keys::user_alias(&key.pool, alias), Some(row))]);
        Ok(())
    }

    /// Takes an alias from a user, if it is the user's.
    pub fn delete_alias(&mut self, key: &PoolUserKey, alias: AliasName<'_>) -> Result<(), StoreError> {
        if self.user_of_alias(&key.pool, alias)?.as_ref() == Some(key) {
            self.view.decide(vec![(keys::user_alias(&key.pool, alias), None)]);
        }
        Ok(())
    }

    pub fn user_code(&mut self, key: &PoolUserKey, code: CodeUse) -> Result<Option<StoredCode>, StoreError> {
        self.view.row(&keys::user_code(key, code))
    }

    pub fn put_user_code(&mut self, key: &PoolUserKey, code: CodeUse, row: &StoredCode) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::user_code(key, code), Some(rows::encode(row)?))]);
        Ok(())
    }

    pub fn family(&mut self, key: &PoolUserKey, family: &str) -> Result<Option<Family>, StoreError> {
        self.view.row(&keys::family(key, family))
    }

    pub fn put_family(&mut self, key: &PoolUserKey, family: &str, row: &Family) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::family(key, family), Some(rows::encode(row)?))]);
        Ok(())
    }

    /// Adds a family. Those whose time is over go, and of [`MOST_FAMILIES`] the one that was made first.
    pub fn add_family(&mut self, key: &PoolUserKey, family: &str, row: &Family, now_ms: u64) -> Result<(), StoreError> {
        let prefix = keys::families(key);
        let mut kept = Vec::new();
        let mut batch = Vec::new();
        for (at, known) in self.view.some_of(&prefix, MOST_FAMILIES + 1)? {
            let known: Family = rows::decode(&known)?;
            match known.expires_ms <= now_ms {
                true => batch.push((at, None)),
                false => kept.push((known.made_ms, at)),
            }
        }
        kept.sort();
        let over = (kept.len() + 1).saturating_sub(MOST_FAMILIES);
        batch.extend(kept.into_iter().take(over).map(|(_, at)| (at, None)));
        batch.push((keys::family(key, family), Some(rows::encode(row)?)));
        self.view.decide(batch);
        Ok(())
    }

    /// Ends all families of a user.
    pub fn delete_families(&mut self, key: &PoolUserKey) -> Result<(), StoreError> {
        let rows = self.view.some_of(&keys::families(key), MOST_FAMILIES + 1)?;
        self.view.decide(rows.into_iter().map(|(at, _)| (at, None)).collect());
        Ok(())
    }

    /// Deletes a user with all rows; whether there was one. `aliases` are the user's other names.
    pub fn delete_user(&mut self, key: &PoolUserKey, aliases: &[AliasName<'_>]) -> Result<bool, StoreError> {
        let had = self.user(key)?.is_some();
        let rows: Vec<(Bytes, Bytes)> = self.view.some_of(&keys::of_user(&key.pool, &key.name), USER_ROWS)?;
        debug_assert!(rows.len() < USER_ROWS, "a user has a hundred families and four codes");
        debug_assert!(rows.iter().all(|(at, _)| RowKind::owned_by_user_pool().any(|kind| kind.is_of(at))));
        self.view.decide(rows.into_iter().map(|(at, _)| (at, None)).collect());
        for alias in aliases {
            self.delete_alias(key, *alias)?;
        }
        Ok(had)
    }
}
