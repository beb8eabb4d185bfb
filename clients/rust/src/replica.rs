//! A device's copy of one dataset.
//!
//! - A record replaces another one of its key only if its version is higher.
//! - A replica at a position has everything up to the position's version; it rejects a page that would leave a gap.
//! - The base of a write is the version of the live record; if there is none, the version up to which the device knows that there is none: the
//!   position, or a later tombstone. So a tombstone that the server has dropped or never sent causes no conflict if no device wrote the key.
//! - Unanswered writes are in the [`crate::Outbox`], not in the replica; a reset does not affect them.

use std::collections::BTreeMap;

use driftless_protocol::{Change, Content, DeviceId, Epoch, Key, Op, Position, Record, Value};

/// The contents of a `changes` message, without the dataset's name.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangesPage {
    /// The epoch of the store's history.
    pub epoch: Epoch,
    /// The version that the page follows.
    pub from: u64,
    /// The version that the replica has after the page.
    pub to: u64,
    /// Whether the replica forgets all of its records before it applies the page.
    pub reset: bool,
    /// The latest state of each record that changed.
    pub records: Vec<Record>,
}

/// The result of [`Replica::apply`].
#[derive(Clone, Debug, PartialEq)]
pub enum ApplyResult {
    /// The page was applied; these of its records were new to the replica.
    Applied(Vec<Record>),
    /// The page follows a version or an epoch that the replica does not have; nothing of it was applied.
    Gap,
}

/// The records of a dataset at a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replica {
    epoch: Option<Epoch>,
    version: u64,
    records: BTreeMap<Key, Record>,
}

impl Replica {
    /// An empty replica without a position.
    pub fn new() -> Replica {
        Replica::default()
    }

    /// The position to ask for changes after; `None` before the first page.
    pub fn position(&self) -> Option<Position> {
        self.epoch.clone().map(|epoch| Position { epoch, version: self.version })
    }

    /// The epoch of the history that the replica follows; `None` before the first page.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The version up to which the replica is complete; 0 before the first page.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The record of a key, or its tombstone.
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    /// All records and tombstones, by key.
    pub fn into_records(self) -> BTreeMap<Key, Record> {
        self.records
    }

    /// All records without the tombstones, in the order of their keys.
    pub fn live_records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|record| record.content != Content::Removed)
    }

    /// A `put` with this replica's base: it conflicts if another device writes the key first.
    pub fn put_if_unchanged(&self, key: Key, value: Value) -> Change {
        let base = self.base(&key);
        Change::new(key, Op::Put, value).with_base(base)
    }

    /// A `remove` with this replica's base: it conflicts if another device writes the key first.
    pub fn remove_if_unchanged(&self, key: Key) -> Change {
        let base = self.base(&key);
        Change::new(key, Op::Remove, None).with_base(base)
    }

    /// Applies a page of changes, or nothing of it if it would leave a gap.
    pub fn apply(&mut self, page: ChangesPage) -> ApplyResult {
        if page.reset {
            *self = Replica::new();
        } else if !self.continues(&page) {
            return ApplyResult::Gap;
        }
        self.epoch = Some(page.epoch);
        self.version = if page.reset { page.to } else { self.version.max(page.to) };
        ApplyResult::Applied(page.records.into_iter().filter(|record| self.insert_if_newer(record)).collect())
    }

    /// Applies an own patch that the server has written: its changes, and the `results` that only the server can compute.
    /// `now_ms` stands for the time of the write, in milliseconds since 1970 (UTC), because the answer does not carry it. Returns the records
    /// that were new to the replica.
    ///
    /// The position advances if `version` follows it directly; otherwise the changes that follow advance it. An answer at or before the
    /// position is a repeated one: the replica has the patch already, perhaps overwritten since, and nothing is applied.
    pub fn apply_own_write(
        &mut self,
        version: u64,
        changes: &[Change],
        results: Vec<Record>,
        device: &DeviceId,
        now_ms: u64,
    ) -> Vec<Record> {
        if self.epoch.is_none() || version <= self.version {
            return Vec::new();
        }
        if version == self.version + 1 {
            self.version = version;
        }
        let mut after: BTreeMap<&Key, Record> = BTreeMap::new();
        for change in changes {
            if let Some(content) = known_content(change) {
                let record = Record { key: change.key.clone(), content, version, modified_ms: now_ms, device: device.clone() };
                after.insert(&change.key, record);
            }
        }
        let known = after.into_values().filter(|record| results.iter().all(|result| result.key != record.key)).collect::<Vec<_>>();
        known.into_iter().chain(results).filter(|record| self.insert_if_newer(record)).collect()
    }

    fn continues(&self, page: &ChangesPage) -> bool {
        match &self.epoch {
            Some(epoch) => *epoch == page.epoch && page.from <= self.version,
            None => page.from == 0,
        }
    }

    fn insert_if_newer(&mut self, record: &Record) -> bool {
        let is_newer = self.records.get(&record.key).is_none_or(|known| known.version < record.version);
        if is_newer {
            self.records.insert(record.key.clone(), record.clone());
        }
        is_newer
    }

    fn base(&self, key: &Key) -> u64 {
        match self.records.get(key) {
            Some(Record { content: Content::Value(_), version, .. }) => *version,
            Some(Record { content: Content::Removed, version, .. }) => self.version.max(*version),
            None => self.version,
        }
    }
}

/// The content that a change leaves, if it can be known without the server.
fn known_content(change: &Change) -> Option<Content> {
    match change.op {
        Op::Put => change.value.clone().map(Content::Value),
        Op::Remove => Some(Content::Removed),
        Op::Add | Op::Merge | Op::Insert | Op::Discard => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).expect("a key")
    }

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).expect("a device")
    }

    fn record(name: &str, value: i64, version: u64) -> Record {
        Record { key: key(name), content: Content::Value(value.into()), version, modified_ms: 0, device: device("other") }
    }

    fn page(epoch: &str, from: u64, to: u64, records: Vec<Record>) -> ChangesPage {
        ChangesPage { epoch: Epoch::new(epoch).expect("an epoch"), from, to, reset: false, records }
    }

    fn reset(page: ChangesPage) -> ChangesPage {
        ChangesPage { reset: true, ..page }
    }

    fn live(replica: &Replica) -> Vec<(&str, u64)> {
        replica.live_records().map(|record| (record.key.as_str(), record.version)).collect()
    }

    fn at(replica: &Replica) -> Option<(String, u64)> {
        replica.position().map(|position| (position.epoch.to_string(), position.version))
    }

    #[test]
    fn pages_follow_each_other_and_older_records_are_ignored() {
        let mut replica = Replica::new();
        assert_eq!(replica.position(), None);
        let result = replica.apply(page("e", 0, 2, vec![record("a", 1, 1), record("b", 1, 2)]));
        assert_eq!(result, ApplyResult::Applied(vec![record("a", 1, 1), record("b", 1, 2)]));
        let result = replica.apply(page("e", 2, 4, vec![record("a", 0, 1), record("b", 2, 4)]));
        assert_eq!(result, ApplyResult::Applied(vec![record("b", 2, 4)]));
        assert_eq!((at(&replica), live(&replica)), (Some(("e".to_owned(), 4)), vec![("a", 1), ("b", 4)]));
    }

    #[test]
    fn a_gap_is_rejected_and_an_overlap_is_applied() {
        let mut replica = Replica::new();
        assert_eq!(replica.apply(page("e", 3, 4, vec![record("a", 1, 4)])), ApplyResult::Gap);
        replica.apply(page("e", 0, 3, vec![record("a", 1, 3)]));
        assert_eq!(replica.apply(page("e", 4, 5, vec![record("a", 2, 5)])), ApplyResult::Gap);
        assert_eq!(replica.apply(page("other", 3, 4, vec![record("a", 2, 4)])), ApplyResult::Gap);
        assert_eq!(live(&replica), [("a", 3)]);
        assert_eq!(replica.apply(page("e", 1, 2, Vec::new())), ApplyResult::Applied(Vec::new()));
        assert_eq!(replica.version(), 3, "the position never moves back");
    }

    #[test]
    fn a_reset_forgets_all_records_even_of_higher_versions() {
        let mut replica = Replica::new();
        replica.apply(page("old", 0, 9, vec![record("a", 1, 9), record("b", 1, 8)]));
        replica.apply(reset(page("new", 0, 2, vec![record("a", 5, 2)])));
        assert_eq!((at(&replica), live(&replica)), (Some(("new".to_owned(), 2)), vec![("a", 2)]));
    }

    #[test]
    fn an_own_patch_advances_the_position_if_it_follows_directly() {
        let mut replica = Replica::new();
        replica.apply(page("e", 0, 3, vec![record("a", 1, 3), record("n", 1, 2)]));
        let changes = [
            Change::new(key("a"), Op::Remove, None),
            Change::new(key("b"), Op::Put, Value::from(7)),
            Change::new(key("n"), Op::Put, Value::from(0)),
            Change::new(key("n"), Op::Add, Value::from(2)),
        ];
        let new = replica.apply_own_write(4, &changes, vec![record("n", 2, 4)], &device("me"), 5);
        assert_eq!(new.len(), 3);
        assert_eq!((replica.version(), live(&replica)), (4, vec![("b", 4), ("n", 4)]));
        assert_eq!(replica.get(&key("n")), Some(&record("n", 2, 4)), "the server's result wins over the one computed here");

        replica.apply_own_write(7, &changes[1..2], Vec::new(), &device("me"), 6);
        assert_eq!(replica.version(), 4, "5 and 6 are still in flight");
        replica.apply(page("e", 4, 7, vec![record("c", 1, 5), record("b", 9, 6), record("b", 7, 7)]));
        assert_eq!((replica.version(), live(&replica)), (7, vec![("b", 7), ("c", 5), ("n", 4)]));
    }

    #[test]
    fn a_repeated_answer_restores_no_removed_record() {
        let mut replica = Replica::new();
        replica.apply(reset(page("e", 0, 9, Vec::new())));
        let put = [Change::new(key("gone-since"), Op::Put, Value::from(1))];
        assert_eq!(replica.apply_own_write(5, &put, Vec::new(), &device("me"), 0), []);
        assert_eq!(live(&replica), []);
        assert_eq!(
            Replica::new().apply_own_write(1, &put, Vec::new(), &device("me"), 0),
            [],
            "before the first page there is no epoch to be at"
        );
    }

    fn removed(name: &str, version: u64) -> Record {
        Record { content: Content::Removed, ..record(name, 0, version) }
    }

    fn base_of_put(replica: &Replica, name: &str) -> Option<u64> {
        replica.put_if_unchanged(key(name), Value::from(1)).base
    }

    #[test]
    fn the_base_is_the_live_records_version_or_else_the_position() {
        let mut replica = Replica::new();
        assert_eq!(base_of_put(&replica, "c"), Some(0), "nothing was received yet");
        replica.apply(page("e", 0, 9, vec![record("a", 1, 2), removed("b", 3)]));
        assert_eq!(base_of_put(&replica, "a"), Some(2));
        assert_eq!(
            replica.remove_if_unchanged(key("b")).base,
            Some(9),
            "the tombstone may be dropped, and still no device wrote the key since"
        );
        assert_eq!(base_of_put(&replica, "c"), Some(9));
    }

    #[test]
    fn an_own_removal_ahead_of_the_position_is_the_base_of_the_next_write() {
        let mut replica = Replica::new();
        replica.apply(page("e", 0, 3, vec![record("a", 1, 2)]));
        replica.apply_own_write(7, &[Change::new(key("a"), Op::Remove, None)], Vec::new(), &device("me"), 0);
        assert_eq!((replica.version(), base_of_put(&replica, "a")), (3, Some(7)));
        assert_eq!(base_of_put(&replica, "c"), Some(3));
    }
}
