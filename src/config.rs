//! One TOML file, the environment and flags, with the same names; flags win over the environment, the environment over the file.
//!
//! A key that nobody knows is refused, with the nearest one that somebody does. Secrets are never printed.

mod keys;
mod source;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use driftless_protocol::{DatasetName, Limits, limits};
use serde::Deserialize;

pub use keys::{KEYS, Key};
pub use source::{ConfigError, Flags, StoreFlags, read};

use crate::admin::{DEVELOPMENT_KEY, OperatorKey};
use crate::auth::IssuerConfig;
use crate::merge::ConflictPolicy;
use crate::push::{self, PoolPush, WakeSettings};
use crate::store::RetentionPolicy;
use crate::sync::Pool;
use crate::{http, session, store};

/// Records of a dataset, at most: a version numbers what it touches with 16 bits.
const MOST_RECORDS: u64 = 1 << 16;

/// Versions and bytes of history that a dataset keeps, at most: a restore reads all of it, and holds up all writes meanwhile.
const MOST_VERSIONS: u64 = 100_000;
const MOST_HISTORY_BYTES: u64 = 1 << 30;

/// Wakes of a device in an hour, at most.
const MOST_WAKES: u64 = 3600;

/// The longest grace before a device is woken, in milliseconds.
const LONGEST_GRACE_MS: u64 = 600_000;

/// The longest time that anything is kept, in seconds: 100 years.
const LONGEST_S: u64 = 100 * 365 * 24 * 3600;

/// How to run a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The store's folder.
    pub data: PathBuf,
    /// The filter of the log.
    pub log: String,
    /// Its form.
    pub log_format: LogFormat,
    /// Connections at once.
    pub connections: u32,
    /// Seconds to drain.
    pub drain_s: u64,
    heartbeat_s: u32,
    /// Pages that may open sockets.
    pub origins: Vec<String>,
    tls: Tls,
    admin: AdminSection,
    store: StoreSection,
    pools: BTreeMap<String, PoolSection>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tls {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AdminSection {
    key: String,
}

impl fmt::Debug for AdminSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminSection")
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreSection {
    engine: store::EngineKind,
    cache_mib: u64,
    journal_mib: u64,
    reserve_mib: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        let store::EngineConfig { engine, cache_mib, journal_mib, reserve_mib, .. } = store::EngineConfig::default();
        StoreSection { engine, cache_mib, journal_mib, reserve_mib }
    }
}

/// A pool as it is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSection {
    region: String,
    conflicts: ConflictPolicy,
    datasets: BTreeMap<DatasetName, ConflictPolicy>,
    limits: Limits,
    keep: KeepSection,
    push: push::PushConfig,
    wakes: WakeSettings,
    /// Whose tokens it believes.
    pub issuers: Vec<IssuerConfig>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KeepSection {
    tombstone_s: u64,
    history_s: u64,
    history_versions: u64,
    history_bytes: u64,
}

impl Default for KeepSection {
    fn default() -> Self {
        let RetentionPolicy { tombstone_ms, history_ms, history_versions, history_bytes, tombstones: _ } = RetentionPolicy::default();
        KeepSection { tombstone_s: tombstone_ms / 1000, history_s: history_ms / 1000, history_versions, history_bytes }
    }
}

impl KeepSection {
    fn keeping(self, limits: Limits) -> RetentionPolicy {
        let KeepSection { tombstone_s, history_s, history_versions, history_bytes } = self;
        let tombstones = limits.records;
        RetentionPolicy { tombstone_ms: tombstone_s * 1000, tombstones, history_ms: history_s * 1000, history_versions, history_bytes }
    }
}

impl PoolSection {
    /// A pool with one issuer and all defaults.
    pub fn of(issuer: IssuerConfig) -> PoolSection {
        PoolSection { issuers: vec![issuer], ..PoolSection::default() }
    }
}

impl PoolSection {
    /// The same, whose devices are woken like this.
    pub fn with_push(self, push: push::PushConfig, wakes: WakeSettings) -> PoolSection {
        PoolSection { push, wakes, ..self }
    }
}

impl Default for PoolSection {
    fn default() -> Self {
        PoolSection {
            region: "local".to_owned(),
            conflicts: ConflictPolicy::default(),
            datasets: BTreeMap::new(),
            limits: Limits::default(),
            keep: KeepSection::default(),
            push: push::PushConfig::default(),
            wakes: WakeSettings::default(),
            issuers: Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            data: PathBuf::from("driftless-data"),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            connections: 1_000_000,
            drain_s: 10,
            heartbeat_s: session::HEARTBEAT_S,
            origins: Vec::new(),
            tls: Tls::default(),
            admin: AdminSection::default(),
            store: StoreSection::default(),
            pools: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The same, with another pool.
    pub fn with_pool(mut self, name: &str, pool: PoolSection) -> Config {
        self.pools.insert(name.to_owned(), pool);
        self
    }

    /// The same; an operator key that is not configured is this one.
    pub fn with_operator_key(mut self, key: &str) -> Config {
        if self.admin.key.is_empty() {
            key.clone_into(&mut self.admin.key);
        }
        self
    }

    /// The operator key, if there is one.
    pub fn operator(&self) -> Option<OperatorKey> {
        OperatorKey::new(&self.admin.key).ok()
    }

    /// The pools by name, as `auth` takes them.
    pub fn issuers(&self) -> Vec<(Arc<str>, Vec<IssuerConfig>)> {
        self.pools.iter().map(|(name, pool)| (Arc::from(name.as_str()), pool.issuers.clone())).collect()
    }

    /// The pools, as `sync` takes them.
    pub fn pools(&self) -> Vec<Pool> {
        let one = |(name, pool): (&String, &PoolSection)| Pool {
            name: name.as_str().into(),
            region: pool.region.as_str().into(),
            limits: pool.limits,
            policy: pool.conflicts,
            datasets: pool.datasets.iter().map(|(name, policy)| (name.clone(), *policy)).collect(),
            retention: pool.keep.keeping(pool.limits),
        };
        self.pools.iter().map(one).collect()
    }

    /// The port, as `http` takes it.
    pub fn http(&self) -> http::HttpConfig {
        let tls = match (&self.tls.certificate, &self.tls.key) {
            (Some(certificate), Some(key)) => Some(http::TlsConfig { certificate: certificate.clone(), key: key.clone() }),
            _ => None,
        };
        http::HttpConfig { listen: self.listen, tls, connections: self.connections }
    }

    /// The sessions, as `session` takes them.
    pub fn session(&self) -> session::SessionConfig {
        session::SessionConfig { heartbeat_s: self.heartbeat_s, reconnect_spread_ms: self.drain_s * 1000 }
    }

    /// The store, as `store` takes it.
    pub fn store(&self) -> store::EngineConfig {
        let StoreSection { engine, cache_mib, journal_mib, reserve_mib } = self.store;
        // Which port a 0 comes to is known only later.
        let address = if self.listen.port() == 0 { String::new() } else { self.listen.to_string() };
        store::EngineConfig { engine, cache_mib, journal_mib, reserve_mib, address }
    }

    /// Where the devices of the pools are woken. Reads the credentials' files.
    pub fn desks(&self) -> Result<HashMap<String, PoolPush>, ConfigError> {
        let desk = |(name, pool): (&String, &PoolSection)| {
            let desk = PoolPush::new(&pool.push, pool.wakes).map_err(|error| ConfigError::wrong(&format!("pools.{name}.push: {error}")))?;
            Ok((name.clone(), desk))
        };
        self.pools.iter().map(desk).collect()
    }

    /// What cannot be said by the types alone.
    fn check(&self) -> Result<(), ConfigError> {
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(ConfigError::wrong("tls.certificate and tls.key go together"));
        }
        if self.connections == 0 {
            return Err(ConfigError::wrong("connections must be 1 at least"));
        }
        if self.drain_s > 3600 {
            return Err(ConfigError::wrong("drain_s must be 3600 at most"));
        }
        if !(10..=session::LONGEST_HEARTBEAT_S).contains(&self.heartbeat_s) {
            return Err(ConfigError::wrong("heartbeat_s must be 10 to 1500"));
        }
        if !self.admin.key.is_empty()
            && let Err(why) = OperatorKey::new(&self.admin.key)
        {
            return Err(ConfigError::wrong(&format!("admin.key: {why}")));
        }
        for (name, pool) in &self.pools {
            let wrong = |what: &str| Err(ConfigError::wrong(&format!("pools.{name}: {what}")));
            let region = pool.region.as_bytes();
            if region.is_empty() || region.len() > 18 || !region.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
                return wrong("region must be 1 to 18 of a-z A-Z 0-9 - _");
            }
            let Limits { key_bytes, value_bytes, changes_per_patch, records, dataset_bytes, datasets, devices } = pool.limits;
            let counts =
                [key_bytes as u64, value_bytes as u64, changes_per_patch as u64, records, dataset_bytes, datasets as u64, devices as u64];
            if counts.contains(&0) {
                return wrong("every limit must be 1 at least");
            }
            if key_bytes > limits::KEY_BYTES || value_bytes > limits::VALUE_BYTES || changes_per_patch > limits::CHANGES_PER_PATCH {
                return wrong("key_bytes, value_bytes and changes_per_patch cannot be over their defaults: a message would not hold them");
            }
            if records > MOST_RECORDS {
                return wrong("records must be 65536 at most: restoring a dataset may touch all of them at once");
            }
            let KeepSection { tombstone_s, history_s, history_versions, history_bytes } = pool.keep;
            if tombstone_s > LONGEST_S || history_s > LONGEST_S {
                return wrong("keep: nothing is kept for more than 100 years");
            }
            if history_versions > MOST_VERSIONS || history_bytes > MOST_HISTORY_BYTES {
                return wrong("keep: history_versions is 100000 at most, history_bytes 1073741824: a restore reads all of it at once");
            }
            let WakeSettings { grace_ms, apple_per_hour, android_per_hour, web_per_hour, shown_per_hour, stale_s, drop_s, debt_s, .. } =
                pool.wakes;
            let WakeSettings { apple_burst, android_burst, web_burst, .. } = pool.wakes;
            let wakes = [apple_per_hour, android_per_hour, web_per_hour, shown_per_hour, apple_burst, android_burst, web_burst];
            if wakes.into_iter().any(|wakes| wakes > MOST_WAKES) {
                return wrong("wakes: 3600 wakes an hour at most, and as many at once");
            }
            if grace_ms > LONGEST_GRACE_MS || stale_s > LONGEST_S || drop_s > LONGEST_S || debt_s > LONGEST_S {
                return wrong("wakes: grace_ms is 600000 at most, and nothing is kept for more than 100 years");
            }
            if pool.issuers.is_empty() {
                return wrong("without an issuer nobody can sign in; add [[pools.NAME.issuers]]");
            }
        }
        Ok(())
    }

    /// What holds for production on top: no development secret, and somebody to serve.
    pub fn check_production(&self) -> Result<(), ConfigError> {
        if self.pools.is_empty() {
            return Err(ConfigError::wrong(
                "there is no pool to serve; name a file with one by --config FILE (what it may hold: driftless config)",
            ));
        }
        if self.operator().is_some_and(|key| key.matches(DEVELOPMENT_KEY)) {
            return Err(ConfigError::wrong("admin.key is the development key, which everybody knows; serve needs one of its own"));
        }
        for (name, pool) in &self.pools {
            if pool.issuers.iter().any(IssuerConfig::uses_development_secret) {
                let what = format!("pools.{name} uses the development secret, which everybody knows; serve needs one of its own");
                return Err(ConfigError::wrong(&what));
            }
        }
        Ok(())
    }
}

/// Every key with its default and a sentence, as a file that can be used.
pub struct Example;

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Driftless: every setting with its default.")?;
        writeln!(f, "# A single one is also a flag (--store-cache-mib 512) and a variable (DRIFTLESS_STORE_CACHE_MIB=512).")?;
        let mut table = "";
        for key in KEYS {
            let (parent, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            if parent != table {
                table = parent;
                write_table(f, parent)?;
            } else {
                writeln!(f)?;
            }
            writeln!(f, "# {}", key.says)?;
            let name = if name == "*" { "NAME" } else { name };
            match (key.default, key.is_single()) {
                ("", _) => writeln!(f, "#{name} =")?,
                (default, true) => writeln!(f, "{name} = {default}")?,
                (default, false) => writeln!(f, "#{name} = {default}")?,
            }
        }
        Ok(())
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, table: &str) -> fmt::Result {
    // `pools.*.issuers.*` is a list of tables, `pools.*.limits` a table.
    let (shown, is_list) = match table.strip_prefix("pools.*.").and_then(|rest| rest.strip_suffix(".*")) {
        Some(list) => (format!("pools.NAME.{list}"), true),
        None => (table.replace('*', "NAME"), false),
    };
    match (is_list, table.contains('*')) {
        (true, _) => writeln!(f, "\n#[[{shown}]]"),
        (false, true) => writeln!(f, "\n#[{shown}]"),
        (false, false) => writeln!(f, "\n[{shown}]"),
    }
}

#[cfg(test)]
mod tests;
