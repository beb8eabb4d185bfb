//! Acknowledgements from sockets that wait for other jobs, so that they share a commit. They stay here until a group that has them is durable.
//!
//! Sessions put them down in [`NewAcks`] themselves: most overtake an earlier one, and none of these costs the writer thread anything. Those that
//! are due go into groups in parts, so that no group is long because of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::job::AckKey;

/// How long an acknowledgement may wait.
const ACK_DELAY: Duration = Duration::from_millis(1000);

/// Acknowledgements after which all of them are due.
const HELD_ACKS: usize = 16 * 1024;

/// Acknowledgements that are held at most beside those that are due, which are no more: while no group can be committed, those of further datasets
/// are dropped. Their devices get changes again that they have already.
const MAX_HELD_ACKS: usize = 2 * HELD_ACKS;

/// Acknowledgements of one group: some milliseconds of the writer.
pub(super) const GROUP_ACKS: usize = 1024;

/// Acknowledgements that no group has been given yet. Clones share them.
#[derive(Clone, Default)]
pub(super) struct NewAcks(Arc<Mutex<AckVersions>>);

#[derive(Default)]
struct AckVersions {
    /// The highest version of each.
    versions: HashMap<AckKey, u64>,
    /// When the oldest of `versions` was received.
    since: Option<Instant>,
}

/// Whether the writer thread has to look at the acknowledgements that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckNews {
    /// It looks at them in time.
    None,
    /// It knew of none, or there are so many now that they are due.
    Due,
}

impl NewAcks {
    pub(super) fn hold(&self, key: AckKey, version: u64, now: Instant) -> AckNews {
        let mut new = self.lock();
        let is_new = !new.versions.contains_key(&key);
        if is_new && new.versions.len() >= MAX_HELD_ACKS {
            return AckNews::None;
        }
        let held = new.versions.entry(key).or_insert(0);
        *held = version.max(*held);
        let is_first = new.since.is_none();
        new.since.get_or_insert(now);
        if is_first || (is_new && new.versions.len() == HELD_ACKS) { AckNews::Due } else { AckNews::None }
    }

    /// Ignores poisoning: nothing can panic halfway through a change.
    fn lock(&self) -> MutexGuard<'_, AckVersions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct HeldAcks {
    new: NewAcks,
    /// Those that go into the next groups, from the end on.
    due: Vec<(AckKey, u64)>,
    /// A group with some of them failed: when the next one takes them.
    retry_at: Option<Instant>,
    /// The number of the round that `due` is the rest of.
    round: u64,
}

impl HeldAcks {
    pub(super) fn new(new: NewAcks) -> HeldAcks {
        HeldAcks { new, ..HeldAcks::default() }
    }

    /// When the next group is to be made for them; `None`: there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.due.is_empty() {
            true => self.new.lock().since.map(|since| since + ACK_DELAY),
            false => self.retry_at.or_else(|| Some(Instant::now())),
        }
    }

    /// Makes all of them due if they have waited long enough, or if somebody waits for them, and says whether any are due now. While some are due
    /// already the others wait.
    pub(super) fn collect(&mut self, is_awaited: bool) -> bool {
        let now = Instant::now();
        if self.due.is_empty() {
            let mut new = self.new.lock();
            let is_late = new.since.is_some_and(|since| since + ACK_DELAY <= now);
            if is_awaited || is_late || new.versions.len() >= HELD_ACKS {
                let AckVersions { versions, .. } = std::mem::take(&mut *new);
                drop(new);
                self.due = versions.into_iter().collect();
                self.round += 1;
            }
        }
        !self.due.is_empty() && (is_awaited || self.retry_at.is_none_or(|at| at <= now))
    }

    /// The part of the next group.
    pub(super) fn part(&self) -> &[(AckKey, u64)] {
        &self.due[self.due.len().saturating_sub(GROUP_ACKS)..]
    }

    /// The part is durable.
    pub(super) fn part_is_durable(&mut self) {
        self.due.truncate(self.due.len().saturating_sub(GROUP_ACKS));
        self.retry_at = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.new.lock().versions.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self.new.lock() = AckVersions::default();
        *self = HeldAcks { round: self.round, ..HeldAcks::new(self.new.clone()) };
    }

    /// The round with which all that is held now is durable.
    pub(super) fn round_of_all(&self) -> u64 {
        self.round + u64::from(!self.new.lock().versions.is_empty())
    }

    /// Whether all of a round is durable.
    pub(super) fn is_durable(&self, round: u64) -> bool {
        round < self.round || (round == self.round && self.due.is_empty())
    }

    /// The part could not be committed, and is tried again after another delay.
    pub(super) fn postpone(&mut self) {
        self.retry_at = Some(Instant::now() + ACK_DELAY);
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{DatasetName, DeviceId};

    use super::*;
    use crate::store::Identity;

    fn key(n: usize) -> AckKey {
        let device = DeviceId::new(&n.to_string()).expect("a device");
        AckKey { identity: Identity::from("local:1"), device, dataset: DatasetName::new("d").expect("a name") }
    }

    #[test]
    fn due_acknowledgements_go_into_groups_in_parts_and_stay_until_theirs_is_durable() {
        let (new, now) = (NewAcks::default(), Instant::now());
        let mut held = HeldAcks::new(new.clone());
        for n in 0..GROUP_ACKS + 5 {
            new.hold(key(n), 1, now);
        }
        assert!(!held.collect(false), "they wait for others");
        assert!(held.collect(true));
        new.hold(key(0), 2, now);
        assert_eq!(held.part().len(), GROUP_ACKS);
        held.postpone();
        assert!(!held.collect(false), "not at once");
        assert_eq!((held.collect(true), held.part().len()), (true, GROUP_ACKS), "unless somebody waits");
        let round = held.round_of_all();
        held.part_is_durable();
        assert!(held.collect(false), "the rest follows at once");
        assert_eq!(held.part().len(), 5);
        held.part_is_durable();
        assert!(!held.is_durable(round), "what came meanwhile is another round");
        assert!(held.collect(true));
        assert_eq!(held.part(), [(key(0), 2)]);
        held.part_is_durable();
        assert!(held.is_durable(round) && held.is_empty() && held.due().is_none());
        assert!(held.is_durable(held.round_of_all()));
    }

    #[test]
    fn the_writer_looks_at_the_first_acknowledgement_and_when_very_many_are_held() {
        let (new, now) = (NewAcks::default(), Instant::now());
        let mut held = HeldAcks::new(new.clone());
        assert_eq!(new.hold(key(0), 1, now), AckNews::Due, "there was none");
        assert_eq!((new.hold(key(0), 2, now), new.hold(key(1), 1, now)), (AckNews::None, AckNews::None), "the writer comes in time");
        let news: Vec<_> = (2..=HELD_ACKS).map(|n| new.hold(key(n), 1, now)).collect();
        assert_eq!(news.iter().position(|news| *news == AckNews::Due), Some(HELD_ACKS - 3), "the one that makes them due");
        assert!(held.collect(false));
        assert_eq!(new.hold(key(0), 3, now), AckNews::Due, "the next second begins");
    }
}
