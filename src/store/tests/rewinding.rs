//! A restore of a dataset is written in parts: what each of them costs, and what happens between two of them.

use driftless_protocol::{Content, Op};

use crate::store::support::{CONFIG, all, dataset, epoch, me, patch, store, write};
use crate::store::{Decision, RetentionPolicy, RewindPart, RewindPlan, Store, VersionNotKept};

/// What a part of a restore may cost: what it reads of the present and of history, and what it writes of both.
const MOST_PART_WORK: usize = 3 * 1024 * 1024;

/// Writes one part, and returns its outcome and its work.
fn apply(store: &Store, plan: &RewindPlan, part: usize) -> (RewindPart, usize) {
    let mut group = store.group();
    let outcome = group.rewind_part(plan, part, &RetentionPolicy::default(), 9).expect("decides");
    let work = group.work_bytes();
    group.commit().expect("commits");
    (outcome, work)
}

fn plan(store: &Store, to: u64) -> RewindPlan {
    store.rewind_plan(&me(), &dataset(), to, 5).expect("reads").expect("kept")
}

fn live(store: &Store) -> Vec<(String, Content)> {
    let records = all(store).into_iter().filter(|record| record.content != Content::Removed);
    let mut live: Vec<_> = records.map(|record| (record.key.as_str().to_owned(), record.content)).collect();
    live.sort_by(|a, b| a.0.cmp(&b.0));
    live
}

/// Versions 1 to 14: large and small records. Then all of them are replaced or removed; the version before that is returned.
fn write_large_dataset(store: &Store) -> u64 {
    let put = |id, names: &[String], json: &str| {
        let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, json)).collect();
        assert!(matches!(write(store, &patch(id, "phone", &changes)), Decision::Written { .. }));
    };
    let small = |round: u64| (0..1000).map(|n| format!("small {round} {n}")).collect::<Vec<_>>();
    let large = |n: u64| vec![format!("large {n}")];
    let text = |letter: &str| format!("\"{}\"", letter.repeat(900_000));
    (0..6).for_each(|n| put(1 + n, &large(n), &text("a")));
    (0..3).for_each(|round| put(10 + round, &small(round), "1"));
    let before = store.version(&me(), &dataset()).expect("reads");
    (0..6).for_each(|n| put(20 + n, &large(n), &text("b")));
    (0..3).for_each(|round| put(30 + round, &small(round), "2"));
    before
}

#[test]
fn a_restore_at_the_bounds_has_parts_of_bounded_work_each_of_which_is_a_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let to = write_large_dataset(&store);
    let expected = {
        let records = store.records_at(&me(), &dataset(), to).expect("reads").expect("kept");
        records.into_iter().map(|record| (record.key.as_str().to_owned(), record.content)).collect::<Vec<_>>()
    };
    let mut version = store.version(&me(), &dataset()).expect("reads");
    let plan = plan(&store, to);
    assert!(plan.parts() > 3000 / 256 + 6 - 1, "{} parts", plan.parts());
    let mut changed = 0;
    for part in 0..plan.parts() {
        let (RewindPart::Written { version: made, records }, work) = apply(&store, &plan, part) else { panic!("part {part}") };
        assert_eq!(made, version + 1, "no gap (I1)");
        assert!(records <= 256 && work < MOST_PART_WORK, "part {part}: {records} records, {work} bytes of work");
        assert_eq!(store.unfinished_rewinds(None, 9).expect("reads").len(), usize::from(part + 1 < plan.parts()), "part {part}");
        (version, changed) = (made, changed + records);
    }
    assert_eq!(changed, 3006);
    assert_eq!(live(&store), expected);
}

/// A crash after some parts, a write before it, and one while the server is away do not change what the rest of the restore is.
#[test]
fn a_restore_that_was_interrupted_goes_on_and_what_devices_wrote_meanwhile_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let to = write_large_dataset(&store);
    let mut expected = store.records_at(&me(), &dataset(), to).expect("reads").expect("kept");
    let plan = plan(&store, to);
    for part in 0..3 {
        apply(&store, &plan, part);
    }
    write(&store, &patch(50, "phone", &[("small 2 999", Op::Put, "7"), ("new", Op::Put, "8"), ("small 2 998", Op::Remove, "")]));
    drop(store);

    let store = Store::open(folder.path(), &CONFIG, &epoch("other")).expect("opens");
    let unfinished = store.unfinished_rewinds(None, 9).expect("reads").remove(0);
    assert_eq!((&unfinished.identity, &unfinished.dataset, unfinished.begun_ms()), (&me(), &dataset(), 5));
    let rest = store.resumed_rewind_plan(&unfinished).expect("reads").expect("kept");
    assert!(rest.parts() < plan.parts(), "what is written is not written again");
    for part in 0..rest.parts() {
        assert!(matches!(apply(&store, &rest, part).0, RewindPart::Written { .. }));
    }
    assert_eq!(store.unfinished_rewinds(None, 9).expect("reads"), []);
    expected.retain(|record| record.key.as_str() != "small 2 998");
    let mut expected: Vec<_> = expected.into_iter().map(|record| (record.key.as_str().to_owned(), record.content)).collect();
    expected.iter_mut().filter(|(key, _)| key == "small 2 999").for_each(|(_, content)| *content = Content::Value(7.into()));
    expected.push(("new".to_owned(), Content::Value(8.into())));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(live(&store), expected);
    // A part that was on its way when the restore was completed changes nothing.
    assert_eq!(apply(&store, &plan, 4).0, RewindPart::Ended);
    assert_eq!(live(&store), expected);
}

#[test]
fn a_later_restore_takes_the_place_of_one_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let to = write_large_dataset(&store);
    let (now, first) = (store.version(&me(), &dataset()).expect("reads"), plan(&store, to));
    assert!(matches!(apply(&store, &first, 0).0, RewindPart::Written { records: 1.., .. }));
    let back = plan(&store, now);
    assert_eq!(back.parts(), 1, "only what the first part has changed");
    assert!(matches!(apply(&store, &back, 0).0, RewindPart::Written { records: 1.., .. }));
    assert_eq!(store.unfinished_rewinds(None, 9).expect("reads"), []);
    assert_eq!(apply(&store, &first, 1).0, RewindPart::Ended);
    let then = store.records_at(&me(), &dataset(), now).expect("reads").expect("kept");
    assert_eq!(live(&store), then.into_iter().map(|record| (record.key.as_str().to_owned(), record.content)).collect::<Vec<_>>());
}

/// The reaper may have taken the history that an interrupted restore needs: it ends there, and is not tried for ever.
#[test]
fn a_restore_whose_history_is_gone_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let to = write_large_dataset(&store);
    let plan = plan(&store, to);
    apply(&store, &plan, 0);
    super::reaping::reap(&store, &RetentionPolicy { history_versions: 0, ..RetentionPolicy::default() }, u64::MAX / 2);
    let unfinished = store.unfinished_rewinds(None, 9).expect("reads").remove(0);
    assert!(matches!(store.resumed_rewind_plan(&unfinished).expect("reads"), Err(VersionNotKept { .. })));
    let mut group = store.group();
    group.end_rewind(&unfinished).expect("decides");
    group.commit().expect("commits");
    assert_eq!(store.unfinished_rewinds(None, 9).expect("reads"), []);
    assert_eq!(apply(&store, &plan, 1).0, RewindPart::Ended);
}

/// What the first parts of a restore add to the history would push out what the rest of it needs.
#[test]
fn an_interrupted_restore_keeps_the_history_that_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let to = write_large_dataset(&store);
    let expected = store.records_at(&me(), &dataset(), to).expect("reads").expect("kept");
    let plan = plan(&store, to);
    for part in 0..5 {
        apply(&store, &plan, part);
    }
    let retention = RetentionPolicy { history_versions: 9, history_bytes: 1, ..RetentionPolicy::default() };
    let later_ms = 9 + 2 * retention.least_tombstone_ms();
    super::reaping::reap(&store, &retention, later_ms);
    assert!(store.history(&me(), &dataset(), None, 100).expect("reads").oldest <= to);
    let unfinished = store.unfinished_rewinds(None, 9).expect("reads").remove(0);
    let rest = store.resumed_rewind_plan(&unfinished).expect("reads").expect("kept");
    for part in 0..rest.parts() {
        apply(&store, &rest, part);
    }
    let expected: Vec<_> = expected.into_iter().map(|record| (record.key.as_str().to_owned(), record.content)).collect();
    assert_eq!(live(&store), expected);
    // Once it is complete history is as short as ever.
    super::reaping::reap(&store, &retention, later_ms + retention.history_ms);
    assert!(store.history(&me(), &dataset(), None, 100).expect("reads").oldest > to);
}

#[test]
fn an_erasure_ends_a_restore() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let to = write_large_dataset(&store);
    let plan = plan(&store, to);
    apply(&store, &plan, 0);
    let mut group = store.group();
    group.erase(&me()).expect("decides");
    group.commit().expect("commits");
    assert_eq!(apply(&store, &plan, 1).0, RewindPart::NoIdentity);
    super::erasing::finish_job(&store, &me());
    assert_eq!(store.unfinished_rewinds(None, 9).expect("reads"), []);
}

#[test]
fn large_records_that_a_restore_removes_count_to_its_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write(&store, &patch(1, "phone", &[("small", Op::Put, "1")]));
    let text = format!("\"{}\"", "x".repeat(900_000));
    (0..3).for_each(|n| drop(write(&store, &patch(2 + n, "phone", &[(&n.to_string(), Op::Put, &text)]))));
    assert!(plan(&store, 1).parts() > 1);
}
