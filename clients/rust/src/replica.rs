//! What a device has of one dataset.
//!
//! - A record is kept only if its version is higher than that of the one that is there.
//! - Having a position means having everything up to its version; a page that would leave a gap is not taken.
//! - The base of a write is what this device knows of its key: a live record as of its version; otherwise that there is none, as of the
//!   position or of a later tombstone. So a tombstone that went, or never came, makes no conflict where nobody wrote.
//! - Unsent writes are not in here. They lie in the [`crate::Outbox`], and no reset touches them.

use std::collections::BTreeMap;

use driftless_protocol::{Change, Content, DeviceId, Epoch, Key, Op, Position, Record, Value};

/// A page of `changes`, without the dataset's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The store's history.
    pub epoch: Epoch,
    /// The version that the page follows.
    pub from: u64,
    /// The version after it.
    pub to: u64,
    /// Everything before it is to be forgotten.
    pub reset: bool,
    /// The latest state of each record that changed.
    pub records: Vec<Record>,
}

/// What became of a page.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It fits; these of its records were news.
    Applied(Vec<Record>),
    /// It follows a version or an epoch that is not here: nothing was taken of it.
    Gap,
}

/// The records of a dataset as of a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replica {
    epoch: Option<Epoch>,
    version: u64,
    records: BTreeMap<Key, Record>,
}

impl Replica {
    /// Nothing.
    pub fn new() -> Replica {
        Replica::default()
    }

    /// What to ask for changes after; `None` before the first page.
    pub fn position(&self) -> Option<Position> {
        self.epoch.clone().map(|epoch| Position { epoch, version: self.version })
    }

    /// The store's history that this is of; `None` before the first page.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The version up to which everything is here.
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

    /// The records that live, by key.
    pub fn live(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|record| record.content != Content::Removed)
    }

    /// A `put` in view of this replica: it conflicts if another device writes the key first.
    pub fn put_based(&self, key: Key, value: Value) -> Change {
        let base = self.base(&key);
        Change::new(key, Op::Put, value).with_base(base)
    }

    /// A `remove` in view of this replica: it conflicts if another device writes the key first.
    pub fn remove_based(&self, key: Key) -> Change {
        let base = self.base(&key);
        Change::new(key, Op::Remove, None).with_base(base)
    }

    /// Takes a page of changes.
    pub fn take(&mut self, page: Page) -> Taken {
        if page.reset {
            *self = Replica::new();
        } else if !self.continues(&page) {
            return Taken::Gap;
        }
        self.epoch = Some(page.epoch);
        self.version = if page.reset { page.to } else { self.version.max(page.to) };
        Taken::Applied(page.records.into_iter().filter(|record| self.keep(record)).collect())
    }

    /// Takes the answer to an own patch: what its changes did, with the records that only the server could work out.
    /// `now_ms` stands for the time of the write, in milliseconds since 1970 UTC, as the answer does not name it. Returns what was news.
    ///
    /// The position moves if nothing lies between; otherwise changes follow that move it. A patch at or before the position
    /// is the repeated answer to one that is in here already, perhaps overwritten since: nothing of it is taken.
    pub fn written(&mut self, version: u64, changes: &[Change], results: Vec<Record>, device: &DeviceId, now_ms: u64) -> Vec<Record> {
        if self.epoch.is_none() || version <= self.version {
            return Vec::new();
        }
        if version == self.version + 1 {
            self.version = version;
        }
        let mut after: BTreeMap<&Key, Record> = BTreeMap::new();
        for change in changes {
            if let Some(content) = outcome(change) {
                let record = Record { key: change.key.clone(), content, version, modified_ms: now_ms, device: device.clone() };
                after.insert(&change.key, record);
            }
        }
        let known = after.into_values().filter(|record| results.iter().all(|result| result.key != record.key)).collect::<Vec<_>>();
        known.into_iter().chain(results).filter(|record| self.keep(record)).collect()
    }

    fn continues(&self, page: &Page) -> bool {
        match &self.epoch {
            Some(epoch) => *epoch == page.epoch && page.from <= self.version,
            None => page.from == 0,
        }
    }

    fn keep(&mut self, record: &Record) -> bool {
        let news = self.records.get(&record.key).is_none_or(|held| held.version < record.version);
        if news {
            self.records.insert(record.key.clone(), record.clone());
        }
        news
    }

    fn base(&self, key: &Key) -> u64 {
        match self.records.get(key) {
            Some(Record { content: Content::Value(_), version, .. }) => *version,
            Some(Record { content: Content::Removed, version, .. }) => self.version.max(*version),
            None => self.version,
        }
    }
}

/// What a change leaves of its record, if that can be known without the server.
fn outcome(change: &Change) -> Option<Content> {
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

    fn page(epoch: &str, from: u64, to: u64, records: Vec<Record>) -> Page {
        Page { epoch: Epoch::new(epoch).expect("an epoch"), from, to, reset: false, records }
    }

    fn reset(page: Page) -> Page {
        Page { reset: true, ..page }
    }

    fn live(replica: &Replica) -> Vec<(&str, u64)> {
        replica.live().map(|record| (record.key.as_str(), record.version)).collect()
    }

    fn at(replica: &Replica) -> Option<(String, u64)> {
        replica.position().map(|position| (position.epoch.to_string(), position.version))
    }

    #[test]
    fn pages_follow_each_other_and_older_records_are_not_kept() {
        let mut replica = Replica::new();
        assert_eq!(replica.position(), None);
        let news = replica.take(page("e", 0, 2, vec![record("a", 1, 1), record("b", 1, 2)]));
        assert_eq!(news, Taken::Applied(vec![record("a", 1, 1), record("b", 1, 2)]));
        let news = replica.take(page("e", 2, 4, vec![record("a", 0, 1), record("b", 2, 4)]));
        assert_eq!(news, Taken::Applied(vec![record("b", 2, 4)]));
        assert_eq!((at(&replica), live(&replica)), (Some(("e".to_owned(), 4)), vec![("a", 1), ("b", 4)]));
    }

    #[test]
    fn a_gap_is_not_taken_and_an_overlap_is() {
        let mut replica = Replica::new();
        assert_eq!(replica.take(page("e", 3, 4, vec![record("a", 1, 4)])), Taken::Gap);
        replica.take(page("e", 0, 3, vec![record("a", 1, 3)]));
        assert_eq!(replica.take(page("e", 4, 5, vec![record("a", 2, 5)])), Taken::Gap);
        assert_eq!(replica.take(page("other", 3, 4, vec![record("a", 2, 4)])), Taken::Gap);
        assert_eq!(live(&replica), [("a", 3)]);
        assert_eq!(replica.take(page("e", 1, 2, Vec::new())), Taken::Applied(Vec::new()));
        assert_eq!(replica.version(), 3, "the position never goes back");
    }

    #[test]
    fn a_reset_forgets_everything_first_even_higher_versions() {
        let mut replica = Replica::new();
        replica.take(page("old", 0, 9, vec![record("a", 1, 9), record("b", 1, 8)]));
        replica.take(reset(page("new", 0, 2, vec![record("a", 5, 2)])));
        assert_eq!((at(&replica), live(&replica)), (Some(("new".to_owned(), 2)), vec![("a", 2)]));
    }

    #[test]
    fn an_own_patch_moves_the_position_if_nothing_lies_between() {
        let mut replica = Replica::new();
        replica.take(page("e", 0, 3, vec![record("a", 1, 3), record("n", 1, 2)]));
        let changes = [
            Change::new(key("a"), Op::Remove, None),
            Change::new(key("b"), Op::Put, Value::from(7)),
            Change::new(key("n"), Op::Put, Value::from(0)),
            Change::new(key("n"), Op::Add, Value::from(2)),
        ];
        let news = replica.written(4, &changes, vec![record("n", 2, 4)], &device("me"), 5);
        assert_eq!(news.len(), 3);
        assert_eq!((replica.version(), live(&replica)), (4, vec![("b", 4), ("n", 4)]));
        assert_eq!(replica.get(&key("n")), Some(&record("n", 2, 4)), "the server's result wins over what can be known here");

        replica.written(7, &changes[1..2], Vec::new(), &device("me"), 6);
        assert_eq!(replica.version(), 4, "5 and 6 are on their way");
        replica.take(page("e", 4, 7, vec![record("c", 1, 5), record("b", 9, 6), record("b", 7, 7)]));
        assert_eq!((replica.version(), live(&replica)), (7, vec![("b", 7), ("c", 5), ("n", 4)]));
    }

    #[test]
    fn a_repeated_answer_brings_nothing_back() {
        let mut replica = Replica::new();
        replica.take(reset(page("e", 0, 9, Vec::new())));
        let put = [Change::new(key("gone-since"), Op::Put, Value::from(1))];
        assert_eq!(replica.written(5, &put, Vec::new(), &device("me"), 0), []);
        assert_eq!(live(&replica), []);
        assert_eq!(Replica::new().written(1, &put, Vec::new(), &device("me"), 0), [], "before the first page there is no epoch to be at");
    }

    fn removed(name: &str, version: u64) -> Record {
        Record { content: Content::Removed, ..record(name, 0, version) }
    }

    fn put_base(replica: &Replica, name: &str) -> Option<u64> {
        replica.put_based(key(name), Value::from(1)).base
    }

    #[test]
    fn a_live_record_is_known_as_of_its_version_and_its_absence_as_of_the_position() {
        let mut replica = Replica::new();
        assert_eq!(put_base(&replica, "c"), Some(0), "nothing was seen yet");
        replica.take(page("e", 0, 9, vec![record("a", 1, 2), removed("b", 3)]));
        assert_eq!(put_base(&replica, "a"), Some(2));
        assert_eq!(replica.remove_based(key("b")).base, Some(9), "its tombstone may go, and still nobody wrote it since");
        assert_eq!(put_base(&replica, "c"), Some(9));
    }

    #[test]
    fn an_own_removal_ahead_of_the_position_is_the_base_of_the_next_write() {
        let mut replica = Replica::new();
        replica.take(page("e", 0, 3, vec![record("a", 1, 2)]));
        replica.written(7, &[Change::new(key("a"), Op::Remove, None)], Vec::new(), &device("me"), 0);
        assert_eq!((replica.version(), put_base(&replica, "a")), (3, Some(7)));
        assert_eq!(put_base(&replica, "c"), Some(3));
    }
}
