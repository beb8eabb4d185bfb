//! The rows of registrations, debts and push budgets.

use driftless_protocol::{DatasetName, DeviceId, Provider, PushTarget};
use serde::{Deserialize, Serialize};

/// A device's push registration.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct RegistrationRow {
    pub pool: String,
    pub provider: Provider,
    /// `None`: the token is dead, or another device has it.
    pub target: Option<PushTarget>,
    pub app: String,
    /// The datasets whose changes wake the device; `None`: all.
    pub datasets: Option<Vec<DatasetName>>,
    pub shown: bool,
    pub registered_ms: u64,
    pub seen_ms: u64,
    pub dead: Option<DeadToken>,
    /// The id of its pool, if it registered by RegisterDevice: its wakes have the keys of Amazon Cognito's push sync.
    #[serde(default)]
    pub cognito_pool: Option<String>,
}

/// A push token that its device has no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadToken {
    /// Since when the server does not use it, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The reason, for people; the provider's own if it declared the token dead.
    pub reason: String,
    /// What happened to it.
    #[serde(default)]
    pub loss: TokenLoss,
}

/// What happened to a push token that its device has no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLoss {
    /// Its provider declared it dead.
    #[default]
    Dead,
    /// Another device registered it.
    Moved,
}

/// A version of a dataset that devices may not have acknowledged.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct DebtRow {
    pub version: u64,
    pub writer: DeviceId,
    /// The newest version that another device than `writer` wrote.
    pub others_version: u64,
    /// The date of the courier's next round, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// When the first version after the courier's last round was written, in milliseconds since 1970 (UTC); 0: there is none.
    pub first_ms: u64,
    pub changed_ms: u64,
}

/// The versions that a device was woken for, and what it may still be sent.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(in crate::store) struct PushBudgetRow {
    /// The newest version of each dataset that a wake has covered.
    pub woken: Vec<(DatasetName, u64)>,
    pub budget: PushBudget,
    /// How many entries its delivery log ever had.
    pub log_entries: u64,
}

/// What a device may still be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushBudget {
    pub silent: TokenBucket,
    /// Wakes that the user is shown.
    pub shown: TokenBucket,
    /// Failures since the last accepted wake.
    pub failures: u32,
    /// No wake is sent before this moment, in milliseconds since 1970 (UTC).
    pub not_before_ms: u64,
}

/// A token bucket, as it was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// How much is missing to a full bucket, in millionths of a wake.
    pub missing_micro: u64,
    /// The moment, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}
