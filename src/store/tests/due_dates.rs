//! When a write makes its dataset due for the reaper: at once if it keeps far more than it should, later if there is something to reap.

use driftless_protocol::Op;

use crate::store::row_source::RowSource;
use crate::store::rows::HeadRow;
use crate::store::support::{dataset, me, patch, store, write_at};
use crate::store::{DatasetRules, Decision, RetentionPolicy, Store, keys};

const NOW_MS: u64 = 20_000 * 24 * 60 * 60 * 1000;

const WITHOUT_HISTORY: RetentionPolicy =
    RetentionPolicy { tombstone_ms: 1 << 32, tombstones: 2, history_ms: 1 << 31, history_versions: 0, history_bytes: 1 << 20 };

const WITH_HISTORY: RetentionPolicy = RetentionPolicy { history_versions: 2, ..WITHOUT_HISTORY };

/// A version of these changes, and the dataset's head after it.
fn head_after(store: &Store, id: u64, retention: RetentionPolicy, changes: &[(&str, Op, &str)]) -> HeadRow {
    let rules = DatasetRules { retention, ..DatasetRules::default() };
    assert!(matches!(write_at(store, &patch(id, "phone", changes), &rules, NOW_MS), Decision::Written { .. }));
    store.engine.row(&keys::head(&me(), &dataset())).expect("reads").expect("there")
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// The head after one version that puts so many records and one that removes them.
fn head_after_removals(store: &Store, count: usize) -> HeadRow {
    let names = names(count);
    let changes = |op, value| names.iter().map(|name| (name.as_str(), op, value)).collect::<Vec<_>>();
    assert_eq!(head_after(store, 1, WITHOUT_HISTORY, &changes(Op::Put, "1")).reap_at_ms, 0, "there is nothing to reap");
    head_after(store, 2, WITHOUT_HISTORY, &changes(Op::Remove, ""))
}

#[test]
fn tombstones_are_due_later_or_at_once_if_they_are_more_than_twice_their_bound() {
    for (count, due_ms) in [(1, NOW_MS + WITHOUT_HISTORY.first_visit_ms()), (4, NOW_MS + WITHOUT_HISTORY.first_visit_ms()), (5, NOW_MS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let head = head_after_removals(&store(folder.path()), count);
        assert_eq!((head.reap_at_ms, head.tombstones), (due_ms, count as u64), "{count} tombstones");
    }
}

#[test]
fn a_write_that_finds_more_than_four_times_the_bound_reaps() {
    for (count, left) in [(8, 8), (9, 2)] {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(head_after_removals(&store(folder.path()), count).tombstones, left, "{count} tombstones");
    }
}

#[test]
fn history_is_due_later_or_at_once_if_its_versions_or_bytes_are_more_than_twice_their_bound() {
    let later_ms = NOW_MS + WITH_HISTORY.first_visit_ms();
    let folder = tempfile::tempdir().expect("a folder");
    let versions = store(folder.path());
    let due: Vec<_> = (1..=5).map(|id| head_after(&versions, id, WITH_HISTORY, &[("a", Op::Put, "1")]).reap_at_ms).collect();
    assert_eq!(due, [later_ms, later_ms, later_ms, later_ms, NOW_MS]);
    let folder = tempfile::tempdir().expect("a folder");
    let begun = store(folder.path());
    (1..=3).for_each(|id| drop(head_after(&begun, id, WITHOUT_HISTORY, &[("a", Op::Put, "1")])));
    assert_eq!(head_after(&begun, 4, WITH_HISTORY, &[("a", Op::Put, "1")]).reap_at_ms, later_ms, "one version of four is in the history");
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = store(folder.path());
    let retention = RetentionPolicy { history_versions: 1000, history_bytes: 500, ..WITH_HISTORY };
    let heads = (1..).map(|id| head_after(&bytes, id, retention, &[("a", Op::Put, "1")]));
    let first_over =
        heads.inspect(|head| assert!(head.history_bytes > 1000 || head.reap_at_ms == later_ms)).find(|head| head.history_bytes > 1000);
    assert_eq!(first_over.map(|head| head.reap_at_ms), Some(NOW_MS));
}
