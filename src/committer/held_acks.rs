//! Acknowledgements from sockets that wait for other jobs, so that they share a commit. They stay here until a group that has them is durable.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::job::AckKey;

/// How long an acknowledgement may wait.
const ACK_DELAY: Duration = Duration::from_millis(1000);

/// Acknowledgements after which the next group has them all.
const HELD_ACKS: usize = 16 * 1024;

/// Acknowledgements that are held at most: while no group can be committed, those of further datasets are dropped. Their devices get changes again
/// that they have already.
const MAX_HELD_ACKS: usize = 2 * HELD_ACKS;

#[derive(Default)]
pub(super) struct HeldAcks {
    /// The highest version of each.
    versions: HashMap<AckKey, u64>,
    /// When the oldest of them was received, or could last not be committed.
    since: Option<Instant>,
}

impl HeldAcks {
    pub(super) fn hold(&mut self, key: AckKey, version: u64, now: Instant) {
        if self.versions.len() >= MAX_HELD_ACKS && !self.versions.contains_key(&key) {
            return;
        }
        let held = self.versions.entry(key).or_insert(0);
        *held = version.max(*held);
        self.since.get_or_insert(now);
    }

    /// When they are due; `None`: there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + ACK_DELAY)
    }

    pub(super) fn are_due(&self) -> bool {
        self.versions.len() >= HELD_ACKS || self.due().is_some_and(|due| due <= Instant::now())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&AckKey, u64)> {
        self.versions.iter().map(|(key, version)| (key, *version))
    }

    /// They are durable.
    pub(super) fn clear(&mut self) {
        *self = HeldAcks::default();
    }

    /// They could not be committed, and are tried again after another delay.
    pub(super) fn postpone(&mut self) {
        self.since = self.since.map(|_| Instant::now());
    }
}
