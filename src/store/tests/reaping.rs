//! Tombstones go when no device needs them or their time is over; devices behind the horizon get a snapshot.

use driftless_protocol::{Content, Op, Position};

use crate::store::keys::RowKind;
use crate::store::support::{CONFIG, all, dataset, device, epoch, key, me, patch, store, write_at};
use crate::store::{Cursor, DatasetRules, Decision, DeviceBound, ReadResult, ReadStart, ReapResult, RetentionPolicy, Store};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// When the tests begin, in milliseconds since 1970.
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
    group.admit(&me(), &device(name), &DeviceBound::without_sessions(10), BEGIN_MS).expect("decides");
    group.acknowledge(&me(), &device(name), &dataset(), version).expect("decides");
    group.commit().expect("commits");
}

/// Reaps until nothing is due at a time; returns what each step deleted.
pub(super) fn reap(store: &Store, retention: &RetentionPolicy, now_ms: u64) -> Vec<ReapResult> {
    let mut steps = Vec::new();
    loop {
        let due = store.due_datasets(now_ms, 8).expect("reads");
        if due.is_empty() {
            return steps;
        }
        assert!(steps.len() < 1000, "the reaper does not finish");
        for due in due {
            let mut group = store.group();
            steps.push(group.reap(&due, retention, now_ms).expect("decides"));
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
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    acknowledge(&store, "laptop", 0);
    put_and_remove(&store, &["a", "b"], BEGIN_MS);
    acknowledge(&store, "laptop", 2);
    acknowledge(&store, "phone", 4);
    assert_eq!(tombstones(&reap(&store, &retention, BEGIN_MS + 29 * DAY_MS)), 1, "the laptop has seen the first removal only");
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstone_horizon, 2);
    assert_eq!(tombstones(&reap(&store, &retention, BEGIN_MS + 31 * DAY_MS)), 1, "30 days are over");
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.tombstone_horizon, head.tombstones, head.version), (4, 0, 4));
    assert_eq!(store.due_datasets(u64::MAX - 1, 9).expect("reads"), [], "nothing is left to reap");
}

#[test]
fn a_tombstone_goes_when_every_device_has_acknowledged_it_but_not_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    let version = put_and_remove(&store, &["a"], BEGIN_MS);
    acknowledge(&store, "phone", version);
    assert_eq!(reap(&store, &retention, BEGIN_MS + 60_000), [], "a device may be reading the dataset");
    assert_eq!(tombstones(&reap(&store, &retention, BEGIN_MS + 3_600_000)), 1);
}

#[test]
fn a_device_behind_the_horizon_gets_a_snapshot_and_one_at_the_horizon_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    let version = put_and_remove(&store, &["a", "b"], BEGIN_MS);
    let early = Cursor::at(1);
    reap(&store, &retention, BEGIN_MS + 31 * DAY_MS);
    let at = |version| Position { epoch: epoch("first"), version }.into();
    let start = |version| store.start(&me(), &dataset(), Some(&at(version))).expect("reads");
    assert!(matches!(start(version - 1), ReadStart::Reset { shared: None, .. }));
    assert!(matches!(start(version), ReadStart::After(_)));
    let ReadResult::Behind(again) = store.changes(&me(), &dataset(), early).expect("reads") else { panic!("not behind") };
    assert!(matches!(store.changes(&me(), &dataset(), again), Ok(ReadResult::Page(page)) if page.cursor == Cursor::at(version)));
}

#[test]
fn a_put_on_a_record_whose_tombstone_is_gone_conflicts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    let version = put_and_remove(&store, &["a", "b"], BEGIN_MS);
    reap(&store, &retention, BEGIN_MS + 31 * DAY_MS);
    let mut late = patch(1, "tablet", &[("a", Op::Put, "7")]);
    late.changes[0].base = Some(1);
    let Decision::Conflict(conflicting) = write_at(&store, &late, &DatasetRules::default(), BEGIN_MS) else { panic!("no conflict") };
    assert_eq!((&conflicting[0].key, &conflicting[0].content, conflicting[0].version), (&key("a"), &Content::Removed, version));
    // The device resolves the conflict with the version that it got, and conflicts no more.
    late.id = 2;
    late.changes[0].base = Some(conflicting[0].version);
    assert!(matches!(write_at(&store, &late, &DatasetRules::default(), BEGIN_MS), Decision::Written { .. }));
    let fresh = patch(3, "tablet", &[("new", Op::Put, "1")]);
    assert!(matches!(write_at(&store, &fresh, &DatasetRules::default(), BEGIN_MS), Decision::Written { .. }));
}

#[test]
fn a_clock_that_jumped_keeps_no_tombstone_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    // The clock is ten years ahead for a moment, then right, then a year behind.
    put_and_remove(&store, &["a"], BEGIN_MS + 3650 * DAY_MS);
    put_and_remove(&store, &["b"], BEGIN_MS);
    put_and_remove(&store, &["c"], BEGIN_MS - 365 * DAY_MS);
    let mut group = store.group();
    let due = store.due_datasets(u64::MAX - 1, 1).expect("reads").remove(0);
    group.reap(&due, &retention, BEGIN_MS).expect("decides");
    group.commit().expect("commits");
    // The last tombstone looks a year old: those before it are at least as old, whatever their dates say.
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 0);

    put_and_remove(&store, &["d"], BEGIN_MS + 3650 * DAY_MS);
    acknowledge(&store, "laptop", 1);
    let mut now_ms = BEGIN_MS;
    for _ in 0..40 {
        let Some(due) = store.due_datasets(u64::MAX - 1, 1).expect("reads").pop() else { break };
        let mut group = store.group();
        group.reap(&due, &retention, now_ms).expect("decides");
        group.commit().expect("commits");
        now_ms += DAY_MS;
    }
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 0, "the reaper corrected the date in the future");
}

#[test]
fn a_step_is_bounded_and_further_steps_delete_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    let names: Vec<String> = (0..1000).map(|n| format!("k{n}")).collect();
    for (id, op, value) in [(1, Op::Put, "1"), (2, Op::Remove, "")] {
        let changes: Vec<_> = names.iter().map(|name| (name.as_str(), op, value)).collect();
        write_at(&store, &patch(id, "phone", &changes), &DatasetRules::default(), BEGIN_MS);
    }
    let steps = reap(&store, &retention, BEGIN_MS + 31 * DAY_MS);
    assert!(steps.len() >= 4 && steps.iter().all(|step| step.tombstones <= 256), "{steps:?}");
    assert_eq!(tombstones(&steps), 1000);
    assert_eq!(all(&store), []);
}

#[test]
fn a_dataset_with_far_too_many_tombstones_is_due_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy { tombstones: 10, ..RetentionPolicy::default() });
    let rules = DatasetRules { retention, ..DatasetRules::default() };
    for n in 0..30 {
        let name = format!("k{n}");
        write_at(&store, &patch(2 * n + 1, "phone", &[(&name, Op::Put, "1")]), &rules, BEGIN_MS);
        write_at(&store, &patch(2 * n + 2, "phone", &[(&name, Op::Remove, "")]), &rules, BEGIN_MS);
    }
    assert_eq!(tombstones(&reap(&store, &retention, BEGIN_MS)), 20);
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 10);
}

#[test]
fn a_remove_with_a_base_leaves_a_tombstone_even_where_no_record_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut offer = patch(1, "phone", &[("gone", Op::Remove, "")]);
    offer.changes[0].base = Some(0);
    assert!(matches!(write_at(&store, &offer, &DatasetRules::default(), BEGIN_MS), Decision::Written { version: 1, .. }));
    let mut late = patch(1, "laptop", &[("gone", Op::Put, "1")]);
    late.changes[0].base = Some(0);
    assert!(
        matches!(write_at(&store, &late, &DatasetRules::default(), BEGIN_MS), Decision::Conflict(_)),
        "the record does not come back without a conflict"
    );
}

#[test]
fn a_record_that_comes_back_takes_its_tombstone_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    put_and_remove(&store, &["a", "b"], BEGIN_MS);
    write_at(&store, &patch(100, "phone", &[("a", Op::Put, "1")]), &DatasetRules::default(), BEGIN_MS);
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    assert_eq!(rows.iter().filter(|(key, _)| RowKind::Tombstone.is_of(key)).count(), 1, "that of b");
}

#[test]
fn a_step_says_whether_positions_need_a_snapshot_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    put_and_remove(&store, &["a"], BEGIN_MS);
    let moved = |days| {
        let steps = reap(&store, &retention, BEGIN_MS + days * DAY_MS);
        assert!(steps.iter().any(|step| step.tombstones + step.versions > 0), "{days} days");
        steps.iter().any(|step| step.has_moved_horizon)
    };
    assert_eq!((moved(8), moved(31)), (false, true), "history goes first, then the tombstone");
}

#[test]
fn due_dates_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let retention = RetentionPolicy::default();
    let opened = store(folder.path());
    put_and_remove(&opened, &["a"], BEGIN_MS);
    drop(opened);
    let opened = Store::open(folder.path(), &CONFIG, &epoch("second")).expect("opens again");
    assert_eq!(tombstones(&reap(&opened, &retention, BEGIN_MS + 31 * DAY_MS)), 1);
}

/// A tombstone whose date is corrected is set twice. When its record is put again it must be gone, also from the tree.
#[test]
fn a_tombstone_whose_date_was_corrected_takes_no_later_record_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let retention = RetentionPolicy::default();
    // The clock is years ahead. Closing the store flushes everything to the tree.
    let mut version = put_and_remove(&store(folder.path()), &["a"], BEGIN_MS + 3_650 * DAY_MS);
    let store = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens");
    let mut put = |name: &str, at_ms: u64| {
        version += 1;
        write_at(&store, &patch(version, "phone", &[(name, Op::Put, "1")]), &DatasetRules::default(), at_ms)
    };
    // The clock is right again, and the reaper corrects the date.
    put("other", BEGIN_MS);
    let (reaped_ms, later_ms) = (BEGIN_MS + 2 * DAY_MS, BEGIN_MS + 100 * DAY_MS);
    assert_eq!(tombstones(&reap(&store, &retention, reaped_ms)), 0);
    put("a", reaped_ms);
    put_and_remove(&store, &["b"], reaped_ms);
    assert_eq!(tombstones(&reap(&store, &retention, later_ms)), 1, "that of b");
    let live: Vec<_> = all(&store).into_iter().filter(|record| record.content != Content::Removed).map(|record| record.key).collect();
    assert_eq!(live, [key("other"), key("a")]);
}

#[test]
fn the_next_write_corrects_a_due_date_that_a_clock_far_ahead_has_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, retention) = (store(folder.path()), RetentionPolicy::default());
    put_and_remove(&store, &["a"], BEGIN_MS + 3650 * DAY_MS);
    put_and_remove(&store, &["b"], BEGIN_MS);
    assert!(!store.due_datasets(BEGIN_MS + 2 * DAY_MS, 9).expect("reads").is_empty(), "the reaper visits the dataset within two days");
    let steps = reap(&store, &retention, BEGIN_MS + 40 * DAY_MS);
    assert_eq!(tombstones(&steps), 2);
}

#[test]
fn a_step_deletes_as_much_as_a_flood_wrote_and_each_version_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let retention = RetentionPolicy { tombstones: 100, history_versions: 1, ..RetentionPolicy::default() };
    // The bounds were lowered since.
    let before = RetentionPolicy { tombstones: 100_000, ..RetentionPolicy::default() };
    let (store, rules) = (store(folder.path()), DatasetRules { retention: before, ..DatasetRules::default() });
    let large = format!("\"{}\"", "x".repeat(200_000));
    for id in 1..=40 {
        let names: Vec<String> = (0..100).map(|n| format!("k{id}.{n}")).collect();
        for (number, op, value) in [(2 * id - 1, Op::Put, "1"), (2 * id, Op::Remove, "")] {
            let mut changes: Vec<_> = names.iter().map(|name| (name.as_str(), op, value)).collect();
            changes.push(("large", Op::Put, &large));
            write_at(&store, &patch(number, "phone", &changes), &rules, BEGIN_MS);
        }
    }
    let due = store.due_datasets(u64::MAX - 1, 1).expect("reads").remove(0);
    let mut group = store.group();
    let step = group.reap(&due, &retention, due.at_ms).expect("decides");
    group.commit().expect("commits");
    assert_eq!(step.tombstones, 3900, "a step is larger if far too much is kept");
    assert!(step.versions < 79 && step.has_more, "but it keeps to its bytes");
    // Every version that is left is complete.
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!(store.history(&me(), &dataset(), None, 999).expect("reads").versions.len() as u64, head.version - head.oldest_version);
    reap(&store, &retention, due.at_ms);
    assert_eq!(store.head(&me(), &dataset()).expect("reads").oldest_version, 79);
}

/// The reaper never comes.
#[test]
fn a_flood_of_removals_and_of_versions_keeps_to_its_bounds_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let retention = RetentionPolicy { tombstones: 100, history_versions: 10, history_bytes: 100_000, ..RetentionPolicy::default() };
    let (store, rules) = (store(folder.path()), DatasetRules { retention, ..DatasetRules::default() });
    let text = format!("\"{}\"", "x".repeat(20_000));
    let mut rows = Vec::new();
    for id in 1..=60 {
        let mut removals = patch(id, "phone", &[("text", Op::Put, &text)]);
        for n in 0..300 {
            // A base on a record that never was: the removal is remembered all the same.
            removals.changes.push(driftless_protocol::Change::new(key(&format!("k{id}.{n}")), Op::Remove, None).with_base(0));
        }
        write_at(&store, &removals, &rules, BEGIN_MS);
        let head = store.head(&me(), &dataset()).expect("reads");
        assert!(head.tombstones <= 4 * 100 && head.history_bytes <= 4 * 100_000, "{head:?}");
        rows.push(store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").len());
    }
    assert!(rows.iter().all(|count| *count < 1_500), "{rows:?}");
    assert_eq!(store.head(&me(), &dataset()).expect("reads").records, 1);
    let again = write_at(&store, &patch(61, "phone", &[("k60.299", Op::Put, "1")]), &rules, BEGIN_MS);
    assert!(matches!(again, Decision::Written { version: 61, .. }), "{again:?}");
}

#[test]
fn a_dataset_that_cannot_be_reaped_is_due_again_a_day_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    put_and_remove(&store, &["a"], BEGIN_MS);
    let due = store.due_datasets(u64::MAX - 1, 1).expect("reads").remove(0);
    let mut group = store.group();
    group.postpone(&due, BEGIN_MS).expect("decides");
    group.commit().expect("commits");
    let again = store.due_datasets(u64::MAX - 1, 9).expect("reads");
    assert_eq!((again.len(), again[0].at_ms), (1, BEGIN_MS + DAY_MS));
    assert_eq!(tombstones(&reap(&store, &RetentionPolicy::default(), BEGIN_MS + 31 * DAY_MS)), 1);
}
