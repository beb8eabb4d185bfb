//! Merging: any records, any patches. The counts of a dataset's head are those of its records, and the rules of conflicts hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use driftless_protocol::{Change, Content, DeviceId, Key, Limits, Op, Record, Value};

use super::input::FuzzInput;
use crate::merge::{self, AppliedPatch, ConflictPolicy, DatasetHead, MergeOutcome, MergeTerms, StoredRecord};

const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];
const KEYS: [&str; 6] = ["a", "b", "c", "d", "long key", "z"];
const OPERATIONS: [Op; 6] = [Op::Put, Op::Remove, Op::Add, Op::Merge, Op::Insert, Op::Discard];

/// The most patches of one input.
const PATCHES: usize = 32;

/// Makes a dataset from the input, and applies patches to it as the store does.
pub fn check_merge(input: &[u8]) {
    let input = &mut FuzzInput::new(input);
    let mut dataset = FuzzDataset::new(input);
    for _ in 0..PATCHES {
        if input.is_used_up() {
            break;
        }
        if input.below(8) == 0 {
            dataset.reap(input);
        }
        let device = device(input);
        let changes = changes(input, dataset.head.version);
        dataset.write(&device, &changes);
        dataset.check_that_equal_values_do_not_conflict(input);
        dataset.check_that_the_newest_base_does_not_conflict(input);
    }
}

/// A dataset in memory.
struct FuzzDataset {
    head: DatasetHead,
    records: BTreeMap<Key, StoredRecord>,
    policy: ConflictPolicy,
    limits: Limits,
}

impl FuzzDataset {
    fn new(input: &mut FuzzInput<'_>) -> FuzzDataset {
        let policy = if input.flag() { ConflictPolicy::LastWriterWins } else { ConflictPolicy::Reject };
        let limits = match input.flag() {
            true => Limits::default(),
            false => Limits { key_bytes: 4, value_bytes: 64, records: 4, dataset_bytes: 200, changes_per_patch: 4, ..Limits::default() },
        };
        let mut head = DatasetHead { version: input.below(20) as u64, ..DatasetHead::default() };
        head.tombstone_horizon = input.below(head.version as usize + 1) as u64;
        let mut records = BTreeMap::new();
        for _ in 0..input.below(KEYS.len() + 1).min(head.version as usize) {
            let (key, content) = (key(input), if input.flag() { Content::Removed } else { Content::Value(input.value()) });
            let version = 1 + input.below(head.version as usize) as u64;
            let record = Record { key: key.clone(), content, version, modified_ms: 0, device: device(input) };
            records.insert(key, StoredRecord { record, others_version: input.below(version as usize) as u64 });
        }
        let mut dataset = FuzzDataset { head, records, policy, limits };
        dataset.head = dataset.counted();
        dataset
    }

    /// The head with the counts of the records.
    fn counted(&self) -> DatasetHead {
        let mut head = DatasetHead { records: 0, bytes: 0, tombstones: 0, ..self.head };
        for (key, stored) in &self.records {
            match stored.record.content.value() {
                Some(value) => {
                    head.records += 1;
                    head.bytes += (key.as_str().len() + value.packed_bytes()) as u64;
                }
                None => head.tombstones += 1,
            }
        }
        head
    }

    fn merge(&self, device: &DeviceId, changes: &[Change], policy: ConflictPolicy) -> MergeOutcome {
        let current: Vec<_> = changes.iter().map(|change| self.records.get(&change.key).map(StoredRecord::head)).collect();
        let asked = RefCell::new(BTreeSet::new());
        let value_of = |at: usize| {
            let key = &changes[at].key;
            assert!(asked.borrow_mut().insert(key.clone()), "a value is asked for once");
            let value = self.records.get(key).and_then(|stored| stored.record.content.value());
            Ok::<_, Infallible>(value.unwrap_or_else(|| panic!("the value of a record that has none is asked for")).clone())
        };
        let terms = MergeTerms { device, now_ms: 7, policy, bases: crate::merge::Bases::Seen, limits: &self.limits };
        let Ok(merged) = merge::merge(self.head, &current, changes, terms, value_of);
        merged.outcome
    }

    fn write(&mut self, device: &DeviceId, changes: &[Change]) {
        let outcome = self.merge(device, changes, self.policy);
        assert_eq!(outcome, self.merge(device, changes, self.policy), "the same arguments give the same outcome");
        match outcome {
            MergeOutcome::Applied(applied) => self.apply(device, changes, applied),
            MergeOutcome::Conflict(conflicting) => {
                assert_eq!(self.policy, ConflictPolicy::Reject);
                self.check_conflicts(device, changes, &conflicting);
            }
            MergeOutcome::Refused(_, why) => assert!(!why.is_empty()),
        }
    }

    fn apply(&mut self, device: &DeviceId, changes: &[Change], applied: AppliedPatch) {
        let AppliedPatch { head, records, computed, overruled } = applied;
        assert_eq!(head.version, self.head.version + 1, "a patch is one version");
        assert_eq!(head.tombstone_horizon, self.head.tombstone_horizon);
        if !overruled.is_empty() {
            assert_eq!(self.policy, ConflictPolicy::LastWriterWins);
            self.check_conflicts(device, changes, &overruled);
        }
        let touched: BTreeSet<_> = records.iter().map(|stored| &stored.record.key).collect();
        assert_eq!(touched.len(), records.len(), "a record is touched once");
        for StoredRecord { record, others_version } in &records {
            assert!(changes.iter().any(|change| change.key == record.key));
            assert!(record.version == head.version && record.device == *device && *others_version < head.version);
        }
        assert!(computed.iter().all(|&at| records[at].record.content != Content::Removed), "a result is a value");
        let before = std::mem::replace(&mut self.head, head);
        self.records.extend(records.into_iter().map(|stored| (stored.record.key.clone(), stored)));
        assert_eq!(self.head, self.counted(), "the head counts what the dataset holds");
        assert!(head.records <= self.limits.records.max(before.records) && head.bytes <= self.limits.dataset_bytes.max(before.bytes));
    }

    /// Checks that each conflict is with a record that another device wrote last, or may have, or with a removal that is forgotten.
    fn check_conflicts(&self, device: &DeviceId, changes: &[Change], conflicting: &[usize]) {
        assert!(!conflicting.is_empty() && conflicting.len() <= changes.len());
        for &at in conflicting {
            match self.records.get(&changes[at].key) {
                Some(stored) => assert!(stored.record.device != *device || stored.others_version > 0, "a device conflicts with itself"),
                None => assert!(self.head.tombstone_horizon > 0),
            }
        }
    }

    /// Puts the value that a record has, on any base.
    fn check_that_equal_values_do_not_conflict(&self, input: &mut FuzzInput<'_>) {
        let Some(stored) = self.records.get(&key(input)) else { return };
        let mut change = Change::new(stored.record.key.clone(), Op::Put, stored.record.content.value().cloned());
        change.base = Some(input.below(self.head.version as usize + 1) as u64);
        if change.value.is_none() {
            change.op = Op::Remove;
        }
        let outcome = self.merge(&device(input), &[change], ConflictPolicy::Reject);
        assert!(!matches!(outcome, MergeOutcome::Conflict(_)), "equal values conflict");
    }

    /// Puts any value with the dataset's version as the base.
    fn check_that_the_newest_base_does_not_conflict(&self, input: &mut FuzzInput<'_>) {
        let change = Change { base: Some(self.head.version), ..Change::new(key(input), Op::Put, Value::null()) };
        let outcome = self.merge(&device(input), &[change], ConflictPolicy::Reject);
        assert!(!matches!(outcome, MergeOutcome::Conflict(_)), "a device that has seen everything conflicts");
    }

    /// Forgets old tombstones, as the reaper does.
    fn reap(&mut self, input: &mut FuzzInput<'_>) {
        let horizon = input.below(self.head.version as usize + 1) as u64;
        let is_reaped = |stored: &StoredRecord| stored.record.content == Content::Removed && stored.record.version <= horizon;
        let newest = self.records.values().filter(|stored| is_reaped(stored)).map(|stored| stored.record.version).max();
        self.records.retain(|_, stored| !is_reaped(stored));
        self.head.tombstone_horizon = self.head.tombstone_horizon.max(newest.unwrap_or(0));
        self.head = self.counted();
    }
}

fn changes(input: &mut FuzzInput<'_>, version: u64) -> Vec<Change> {
    (0..input.below(6)).map(|_| change(input, version)).collect()
}

fn change(input: &mut FuzzInput<'_>, version: u64) -> Change {
    let (op, key) = (OPERATIONS[input.below(OPERATIONS.len())], key(input));
    // Mostly such as the operation takes; others are refused.
    let value = if (op == Op::Remove) == (input.below(16) == 0) { Some(input.value()) } else { None };
    let base = if input.flag() { Some(input.below(version as usize + 2) as u64) } else { None };
    Change { base, ..Change::new(key, op, value) }
}

fn key(input: &mut FuzzInput<'_>) -> Key {
    Key::new(KEYS[input.below(KEYS.len())]).unwrap_or_else(|_| unreachable!("the name is valid"))
}

fn device(input: &mut FuzzInput<'_>) -> DeviceId {
    DeviceId::new(DEVICES[input.below(DEVICES.len())]).unwrap_or_else(|_| unreachable!("the name is valid"))
}
