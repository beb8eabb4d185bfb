//! What the store remembers of identity pools: all of one that was made by a request, and of a declared one what the configuration does not say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::commit::Group;
use super::engine::Bytes;
use super::keys::{KeyParts, RowKind};
use super::row_source::RowSource;
use super::{Store, StoreError, keys, rows};

/// A pool in the store. Dates are in milliseconds since 1970 (UTC).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPool {
    /// What was made; `None`: the configuration declares the pool.
    pub made: Option<MadePool>,
    pub roles: PoolRoles,
}

/// A pool that was made by a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadePool {
    /// The account that owns it.
    pub account: String,
    /// What its owner calls it.
    pub name: String,
    pub allow_guests: bool,
    pub allow_classic_flow: Option<bool>,
    /// The app's id at a provider, by the provider's name.
    pub login_providers: BTreeMap<String, String>,
    /// Providers of the account, by their ARNs.
    pub oidc_providers: Vec<String>,
    pub user_pools: Vec<TrustedUserPool>,
    /// The name of the developer's own logins.
    pub developer_provider: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub made_ms: u64,
}

/// A client of a user pool, whose id tokens a pool trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedUserPool {
    /// `cognito-idp.REGION.amazonaws.com/ID`, or this server's own issuer without its scheme.
    pub provider: String,
    pub client_id: String,
    pub server_side_check: bool,
}

/// Which roles a pool's identities get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRoles {
    pub authenticated: Option<String>,
    pub unauthenticated: Option<String>,
    /// By the provider's name.
    pub mappings: BTreeMap<String, RoleMapping>,
}

/// How a provider's token decides the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMapping {
    pub kind: RoleMappingKind,
    /// Without a role that fits: whether there are no credentials, or those of the role for everybody who is signed in.
    pub is_denied_otherwise: bool,
    pub rules: Vec<RoleRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleMappingKind {
    /// The token names it.
    Token,
    Rules,
}

/// The first rule that fits decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRule {
    pub claim: String,
    pub comparison: ClaimComparison,
    pub value: String,
    pub role: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimComparison {
    Equals,
    Contains,
    StartsWith,
    NotEqual,
}

impl Store {
    /// What the store has of a pool, by the name under which its rows are found.
    pub fn stored_pool(&self, key: &str) -> Result<Option<StoredPool>, StoreError> {
        self.engine.row(&keys::identity_pool(key))
    }

    /// Up to `limit` pools behind one, each with its key, in the order of the keys' lengths first.
    pub fn stored_pools(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, StoredPool)>, StoreError> {
        let prefix = keys::of_kind(RowKind::IdentityPool);
        let start = after.map_or_else(|| prefix.clone(), |after| keys::prefix_end(&keys::identity_pool(after)));
        let one = |(key, row): &(Bytes, Bytes)| Ok((KeyParts::after(key, &prefix)?.name()?.to_owned(), rows::decode(row)?));
        self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?.iter().map(one).collect()
    }
}

impl Group<'_> {
    /// What the store has of a pool.
    pub fn stored_pool(&self, key: &str) -> Result<Option<StoredPool>, StoreError> {
        self.view.row(&keys::identity_pool(key))
    }

    /// Writes what the store has of a pool.
    pub fn put_pool(&mut self, key: &str, pool: &StoredPool) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::identity_pool(key), Some(rows::encode(pool)?))]);
        Ok(())
    }

    /// Deletes what the store has of a pool.
    pub fn delete_pool(&mut self, key: &str) {
        self.view.decide(vec![(keys::identity_pool(key), None)]);
    }
}
