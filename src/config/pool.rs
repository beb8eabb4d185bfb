//! A `[pools.NAME]` table.

use std::collections::BTreeMap;

use driftless_protocol::{DatasetName, Limits};
use serde::Deserialize;

use super::limits::RatesSection;
use crate::auth::IssuerConfig;
use crate::limits::PoolUse;
use crate::merge::ConflictPolicy;
use crate::origin::{AllowedOrigins, Origin};
use crate::pools::{LINK_FRESH_S, Pool};
use crate::push::{PushConfig, WakeSettings};
use crate::store::{IDENTITY_BYTES, RetentionPolicy};

/// The configuration of a pool. The parts that use limits, retention, push and wakes define their defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSection {
    pub(super) region: String,
    pub(super) origins: Vec<Origin>,
    pub(super) conflicts: ConflictPolicy,
    pub(super) datasets: BTreeMap<DatasetName, ConflictPolicy>,
    pub(super) limits: Limits,
    pub(super) rates: RatesSection,
    pub(super) retention: RetentionSection,
    pub(super) identity_bytes: u64,
    pub(super) guests: bool,
    pub(super) link_fresh_s: u64,
    pub(super) push: PushConfig,
    pub(super) wakes: WakeSettings,
    pub(super) issuers: Vec<IssuerConfig>,
}

/// [`RetentionPolicy`] in seconds. The number of tombstones is no setting: it follows `limits.records`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetentionSection {
    pub(super) tombstone_s: u64,
    pub(super) history_s: u64,
    pub(super) history_versions: u64,
    pub(super) history_bytes: u64,
}

impl Default for RetentionSection {
    fn default() -> RetentionSection {
        let RetentionPolicy { tombstone_ms, history_ms, history_versions, history_bytes, tombstones: _ } = RetentionPolicy::default();
        RetentionSection { tombstone_s: tombstone_ms / 1000, history_s: history_ms / 1000, history_versions, history_bytes }
    }
}

impl RetentionSection {
    fn policy(self, limits: Limits) -> RetentionPolicy {
        let RetentionSection { tombstone_s, history_s, history_versions, history_bytes } = self;
        let tombstones = limits.records;
        RetentionPolicy { tombstone_ms: tombstone_s * 1000, tombstones, history_ms: history_s * 1000, history_versions, history_bytes }
    }
}

impl Default for PoolSection {
    fn default() -> PoolSection {
        PoolSection {
            region: "local".to_owned(),
            origins: Vec::new(),
            conflicts: ConflictPolicy::default(),
            datasets: BTreeMap::new(),
            limits: Limits::default(),
            rates: RatesSection::default(),
            retention: RetentionSection::default(),
            identity_bytes: IDENTITY_BYTES,
            guests: false,
            link_fresh_s: LINK_FRESH_S,
            push: PushConfig::default(),
            wakes: WakeSettings::default(),
            issuers: Vec::new(),
        }
    }
}

impl PoolSection {
    /// A pool that trusts one issuer, with the defaults for everything else.
    pub fn with_issuer(issuer: IssuerConfig) -> PoolSection {
        PoolSection { issuers: vec![issuer], ..PoolSection::default() }
    }

    /// The same pool, which lets guests in.
    pub fn with_guests(self) -> PoolSection {
        PoolSection { guests: true, ..self }
    }

    /// The same pool with these push gateways and wake settings.
    pub fn with_push(self, push: PushConfig, wakes: WakeSettings) -> PoolSection {
        PoolSection { push, wakes, ..self }
    }

    /// The pool as `sync` takes it, on a server that allows these origins in every pool.
    pub(super) fn pool(&self, name: &str, of_server: &[Origin]) -> Pool {
        Pool {
            name: name.into(),
            region: self.region.as_str().into(),
            limits: self.limits,
            policy: self.conflicts,
            datasets: self.datasets.iter().map(|(name, policy)| (name.clone(), *policy)).collect(),
            retention: self.retention.policy(self.limits),
            identity_bytes: self.identity_bytes,
            origins: AllowedOrigins::new(of_server.iter().chain(&self.origins).cloned()),
            guests: self.guests,
            link_fresh_s: self.link_fresh_s,
            used: PoolUse::new(self.rates.of_pool()),
        }
    }
}
