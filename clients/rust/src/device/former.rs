//! What a device had of a dataset before its history changed, and what of it is offered again (`PROTOCOL.md` §8). Pure.
//!
//! - A restored backup has lost what came after `shared`: each record and tombstone above it that is not there now is offered.
//! - A merge took all records of the former identity whose keys were free: only where both sides live and differ is something left to
//!   offer. What is missing now was removed since.
//! - Whatever the app writes in the meantime is newer than what was here: it is not offered.

use std::collections::BTreeMap;

use driftless_protocol::{Change, Content, Key, Op, Record, Value};

use crate::Replica;

/// What was there, kept aside until the new history is here. Bounded by the replicas that it is made of.
#[derive(Debug, Default)]
pub(crate) struct Former {
    restored: Option<Restored>,
    merged: BTreeMap<Key, Value>,
}

/// A replica of an earlier epoch.
#[derive(Debug)]
struct Restored {
    records: BTreeMap<Key, Record>,
    shared: Option<u64>,
}

/// What follows from the comparison.
#[derive(Debug, PartialEq)]
pub(crate) struct Comparison {
    /// `shared`, if the store was restored.
    pub(crate) restored: Option<Option<u64>>,
    /// At most one for each key, removals first: they make room for the rest.
    pub(crate) offers: Vec<Change>,
}

impl Former {
    /// The store was restored while this device had `had`; `shared` is the server's.
    ///
    /// If that happens again before the answer to the first time is complete, `had` is a half of a history that is lost as well. Of it counts
    /// what the newest history has not; of the older one what neither has.
    pub(crate) fn restored(&mut self, had: Replica, shared: Option<u64>) {
        let had = had.into_records();
        self.restored = Some(match (self.restored.take(), shared) {
            (_, None) => Restored { records: BTreeMap::new(), shared },
            (Some(Restored { mut records, shared: Some(before) }), Some(shared)) => {
                for (key, record) in had {
                    // What both of them share, the older one may know better: it goes further there.
                    let newer = record.version > before || records.get(&key).is_none_or(|held| held.version < record.version);
                    if record.version > shared && newer {
                        records.insert(key, record);
                    }
                }
                Restored { records, shared: Some(shared.min(before)) }
            }
            (None | Some(Restored { shared: None, .. }), Some(_)) => Restored { records: had, shared },
        });
    }

    /// The identity was merged into another while this device had `had`.
    pub(crate) fn merged(&mut self, had: Replica) {
        if let Some(Restored { records, shared: Some(shared) }) = self.restored.take() {
            self.merged.extend(live(records.into_iter().filter(|(_, record)| record.version > shared)));
        }
        self.merged.extend(live(had.into_records().into_iter()));
    }

    /// The app's own patches name these keys.
    pub(crate) fn overtaken<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.merged.remove(key);
            self.restored.iter_mut().for_each(|Restored { records, .. }| {
                records.remove(key);
            });
        }
    }

    /// Compares it with what is there now.
    pub(crate) fn compare(self, now: &Replica) -> Comparison {
        let Former { restored, merged } = self;
        let has = |key: &Key| now.get(key).and_then(|record| record.content.value());
        let stood = merged.into_iter().filter(|(key, value)| has(key).is_some_and(|now| now != value));
        let mut offers: BTreeMap<Key, Change> = stood.map(|(key, value)| (key.clone(), put(key, value, 0))).collect();
        let shared = restored.as_ref().map(|restored| restored.shared);
        if let Some(Restored { records, shared: Some(shared) }) = restored {
            let differs = |key: &Key, record: &Record| match &record.content {
                Content::Value(value) => has(key) != Some(value),
                // Also where there is no record at all: another device may still have one, which it would offer as new.
                Content::Removed => now.get(key).is_none_or(|record| record.content != Content::Removed),
            };
            let lost = records.into_iter().filter(|(key, record)| record.version > shared && differs(key, record));
            offers.extend(lost.map(|(key, record)| (key.clone(), again(key, record.content, shared))));
        }
        let (mut removals, puts): (Vec<Change>, Vec<Change>) = offers.into_values().partition(|change| change.op == Op::Remove);
        removals.extend(puts);
        Comparison { restored: shared, offers: removals }
    }
}

fn live(records: impl Iterator<Item = (Key, Record)>) -> impl Iterator<Item = (Key, Value)> {
    records.filter_map(|(key, record)| match record.content {
        Content::Value(value) => Some((key, value)),
        Content::Removed => None,
    })
}

fn again(key: Key, content: Content, shared: u64) -> Change {
    match content {
        Content::Value(value) => put(key, value, shared),
        Content::Removed => Change::new(key, Op::Remove, None).with_base(shared),
    }
}

fn put(key: Key, value: Value, base: u64) -> Change {
    Change::new(key, Op::Put, value).with_base(base)
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{DeviceId, Epoch};

    use super::*;
    use crate::replica::Page;

    /// A replica of records `key=value@version`; without a value the record is removed.
    fn replica(version: u64, records: &[&str]) -> Replica {
        let records = records.iter().map(|text| record(text)).collect();
        let epoch = Epoch::new("e").expect("an epoch");
        let mut replica = Replica::new();
        replica.take(Page { epoch, from: 0, to: version, reset: true, records });
        replica
    }

    fn record(text: &str) -> Record {
        let (state, version) = text.split_once('@').expect("a version");
        let (name, value) = state.split_once('=').expect("a value, or nothing after =");
        let content = if value.is_empty() { Content::Removed } else { Content::Value(value.into()) };
        let device = DeviceId::new("other").expect("a device");
        Record { key: key(name), content, version: version.parse().expect("a number"), modified_ms: 0, device }
    }

    fn key(name: &str) -> Key {
        Key::new(name).expect("a key")
    }

    /// Offers as `key=value@base`.
    fn offers(former: Former, now: &Replica) -> Vec<String> {
        let text = |change: Change| match change {
            Change { key, value: Some(Value::Text(value)), base: Some(base), op: Op::Put } => format!("{}={value}@{base}", key.as_str()),
            Change { key, value: None, base: Some(base), op: Op::Remove } => format!("{}=@{base}", key.as_str()),
            other => panic!("not an offer: {other:?}"),
        };
        former.compare(now).offers.into_iter().map(text).collect()
    }

    fn restored(had: Replica, shared: Option<u64>) -> Former {
        let mut former = Former::default();
        former.restored(had, shared);
        former
    }

    #[test]
    fn what_the_restored_store_does_not_have_is_offered_as_it_was_seen() {
        let had = replica(9, &["old=1@3", "changed=2@8", "new=1@7", "removed=@9", "removed-both=@6"]);
        let now = replica(5, &["old=1@3", "changed=1@2", "removed=here@4"]);
        assert_eq!(offers(restored(had, Some(5)), &now), ["removed=@5", "removed-both=@5", "changed=2@5", "new=1@5"]);
    }

    #[test]
    fn what_is_the_same_by_now_or_older_than_the_backup_is_not_offered() {
        let had = replica(9, &["same=1@8", "gone-since=1@5", "rewritten-since=1@4"]);
        let now = replica(7, &["same=1@6", "rewritten-since=2@7"]);
        assert_eq!(offers(restored(had, Some(5)), &now), [""; 0], "what both had and one lost was taken away on purpose");
    }

    #[test]
    fn without_a_shared_version_nothing_is_offered_and_the_restore_is_told() {
        let former = restored(replica(9, &["a=1@9"]), None);
        assert_eq!(former.compare(&replica(1, &["b=1@1"])), Comparison { restored: Some(None), offers: Vec::new() });
        assert_eq!(Former::default().compare(&replica(1, &["b=1@1"])), Comparison { restored: None, offers: Vec::new() });
    }

    #[test]
    fn what_the_app_writes_meanwhile_is_newer() {
        let mut former = restored(replica(9, &["a=1@9", "b=1@9"]), Some(5));
        former.overtaken(&[key("a"), key("never-seen")]);
        assert_eq!(offers(former, &replica(5, &[])), ["b=1@5"]);
    }

    #[test]
    fn a_second_restore_before_the_first_is_complete_loses_and_doubles_nothing() {
        let mut former = restored(replica(9, &["first=1@8", "both=1@9", "between=1@4", "kept=1@2", "gone=@7"]), Some(5));
        let part = replica(7, &["both=2@7", "second=1@6", "there=1@3", "kept=1@2", "gone=1@5"]);
        former.restored(part, Some(3));
        assert_eq!(
            offers(former, &replica(3, &["there=1@3", "kept=1@2"])),
            ["gone=@3", "between=1@3", "both=2@3", "first=1@3", "second=1@3"],
            "and `gone` stays so"
        );
    }

    #[test]
    fn a_second_restore_from_a_newer_backup_offers_only_what_the_first_lost() {
        let mut former = restored(replica(9, &["lost=1@8"]), Some(5));
        former.restored(replica(7, &["theirs=2@6"]), Some(7));
        assert_eq!(offers(former, &replica(8, &["theirs=3@8"])), ["lost=1@5"]);
    }

    #[test]
    fn after_a_merge_only_what_both_sides_have_is_offered() {
        let mut former = Former::default();
        former.merged(replica(9, &["both=mine@8", "same=1@2", "taken-and-removed=1@3", "removed=@4"]));
        let now = replica(30, &["both=theirs@12", "same=1@20", "removed=theirs@7", "theirs=1@1"]);
        assert_eq!(offers(former, &now), ["both=mine@0"]);
    }

    #[test]
    fn a_merge_before_a_restored_backup_is_complete_keeps_what_that_would_have_offered() {
        let mut former = restored(replica(9, &["a=lost@8", "b=old@2"]), Some(5));
        former.merged(replica(6, &["b=new@6"]));
        assert_eq!(offers(former, &replica(20, &["a=theirs@11", "b=theirs@12"])), ["a=lost@0", "b=new@0"]);
    }
}
