//! What a group sees, notes and counts, over an engine in memory.

use super::*;
use crate::store::engine::{CommitOutcome, Owner};
use crate::store::memory::{FaultPoint, Memory};
use crate::store::support::{dataset, device, epoch, me};
use crate::store::{JobFailure, Store};

/// Rows of one owner, in their order.
fn row_keys() -> [Bytes; 3] {
    [1, 2, 3].map(|version| keys::record(&me(), &dataset(), version, 0))
}

fn other() -> Bytes {
    keys::identity(&Identity::from("local:2"))
}

fn set(key: &Bytes, value: &[u8]) -> (Bytes, Option<Bytes>) {
    (key.clone(), Some(value.to_vec()))
}

/// A store that holds these rows.
fn store_with(memory: &Memory, rows: RowBatch) -> Store {
    let store = Store::in_memory(memory, &epoch("first")).expect("opens");
    store.engine.commit(vec![Batch::unfenced(rows)]).expect("commits");
    store
}

/// Another writer commits a row.
fn commit_beside(store: &Store, row: (Bytes, Option<Bytes>)) {
    let owner = Owner::from(keys::owner(&row.0));
    let fences = vec![(owner.clone(), store.engine.fence(&owner))];
    assert_eq!(store.engine.commit(vec![Batch { fences, rows: vec![row] }]).expect("commits"), [CommitOutcome::Applied]);
}

#[test]
fn a_scan_sees_the_rows_of_the_job_before_those_of_the_group_before_those_on_disk() {
    let [a, b, c] = row_keys();
    let store = store_with(&Memory::default(), vec![set(&a, b"disk"), set(&b, b"disk"), set(&c, b"disk")]);
    let mut view = View::new(&*store.engine, RowCache::default());
    let end = keys::prefix_end(&c);
    let scan = |view: &View<'_>, limit| view.scan(&a, &end, limit).expect("reads").into_iter().map(|(_, row)| row).collect::<Vec<_>>();
    assert_eq!(scan(&view, 9), [b"disk"; 3]);
    view.decide(vec![set(&b, b"group"), (a.clone(), None)]);
    assert_eq!(scan(&view, 9), [b"group".to_vec(), b"disk".to_vec()]);
    view.keep_job().expect("is kept");
    assert_eq!(scan(&view, 9), [b"group".to_vec(), b"disk".to_vec()]);
    view.decide(vec![set(&c, b"job"), (b.clone(), None)]);
    assert_eq!(scan(&view, 9), [b"job"]);
    assert_eq!((scan(&view, 1), scan(&view, 0)), (vec![b"job".to_vec()], vec![]));
    view.decide(vec![set(&b, b"again")]);
    assert_eq!((scan(&view, 1), scan(&view, 2)), (vec![b"again".to_vec()], vec![b"again".to_vec(), b"job".to_vec()]));
    for (start, end) in [(&b, &b), (&c, &a)] {
        assert!(view.scan(start, end, 9).expect("reads").is_empty(), "a range that ends before it starts");
    }
    view.drop_job();
    assert_eq!(scan(&view, 9), [b"group".to_vec(), b"disk".to_vec()]);
}

#[test]
fn work_is_the_bytes_of_each_row_that_is_read_or_written_and_some_for_the_row() {
    let [a, b, c] = row_keys();
    let key_bytes = a.len();
    let store = store_with(&Memory::default(), vec![set(&a, b"1234"), set(&b, b"12")]);
    let mut view = View::new(&*store.engine, RowCache::default());
    let mut counted = 0;
    let mut work = |view: &View<'_>| view.work_bytes() - std::mem::replace(&mut counted, view.work_bytes());
    view.get(&a).expect("reads");
    assert_eq!(work(&view), ROW_WORK_BYTES + 4);
    view.get(&c).expect("reads");
    assert_eq!(work(&view), ROW_WORK_BYTES, "a row that is not there");
    view.scan(&a, &c, 9).expect("reads");
    assert_eq!(work(&view), 2 * (ROW_WORK_BYTES + key_bytes) + 4 + 2);
    view.decide(vec![set(&b, b"123456"), (a.clone(), None)]);
    assert_eq!((work(&view), view.row_bytes()), (2 * (ROW_WORK_BYTES + key_bytes) + 6, 2 * key_bytes + 6));
    view.scan(&a, &c, 9).expect("reads");
    assert_eq!(work(&view), ROW_WORK_BYTES + key_bytes + 6, "what it sees");
    view.keep_job().expect("is kept");
    view.decide(vec![set(&c, b"123")]);
    assert_eq!((work(&view), view.row_bytes()), (ROW_WORK_BYTES + key_bytes + 3, 3 * key_bytes + 6 + 3));
    view.drop_job();
    view.count_work(7);
    assert_eq!((work(&view), view.row_bytes()), (7, 2 * key_bytes + 6), "a job that is dropped has still been work");
}

#[test]
fn the_largest_row_is_kept_and_a_larger_one_refuses_its_job() {
    let [a, b, _] = row_keys();
    let store = store_with(&Memory::default(), vec![]);
    let mut view = View::new(&*store.engine, RowCache::default());
    view.decide(vec![set(&a, &[7; ROW_BYTES])]);
    view.keep_job().expect("is kept");
    view.decide(vec![set(&a, b"small"), set(&b, &[7; ROW_BYTES + 1])]);
    assert!(matches!(view.keep_job(), Err(EngineError::Io(_))));
    assert_eq!((view.get(&a), view.get(&b)), (Ok(Some(vec![7; ROW_BYTES])), Ok(None)));
}

#[test]
fn rows_that_a_group_has_read_are_known_to_the_next_one_as_it_has_left_them() {
    let (ack, head, other) = (keys::ack(&me(), &device("phone"), &dataset()), keys::head(&me(), &dataset()), other());
    let memory = Memory::default();
    let store = store_with(&memory, vec![set(&ack, b"1"), set(&head, b"1"), set(&other, b"1")]);
    let mut group = store.group();
    for key in [&ack, &head, &other] {
        group.view.get(key).expect("reads");
    }
    assert_eq!(group.work_bytes(), 3 * (ROW_WORK_BYTES + 1));
    group.view.decide(vec![set(&head, b"2")]);
    group.commit().expect("commits");
    memory.fail_always(FaultPoint::Get);
    let group = store.group();
    let known = [&ack, &head, &other].map(|key| group.view.get(key).expect("is known").expect("is there"));
    assert_eq!(known, [b"1", b"2", b"1"], "of an owner that was written to, and of one that was only read");
    group.commit().expect("commits");
    memory.clear_faults();
    for (key, value) in [(&head, b"3"), (&other, b"3")] {
        commit_beside(&store, set(key, value));
    }
    let group = store.group();
    assert_eq!([&head, &other].map(|key| group.view.get(key).expect("reads")), [Some(b"3".to_vec()), Some(b"3".to_vec())]);
}

#[test]
fn a_job_that_relies_on_what_the_group_knows_of_an_identity_is_as_stale_as_the_job_that_read_it() {
    let store = store_with(&Memory::default(), vec![]);
    let mut group = store.group();
    let parts = [1, 2].map(|_| group.run(|group| group.has_identity(&me())).expect("decides").1);
    commit_beside(&store, set(&keys::head(&me(), &dataset()), b"1"));
    let outcomes = group.commit().expect("commits");
    assert_eq!(parts.map(|part| outcomes.of(part)), [CommitOutcome::Stale; 2]);
}

#[test]
fn a_job_that_fails_is_stale_if_another_writer_has_committed_to_an_owner_of_its() {
    let store = store_with(&Memory::default(), vec![]);
    let mut group = store.group();
    let mut fail = |key: &Bytes| {
        group.run(|group| {
            group.view.get(key)?;
            Err::<(), _>(EngineError::Damaged("as the test has it".to_owned()))
        })
    };
    let is_stale = |failed: Result<_, JobFailure>| failed.is_err_and(|failure| failure == JobFailure::Stale);
    let head = keys::head(&me(), &dataset());
    assert!(!is_stale(fail(&head)) && !is_stale(fail(&other())));
    commit_beside(&store, set(&head, b"1"));
    assert!(is_stale(fail(&head)) && !is_stale(fail(&other())));
}
