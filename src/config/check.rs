//! The rules that no value shows by itself: settings that need each other, names, and what production forbids.

use std::net::SocketAddr;

use super::error::{ConfigError, ConfigProblem};
use super::key_path::KeyPath;
use super::pool::PoolSection;
use super::server::ServerConfig;
use crate::access::AccountId;
use crate::admin::{DEVELOPMENT_KEY, OperatorKey};
use crate::auth::IssuerConfig;
use crate::store::{MERGE_POLICIES, device_bytes};
use crate::{invocation, logging};

/// The longest `region`, in bytes.
const MAX_REGION_BYTES: usize = 18;

/// The longest name of a pool, in bytes: it stands in the keys of rows.
const MAX_POOL_NAME_BYTES: usize = 128;

/// What is wrong with a configuration that was just read.
pub(super) fn problems(config: &ServerConfig) -> Vec<ConfigProblem> {
    let mut found = Vec::new();
    let mut report = |path: KeyPath, text: String| found.push(config.problem(&path, text));
    for (set, other, absent) in [
        ("tls.certificate", "tls.key", config.tls.certificate.is_some() && config.tls.key.is_none()),
        ("tls.key", "tls.certificate", config.tls.key.is_some() && config.tls.certificate.is_none()),
    ] {
        if absent {
            report(KeyPath::of_setting(set), format!("{set} is set without {other}: TLS needs both"));
        }
    }
    if config.admin.listen.is_some_and(|admin| overlap(config.listen, admin)) {
        report(KeyPath::of_setting("admin.listen"), overlap_text(config));
    }
    if let Err(why) = logging::check_filter(&config.log) {
        report(KeyPath::of_setting("log"), format!("log: {why}"));
    }
    if !config.admin.key.is_empty()
        && let Err(error) = OperatorKey::new(&config.admin.key)
    {
        let setting = if config.admin.key_file.is_some() { "admin.key_file" } else { "admin.key" };
        report(KeyPath::of_setting(setting), format!("{setting}: the operator key is not usable: {error}"));
    }
    if let Some(url) = config.public_url.as_deref().filter(|url| !is_web_address(url)) {
        report(KeyPath::of_setting("public_url"), format!("public_url must be an http or https address without a query, not {url:?}"));
    }
    if let Some(text) = region_fault("aws.region", &config.aws.region) {
        report(KeyPath::of_setting("aws.region"), text);
    }
    if let Some(account) = config.aws.account.as_ref().filter(|account| AccountId::parse(account).is_none()) {
        report(KeyPath::of_setting("aws.account"), format!("aws.account must be the twelve digits of an account, not {account:?}"));
    }
    for (name, pool) in &config.pools {
        let path = KeyPath::of_setting("pools").name(name);
        check_pool(name, pool, &path).into_iter().for_each(|(key, text)| report(key.map_or(path.clone(), |key| path.name(key)), text));
    }
    found
}

/// Whether the system would refuse to listen on both, though they are not the same: a port of every address is also one of this machine.
fn overlap(first: SocketAddr, second: SocketAddr) -> bool {
    let is_shared = is_covered(first, second) || is_covered(second, first);
    first.port() == second.port() && first.port() != 0 && first != second && is_shared
}

/// Whether a socket of the first address gets what is sent to the second. Every address of IPv6 includes those of IPv4, and an address of
/// IPv4 may be written as one of IPv6.
fn is_covered(by: SocketAddr, address: SocketAddr) -> bool {
    let canonical = |of: SocketAddr| match of.ip().to_canonical() {
        ip if ip == of.ip() => of,
        ip => SocketAddr::new(ip, of.port()),
    };
    let (by, address) = (canonical(by), canonical(address));
    by == address || by.ip().is_unspecified() && (by.is_ipv6() || address.is_ipv4())
}

fn overlap_text(config: &ServerConfig) -> String {
    let (listen, admin) = (config.listen, config.admin_address());
    format!(
        "admin.listen is {admin}, and listen, {listen}, has the same port: give one of them another port, or both the same address for one port that serves all"
    )
}

/// What is wrong with a region.
fn is_web_address(url: &str) -> bool {
    const MAX_BYTES: usize = 512;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    url.len() <= MAX_BYTES
        && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\"\\".contains(&b)))
}

fn region_fault(path: &str, region: &str) -> Option<String> {
    let is_fit = (1..=MAX_REGION_BYTES).contains(&region.len()) && region.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    (!is_fit).then(|| format!("{path} must have 1 to {MAX_REGION_BYTES} characters, each one of a-z A-Z 0-9 - _, not {region:?}"))
}

/// What is wrong with a pool, each with the key below it that is.
fn check_pool(name: &str, pool: &PoolSection, path: &KeyPath) -> Vec<(Option<&'static str>, String)> {
    let mut found = Vec::new();
    if !(1..=MAX_POOL_NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control) {
        found.push((None, format!("the name of a pool must have 1 to {MAX_POOL_NAME_BYTES} bytes and no control characters")));
    }
    if let Some(text) = region_fault(&format!("{path}.region"), &pool.region) {
        found.push((Some("region"), text));
    }
    if pool.datasets.len() > MERGE_POLICIES {
        let text = format!("{path}.datasets has {} policies, at most {MERGE_POLICIES} fit a merge of two identities", pool.datasets.len());
        found.push((Some("datasets"), text));
    }
    let devices = device_bytes(&pool.limits);
    if pool.identity_bytes <= devices {
        let text = format!(
            "{path}.identity_bytes is {}, and the {} devices of limits.devices may take {devices}: nothing is left for datasets",
            pool.identity_bytes, pool.limits.devices
        );
        found.push((Some("identity_bytes"), text));
    }
    if pool.issuers.is_empty() {
        found.push((None, format!("{path} has no issuer, so no device can sign in: add [[{path}.issuers]]")));
    }
    found
}

impl ServerConfig {
    fn has_admin_address(&self) -> bool {
        self.listen.port() != 0 && self.listen == self.admin_address()
    }

    /// What `driftless serve` demands on top: at least one pool, and no secret that is public.
    pub fn check_production(&self) -> Result<(), ConfigError> {
        if self.pools.is_empty() {
            let how = match self.has_file() {
                true => "add one, with its issuer: [[pools.NAME.issuers]]",
                false => "pass a file that configures one: --config FILE",
            };
            let why = format!("no pool is configured; {how} (all settings: {} config)", invocation::name());
            return Err(self.problem(&KeyPath::default(), why).into());
        }
        // With the default of admin.listen, which `driftless dev` does not have.
        if self.admin.listen.is_none() && (overlap(self.listen, self.admin_address()) || self.has_admin_address()) {
            return Err(self.problem(&KeyPath::of_setting("listen"), overlap_text(self)).into());
        }
        if self.operator_key().is_some_and(|key| key.matches(DEVELOPMENT_KEY)) {
            let path = KeyPath::of_setting("admin.key");
            return Err(self.problem(&path, "admin.key is the development key, which is public; set a key of your own").into());
        }
        for (name, pool) in &self.pools {
            if let Some(at) = pool.issuers.iter().position(IssuerConfig::uses_development_secret) {
                let path = KeyPath::of_setting("pools").name(name).name("issuers").entry(at).name("secret");
                return Err(self
                    .problem(&path, format!("{path} is the development secret, which is public; set a secret of your own"))
                    .into());
            }
        }
        Ok(())
    }
}
