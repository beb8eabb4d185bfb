//! An identity owns a bounded number of bytes; what frees some always goes through.

use driftless_protocol::{Op, RefusalCode};

use super::backup::{backup, restored};
use super::erasing::finish_job;
use super::merging::guest;
use super::reaping::reap;
use crate::merge::ConflictPolicy;
use crate::store::keys::{self, RowKind};
use crate::store::owned_bytes::STEP_BYTES;
use crate::store::row_source::RowSource;
use crate::store::rows::{self, HeadRow, TombstoneRow};
use crate::store::support::{CONFIG, dataset, epoch, me, patch, sign_in, store, write_at};
use crate::store::{DatasetRules, Decision, EraseStart, Identity, MergePolicies, MergeStart, Patch, RetentionPolicy, Store, device_bytes};

const TEXT_BYTES: usize = 100_000;

/// What a record with a key of one byte and such a text counts: the text has five bytes in front of it.
const RECORD_BYTES: u64 = 1 + 5 + TEXT_BYTES as u64 + 256;

/// Rules that leave so many bytes for datasets.
fn rules(datasets_bytes: u64, history_versions: u64) -> DatasetRules {
    let rules = DatasetRules::default();
    let retention = RetentionPolicy { history_versions, ..rules.retention };
    DatasetRules { identity_bytes: device_bytes(&rules.limits) + datasets_bytes, retention, ..rules }
}

fn put(id: u64, name: &str, letter: &str) -> Patch {
    patch(id, "phone", &[(name, Op::Put, &format!("\"{}\"", letter.repeat(TEXT_BYTES)))])
}

fn is_written(decision: &Decision) -> bool {
    matches!(decision, Decision::Written { .. })
}

fn is_refused(decision: &Decision) -> bool {
    matches!(decision, Decision::Refused(RefusalCode::DatasetFull, why) if why.contains("remove records"))
}

fn owned(store: &Store, identity: &Identity) -> u64 {
    store.owned_bytes(identity).expect("reads")
}

/// Checks the total of an identity against its heads, and the bytes of its tombstones against their rows.
fn check(store: &Store, identity: &Identity) {
    let mut counted = 0;
    let mut tombstone_bytes = 0;
    for (_, row) in store.engine.all_of(&keys::heads(identity)).expect("reads") {
        let head: HeadRow = rows::decode(&row).expect("a head");
        assert!(head.stored_bytes().abs_diff(head.counted_bytes) < STEP_BYTES, "{head:?}");
        counted += head.counted_bytes;
        tombstone_bytes += head.tombstone_bytes;
    }
    assert_eq!(owned(store, identity), counted);
    let tombstones = store.engine.all_of(&keys::of_identity(RowKind::Tombstone, identity)).expect("reads");
    let key_bytes = |(_, row): &(Vec<u8>, Vec<u8>)| rows::decode::<TombstoneRow>(row).expect("a tombstone").key.as_str().len() as u64;
    assert_eq!(tombstone_bytes, tombstones.iter().map(key_bytes).sum::<u64>());
}

#[test]
fn an_identity_at_its_bound_takes_what_does_not_make_it_larger_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path());
    let exact = rules(3 * RECORD_BYTES, 0);
    for (id, name) in [(1, "a"), (2, "b")] {
        assert!(is_written(&write_at(&first, &put(id, name, "x"), &exact, 7)));
    }
    let one_less = DatasetRules { identity_bytes: exact.identity_bytes - 1, ..exact };
    assert!(is_refused(&write_at(&first, &put(3, "c", "x"), &one_less, 7)), "one byte over");
    assert!(is_written(&write_at(&first, &put(4, "c", "x"), &exact, 7)), "exactly at it");
    assert_eq!(owned(&first, &me()), 3 * RECORD_BYTES);
    assert!(is_refused(&write_at(&first, &put(5, "d", "x"), &exact, 7)));
    assert!(is_refused(&write_at(&first, &put(5, "d", "x"), &exact, 7)), "a retry gets the same answer");
    drop(first);
    let again = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens");
    assert_eq!(owned(&again, &me()), 3 * RECORD_BYTES);
    assert!(is_refused(&write_at(&again, &put(6, "d", "x"), &exact, 7)));
    assert!(is_written(&write_at(&again, &put(7, "c", "y"), &exact, 7)), "as large as before");
    assert!(is_written(&write_at(&again, &patch(8, "phone", &[("c", Op::Remove, "")]), &exact, 7)));
    check(&again, &me());
    let after_removal = write_at(&again, &put(9, "d", "x"), &rules(3 * RECORD_BYTES + 1 + 256, 0), 7);
    assert!(is_written(&after_removal), "a tombstone counts its key: {after_removal:?}");
    check(&again, &me());
}

#[test]
fn small_writes_go_beyond_the_bound_by_less_than_a_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let rules = rules(2 * RECORD_BYTES, 0);
    let small = |id: u64| patch(id, "phone", &[(&format!("k{id}"), Op::Put, &format!("\"{}\"", "x".repeat(1000)))]);
    let mut id = 0;
    loop {
        id += 1;
        match write_at(&store, &small(id), &rules, 7) {
            written if is_written(&written) => assert!(id < 1000, "no bound"),
            refused => {
                assert!(is_refused(&refused), "{refused:?}");
                break;
            }
        }
    }
    let stored = store.head(&me(), &dataset()).expect("reads").stored_bytes();
    assert!(stored < 2 * RECORD_BYTES + STEP_BYTES && stored + STEP_BYTES > 2 * RECORD_BYTES, "{stored}");
    check(&store, &me());
}

#[test]
fn history_and_tombstones_count_and_what_the_reaper_deletes_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let rules = rules(4 * RECORD_BYTES, 1000);
    let head = || store.head(&me(), &dataset()).expect("reads");
    assert!(is_written(&write_at(&store, &put(1, "a", "x"), &rules, 7)));
    for (id, letter) in (2..=12).zip(["a", "b"].iter().cycle()) {
        assert!(is_written(&write_at(&store, &put(id, "a", letter), &rules, 7)), "patch {id} makes no record larger");
    }
    assert!((1..=4).contains(&(head().history_bytes / TEXT_BYTES as u64)), "over the bound no history is kept: {}", head().history_bytes);
    assert!(owned(&store, &me()) <= 4 * RECORD_BYTES);
    assert!(is_refused(&write_at(&store, &put(13, "b", "x"), &rules, 7)));
    check(&store, &me());
    // All of the history is too old now.
    let later = 7 + 2 * rules.retention.history_ms;
    reap(&store, &rules.retention, later);
    assert_eq!(head().history_bytes, 0);
    check(&store, &me());
    assert!(is_written(&write_at(&store, &put(14, "b", "x"), &rules, later)));
    assert!(is_written(&write_at(&store, &patch(15, "phone", &[("a", Op::Remove, ""), ("b", Op::Remove, "")]), &rules, later)));
    check(&store, &me());
    reap(&store, &rules.retention, later + 2 * rules.retention.tombstone_ms);
    assert_eq!((head().tombstones, head().tombstone_bytes), (0, 0));
    check(&store, &me());
}

#[test]
fn a_merged_identity_owns_what_both_did_and_may_be_over_the_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "guest", &guest());
    // Two of the guest's keys have one byte more.
    let rules = rules(3 * RECORD_BYTES + 2, 0);
    for (id, name) in [(1, "a"), (2, "b")] {
        assert!(is_written(&write_at(&store, &put(id, name, "x"), &rules, 7)));
        let theirs = Patch { identity: guest(), ..put(id, &format!("g{name}"), "x") };
        assert!(is_written(&write_at(&store, &theirs, &rules, 7)));
    }
    let mut theirs = Patch { identity: guest(), ..put(3, "c", "x") };
    theirs.dataset = driftless_protocol::DatasetName::new("own").expect("a name");
    assert!(is_written(&write_at(&store, &theirs, &rules, 7)));
    let mut group = store.group();
    let policies = MergePolicies { policy: ConflictPolicy::Reject, datasets: Vec::new() };
    assert_eq!(group.merge(&guest(), &me(), &policies, 7).expect("decides"), MergeStart::Begun);
    group.commit().expect("commits");
    finish_job(&store, &guest());
    check(&store, &me());
    assert!(owned(&store, &me()) >= 5 * RECORD_BYTES);
    assert!(is_refused(&write_at(&store, &put(9, "d", "x"), &rules, 7)));
    let removed = patch(10, "phone", &[("a", Op::Remove, "")]);
    assert!(is_written(&write_at(&store, &removed, &rules, 7)));
    check(&store, &me());
}

#[test]
fn a_restored_backup_has_the_totals_and_erasing_goes_through_at_the_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = store(&folder.path().join("own"));
    let rules = rules(2 * RECORD_BYTES, 0);
    for (id, name) in [(1, "a"), (2, "b")] {
        assert!(is_written(&write_at(&own, &put(id, name, "x"), &rules, 7)));
    }
    let bytes = backup(&own, |_| {});
    let other = restored(folder.path(), &bytes, "other").expect("is restored");
    assert_eq!(owned(&other, &me()), 2 * RECORD_BYTES);
    assert!(is_refused(&write_at(&other, &put(3, "c", "x"), &rules, 7)));
    check(&other, &me());
    let mut group = other.group();
    assert_eq!(group.erase(&me()).expect("decides"), EraseStart::Begun);
    group.commit().expect("commits");
    finish_job(&other, &me());
    sign_in(&other, "alice", &me());
    assert_eq!(owned(&other, &me()), 0);
    assert!(is_written(&write_at(&other, &put(1, "a", "x"), &rules, 7)));
}

#[test]
fn a_dataset_is_counted_once_it_has_grown_by_a_step_and_each_of_its_conflicts_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_at(&store, &patch(1, "phone", &[("a", Op::Put, "1")]), &DatasetRules::default(), 7);
    assert_eq!(owned(&store, &me()), 0, "a small write does not touch the identity's row");
    let bytes = |conflicts| HeadRow { conflicts, ..HeadRow::default() }.stored_bytes();
    assert_eq!((bytes(0), bytes(3)), (0, 3 * bytes(1)));
    assert!(bytes(1) >= 8 * 32, "the keys of a conflict");
}
