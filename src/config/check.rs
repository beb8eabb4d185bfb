//! The rules that the types of a configuration cannot express: ranges, settings that need each other, and what production forbids.

use driftless_protocol::{Limits, limits};

use super::error::ConfigError;
use super::pool::{PoolSection, RetentionSection};
use super::server::ServerConfig;
use crate::admin::{DEVELOPMENT_KEY, OperatorKey};
use crate::auth::IssuerConfig;
use crate::push::WakeSettings;
use crate::session;

/// The largest `limits.records`: a restore may touch every record of a dataset in one version, which numbers them with 16 bits.
const MAX_RECORDS: u64 = 1 << 16;

/// The largest `retention.history_versions`: a restore reads the whole history, and no write is committed meanwhile.
const MAX_HISTORY_VERSIONS: u64 = 100_000;

/// The largest `retention.history_bytes`, for the same reason.
const MAX_HISTORY_BYTES: u64 = 1 << 30;

/// The most wakes of one device in an hour, and the largest burst.
const MAX_WAKES_PER_HOUR: u64 = 3600;

/// The longest grace before a device is woken, in milliseconds.
const MAX_GRACE_MS: u64 = 600_000;

/// The longest duration of any setting, in seconds: 100 years.
const MAX_DURATION_S: u64 = 100 * 365 * 24 * 3600;

/// The longest time to drain, in seconds.
const MAX_DRAIN_S: u64 = 3600;

/// The shortest heartbeat, in seconds.
const MIN_HEARTBEAT_S: u32 = 10;

/// The longest `region`, in bytes.
const MAX_REGION_BYTES: usize = 18;

/// Checks a configuration that was just read.
pub(super) fn check(config: &ServerConfig) -> Result<(), ConfigError> {
    if config.tls.certificate.is_some() != config.tls.key.is_some() {
        return Err(ConfigError::new("tls.certificate and tls.key must be set together"));
    }
    if config.connections == 0 {
        return Err(ConfigError::new("connections must be at least 1"));
    }
    if config.drain_s > MAX_DRAIN_S {
        return Err(ConfigError::new(format!("drain_s must be at most {MAX_DRAIN_S}")));
    }
    if !(MIN_HEARTBEAT_S..=session::LONGEST_HEARTBEAT_S).contains(&config.heartbeat_s) {
        return Err(ConfigError::new(format!("heartbeat_s must be {MIN_HEARTBEAT_S} to {}", session::LONGEST_HEARTBEAT_S)));
    }
    if !config.admin.key.is_empty()
        && let Err(error) = OperatorKey::new(&config.admin.key)
    {
        return Err(ConfigError::new(format!("admin.key: {error}")));
    }
    config.pools.iter().try_for_each(|(name, pool)| check_pool(pool).map_err(|why| ConfigError::new(format!("pools.{name}: {why}"))))
}

fn check_pool(pool: &PoolSection) -> Result<(), String> {
    let region = pool.region.as_bytes();
    if region.is_empty() || region.len() > MAX_REGION_BYTES || !region.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
        return Err(format!("region must have 1 to {MAX_REGION_BYTES} characters, each one of a-z A-Z 0-9 - _"));
    }
    check_limits(pool.limits)?;
    check_retention(pool.retention)?;
    check_wakes(pool.wakes)?;
    if pool.issuers.is_empty() {
        return Err("without a trusted issuer no device can sign in; add [[pools.NAME.issuers]]".to_owned());
    }
    Ok(())
}

fn check_limits(limits: Limits) -> Result<(), String> {
    let Limits { key_bytes, value_bytes, changes_per_patch, records, dataset_bytes, datasets, devices } = limits;
    let all = [key_bytes as u64, value_bytes as u64, changes_per_patch as u64, records, dataset_bytes, datasets as u64, devices as u64];
    if all.contains(&0) {
        return Err("every limit must be at least 1".to_owned());
    }
    if key_bytes > limits::KEY_BYTES || value_bytes > limits::VALUE_BYTES || changes_per_patch > limits::CHANGES_PER_PATCH {
        return Err(
            "limits: key_bytes, value_bytes and changes_per_patch must not exceed their defaults: a larger patch does not fit into \
                    one message"
                .to_owned(),
        );
    }
    if records > MAX_RECORDS {
        return Err(format!("limits.records must be at most {MAX_RECORDS}: a restore may touch all records of a dataset at once"));
    }
    Ok(())
}

fn check_retention(retention: RetentionSection) -> Result<(), String> {
    let RetentionSection { tombstone_s, history_s, history_versions, history_bytes } = retention;
    if tombstone_s > MAX_DURATION_S || history_s > MAX_DURATION_S {
        return Err(format!("retention: tombstone_s and history_s must be at most {MAX_DURATION_S} (100 years)"));
    }
    if history_versions > MAX_HISTORY_VERSIONS || history_bytes > MAX_HISTORY_BYTES {
        return Err(format!(
            "retention: history_versions must be at most {MAX_HISTORY_VERSIONS} and history_bytes at most {MAX_HISTORY_BYTES}: \
             a restore reads the whole history at once"
        ));
    }
    Ok(())
}

fn check_wakes(wakes: WakeSettings) -> Result<(), String> {
    let WakeSettings { grace_ms, apple_per_hour, android_per_hour, web_per_hour, shown_per_hour, stale_s, drop_s, debt_s, .. } = wakes;
    let WakeSettings { apple_burst, android_burst, web_burst, .. } = wakes;
    let rates = [apple_per_hour, android_per_hour, web_per_hour, shown_per_hour, apple_burst, android_burst, web_burst];
    if rates.into_iter().any(|rate| rate > MAX_WAKES_PER_HOUR) {
        return Err(format!("wakes: every rate per hour and every burst must be at most {MAX_WAKES_PER_HOUR}"));
    }
    if grace_ms > MAX_GRACE_MS || stale_s > MAX_DURATION_S || drop_s > MAX_DURATION_S || debt_s > MAX_DURATION_S {
        return Err(format!(
            "wakes: grace_ms must be at most {MAX_GRACE_MS}; stale_s, drop_s and debt_s at most {MAX_DURATION_S} (100 years)"
        ));
    }
    Ok(())
}

impl ServerConfig {
    /// What `driftless serve` demands on top: at least one pool, and no secret that is public.
    pub fn check_production(&self) -> Result<(), ConfigError> {
        if self.pools.is_empty() {
            return Err(ConfigError::new(
                "no pool is configured; pass a file that configures one: --config FILE (all settings: driftless config)",
            ));
        }
        if self.operator_key().is_some_and(|key| key.matches(DEVELOPMENT_KEY)) {
            return Err(ConfigError::new("admin.key is the development key, which is public; set a key of your own"));
        }
        for (name, pool) in &self.pools {
            if pool.issuers.iter().any(IssuerConfig::uses_development_secret) {
                return Err(ConfigError::new(format!(
                    "pools.{name} uses the development secret, which is public; set a secret of your own"
                )));
            }
        }
        Ok(())
    }
}
