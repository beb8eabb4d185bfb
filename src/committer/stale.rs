//! A committer beside another writer on the same store: what the other one has changed is decided again, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, Value};

use super::*;
use crate::store::memory::Memory;
use crate::store::{DeviceBound, LoginKey};

const PEOPLE: u64 = 3;

fn identity(number: u64) -> Identity {
    Identity::from(format!("local:{number}").as_str())
}

fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

fn add(person: u64, device: &str, id: u64) -> Patch {
    let change = Change::new(Key::new("n").expect("a key"), Op::Add, Some(Value::from(1)));
    let device = DeviceId::new(device).expect("a device");
    Patch { identity: identity(person), device, dataset: dataset(), id, changes: vec![change] }
}

/// The other writer: it adds one to a person's counter, and commits that.
fn write_beside(store: &Store, person: u64, id: u64) {
    let mut group = store.group();
    let decision = group.write(&add(person, "other", id), &DatasetRules::default(), 7).expect("decides");
    assert!(matches!(decision, Decision::Written { .. }), "{decision:?}");
    group.commit().expect("commits");
}

fn node() -> (Store, Committer, Metrics, Memory) {
    let memory = Memory::default();
    let store = Store::in_memory(&memory, &Epoch::new("e").expect("an epoch")).expect("opens");
    let mut group = store.group();
    for person in 0..PEOPLE {
        let subject = person.to_string();
        group.identity(LoginKey { pool: "p", issuer: "i", subject: &subject }, &identity(person), 1).expect("decides");
        for name in ["phone", "other"] {
            let device = DeviceId::new(name).expect("a device");
            group.admit(&identity(person), &device, &DeviceBound::without_sessions(9), 1).expect("decides");
        }
    }
    group.commit().expect("commits");
    let metrics = Metrics::default();
    let (committer, _) = Committer::start(store.clone(), Hub::default(), metrics.clone(), Clock::start()).expect("starts");
    (store, committer, metrics, memory)
}

/// An act that reads a person's version; the other writer writes to that person right after, as often as it has numbers left.
async fn read_beside(store: &Store, committer: &Committer, runs: &Arc<AtomicU64>, writes: u64) -> Result<u64, Unavailable> {
    let (beside, runs) = (store.clone(), Arc::clone(runs));
    let act = move |group: &mut Group<'_>, now_ms| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        let decision = group.write(&add(0, "phone", 1), &DatasetRules::default(), now_ms)?;
        let Decision::Written { version, .. } = decision else { panic!("{decision:?}") };
        if run <= writes {
            write_beside(&beside, 0, run);
        }
        Ok((version, Vec::new()))
    };
    committer.transact(JobOwner::Identity(identity(0)), act).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_job_is_decided_again_with_those_that_depend_on_it_and_nobody_else_notices() {
    let (store, committer, metrics, memory) = node();
    // All of them are in one group: it waits behind the flush of another one.
    memory.hold_flushes();
    let first = committer.write(add(2, "phone", 1), DatasetRules::default(), 0).await.expect("is taken");
    let waits = memory.clone();
    tokio::task::spawn_blocking(move || waits.wait_for_held_flush()).await.expect("waits");
    let (runs, bystander_runs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&bystander_runs);
    let bystander = move |group: &mut Group<'_>, now_ms| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok((group.write(&add(1, "phone", 1), &DatasetRules::default(), now_ms)?, Vec::new()))
    };
    let release = async {
        tokio::task::yield_now().await;
        memory.release_flushes();
    };
    let (stale, second, other, ()) = tokio::join!(
        read_beside(&store, &committer, &runs, 1),
        async { committer.write(add(0, "phone", 2), DatasetRules::default(), 0).await.expect("is taken").await },
        committer.transact(JobOwner::Identity(identity(1)), bystander),
        release,
    );
    assert!(matches!(first.await, Ok(Ok(Decision::Written { .. }))));
    assert_eq!((stale, runs.load(Ordering::SeqCst)), (Ok(2), 2), "it is decided again, on the other writer's version");
    assert!(matches!(second, Ok(Ok(Decision::Written { version: 3, .. }))), "in its order: {second:?}");
    assert!(matches!(other, Ok(Decision::Written { version: 1, .. })));
    assert_eq!(bystander_runs.load(Ordering::SeqCst), 1);
    assert_eq!(store.version(&identity(0), &dataset()), Ok(3));
    assert!(!metrics.text().contains("driftless_committer_jobs_stale_total 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_always_stale_is_rejected_and_leaves_nothing() {
    let (store, committer, _, _) = node();
    let runs = Arc::new(AtomicU64::new(0));
    assert_eq!(read_beside(&store, &committer, &runs, u64::MAX).await, Err(Unavailable::Now));
    assert_eq!(runs.load(Ordering::SeqCst), u64::from(writer::MOST_TRIES));
    assert_eq!(store.version(&identity(0), &dataset()), Ok(u64::from(writer::MOST_TRIES)), "the other writer's only");
    let written = committer.write(add(0, "phone", 1), DatasetRules::default(), 0).await.expect("is taken").await;
    assert!(matches!(written, Ok(Ok(Decision::Written { .. }))));
}
