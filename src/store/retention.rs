//! How long a dataset keeps its past, and when the reaper visits it.

use driftless_protocol::limits;

/// The longest time between two visits of the reaper to a dataset that has something to reap, in milliseconds: settings change, and clocks
/// are set right.
pub(super) const REVISIT_MS: u64 = DAY_MS;

/// See [`RetentionPolicy::least_tombstone_ms`]: the time that a slow phone takes to read a dataset at its bounds.
const LEAST_TOMBSTONE_MS: u64 = 10 * 60 * 1000;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// How long a dataset keeps tombstones and earlier versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How long a tombstone stays for devices that have not acknowledged it, in milliseconds.
    pub tombstone_ms: u64,
    /// How many tombstones are kept at most; the oldest go first.
    pub tombstones: u64,
    /// How long a version stays in the history, in milliseconds.
    pub history_ms: u64,
    /// How many versions stay in the history at most; 0: no history is kept.
    pub history_versions: u64,
    /// How many bytes of history stay at most.
    pub history_bytes: u64,
}

impl Default for RetentionPolicy {
    /// 30 days of tombstones, 7 days and 1,000 versions of history, as many tombstones and bytes of history as a dataset has of records and bytes.
    fn default() -> RetentionPolicy {
        RetentionPolicy {
            tombstone_ms: 30 * DAY_MS,
            tombstones: limits::RECORDS_PER_DATASET,
            history_ms: 7 * DAY_MS,
            history_versions: 1000,
            history_bytes: limits::DATASET_BYTES,
        }
    }
}

impl RetentionPolicy {
    /// Whether any history is kept.
    pub(super) fn has_history(&self) -> bool {
        self.history_versions > 0 && self.history_ms > 0 && self.history_bytes > 0
    }

    /// The same policy for a version that keeps no history.
    pub(super) fn without_history(&self) -> RetentionPolicy {
        RetentionPolicy { history_versions: 0, ..*self }
    }

    /// How long a tombstone stays at least, in milliseconds. A device that is reading the dataset page by page, and has acknowledged nothing
    /// yet, must not be sent back to the beginning again and again.
    pub(super) fn least_tombstone_ms(&self) -> u64 {
        LEAST_TOMBSTONE_MS.min(self.tombstone_ms)
    }

    /// How long after a dataset's first tombstone or history row the reaper visits it, in milliseconds.
    pub(super) fn first_visit_ms(&self) -> u64 {
        self.least_tombstone_ms().min(if self.has_history() { self.history_ms } else { LEAST_TOMBSTONE_MS })
    }
}
