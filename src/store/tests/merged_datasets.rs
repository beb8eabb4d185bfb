//! Datasets of a guest at the user: which move as they are, and what the log and the reaper have of them.

use driftless_protocol::Op;

use super::merging::{begin, guest, write_both};
use super::reaping::reap;
use crate::merge::ConflictPolicy;
use crate::store::support::{dataset, me, patch, sign_in, store, write, write_at};
use crate::store::tests::erasing::finish_job;
use crate::store::{DatasetRules, Decision, Patch, RetentionPolicy, Store, VersionOrigin};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Changes of the guest's dataset, a version each.
fn write_as_guest(store: &Store, versions: impl IntoIterator<Item = Vec<(String, Op, String)>>) {
    sign_in(store, "guest", &guest());
    for (at, changes) in versions.into_iter().enumerate() {
        let changes: Vec<_> = changes.iter().map(|(key, op, value)| (key.as_str(), *op, value.as_str())).collect();
        let patch = Patch { identity: guest(), ..patch(1 + at as u64, "phone", &changes) };
        assert!(matches!(write_at(store, &patch, &DatasetRules::default(), DAY_MS), Decision::Written { .. }));
    }
}

fn puts(keys: std::ops::Range<usize>, value: &str) -> Vec<(String, Op, String)> {
    keys.map(|n| (n.to_string(), Op::Put, value.to_owned())).collect()
}

fn removes(keys: std::ops::Range<usize>) -> Vec<(String, Op, String)> {
    keys.map(|n| (n.to_string(), Op::Remove, String::new())).collect()
}

/// Whether the dataset that was written moved as it is, and was not merged record by record.
fn moves(store: &Store) -> bool {
    begin(store, ConflictPolicy::Reject);
    finish_job(store, &guest());
    let newest = store.history(&me(), &dataset(), None, 1).expect("reads").versions.remove(0);
    !matches!(newest.origin, VersionOrigin::Merged(_))
}

#[test]
fn a_dataset_moves_as_it_is_if_its_rows_and_bytes_fit_a_step() {
    let large = format!("\"{}\"", "x".repeat(600_000));
    for (case, versions, expected) in [
        ("some records", vec![puts(0..20, "1")], true),
        ("as many versions as records", (0..20).map(|n| puts(n..n + 1, "1")).collect(), true),
        ("many records", vec![puts(0..300, "1")], false),
        ("many tombstones", vec![puts(0..300, "1"), removes(0..200)], false),
        ("many versions", (0..300).map(|n| puts(0..1, &n.to_string())).collect(), false),
        ("a large record", vec![puts(0..1, &large)], true),
        ("large records", vec![puts(0..2, &large)], false),
        ("large history", vec![puts(0..1, &large), puts(0..1, "1"), puts(0..1, &large)], false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        write_as_guest(&store, versions);
        assert_eq!(moves(&store), expected, "{case}");
    }
}

#[test]
fn versions_that_are_reaped_do_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_as_guest(&store, (0..200).map(|n| puts(0..1, &n.to_string())));
    reap(&store, &RetentionPolicy { history_versions: 10, ..RetentionPolicy::default() }, 400 * DAY_MS);
    begin(&store, ConflictPolicy::Reject);
    finish_job(&store, &guest());
    assert_eq!(store.version(&me(), &dataset()), Ok(200), "it has moved as it is");
}

#[test]
fn what_has_moved_is_reaped_at_its_new_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_as_guest(&store, [puts(0..3, "1"), removes(0..2)]);
    assert!(moves(&store));
    let steps = reap(&store, &RetentionPolicy::default(), 400 * DAY_MS);
    assert_eq!(steps.iter().map(|step| step.tombstones).sum::<u64>(), 2);
    assert_eq!(store.head(&me(), &dataset()).expect("reads").tombstones, 0);
}

#[test]
fn the_conflicts_of_a_merge_are_logged_behind_those_of_the_user() {
    for policy in [ConflictPolicy::Reject, ConflictPolicy::LastWriterWins] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        write_both(&store);
        let mut late = patch(1, "tablet", &[("u", Op::Put, "2")]);
        late.changes[0].base = Some(0);
        assert!(matches!(write(&store, &late), Decision::Conflict(_)));
        begin(&store, policy);
        finish_job(&store, &guest());
        let logged = store.conflicts(&me(), &dataset()).expect("reads");
        let logged: Vec<_> = logged.iter().map(|entry| (entry.number, entry.applied, entry.records[0].0.as_str())).collect();
        assert_eq!(logged, [(1, false, "u"), (2, policy == ConflictPolicy::LastWriterWins, "theme")]);
    }
}
