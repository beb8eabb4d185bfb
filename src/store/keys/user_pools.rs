//! The keys of the rows of user pools and their users.

use super::{RowKey, RowKind};
use crate::store::account::AccountId;
use crate::store::engine::Bytes;
use crate::store::user_names::{AliasName, CodeUse};
use crate::store::user_pool_id::{PoolUserKey, UserPoolId};

/// The prefix of all rows that stand with a pool and its users.
pub(in crate::store) fn of_user_pool(pool: &UserPoolId) -> Bytes {
    RowKey::of(RowKind::UserPool).name(pool.as_str()).done()
}

/// The prefix of all rows that stand with a user of a pool; with no name, of the pool's own rows.
pub(in crate::store) fn of_user(pool: &UserPoolId, name: &str) -> Bytes {
    RowKey::of(RowKind::UserPool).name(pool.as_str()).name(name).done()
}

pub(in crate::store) fn user_pool(pool: &UserPoolId) -> Bytes {
    RowKey::of(RowKind::UserPool).user(pool, "").done()
}

pub(in crate::store) fn user_pool_clients(pool: &UserPoolId) -> Bytes {
    RowKey::of(RowKind::UserPoolClient).user(pool, "").done()
}

pub(in crate::store) fn user_pool_client(pool: &UserPoolId, client: &str) -> Bytes {
    RowKey::of(RowKind::UserPoolClient).user(pool, "").name(client).done()
}

pub(in crate::store) fn pool_signing_keys(pool: &UserPoolId) -> Bytes {
    RowKey::of(RowKind::PoolSigningKey).user(pool, "").done()
}

pub(in crate::store) fn pool_signing_key(pool: &UserPoolId, from_ms: u64) -> Bytes {
    RowKey::of(RowKind::PoolSigningKey).user(pool, "").version(from_ms).done()
}

pub(in crate::store) fn user(user: &PoolUserKey) -> Bytes {
    RowKey::of(RowKind::User).user(&user.pool, &user.name).done()
}

pub(in crate::store) fn user_code(user: &PoolUserKey, code: CodeUse) -> Bytes {
    RowKey::of(RowKind::UserCode).user(&user.pool, &user.name).name(code.name()).done()
}

pub(in crate::store) fn families(user: &PoolUserKey) -> Bytes {
    RowKey::of(RowKind::Family).user(&user.pool, &user.name).done()
}

pub(in crate::store) fn family(user: &PoolUserKey, family: &str) -> Bytes {
    RowKey::of(RowKind::Family).user(&user.pool, &user.name).name(family).done()
}

pub(in crate::store) fn user_pools_of(account: &AccountId) -> Bytes {
    RowKey::of(RowKind::AccountUserPool).name(account.as_str()).done()
}

pub(in crate::store) fn account_user_pool(account: &AccountId, pool: &UserPoolId) -> Bytes {
    RowKey::of(RowKind::AccountUserPool).name(account.as_str()).name(pool.as_str()).done()
}

pub(in crate::store) fn client_pool(client: &str) -> Bytes {
    RowKey::of(RowKind::ClientPool).name(client).done()
}

pub(in crate::store) fn user_alias(pool: &UserPoolId, alias: AliasName<'_>) -> Bytes {
    RowKey::of(RowKind::UserAlias).name(pool.as_str()).name(alias.kind).name(alias.value).done()
}
