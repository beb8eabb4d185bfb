//! The records that a device had of a dataset before its history changed, and which of them it writes again (`PROTOCOL.md` §8). Pure.
//!
//! - A restored store has lost the versions after `shared`: the device writes each record and tombstone again that has a higher version and
//!   that the new history does not have.
//! - A merge took over every record of the former identity whose key was free. Only a key that is live on both sides with different values
//!   is written again; a record that is missing afterwards was removed since.
//! - A key that the app writes in the meantime is not written again: the app's write is newer.

use std::collections::BTreeMap;

use driftless_protocol::{Change, Content, Key, Op, Record, Value};

use crate::Replica;

/// Records of former histories, kept until the replica has the new history. Bounded by the replicas that they come from.
#[derive(Debug, Default)]
pub(crate) struct ReofferCandidates {
    restored: Option<EarlierEpoch>,
    merged: BTreeMap<Key, Value>,
}

/// The records of a replica before its store was restored, and the last version that both histories have.
#[derive(Debug)]
struct EarlierEpoch {
    records: BTreeMap<Key, Record>,
    shared: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct HistoryComparison {
    /// Present if the store was restored: the last version that both histories have, if there is one.
    pub(crate) restored: Option<Option<u64>>,
    /// The changes to write again: at most one for each key, removals first so that a full dataset has room for the rest.
    pub(crate) reoffers: Vec<Change>,
}

impl ReofferCandidates {
    /// The store was restored; `former` is the replica before, `shared` comes from the server.
    ///
    /// If the store is restored again before the answer to the first restore is complete, `former` is a part of a history that is lost as
    /// well. Its records count as far as the newest history does not have them, the older candidates as far as neither history has them.
    pub(crate) fn restored(&mut self, former: Replica, shared: Option<u64>) {
        let former = former.into_records();
        self.restored = Some(match (self.restored.take(), shared) {
            (_, None) => EarlierEpoch { records: BTreeMap::new(), shared },
            (Some(EarlierEpoch { mut records, shared: Some(before) }), Some(shared)) => {
                for (key, record) in former {
                    // Up to `before` both histories are the same, and the older replica may have received more of it.
                    let is_newer = record.version > before || records.get(&key).is_none_or(|known| known.version < record.version);
                    if record.version > shared && is_newer {
                        records.insert(key, record);
                    }
                }
                EarlierEpoch { records, shared: Some(shared.min(before)) }
            }
            (None | Some(EarlierEpoch { shared: None, .. }), Some(_)) => EarlierEpoch { records: former, shared },
        });
    }

    /// The identity was merged into another one; `former` is the replica before.
    pub(crate) fn merged(&mut self, former: Replica) {
        if let Some(EarlierEpoch { records, shared: Some(shared) }) = self.restored.take() {
            self.merged.extend(live(records.into_iter().filter(|(_, record)| record.version > shared)));
        }
        self.merged.extend(live(former.into_records().into_iter()));
    }

    /// Removes keys that the app's own patches name.
    pub(crate) fn remove_keys<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.merged.remove(key);
            self.restored.iter_mut().for_each(|EarlierEpoch { records, .. }| {
                records.remove(key);
            });
        }
    }

    /// Compares the candidates with the new history.
    pub(crate) fn compare(self, now: &Replica) -> HistoryComparison {
        let ReofferCandidates { restored, merged } = self;
        let live_value = |key: &Key| now.get(key).and_then(|record| record.content.value());
        let differing = merged.into_iter().filter(|(key, value)| live_value(key).is_some_and(|now| now != value));
        let mut reoffers: BTreeMap<Key, Change> = differing.map(|(key, value)| (key.clone(), put(key, value, 0))).collect();
        let shared = restored.as_ref().map(|restored| restored.shared);
        if let Some(EarlierEpoch { records, shared: Some(shared) }) = restored {
            let differs = |key: &Key, record: &Record| match &record.content {
                Content::Value(value) => live_value(key) != Some(value),
                // Also if the new history has no record of the key: another device may still have one, and would write it again as new.
                Content::Removed => now.get(key).is_none_or(|record| record.content != Content::Removed),
            };
            let lost = records.into_iter().filter(|(key, record)| record.version > shared && differs(key, record));
            reoffers.extend(lost.map(|(key, record)| (key.clone(), reoffer(key, record.content, shared))));
        }
        let (mut removals, puts): (Vec<Change>, Vec<Change>) = reoffers.into_values().partition(|change| change.op == Op::Remove);
        removals.extend(puts);
        HistoryComparison { restored: shared, reoffers: removals }
    }
}

fn live(records: impl Iterator<Item = (Key, Record)>) -> impl Iterator<Item = (Key, Value)> {
    records.filter_map(|(key, record)| match record.content {
        Content::Value(value) => Some((key, value)),
        Content::Removed => None,
    })
}

fn reoffer(key: Key, content: Content, shared: u64) -> Change {
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
    use crate::replica::ChangesPage;

    /// A replica of records `key=value@version`; without a value the record is removed.
    fn replica(version: u64, records: &[&str]) -> Replica {
        let records = records.iter().map(|text| record(text)).collect();
        let epoch = Epoch::new("e").expect("an epoch");
        let mut replica = Replica::new();
        replica.apply(ChangesPage { epoch, from: 0, to: version, reset: true, records });
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

    /// The changes to write again, as `key=value@base`.
    fn reoffers(candidates: ReofferCandidates, now: &Replica) -> Vec<String> {
        let text = |change: Change| match change {
            Change { key, value: Some(value), base: Some(base), op: Op::Put } => {
                format!("{}={}@{base}", key.as_str(), value.text().expect("a text"))
            }
            Change { key, value: None, base: Some(base), op: Op::Remove } => format!("{}=@{base}", key.as_str()),
            other => panic!("not a reoffer: {other:?}"),
        };
        candidates.compare(now).reoffers.into_iter().map(text).collect()
    }

    fn restored(former: Replica, shared: Option<u64>) -> ReofferCandidates {
        let mut candidates = ReofferCandidates::default();
        candidates.restored(former, shared);
        candidates
    }

    #[test]
    fn records_that_the_restored_store_lost_are_reoffered() {
        let former = replica(9, &["old=1@3", "changed=2@8", "new=1@7", "removed=@9", "removed-both=@6"]);
        let now = replica(5, &["old=1@3", "changed=1@2", "removed=here@4"]);
        assert_eq!(reoffers(restored(former, Some(5)), &now), ["removed=@5", "removed-both=@5", "changed=2@5", "new=1@5"]);
    }

    #[test]
    fn records_that_are_equal_or_older_than_the_backup_are_not_reoffered() {
        let former = replica(9, &["same=1@8", "gone-since=1@5", "rewritten-since=1@4"]);
        let now = replica(7, &["same=1@6", "rewritten-since=2@7"]);
        assert_eq!(reoffers(restored(former, Some(5)), &now), [""; 0], "a record that both histories had was removed on purpose");
    }

    #[test]
    fn without_a_shared_version_nothing_is_reoffered_and_the_restore_is_reported() {
        let candidates = restored(replica(9, &["a=1@9"]), None);
        assert_eq!(candidates.compare(&replica(1, &["b=1@1"])), HistoryComparison { restored: Some(None), reoffers: Vec::new() });
        assert_eq!(
            ReofferCandidates::default().compare(&replica(1, &["b=1@1"])),
            HistoryComparison { restored: None, reoffers: Vec::new() }
        );
    }

    #[test]
    fn keys_that_the_app_writes_meanwhile_are_not_reoffered() {
        let mut candidates = restored(replica(9, &["a=1@9", "b=1@9"]), Some(5));
        candidates.remove_keys(&[key("a"), key("never-seen")]);
        assert_eq!(reoffers(candidates, &replica(5, &[])), ["b=1@5"]);
    }

    #[test]
    fn a_second_restore_before_the_first_is_complete_loses_and_repeats_nothing() {
        let mut candidates = restored(replica(9, &["first=1@8", "both=1@9", "between=1@4", "kept=1@2", "gone=@7"]), Some(5));
        let part = replica(7, &["both=2@7", "second=1@6", "there=1@3", "kept=1@2", "gone=1@5"]);
        candidates.restored(part, Some(3));
        assert_eq!(
            reoffers(candidates, &replica(3, &["there=1@3", "kept=1@2"])),
            ["gone=@3", "between=1@3", "both=2@3", "first=1@3", "second=1@3"],
            "and `gone` stays removed"
        );
    }

    #[test]
    fn a_second_restore_from_a_newer_backup_reoffers_only_records_that_the_first_lost() {
        let mut candidates = restored(replica(9, &["lost=1@8"]), Some(5));
        candidates.restored(replica(7, &["theirs=2@6"]), Some(7));
        assert_eq!(reoffers(candidates, &replica(8, &["theirs=3@8"])), ["lost=1@5"]);
    }

    #[test]
    fn after_a_merge_only_keys_that_both_sides_have_are_reoffered() {
        let mut candidates = ReofferCandidates::default();
        candidates.merged(replica(9, &["both=mine@8", "same=1@2", "taken-and-removed=1@3", "removed=@4"]));
        let now = replica(30, &["both=theirs@12", "same=1@20", "removed=theirs@7", "theirs=1@1"]);
        assert_eq!(reoffers(candidates, &now), ["both=mine@0"]);
    }

    #[test]
    fn a_merge_before_a_restore_is_complete_keeps_the_candidates_of_the_restore() {
        let mut candidates = restored(replica(9, &["a=lost@8", "b=old@2"]), Some(5));
        candidates.merged(replica(6, &["b=new@6"]));
        assert_eq!(reoffers(candidates, &replica(20, &["a=theirs@11", "b=theirs@12"])), ["a=lost@0", "b=new@0"]);
    }
}
