use driftless_protocol::{Content, Op, Position};

use crate::store::support::{CONFIG, all, dataset, device, epoch, key, me, patch, store, write_at};
use crate::store::{Cursor, DatasetRules, Decision, ReadResult, ReadStart, ReapResult, RetentionPolicy, Store};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// When the stories begin.
const BEGIN_MS: u64 = 1_790_000_000_000;

fn put_and_remove(store: &Store, names: &[&str], at_ms: u64) -> u64 {
    let mut version = store.version(&me(), &dataset()).expect("reads");
    for name in names {
        for op in [Op::Put, Op::Remove] {
            let value = if op == Op::Put { "1" } else { "" };
            version += 1;
            let decision = write_at(store, &patch(version, "phone", &[(name, op, value)]), &DatasetRules::default(), at_ms);
            assert!(matches!(decision, Decision::Written { .. }), "{decision:?}");
        }
    }
    version
}

fn acknowledge(store: &Store, name: &str, version: u64) {
    let mut group = store.group();
    group.admit(&me(), &device(name), 10, BEGIN_MS).expect("decides");
    group.acknowledge(&me(), &device(name), &dataset(), version).expect("decides");
    group.commit().expect("commits");
}

/// Everything that is due by then; what each step took.
pub(super) fn reap(store: &Store, keep: &RetentionPolicy, now_ms: u64) -> Vec<ReapResult> {
    let mut steps = Vec::new();
    loop {
        let due = store.due(now_ms, 8).expect("reads");
        if due.is_empty() {
            return steps;
        }
        assert!(steps.len() < 1000, "the reaper does not come to an end");
        for due in due {
            let mut group = store.group();
            steps.push(group.reap(&due, keep, now_ms).expect("decides"));
            group.commit().expect("commits");
        }
    }
}

fn tombstones(steps: &[ReapResult]) -> u64 {
    steps.iter().map(|step| step.tombstones).sum()
}

#[test]
fn a_tombstone_that_a_device_needs_stays_for_its_retention() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    acknowledge(&store, "laptop", 0);
    put_and_remove(&store, &["a", "b"], BEGIN_MS);
    acknowledge(&store, "laptop", 2);
    acknowledge(&store, "phone", 4);
    assert_eq!(tombstones(&reap(&store, &keep, BEGIN_MS + 29 * DAY_MS)), 1, "the laptop has seen the first removal only");
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstone_horizon, 2);
    assert_eq!(tombstones(&reap(&store, &keep, BEGIN_MS + 31 * DAY_MS)), 1, "30 days are over");
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.tombstone_horizon, head.tombstones, head.version), (4, 0, 4));
    assert_eq!(store.due(u64::MAX - 1, 9).expect("reads"), [], "nothing is left to reap");
}

#[test]
fn a_tombstone_goes_when_every_device_has_heard_of_it_but_not_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    let version = put_and_remove(&store, &["a"], BEGIN_MS);
    acknowledge(&store, "phone", version);
    assert_eq!(reap(&store, &keep, BEGIN_MS + 60_000), [], "somebody may be on the way through the dataset");
    assert_eq!(tombstones(&reap(&store, &keep, BEGIN_MS + 3_600_000)), 1);
}

#[test]
fn who_is_behind_the_horizon_gets_a_snapshot_and_who_is_not_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    let version = put_and_remove(&store, &["a", "b"], BEGIN_MS);
    let early = Cursor::at(1);
    reap(&store, &keep, BEGIN_MS + 31 * DAY_MS);
    let at = |version| Position { epoch: epoch("first"), version }.into();
    let start = |version| store.start(&me(), &dataset(), Some(&at(version))).expect("reads");
    assert!(matches!(start(version - 1), ReadStart::Reset { shared: None, .. }));
    assert!(matches!(start(version), ReadStart::After(_)));
    let ReadResult::Behind(again) = store.changes(&me(), &dataset(), early).expect("reads") else { panic!("not behind") };
    assert!(matches!(store.changes(&me(), &dataset(), again), Ok(ReadResult::Page(page)) if page.cursor == Cursor::at(version)));
}

#[test]
fn a_put_on_a_record_that_was_removed_and_forgotten_conflicts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    let version = put_and_remove(&store, &["a", "b"], BEGIN_MS);
    reap(&store, &keep, BEGIN_MS + 31 * DAY_MS);
    let mut late = patch(1, "tablet", &[("a", Op::Put, "7")]);
    late.changes[0].base = Some(1);
    let Decision::Conflict(met) = write_at(&store, &late, &DatasetRules::default(), BEGIN_MS) else { panic!("no conflict") };
    assert_eq!((&met[0].key, &met[0].content, met[0].version), (&key("a"), &Content::Removed, version));
    // The device resolves with what it was told, and that is the end of it.
    late.id = 2;
    late.changes[0].base = Some(met[0].version);
    assert!(matches!(write_at(&store, &late, &DatasetRules::default(), BEGIN_MS), Decision::Written { .. }));
    let fresh = patch(3, "tablet", &[("new", Op::Put, "1")]);
    assert!(matches!(write_at(&store, &fresh, &DatasetRules::default(), BEGIN_MS), Decision::Written { .. }));
}

#[test]
fn a_clock_that_jumped_keeps_no_tombstone_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    // Ten years ahead for a moment, then right again, then a year back.
    put_and_remove(&store, &["a"], BEGIN_MS + 3650 * DAY_MS);
    put_and_remove(&store, &["b"], BEGIN_MS);
    put_and_remove(&store, &["c"], BEGIN_MS - 365 * DAY_MS);
    let mut group = store.group();
    let due = store.due(u64::MAX - 1, 1).expect("reads").remove(0);
    group.reap(&due, &keep, BEGIN_MS).expect("decides");
    group.commit().expect("commits");
    // The last one looks a year old: so are those before it, whatever they say.
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 0);

    put_and_remove(&store, &["d"], BEGIN_MS + 3650 * DAY_MS);
    acknowledge(&store, "laptop", 1);
    let mut now_ms = BEGIN_MS;
    for _ in 0..40 {
        let Some(due) = store.due(u64::MAX - 1, 1).expect("reads").pop() else { break };
        let mut group = store.group();
        group.reap(&due, &keep, now_ms).expect("decides");
        group.commit().expect("commits");
        now_ms += DAY_MS;
    }
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 0, "a stamp from the future was brought back");
}

#[test]
fn a_step_is_bounded_and_the_rest_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    let names: Vec<String> = (0..1000).map(|n| format!("k{n}")).collect();
    for (id, op, value) in [(1, Op::Put, "1"), (2, Op::Remove, "")] {
        let changes: Vec<_> = names.iter().map(|name| (name.as_str(), op, value)).collect();
        write_at(&store, &patch(id, "phone", &changes), &DatasetRules::default(), BEGIN_MS);
    }
    let steps = reap(&store, &keep, BEGIN_MS + 31 * DAY_MS);
    assert!(steps.len() >= 4 && steps.iter().all(|step| step.tombstones <= 256), "{steps:?}");
    assert_eq!(tombstones(&steps), 1000);
    assert_eq!(all(&store), []);
}

#[test]
fn more_tombstones_than_a_dataset_may_have_records_call_the_reaper_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy { tombstones: 10, ..RetentionPolicy::default() });
    let rules = DatasetRules { keep, ..DatasetRules::default() };
    for n in 0..30 {
        let name = format!("k{n}");
        write_at(&store, &patch(2 * n + 1, "phone", &[(&name, Op::Put, "1")]), &rules, BEGIN_MS);
        write_at(&store, &patch(2 * n + 2, "phone", &[(&name, Op::Remove, "")]), &rules, BEGIN_MS);
    }
    assert_eq!(tombstones(&reap(&store, &keep, BEGIN_MS)), 20);
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 10);
}

#[test]
fn a_remove_with_a_base_leaves_a_tombstone_where_nothing_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut offer = patch(1, "phone", &[("gone", Op::Remove, "")]);
    offer.changes[0].base = Some(0);
    assert!(matches!(write_at(&store, &offer, &DatasetRules::default(), BEGIN_MS), Decision::Written { version: 1, .. }));
    let mut late = patch(1, "laptop", &[("gone", Op::Put, "1")]);
    late.changes[0].base = Some(0);
    assert!(
        matches!(write_at(&store, &late, &DatasetRules::default(), BEGIN_MS), Decision::Conflict(_)),
        "it does not come back unnoticed"
    );
}

#[test]
fn the_dates_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = RetentionPolicy::default();
    let opened = store(folder.path());
    put_and_remove(&opened, &["a"], BEGIN_MS);
    drop(opened);
    let opened = Store::open(folder.path(), &CONFIG, &epoch("second")).expect("opens again");
    assert_eq!(tombstones(&reap(&opened, &keep, BEGIN_MS + 31 * DAY_MS)), 1);
}

#[test]
fn a_date_that_a_clock_far_ahead_has_left_is_brought_back_by_the_next_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, keep) = (store(folder.path()), RetentionPolicy::default());
    put_and_remove(&store, &["a"], BEGIN_MS + 3650 * DAY_MS);
    put_and_remove(&store, &["b"], BEGIN_MS);
    assert!(!store.due(BEGIN_MS + 2 * DAY_MS, 9).expect("reads").is_empty(), "it is looked at within a day or so");
    let steps = reap(&store, &keep, BEGIN_MS + 40 * DAY_MS);
    assert_eq!(tombstones(&steps), 2);
}

#[test]
fn a_flood_leaves_no_more_than_a_step_takes_and_a_version_goes_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = RetentionPolicy { tombstones: 100, history_versions: 1, ..RetentionPolicy::default() };
    let (store, rules) = (store(folder.path()), DatasetRules { keep, ..DatasetRules::default() });
    let large = format!("\"{}\"", "x".repeat(200_000));
    for id in 1..=40 {
        let names: Vec<String> = (0..100).map(|n| format!("k{id}.{n}")).collect();
        for (number, op, value) in [(2 * id - 1, Op::Put, "1"), (2 * id, Op::Remove, "")] {
            let mut changes: Vec<_> = names.iter().map(|name| (name.as_str(), op, value)).collect();
            changes.push(("large", Op::Put, &large));
            write_at(&store, &patch(number, "phone", &changes), &rules, BEGIN_MS);
        }
    }
    let due = store.due(BEGIN_MS, 1).expect("reads").remove(0);
    let mut group = store.group();
    let step = group.reap(&due, &keep, BEGIN_MS).expect("decides");
    group.commit().expect("commits");
    assert_eq!(step.tombstones, 3900, "a step grows with what is over");
    assert!(step.versions < 79 && step.more, "but not beyond its bytes");
    // Every version that is still there is whole.
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!(store.history(&me(), &dataset(), None, 999).expect("reads").steps.len() as u64, head.version - head.oldest_version);
    reap(&store, &keep, BEGIN_MS);
    assert_eq!(store.head(&me(), &dataset()).expect("reads").oldest_version, 79);
}

#[test]
fn a_dataset_that_cannot_be_reaped_waits_for_another_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    put_and_remove(&store, &["a"], BEGIN_MS);
    let due = store.due(u64::MAX - 1, 1).expect("reads").remove(0);
    let mut group = store.group();
    group.postpone(&due, BEGIN_MS).expect("decides");
    group.commit().expect("commits");
    let again = store.due(u64::MAX - 1, 9).expect("reads");
    assert_eq!((again.len(), again[0].at_ms), (1, BEGIN_MS + DAY_MS));
    assert_eq!(tombstones(&reap(&store, &RetentionPolicy::default(), BEGIN_MS + 31 * DAY_MS)), 1);
}
