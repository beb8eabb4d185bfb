//! The rows of push.

use driftless_protocol::{DatasetName, DeviceId, Provider, PushTarget};
use serde::{Deserialize, Serialize};

/// `t`: where a device is woken.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct PushRow {
    pub pool: String,
    pub provider: Provider,
    /// `None`: it is dead.
    pub target: Option<PushTarget>,
    pub app: String,
    /// Of which datasets a change wakes it; `None`: of all.
    pub datasets: Option<Vec<DatasetName>>,
    pub shown: bool,
    pub registered_ms: u64,
    pub seen_ms: u64,
    pub dead: Option<DeadToken>,
}

/// A token that its provider calls dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadToken {
    /// Since when it is not used, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// What the provider said.
    pub reason: String,
}

/// `e`: a version of a dataset that somebody may be owed.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct OwedRow {
    pub version: u64,
    pub writer: DeviceId,
    /// The newest version that another device than the writer wrote.
    pub others_version: u64,
    /// The date that the courier goes by.
    pub at_ms: u64,
    /// When the first version was written that no visit has seen; 0: all were seen.
    pub first_ms: u64,
    pub changed_ms: u64,
}

/// `q`: what a device was woken for, and what it may be sent.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(in crate::store) struct PurseRow {
    pub paid: Vec<(DatasetName, u64)>,
    pub purse: PushBudget,
    /// Entries of its log that were ever made.
    pub entries: u64,
}

/// What a device may still be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushBudget {
    /// Silent wakes.
    pub silent: TokenBucket,
    /// Wakes that are shown.
    pub shown: TokenBucket,
    /// Failures in a row.
    pub failures: u32,
    /// Nothing before this moment, in milliseconds since 1970 (UTC).
    pub not_before_ms: u64,
}

/// A token bucket: how much was taken of it, in millionths, as of when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// Millionths of a wake that are missing.
    pub missing_micro: u64,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// `y`: an entry of a device's log.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct LogRow {
    pub number: u64,
    pub entry: super::DeliveryLogEntry,
}
