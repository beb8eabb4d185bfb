//! A job that fails leaves nothing in its group, wherever it fails (I10).

use driftless_protocol::Op;

use super::merging::{guest, write_both};
use super::push::{dead_token, registration};
use crate::merge::ConflictPolicy;
use crate::store::engine::{Bytes, ROW_BYTES};
use crate::store::memory::{FaultPoint, Memory};
use crate::store::support::{dataset, device, epoch, me, patch, sign_in};
use crate::store::{DatasetRules, DeviceBound, DueDataset, Group, Identity, JobFailure, LoginKey, MergePolicies, Store, StoreError, keys};

type DecideJob = fn(&mut Group<'_>) -> Result<(), StoreError>;

fn login(subject: &str) -> LoginKey<'_> {
    LoginKey { pool: "demo", issuer: "issuer", subject }
}

fn rules() -> DatasetRules {
    DatasetRules::default()
}

/// Merges the guest into the user.
fn merge(group: &mut Group<'_>) -> Result<(), StoreError> {
    let policies = MergePolicies { policy: ConflictPolicy::Reject, datasets: Vec::new() };
    group.merge(&guest(), &me(), &policies, 9).map(drop)
}

/// One job of each kind that writes rows.
fn jobs() -> Vec<(&'static str, DecideJob)> {
    vec![
        ("write", |group| group.write(&patch(9, "phone", &[("a", Op::Put, "1"), ("theme", Op::Remove, "")]), &rules(), 9).map(drop)),
        ("conflict", |group| {
            let mut late = patch(9, "phone", &[("theme", Op::Put, "1")]);
            late.changes[0].base = Some(0);
            group.write(&late, &rules(), 9).map(drop)
        }),
        ("refused write", |group| group.write(&patch(9, "phone", &[("theme", Op::Add, "1")]), &rules(), 9).map(drop)),
        ("acknowledgement", |group| group.acknowledge(&me(), &device("laptop"), &dataset(), 1)),
        ("sign-in", |group| {
            let identity = group.identity(login("new"), &Identity::from("local:new"), 9)?;
            group.admit(&identity, &device("tablet"), &DeviceBound::without_sessions(9), 9).map(drop)
        }),
        ("link", |group| group.link(login("other"), &me(), 9).map(drop)),
        ("revocation", |group| {
            group.set_revoked(&me(), &device("laptop"), Some(9), 9)?;
            group.unregister(&me(), &device("laptop"))?;
            group.refuse_tokens(&me(), 9)
        }),
        ("registration of another identity's token", |group| {
            group.register(&me(), &device("laptop"), &registration("the guest's"), 9).map(drop)
        }),
        ("merge", merge),
        ("merge and a step of it", |group| {
            merge(group)?;
            group.run_job_step(&guest(), &rules().retention, 9).map(drop)
        }),
        ("erasure and a step of it", |group| {
            group.erase(&guest())?;
            group.run_job_step(&guest(), &rules().retention, 9).map(drop)
        }),
        ("restored version", |group| {
            let plan = group.store.rewind_plan(&me(), &dataset(), 0, 9)?.map_err(|why| StoreError::Io(format!("{why:?}")))?;
            group.rewind_part(&plan, 0, &rules().retention, 9).map(drop)
        }),
        ("dates of debts", |group| group.reschedule_debts(&me(), &[(dataset(), Some(12))])),
        ("dead push token", |group| group.record_wake_result(&guest(), dead_token("the guest's", None), 9)),
        ("stale registration", |group| group.drop_stale_registration(&guest(), &device("phone"), u64::MAX, 9).map(drop)),
        ("reaping", |group| {
            let due = DueDataset { at_ms: reap_at_ms(group), identity: guest(), dataset: dataset() };
            group.reap(&due, &rules().retention, u64::MAX / 2).map(drop)
        }),
    ]
}

/// When the reaper visits the guest's dataset.
fn reap_at_ms(group: &Group<'_>) -> u64 {
    let due = group.store.due_datasets(u64::MAX, 10).unwrap_or_default();
    due.into_iter().find(|due| due.identity == guest()).map_or(0, |due| due.at_ms)
}

fn open(memory: &Memory) -> Store {
    let store = Store::in_memory(memory, &epoch("first")).expect("opens");
    sign_in(&store, "alice", &me());
    write_both(&store);
    let mut group = store.group();
    for (identity, name) in [(me(), "laptop"), (me(), "phone"), (guest(), "phone")] {
        group.admit(&identity, &device(name), &DeviceBound::without_sessions(10), 1).expect("decides");
    }
    group.register(&guest(), &device("phone"), &registration("the guest's"), 2).expect("decides");
    group.register(&me(), &device("laptop"), &registration("the user's"), 2).expect("decides");
    group.commit().expect("commits");
    let mut group = store.group();
    group.write(&patch(5, "phone", &[("b", Op::Put, "1")]), &rules(), 300).expect("decides");
    group.commit().expect("commits");
    store
}

/// What a group would commit.
fn rows_of(group: Group<'_>) -> Vec<(Bytes, Option<Bytes>)> {
    let (batches, _) = group.view.into_batches();
    let mut rows: Vec<_> = batches.into_iter().flat_map(|batch| batch.rows).collect();
    rows.sort();
    rows
}

/// The rows of a group with a write, then `job`, then another write.
fn decide_between_writes<'a>(store: &'a Store, job: impl FnOnce(&mut Group<'a>)) -> Vec<(Bytes, Option<Bytes>)> {
    let mut group = store.group();
    let write = |group: &mut Group<'_>, id| {
        let changes = [("counter", Op::Add, "1"), ("theme", Op::Put, "\"dark\"")];
        group.run(|group| group.write(&patch(id, "laptop", &changes), &rules(), 8)).expect("decides");
    };
    write(&mut group, 6);
    job(&mut group);
    write(&mut group, 7);
    rows_of(group)
}

#[test]
fn a_job_that_fails_at_any_read_leaves_nothing() {
    let memory = Memory::default();
    let store = open(&memory);
    let expected = decide_between_writes(&store, |_| {});
    let mut failed = 0;
    for (name, job) in jobs() {
        for point in [FaultPoint::Get, FaultPoint::Scan] {
            for nth in 1.. {
                let mut is_done = false;
                let rows = decide_between_writes(&store, |group| {
                    memory.fail_nth(point, nth);
                    is_done = group.run(job).is_ok();
                    memory.clear_faults();
                });
                if is_done {
                    assert_ne!(rows, expected, "{name}: it writes something if nothing fails");
                    break;
                }
                failed += 1;
                assert_eq!(rows, expected, "{name}: {point:?} number {nth}");
            }
        }
    }
    assert!(failed > 50, "{failed} reads failed");
}

#[test]
fn a_job_that_panics_after_its_rows_leaves_nothing() {
    let memory = Memory::default();
    let store = open(&memory);
    let expected = decide_between_writes(&store, |_| {});
    for (name, job) in jobs() {
        let rows = decide_between_writes(&store, |group| {
            let outcome: Result<((), _), _> = group.run(|group| {
                job(group)?;
                std::panic::panic_any(())
            });
            assert!(matches!(outcome, Err(JobFailure::Panicked)), "{name}");
        });
        assert_eq!(rows, expected, "{name}");
    }
}

/// The engine would refuse the whole group for it.
#[test]
fn a_row_that_is_too_large_fails_only_its_job() {
    let memory = Memory::default();
    let store = open(&memory);
    let expected = decide_between_writes(&store, |_| {});
    let rows = decide_between_writes(&store, |group| {
        let large = |group: &mut Group<'_>| {
            let rows = vec![(keys::meta("small"), Some(vec![1])), (keys::meta("large"), Some(vec![1; ROW_BYTES + 1]))];
            group.view.decide(rows);
            Ok(())
        };
        assert!(matches!(group.run(large), Err(JobFailure::Store(StoreError::Io(why))) if why.contains("large")));
    });
    assert_eq!(rows, expected);
}

#[test]
fn an_acknowledgement_of_what_does_not_exist_leaves_no_row() {
    let memory = Memory::default();
    let store = open(&memory);
    let head = store.version(&me(), &dataset()).expect("reads");
    let mut group = store.group();
    for (name, version) in [("d", head + 1), ("none", 1), ("none", 0)] {
        let dataset = driftless_protocol::DatasetName::new(name).expect("a name");
        group.run(|group| group.acknowledge(&me(), &device("laptop"), &dataset, version)).expect("decides");
    }
    assert!(rows_of(group).is_empty());
    let mut group = store.group();
    group.acknowledge(&me(), &device("laptop"), &dataset(), head).expect("decides");
    group.commit().expect("commits");
    assert_eq!(store.acknowledged_version(&me(), &device("laptop"), &dataset()), Ok(head));
}
