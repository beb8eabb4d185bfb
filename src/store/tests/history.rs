//! The history of a dataset: earlier versions can be shown, compared and restored as long as they are kept.

use driftless_protocol::{Content, Op, Record, Value};

use super::reaping::reap;
use crate::store::support::{all, dataset, me, patch, store, write_at};
use crate::store::{DatasetRules, Decision, Identity, RetentionPolicy, RewindPart, RewindPlan, Store, VersionNotKept, VersionOrigin};

fn write(store: &Store, id: u64, name: &str, changes: &[(&str, Op, &str)]) {
    let decision = write_at(store, &patch(id, name, changes), &DatasetRules::default(), 1000 * id);
    assert!(matches!(decision, Decision::Written { .. }), "{decision:?}");
}

fn shown(records: &[Record]) -> Vec<String> {
    let mut shown: Vec<_> = records
        .iter()
        .map(|record| match &record.content {
            Content::Value(value) => format!("{}={}", record.key.as_str(), serde_json::to_string(value).expect("json")),
            Content::Removed => format!("{} removed", record.key.as_str()),
        })
        .collect();
    shown.sort();
    shown
}

fn at(store: &Store, version: u64) -> Result<Vec<String>, VersionNotKept> {
    store.records_at(&me(), &dataset(), version).expect("reads").map(|records| shown(&records))
}

/// Restores a version, and returns the dataset's version and how many records changed.
fn rewind(store: &Store, to: u64) -> Result<(u64, usize), VersionNotKept> {
    let plan = store.rewind_plan(&me(), &dataset(), to, 99).expect("reads")?;
    Ok(apply(store, &plan, 0..plan.parts()))
}

fn apply(store: &Store, plan: &RewindPlan, parts: std::ops::Range<usize>) -> (u64, usize) {
    let (mut last, mut changed) = (0, 0);
    for part in parts {
        let mut group = store.group();
        let written = group.rewind_part(plan, part, &RetentionPolicy::default(), 99).expect("decides");
        group.commit().expect("commits");
        let RewindPart::Written { version, records } = written else { panic!("{written:?}") };
        (last, changed) = (version, changed + records);
    }
    (last, changed)
}

/// Writes version 1: a=1 b=1, 2: a=2, 3: b removed, c=3, 4: a removed, 5: a=5.
fn write_history(store: &Store) {
    write(store, 1, "phone", &[("a", Op::Put, "1"), ("b", Op::Put, "1")]);
    write(store, 2, "phone", &[("a", Op::Add, "1")]);
    write(store, 3, "phone", &[("b", Op::Remove, ""), ("c", Op::Put, "3")]);
    write(store, 4, "phone", &[("a", Op::Remove, "")]);
    write(store, 5, "phone", &[("a", Op::Put, "5")]);
}

const STATES: [&[&str]; 6] = [&[], &["a=1", "b=1"], &["a=2", "b=1"], &["a=2", "c=3"], &["c=3"], &["a=5", "c=3"]];

#[test]
fn each_version_can_be_shown_listed_and_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_history(&store);
    for (version, state) in STATES.iter().enumerate() {
        assert_eq!(at(&store, version as u64).expect("kept"), *state, "version {version}");
    }
    assert_eq!(at(&store, 6), Err(VersionNotKept { oldest: 0, newest: 5 }));

    let history = store.history(&me(), &dataset(), None, 3).expect("reads");
    assert_eq!((history.version, history.oldest, history.versions.len()), (5, 0, 3));
    let [five, four, three] = &history.versions[..] else { panic!("three") };
    assert_eq!((five.version, five.at_ms, five.device.as_str(), &five.origin), (5, 5000, "phone", &VersionOrigin::Patch));
    assert_eq!((four.touched[0].0.as_str(), four.touched[0].1), ("a", false));
    assert_eq!(three.touched.len(), 2);
    let earlier = store.history(&me(), &dataset(), Some(3), 9).expect("reads");
    assert_eq!(earlier.versions.iter().map(|entry| entry.version).collect::<Vec<_>>(), [2, 1]);

    let diffs = store.compare(&me(), &dataset(), 1, 3).expect("reads").expect("kept");
    let keys: Vec<_> = diffs.iter().map(|one| (one.key.as_str(), one.before.is_some(), one.after.is_some())).collect();
    assert_eq!(keys, [("a", true, true), ("b", true, false), ("c", false, true)]);
    assert_eq!(store.compare(&me(), &dataset(), 4, 4).expect("reads").expect("kept"), []);
    assert_eq!(store.compare(&me(), &dataset(), 3, 1).expect("reads").expect("kept").len(), 3, "and in the other direction");
}

#[test]
fn a_restore_makes_a_version_and_can_be_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_history(&store);
    for version in [1, 0, 3, 5] {
        let before = store.version(&me(), &dataset()).expect("reads");
        let (made, changed) = rewind(&store, version).expect("kept");
        assert!(changed > 0, "not restored to {version}");
        assert_eq!(made, before + 1);
        assert_eq!(at(&store, made).expect("kept"), STATES[version as usize]);
        let live: Vec<_> = all(&store).into_iter().filter(|record| record.content != Content::Removed).collect();
        assert_eq!(shown(&live), STATES[version as usize], "the records that a device gets");
        let entry = store.history(&me(), &dataset(), None, 1).expect("reads").versions.remove(0);
        assert_eq!((entry.device.as_str(), entry.origin), ("~operator", VersionOrigin::Restored(version)));
    }
    for (version, state) in STATES.iter().enumerate() {
        assert_eq!(at(&store, version as u64).expect("kept"), *state, "version {version}, after all restores");
    }
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.records, head.version), (2, 9));
    assert_eq!(rewind(&store, 5), Ok((9, 0)), "no version without a change");
    assert_eq!(rewind(&store, 99), Err(VersionNotKept { oldest: 0, newest: 9 }));
}

#[test]
fn a_write_based_on_a_version_before_a_restore_conflicts() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_history(&store);
    rewind(&store, 1).expect("kept");
    let mut late = patch(6, "phone", &[("a", Op::Put, "6")]);
    late.changes[0].base = Some(5);
    assert!(
        matches!(write_at(&store, &late, &DatasetRules::default(), 0), Decision::Conflict(conflicting) if conflicting[0].content == Content::Value(Value::from(1)))
    );
}

#[test]
fn the_reaper_deletes_versions_by_number_age_and_size_and_the_kept_ones_can_still_be_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let retention = |versions, ms, bytes| RetentionPolicy {
        history_versions: versions,
        history_ms: ms,
        history_bytes: bytes,
        ..RetentionPolicy::default()
    };
    let large = format!("\"{}\"", "x".repeat(100_000));
    for id in 1..=20 {
        write(&store, id, "phone", &[("n", Op::Put, &id.to_string()), ("large", Op::Put, &large)]);
    }
    let oldest_version = || store.head(&me(), &dataset()).expect("reads").oldest_version;
    let forever_ms = u64::MAX / 4;
    let step = |retention: RetentionPolicy, now_ms| {
        // Any due date counts: this test is about which versions go, not when.
        let due = store.due_datasets(u64::MAX - 1, 1).expect("reads").remove(0);
        let mut group = store.group();
        group.reap(&due, &retention, now_ms).expect("decides");
        group.commit().expect("commits");
    };
    step(retention(15, forever_ms, u64::MAX), 20_000);
    assert_eq!(oldest_version(), 5, "15 versions");
    step(retention(15, 10_000, u64::MAX), 20_000);
    assert_eq!(oldest_version(), 10, "10 seconds");
    step(retention(15, 10_000, 550_000), 20_000);
    assert_eq!(oldest_version(), 15, "550 kB of 100 kB each");
    assert_eq!(at(&store, 15).expect("kept")[1], "n=15");
    assert_eq!(at(&store, 14), Err(VersionNotKept { oldest: 15, newest: 20 }));
    reap(&store, &retention(0, 0, 0), u64::MAX / 2);
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.oldest_version, head.history_bytes, head.reap_at_ms), (20, 0, 0));
}

#[test]
fn without_history_no_version_is_kept_and_history_that_is_turned_on_again_starts_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write(&store, 1, "phone", &[("a", Op::Put, "1")]);
    let off = DatasetRules { retention: RetentionPolicy { history_versions: 0, ..RetentionPolicy::default() }, ..DatasetRules::default() };
    write_at(&store, &patch(2, "phone", &[("a", Op::Put, "2")]), &off, 2000);
    assert_eq!(at(&store, 1), Err(VersionNotKept { oldest: 2, newest: 2 }), "no version before one without history can be shown");
    write(&store, 3, "phone", &[("a", Op::Put, "3")]);
    assert_eq!(at(&store, 2).expect("kept"), ["a=2"]);
    assert_eq!(store.history(&me(), &dataset(), None, 9).expect("reads").versions.len(), 1);
    reap(&store, &RetentionPolicy::default(), 3_600_000);
    assert_eq!(at(&store, 2).expect("kept"), ["a=2"], "the reaper took only rows below the oldest version");
}

#[test]
fn a_dataset_of_an_unknown_identity_cannot_be_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let plan = store.rewind_plan(&Identity::from("local:none"), &dataset(), 0, 1).expect("reads").expect("nothing is version 0");
    let outcome = store.group().rewind_part(&plan, 0, &RetentionPolicy::default(), 1).expect("decides");
    assert_eq!(outcome, RewindPart::NoIdentity);
}
