//! The configuration of one server, and the configuration that each of its parts gets from it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ConfigProblem};
use super::key_path::KeyPath;
use super::limits::{LimitsSection, ProxiesSection};
use super::origins::ValueOrigins;
use super::pool::PoolSection;
use crate::access::AccountId;
use crate::admin::OperatorKey;
use crate::auth::{IssuerConfig, OutboundProxy};
use crate::http::{HttpConfig, ProxiesConfig, ServedPages, TlsConfig};
use crate::keyring::LostKeyFile;
use crate::limits::AddressLimits;
use crate::logging::{self, LogConfig};
use crate::origin::Origin;
use crate::pools::Pool;
use crate::push::PoolPush;
use crate::secret_file;
use crate::session::{self, SessionConfig};
use crate::stop_times::StopTimes;
use crate::store::{EngineConfig, EngineKind, KEY_FILE};

/// How to run a server: the file's tables as types. Made by [`read`](super::read), which also checks the values.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The store's folder.
    pub data: PathBuf,
    /// The log filter, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// How a log line is formatted.
    pub log_format: LogFormat,
    /// The number of connections that may be open at once.
    pub connections: u32,
    /// Lines of one kind in the log in a second, on average; 0: any number.
    pub log_lines_per_s: u32,
    /// How long a stopping server says that it is not ready before it begins to drain, in seconds; at most half of `drain_s`.
    pub drain_wait_s: u64,
    /// How long a server may take to stop, from the signal to the end of the process, in seconds.
    pub drain_s: u64,
    /// The origins of web pages that may use every pool. A pool without any of its own, on a server without any, allows all.
    pub origins: Vec<Origin>,
    /// The server's address for its clients; `None`: the one that it listens on.
    pub public_url: Option<String>,
    /// The web pages that may use the server at all.
    #[serde(skip)]
    pub pages: ServedPages,
    /// What becomes of the public access key for development.
    #[serde(skip)]
    pub development_key: DevelopmentKeyUse,
    /// What becomes of a store whose key file is lost.
    #[serde(skip)]
    pub lost_key_file: LostKeyFile,
    pub(super) heartbeat_s: u32,
    pub(super) tls: TlsSection,
    pub(super) admin: AdminSection,
    pub(super) limits: LimitsSection,
    pub(super) proxies: ProxiesSection,
    pub(super) store: StoreSection,
    pub(super) aws: AwsSection,
    pub(super) pools: BTreeMap<String, PoolSection>,
    #[serde(skip)]
    value_origins: ValueOrigins,
}

/// The port for operators, on loopback, unless `admin.listen` names an address.
const ADMIN_PORT: u16 = 7401;

/// Connections of operators and monitoring: they stay possible when devices use all of `connections`.
const ADMIN_CONNECTIONS: u32 = 64;

/// How a log line is formatted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Readable text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a server does about the access key for development, which is public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DevelopmentKeyUse {
    /// A store that has it is not served.
    #[default]
    Refused,
    /// It is added to the store if it is missing.
    Added,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSection {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminSection {
    pub(super) key: String,
    pub(super) key_file: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
}

impl fmt::Debug for AdminSection {
    /// Without the key, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminSection")
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreSection {
    engine: EngineKind,
    cache_mib: u64,
    journal_mib: u64,
    reserve_mib: u64,
}

/// How AWS's clients name what this server has.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AwsSection {
    pub(super) region: String,
    pub(super) account: Option<String>,
}

impl Default for AwsSection {
    fn default() -> AwsSection {
        AwsSection { region: "local".to_owned(), account: None }
    }
}

impl Default for StoreSection {
    fn default() -> StoreSection {
        let EngineConfig { engine, cache_mib, journal_mib, reserve_mib, .. } = EngineConfig::default();
        StoreSection { engine, cache_mib, journal_mib, reserve_mib }
    }
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            data: PathBuf::from("driftless-data"),
            log: "info".to_owned(),
            log_format: LogFormat::default(),
            connections: 1_000_000,
            log_lines_per_s: logging::LINES_PER_S,
            drain_wait_s: 5,
            drain_s: 25,
            origins: Vec::new(),
            public_url: None,
            pages: ServedPages::Any,
            development_key: DevelopmentKeyUse::default(),
            lost_key_file: LostKeyFile::default(),
            heartbeat_s: session::HEARTBEAT_S,
            tls: TlsSection::default(),
            admin: AdminSection::default(),
            limits: LimitsSection::default(),
            proxies: ProxiesSection::default(),
            store: StoreSection::default(),
            aws: AwsSection::default(),
            pools: BTreeMap::new(),
            value_origins: ValueOrigins::default(),
        }
    }
}

impl ServerConfig {
    /// The same configuration with the origins of its values, and with the secrets that stand in files of their own.
    pub(super) fn with_origins(mut self, value_origins: ValueOrigins) -> Result<ServerConfig, ConfigError> {
        let read =
            |file: &Path, path: KeyPath| secret_file::read(file).map_err(|why| value_origins.problem(&path, format!("{path}: {why}")));
        let mut problems = Vec::new();
        if let Some(file) = &self.admin.key_file {
            match read(file, KeyPath::of_setting("admin.key_file")) {
                Ok(key) => self.admin.key = key,
                Err(problem) => problems.push(problem),
            }
        }
        for (name, pool) in &mut self.pools {
            let push = KeyPath::of_setting("pools").name(name).name("push");
            match (&pool.push.name_hash_key, &pool.push.name_hash_key_file) {
                (_, None) => {}
                (Some(_), Some(_)) => {
                    let (key, file) = (push.name("name_hash_key"), push.name("name_hash_key_file"));
                    problems.push(value_origins.problem(&file, format!("set only one of {key} and {file}")));
                }
                (None, Some(file)) => match read(file, push.name("name_hash_key_file")) {
                    Ok(key) => pool.push.name_hash_key = Some(key),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        ConfigError::check(problems)?;
        self.value_origins = value_origins;
        Ok(self)
    }

    /// Whether a file was read.
    pub(super) fn has_file(&self) -> bool {
        self.value_origins.has_file()
    }

    /// A problem of the value at a path.
    pub(super) fn problem(&self, path: &KeyPath, text: impl Into<String>) -> ConfigProblem {
        self.value_origins.problem(path, text)
    }

    /// The same configuration with one more pool.
    pub fn with_pool(mut self, name: &str, pool: PoolSection) -> ServerConfig {
        self.pools.insert(name.to_owned(), pool);
        self
    }

    /// The same configuration for a developer's machine: with this operator key and one port for all, unless others are configured, and
    /// without a wait before the drain, as no load balancer looks.
    pub fn for_development(mut self, key: &str) -> ServerConfig {
        self.drain_wait_s = 0;
        self.admin.listen.get_or_insert(self.listen);
        if self.admin.key.is_empty() {
            key.clone_into(&mut self.admin.key);
        }
        self
    }

    /// The same configuration for web pages of this machine only, as its keys are public.
    pub fn for_pages_of_this_machine(mut self) -> ServerConfig {
        self.pages = ServedPages::OfThisMachine;
        self
    }

    /// The same configuration, for a server whose key file is lost: it makes new keys, and deletes what the old ones have sealed.
    pub fn with_new_keyring(mut self) -> ServerConfig {
        self.lost_key_file = LostKeyFile::NewKeyring;
        self
    }

    /// The same configuration for a store that has the public access key.
    pub fn with_development_key(mut self) -> ServerConfig {
        self.development_key = DevelopmentKeyUse::Added;
        self
    }

    /// The operator key, if one is configured.
    pub fn operator_key(&self) -> Option<OperatorKey> {
        OperatorKey::new(&self.admin.key).ok()
    }

    /// The trusted issuers of each pool, as `auth` takes them.
    pub fn issuers(&self) -> Vec<(Arc<str>, Vec<IssuerConfig>)> {
        self.pools.iter().map(|(name, pool)| (Arc::from(name.as_str()), pool.issuers.clone())).collect()
    }

    /// The pools, as `sync` takes them.
    pub fn pools(&self) -> Vec<Pool> {
        self.pools.iter().map(|(name, pool)| pool.pool(name, &self.origins)).collect()
    }

    /// The log's configuration.
    pub fn logging(&self) -> LogConfig {
        LogConfig { filter: self.log.clone(), is_json: self.log_format == LogFormat::Json, lines_per_s: self.log_lines_per_s }
    }

    /// The listener's configuration, as `http` takes it.
    pub fn http(&self) -> HttpConfig {
        HttpConfig { listen: self.listen, flag: "--listen", connections: self.connections }
    }

    /// The address for operators and monitoring.
    pub(super) fn admin_address(&self) -> SocketAddr {
        let port = if self.listen.port() == 0 { 0 } else { ADMIN_PORT };
        self.admin.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The listener for operators and monitoring; `None`: they share the devices' listener.
    pub fn admin_http(&self) -> Option<HttpConfig> {
        let listen = self.admin_address();
        let own = HttpConfig { listen, flag: "--admin-listen", connections: ADMIN_CONNECTIONS };
        (listen != self.listen || self.admin.listen.is_none()).then_some(own)
    }

    /// The certificate's files; `None`: no TLS.
    pub fn certificate(&self) -> Option<TlsConfig> {
        match (&self.tls.certificate, &self.tls.key) {
            (Some(certificate), Some(key)) => Some(TlsConfig { certificate: certificate.clone(), key: key.clone() }),
            _ => None,
        }
    }

    /// The limits of client addresses.
    pub fn address_limits(&self) -> AddressLimits {
        self.limits.of_addresses()
    }

    /// The proxies that say who a client is.
    pub fn proxies(&self) -> ProxiesConfig {
        self.proxies.proxies()
    }

    /// The shares of `drain_s`.
    pub fn stop_times(&self) -> StopTimes {
        StopTimes::new(self.drain_wait_s, self.drain_s)
    }

    /// The sessions' configuration, as `session` takes it. Devices reconnect within as long as their sessions have to end.
    pub fn session(&self) -> SessionConfig {
        let reconnect_spread_ms = self.stop_times().sessions.as_millis() as u64;
        SessionConfig { heartbeat_s: self.heartbeat_s, reconnect_spread_ms, memory: self.limits.of_memory() }
    }

    /// The server's address for its clients, without a slash at its end: the first part of the issuers of user pools.
    pub fn public_url(&self, listening: SocketAddr) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let scheme = if self.certificate().is_some() { "https" } else { "http" };
        match listening.ip().is_unspecified() {
            true => format!("{scheme}://localhost:{}", listening.port()),
            false => format!("{scheme}://{listening}"),
        }
    }

    /// The region in the ARNs of what this server has.
    pub fn aws_region(&self) -> String {
        self.aws.region.clone()
    }

    /// The account that owns the pools of the configuration; `None`: the one that was made first.
    pub fn aws_account(&self) -> Option<AccountId> {
        self.aws.account.as_deref().and_then(AccountId::parse)
    }

    /// The key file of the keyring.
    pub fn key_file(&self) -> PathBuf {
        self.data.join(KEY_FILE)
    }

    /// The engine's configuration, as `store` takes it.
    pub fn store(&self) -> EngineConfig {
        let StoreSection { engine, cache_mib, journal_mib, reserve_mib } = self.store;
        // With port 0 the system chooses the port, after the store was opened.
        let address = if self.listen.port() == 0 { String::new() } else { self.listen.to_string() };
        EngineConfig { engine, cache_mib, journal_mib, reserve_mib, address }
    }

    /// Each pool's push settings, as `push` takes them. Reads the credential files, so it blocks.
    pub fn pool_push(&self) -> Result<HashMap<String, PoolPush>, ConfigError> {
        let one = |(name, pool): (&String, &PoolSection)| Ok((name.clone(), self.push_of(name, pool)?));
        self.pools.iter().map(one).collect()
    }

    pub(super) fn push_of(&self, name: &str, pool: &PoolSection) -> Result<PoolPush, ConfigProblem> {
        let path = KeyPath::of_setting("pools").name(name).name("push");
        let proxy = OutboundProxy::from_variables(|name| std::env::var(name).ok());
        PoolPush::new(&pool.push, pool.wakes, &proxy).map_err(|error| {
            let table = error.entry.map_or(path.clone(), |(list, at)| path.name(list).entry(at));
            let path = error.key.map_or(table.clone(), |key| table.name(key));
            self.problem(&path, format!("{path}: {}", error.why))
        })
    }
}
