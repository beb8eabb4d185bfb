//! The server's pools as one: those that the configuration declares, and those that are made while it runs.
//!
//! Whatever needs a pool asks for it when it needs it: a pool that was changed or deleted counts from the next question on. A session keeps the pool that
//! it signed in to until it ends.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use driftless_protocol::{DatasetName, Limits};
use uuid::Uuid;

use crate::limits::PoolUse;
use crate::merge::{Bases, ConflictPolicy};
use crate::origin::AllowedOrigins;
use crate::store::{DatasetRules, MergePolicies, RetentionPolicy};

/// The namespace of the ids of declared pools (RFC 9562 section 5.5): a pool has the same id on every node, and after a restore.
const NAMESPACE: Uuid = Uuid::from_u128(0x2b0d_61d3_9a57_4c0e_8f1e_4d1b_06c7_9e35);

/// [`Pool::link_fresh_s`] unless the configuration says otherwise: enough to sign in and to confirm, too short for most stolen tokens.
pub const LINK_FRESH_S: u64 = 300;

/// The settings of a pool that concern its people and their data.
#[derive(Clone, Debug)]
pub struct Pool {
    /// What its rows are found by: the name of a declared pool, which has no colon, or the id of one that was made.
    pub name: Arc<str>,
    /// The first part of the pool's identities, and of its id.
    pub region: Arc<str>,
    pub limits: Limits,
    /// The conflict policy of datasets that have none of their own.
    pub policy: ConflictPolicy,
    /// Conflict policies by dataset.
    pub datasets: Vec<(DatasetName, ConflictPolicy)>,
    /// How long tombstones and history are kept.
    pub retention: RetentionPolicy,
    /// Bytes that an identity may own, with history and tombstones.
    pub identity_bytes: u64,
    /// The web pages that may use the pool.
    pub origins: AllowedOrigins,
    /// Whether a declared pool makes identities for guests; of a pool that was made its row says so.
    pub guests: bool,
    /// Within how many seconds the user must have proved both logins that a device links.
    pub link_fresh_s: u64,
    /// What the pool has taken of its limits.
    pub used: PoolUse,
}

/// Where a pool comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolOrigin {
    /// The configuration of this node.
    Declared,
    /// A request, while the server ran.
    Made,
}

/// All pools. Clones share them.
#[derive(Clone, Debug)]
pub struct Pools(Arc<RwLock<Arc<PoolTable>>>);

/// The pools at one time.
#[derive(Clone, Debug)]
struct PoolTable {
    by_name: HashMap<Arc<str>, KnownPool>,
    names_by_id: HashMap<Arc<str>, Arc<str>>,
    /// The origins of all pools together.
    origins: Arc<AllowedOrigins>,
    /// Whether any pool does: only then a token is read once more, to find its pool.
    limits_refused_tokens: bool,
}

#[derive(Clone, Debug)]
struct KnownPool {
    id: Arc<str>,
    origin: PoolOrigin,
    pool: Arc<Pool>,
}

/// Why a pool was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolConflict {
    /// The configuration declares a pool of this name.
    Declared,
}

impl Pool {
    /// The pool's id, `region:uuid`, by which AWS's clients name it.
    pub fn id(&self) -> Arc<str> {
        match self.name.contains(':') {
            true => Arc::clone(&self.name),
            false => format!("{}:{}", self.region, Uuid::new_v5(&NAMESPACE, self.name.as_bytes())).into(),
        }
    }

    /// The rules of one of its datasets.
    pub fn rules(&self, dataset: &DatasetName) -> DatasetRules {
        let policy = self.datasets.iter().find(|(name, _)| name == dataset).map_or(self.policy, |(_, policy)| *policy);
        DatasetRules { limits: self.limits, policy, bases: Bases::Seen, retention: self.retention, identity_bytes: self.identity_bytes }
    }

    /// How datasets of its identities are merged.
    pub fn merge_policies(&self) -> MergePolicies {
        MergePolicies { policy: self.policy, datasets: self.datasets.clone() }
    }
}

impl Default for Pools {
    /// No pools.
    fn default() -> Pools {
        Pools::declared([])
    }
}

impl Pools {
    /// The pools that a configuration declares.
    pub fn declared(pools: impl IntoIterator<Item = Pool>) -> Pools {
        let (by_name, names_by_id, origins) = (HashMap::new(), HashMap::new(), Arc::new(AllowedOrigins::union([])));
        let mut table = PoolTable { by_name, names_by_id, origins, limits_refused_tokens: false };
        for pool in pools {
            table.insert(pool, PoolOrigin::Declared);
        }
        table.sum_up();
        Pools(Arc::new(RwLock::new(Arc::new(table))))
    }

    /// The pool that rows name.
    pub fn get(&self, name: &str) -> Option<Arc<Pool>> {
        self.table().by_name.get(name).map(|known| Arc::clone(&known.pool))
    }

    /// The pool with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<Pool>> {
        let table = self.table();
        let name = table.names_by_id.get(id)?;
        table.by_name.get(name).map(|known| Arc::clone(&known.pool))
    }

    /// How long a pool keeps tombstones and history; the defaults if there is no such pool any more.
    pub fn retention(&self, name: &str) -> RetentionPolicy {
        self.get(name).map(|pool| pool.retention).unwrap_or_default()
    }

    /// Name, id and origin of every pool, in the order of the names.
    pub fn list(&self) -> Vec<(Arc<str>, Arc<str>, PoolOrigin)> {
        let table = self.table();
        let mut pools: Vec<_> = table.by_name.iter().map(|(name, known)| (name.clone(), known.id.clone(), known.origin)).collect();
        pools.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        pools
    }

    /// The web pages that may use any pool.
    pub fn origins(&self) -> Arc<AllowedOrigins> {
        Arc::clone(&self.table().origins)
    }

    /// Whether any pool limits refused tokens.
    pub fn limits_refused_tokens(&self) -> bool {
        self.table().limits_refused_tokens
    }

    /// Adds a pool that was made, or replaces it by what was changed. What the pool has taken of its limits goes on.
    ///
    /// # Errors
    /// The configuration declares a pool of that name.
    pub fn set_made(&self, pool: Pool) -> Result<(), PoolConflict> {
        self.change(|table| {
            let used = match table.by_name.get(&pool.name) {
                Some(KnownPool { origin: PoolOrigin::Declared, .. }) => return Err(PoolConflict::Declared),
                Some(known) => known.pool.used.with_rates(&pool.used),
                None => pool.used.clone(),
            };
            table.insert(Pool { used, ..pool }, PoolOrigin::Made);
            Ok(())
        })
    }

    /// Takes a pool away that was made; whether there was one.
    ///
    /// # Errors
    /// The configuration declares it.
    pub fn remove_made(&self, name: &str) -> Result<bool, PoolConflict> {
        self.change(|table| match table.by_name.get(name) {
            Some(KnownPool { origin: PoolOrigin::Declared, .. }) => Err(PoolConflict::Declared),
            Some(KnownPool { id, .. }) => {
                table.names_by_id.remove(&Arc::clone(id));
                Ok(table.by_name.remove(name).is_some())
            }
            None => Ok(false),
        })
    }

    fn table(&self) -> Arc<PoolTable> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes a copy of the table, which then takes its place: nobody waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut PoolTable) -> Result<T, PoolConflict>) -> Result<T, PoolConflict> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = PoolTable::clone(&current);
        let changed = change(&mut table)?;
        table.sum_up();
        *current = Arc::new(table);
        Ok(changed)
    }
}

impl PoolTable {
    fn insert(&mut self, pool: Pool, origin: PoolOrigin) {
        let id = pool.id();
        self.names_by_id.insert(id.clone(), pool.name.clone());
        self.by_name.insert(pool.name.clone(), KnownPool { id, origin, pool: Arc::new(pool) });
    }

    fn sum_up(&mut self) {
        let pools = || self.by_name.values().map(|known| &known.pool);
        let (origins, limits) =
            (AllowedOrigins::union(pools().map(|pool| &pool.origins)), pools().any(|pool| pool.used.limits_refused_tokens()));
        (self.origins, self.limits_refused_tokens) = (Arc::new(origins), limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PoolRates;

    fn pool(name: &str) -> Pool {
        Pool {
            name: name.into(),
            region: "local".into(),
            limits: Limits::default(),
            policy: ConflictPolicy::default(),
            datasets: Vec::new(),
            retention: RetentionPolicy::default(),
            identity_bytes: 1,
            origins: AllowedOrigins::new([]),
            guests: false,
            link_fresh_s: LINK_FRESH_S,
            used: PoolUse::default(),
        }
    }

    const MADE: &str = "local:7d1f6a2e-3a52-4a7e-9c34-0a5d8b1c2e3f";

    #[test]
    fn a_declared_pool_has_the_same_id_everywhere() {
        let pools = Pools::declared([pool("notes"), pool("games")]);
        let id = "local:8ef9ac2a-2661-5983-bb1e-f02c617ba984";
        assert_eq!(pools.list().iter().map(|(name, ..)| &**name).collect::<Vec<_>>(), ["games", "notes"]);
        let notes = pools.get("notes").expect("is declared");
        assert_eq!(notes.id(), Pools::declared([pool("notes")]).list()[0].1);
        assert_ne!(notes.id(), pool("games").id());
        assert_eq!(&*notes.id(), id);
        assert_eq!(pools.by_id(&notes.id()).map(|pool| pool.name.clone()), Some("notes".into()));
        assert!(pools.by_id("notes").is_none() && pools.get(&notes.id()).is_none(), "rows know the name, requests the id");
    }

    #[test]
    fn made_pools_come_change_and_go_for_everybody_who_asks() {
        let pools = Pools::declared([pool("notes")]);
        let shared = pools.clone();
        assert!(shared.get(MADE).is_none());
        pools.set_made(pool(MADE)).expect("is added");
        let before = shared.get(MADE).expect("was made");
        assert_eq!((before.id(), shared.by_id(MADE).map(|pool| pool.identity_bytes)), (MADE.into(), Some(1)));
        pools.set_made(Pool { identity_bytes: 2, ..pool(MADE) }).expect("is changed");
        assert_eq!((before.identity_bytes, shared.get(MADE).map(|pool| pool.identity_bytes)), (1, Some(2)));
        assert_eq!(shared.list().iter().map(|one| one.2).collect::<Vec<_>>(), [PoolOrigin::Made, PoolOrigin::Declared]);
        assert_eq!(pools.remove_made(MADE), Ok(true));
        assert!(shared.get(MADE).is_none() && shared.by_id(MADE).is_none());
        assert_eq!(pools.remove_made(MADE), Ok(false));
    }

    #[test]
    fn what_the_configuration_declares_is_neither_replaced_nor_removed() {
        let pools = Pools::declared([pool("notes")]);
        assert_eq!(pools.set_made(pool("notes")), Err(PoolConflict::Declared));
        assert_eq!(pools.remove_made("notes"), Err(PoolConflict::Declared));
        assert!(pools.get("notes").is_some());
    }

    #[test]
    fn what_all_pools_have_together_follows_them() {
        let pools = Pools::declared([pool("notes")]);
        assert!(!pools.limits_refused_tokens());
        let limiting = PoolUse::new(PoolRates { refused_tokens_per_min: 60, sessions: 2, ..PoolRates::default() });
        pools.set_made(Pool { used: limiting.clone(), ..pool(MADE) }).expect("is added");
        assert!(pools.limits_refused_tokens());
        // A change of the settings forgets nothing that the pool has taken.
        let _open = pools.get(MADE).expect("was made").used.open_session().expect("the first");
        let stricter = PoolUse::new(PoolRates { sessions: 1, ..PoolRates::default() });
        pools.set_made(Pool { used: stricter, ..pool(MADE) }).expect("is changed");
        assert!(pools.get(MADE).expect("was made").used.open_session().is_err());
        assert!(!pools.limits_refused_tokens());
        pools.remove_made(MADE).expect("is removed");
    }
}
