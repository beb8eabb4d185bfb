//! A deleted dataset: one version, counts that go on, and what remains when it is forgotten.

use driftless_protocol::{Content, DatasetName, Op};

use super::reaping::reap;
use crate::merge::Bases;
use crate::store::support::{CONFIG, all, dataset, device, epoch, me, patch, store, write_at};
use crate::store::{DatasetRules, Decision, DeleteStep, Identity, ReadStart, RetentionPolicy, Store};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// When the tests begin, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_790_000_000_000;

fn delete_at(store: &Store, identity: &Identity, retention: &RetentionPolicy, now_ms: u64) -> DeleteStep {
    let mut group = store.group();
    let step = group.delete_dataset(identity, &dataset(), &device("~123456789012"), retention, now_ms).expect("decides");
    group.commit().expect("commits");
    step
}

fn put(store: &Store, id: u64, name: &str, now_ms: u64) -> u64 {
    match write_at(store, &patch(id, "phone", &[(name, Op::Put, "1")]), &DatasetRules::default(), now_ms) {
        Decision::Written { version, .. } => version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deletion_is_one_version_that_removes_what_lives_and_history_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    assert_eq!(delete_at(&store, &me(), &retention, BEGIN_MS), DeleteStep::NoDataset);
    put(&store, 1, "a", BEGIN_MS);
    put(&store, 2, "b", BEGIN_MS);
    assert_eq!(delete_at(&store, &me(), &retention, BEGIN_MS + 1), DeleteStep::Deleted { version: 3 });
    let state = store.dataset_state(&me(), &dataset()).expect("reads");
    assert_eq!((state.version, state.deleted, state.records, state.bytes, state.exists()), (3, 3, 0, 0, false));
    assert!(all(&store).iter().all(|record| record.content == Content::Removed && record.version == 3));
    assert_eq!(store.records_at(&me(), &dataset(), 2).expect("reads").expect("is kept").len(), 2, "an operator can restore it");
    assert_eq!(delete_at(&store, &me(), &retention, BEGIN_MS + 2), DeleteStep::NoDataset);
    assert!(store.dataset_states(&me()).expect("reads").is_empty());
    assert_eq!(delete_at(&store, &Identity::from("local:none"), &retention, BEGIN_MS), DeleteStep::NoIdentity);

    assert_eq!(put(&store, 3, "a", BEGIN_MS + 5), 4, "counts go on");
    let state = store.dataset_state(&me(), &dataset()).expect("reads");
    assert_eq!((state.exists(), state.made_ms, state.by), (true, BEGIN_MS + 5, Some(device("phone"))));
}

#[test]
fn a_deleted_dataset_is_forgotten_after_the_time_of_tombstones_and_a_later_one_begins_above_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    for id in 1..=5 {
        put(&store, id, "a", BEGIN_MS);
    }
    delete_at(&store, &me(), &retention, BEGIN_MS);
    reap(&store, &retention, BEGIN_MS + 29 * DAY_MS);
    assert_eq!(store.version(&me(), &dataset()).expect("reads"), 6, "the head stays as long as its tombstones may");
    reap(&store, &retention, BEGIN_MS + 62 * DAY_MS);
    assert_eq!(store.version(&me(), &dataset()).expect("reads"), 0);
    assert!(store.due_datasets(u64::MAX - 1, 1).expect("reads").is_empty(), "nothing of it is left to visit");
    let state = store.dataset_state(&me(), &dataset()).expect("reads");
    assert_eq!((state.version, state.deleted, state.exists()), (6, 6, false));
    drop(store);

    let store = Store::open(folder.path(), &CONFIG, &epoch("first")).expect("opens");
    assert_eq!(put(&store, 9, "a", BEGIN_MS + 63 * DAY_MS), 7, "above what the identity has retired");
    let seen = driftless_protocol::Position { epoch: epoch("first"), version: 3 };
    let start = store.start(&me(), &dataset(), Some(&seen.into())).expect("reads");
    assert!(matches!(start, ReadStart::Reset { .. }), "an old position is not taken for a new one: {start:?}");
    assert_eq!(all(&store).len(), 1);
}

#[test]
fn a_large_dataset_is_deleted_by_several_versions_of_bounded_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    let text = format!("\"{}\"", "x".repeat(1_000_000));
    for id in 1..=10u64 {
        let large = patch(id, "phone", &[(&format!("k{id}"), Op::Put, &text)]);
        assert!(matches!(write_at(&store, &large, &DatasetRules::default(), BEGIN_MS), Decision::Written { .. }));
    }
    let mut versions = Vec::new();
    loop {
        match delete_at(&store, &me(), &retention, BEGIN_MS) {
            DeleteStep::Removed { version } => versions.push(version),
            DeleteStep::Deleted { version } => break versions.push(version),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(versions, [11, 12, 13], "4 MiB each at most");
}

#[test]
fn deleted_datasets_do_not_count_against_the_bound_until_there_are_as_many_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut rules) = (store(folder.path()), DatasetRules::default());
    rules.limits.datasets = 2;
    let write = |name: &str, id: u64| {
        let mut patch = patch(id, "phone", &[("a", Op::Put, "1")]);
        patch.dataset = DatasetName::new(name).expect("a name");
        matches!(write_at(&store, &patch, &rules, BEGIN_MS), Decision::Written { .. })
    };
    let delete = |name: &str| {
        let mut group = store.group();
        let name = DatasetName::new(name).expect("a name");
        group.delete_dataset(&me(), &name, &device("~a"), &rules.retention, BEGIN_MS).expect("decides");
        group.commit().expect("commits");
    };
    assert_eq!([write("a", 1), write("b", 2), write("c", 3)], [true, true, false]);
    delete("a");
    assert!(write("c", 4));
    delete("b");
    assert!(write("d", 5));
    delete("c");
    assert!(!write("e", 6), "four heads, of which two are deleted");
    assert!(write("a", 7) && !write("b", 8), "a deleted one may be written again");
}

#[test]
fn a_patch_with_exact_bases_needs_no_device_and_leaves_no_slot() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let rules = DatasetRules { bases: Bases::Exact, ..DatasetRules::default() };
    let write = |device_name: &str, base: u64| {
        let mut patch = patch(0, device_name, &[("a", Op::Put, "1")]);
        patch.changes[0].base = Some(base);
        let mut group = store.group();
        let decision = group.write(&patch, &rules, BEGIN_MS).expect("decides");
        group.commit().expect("commits");
        decision
    };
    let Decision::Written { version: 1, results, .. } = write("~123456789012", 0) else { panic!("not written") };
    assert_eq!((results.len(), results[0].version), (1, 1), "all records are answered");
    assert!(matches!(write("~123456789012", 0), Decision::Conflict(_)), "sent again it is decided again");
    assert!(matches!(write("~123456789012", 1), Decision::Written { version: 2, .. }));
    assert_eq!(write("phone", 2), Decision::DeviceForgotten, "a device must be known");
    assert_eq!(store.newest_patch_id(&me(), &device("~123456789012")).expect("reads"), 0);
    assert!(store.devices(&me()).expect("reads").is_empty());
}
