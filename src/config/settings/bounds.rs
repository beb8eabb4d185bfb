//! The bounds of numbers, and their reasons.

/// The largest `limits.records`: the longest time that a phone should need to get a whole dataset.
pub(super) const MAX_RECORDS: u64 = 1 << 16;

/// The largest `limits.dataset_bytes`: a reader plans a restore of a dataset in memory.
pub(super) const MAX_DATASET_BYTES: u64 = 1 << 30;

/// The largest `retention.history_versions`: a restore of a version reads all versions after it.
pub(super) const MAX_HISTORY_VERSIONS: u64 = 100_000;

/// The largest `retention.history_bytes`, for the same reason.
pub(super) const MAX_HISTORY_BYTES: u64 = 1 << 30;

/// The most wakes of one device in an hour, and the largest burst.
pub(super) const MAX_WAKES_PER_HOUR: u64 = 3600;

/// The shortest time for `link_fresh_s`, in seconds: a user needs some to sign in twice.
pub(super) const MIN_LINK_FRESH_S: u64 = 30;

/// The longest time for `link_fresh_s`, in seconds: a day. A longer one would not keep a stolen token out.
pub(super) const MAX_LINK_FRESH_S: u64 = 24 * 3600;

/// The longest grace before a device is woken, in milliseconds.
pub(super) const MAX_GRACE_MS: u64 = 600_000;

/// The longest duration of any setting, in seconds: 100 years.
pub(super) const MAX_DURATION_S: u64 = 100 * 365 * 24 * 3600;

/// The longest time to drain, in seconds.
pub(super) const MAX_DRAIN_S: u64 = 3600;

/// The shortest heartbeat, in seconds.
pub(super) const MIN_HEARTBEAT_S: u64 = 10;
