//! A committer over an engine that fails: writes are rejected with their own code, no acknowledged write is lost, no read returns rows that are not
//! durable, and the committer goes on when the engine works again.

use std::sync::Arc;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, Value};
use futures_util::FutureExt;

use super::writer::GROUP_WORK_BYTES;
use super::*;
use crate::hub::{NextChange, SessionSignals, Signal, Topic};
use crate::store::memory::{FaultPoint, Memory};
use crate::store::{DeviceBound, EngineConfig, LoginKey};

pub(super) struct FailingNode {
    pub(super) committer: Committer,
    reader: Reader,
    pub(super) hub: Hub,
    metrics: Metrics,
}

pub(super) fn identity() -> Identity {
    Identity::from("local:1")
}

pub(super) fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

pub(super) fn node_over(memory: &Memory) -> FailingNode {
    let store = Store::in_memory(memory, &Epoch::new("e").expect("an epoch")).expect("opens");
    let mut group = store.group();
    group.identity(LoginKey { pool: "p", issuer: "i", subject: "s" }, &identity(), 1).expect("decides");
    for name in ["phone", "laptop"] {
        let device = DeviceId::new(name).expect("a device");
        group.admit(&identity(), &device, &DeviceBound::without_sessions(9), 1).expect("decides");
    }
    group.commit().expect("commits");
    let (hub, metrics) = (Hub::default(), Metrics::default());
    let (committer, _) = Committer::start(store.clone(), hub.clone(), metrics.clone(), Clock::start()).expect("starts");
    let reader = Reader::start(store).expect("starts").counted_in(metrics.clone());
    FailingNode { committer, reader, hub, metrics }
}

pub(super) fn add(id: u64) -> Patch {
    let change = Change::new(Key::new("n").expect("a key"), Op::Add, Some(Value::from(1)));
    let device = DeviceId::new("phone").expect("a device");
    Patch { identity: identity(), device, dataset: dataset(), id, changes: vec![change] }
}

impl FailingNode {
    /// A counter of the metrics.
    fn count(&self, name: &str) -> u64 {
        let text = self.metrics.text();
        let count = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a count");
        count.parse().expect("a number")
    }

    async fn write(&self, id: u64) -> Result<Decision, Unavailable> {
        let pending = self.committer.write(add(id), DatasetRules::default(), 0).await?;
        pending.await.unwrap_or(Err(Unavailable::Now))
    }

    /// Retries until the write succeeds, with the same patch number, as a device does.
    async fn write_until_accepted(&self, id: u64) -> Decision {
        loop {
            match self.write(id).await {
                Ok(decision) => return decision,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn version(&self) -> Result<u64, Unavailable> {
        self.reader.read(ReadOwner::Server, |store| store.version(&identity(), &dataset())).await
    }

    fn subscribe(&self) -> Arc<Topic> {
        self.hub.subscribe(identity().text(), &dataset(), &Arc::new(SessionSignals::new(7)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_that_is_sent_again_is_applied_once_whichever_engine_call_failed() {
    for call in [FaultPoint::Get, FaultPoint::Commit, FaultPoint::Flush, FaultPoint::Scan] {
        for nth in 1..=6 {
            let memory = Memory::default();
            let node = node_over(&memory);
            let topic = node.subscribe();
            assert!(matches!(node.write(1).await, Ok(Decision::Written { version: 1, .. })));
            memory.fail_nth(call, nth);
            for id in 2..=4 {
                let decision = node.write_until_accepted(id).await;
                let (Decision::Written { version, .. } | Decision::Repeated { version, .. }) = decision else { panic!("{decision:?}") };
                assert_eq!(version, id, "{call:?} {nth}: each patch once, in order");
                assert!(
                    topic.newest_version() >= version,
                    "{call:?} {nth}: subscribers learn of a failed group that turned out to be durable, too"
                );
            }
            assert!(!matches!(topic.next_after(3, 7), NextChange::UpToDate), "{call:?} {nth}");
            // The writer knows most rows, and may not have made so many calls.
            memory.clear_faults();
            assert_eq!(node.version().await, Ok(4));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_is_rejected_as_read_only_and_acknowledged_writes_survive() {
    let memory = Memory::default();
    let node = node_over(&memory);
    assert!(matches!(node.write(1).await, Ok(Decision::Written { .. })));
    memory.fail_nth(FaultPoint::Flush, 1);
    assert_eq!(node.write(2).await, Err(Unavailable::ReadOnly));
    assert!(matches!(node.write_until_accepted(2).await, Decision::Written { version: 2, .. } | Decision::Repeated { version: 2, .. }));
    // Acknowledged writes are found by the next opening of the store.
    let again = node_over(&memory);
    assert_eq!(again.version().await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_whose_commit_failed_ends_the_session_if_it_turns_out_to_be_durable() {
    for nth in 1..=3 {
        let memory = Memory::default();
        let node = node_over(&memory);
        let phone = DeviceId::new("phone").expect("a device");
        let admit = phone.clone();
        node.committer
            .transact(JobOwner::Identity(identity()), move |group, now_ms| {
                Ok((group.admit(&identity(), &admit, &DeviceBound::without_sessions(9), now_ms)?, Vec::new()))
            })
            .await
            .expect("commits");
        let signals = Arc::new(SessionSignals::new(7));
        node.hub.add_session(identity().text(), &phone, &signals);
        memory.fail_nth(FaultPoint::Flush, nth);
        let revoke = || {
            let phone = phone.clone();
            node.committer.transact(JobOwner::Identity(identity()), move |group, now_ms| {
                group.set_revoked(&identity(), &phone, Some(now_ms), now_ms)?;
                group.refuse_tokens(&identity(), now_ms / 1000)?;
                Ok(((), vec![SessionNotice::Revoked(identity(), phone.clone()), SessionNotice::LoginsChanged(identity())]))
            })
        };
        let answered = revoke().await;
        node.write_until_accepted(1).await;
        let (device, admission) = (phone.clone(), |store: &Store, device: &DeviceId| store.device_admission(&identity(), device));
        let stored = node.reader.read(ReadOwner::Server, move |store| admission(store, &device)).await.expect("reads");
        assert!(answered.is_err() || stored == Some(Admission::Revoked));
        let mut signalled = signals.wait().await;
        if stored == Some(Admission::Revoked) {
            while !signalled.contains(Signal::Revoked) {
                signalled = signals.wait().await;
            }
        } else {
            assert!(signalled.contains(Signal::LoginsChanged) && !signalled.contains(Signal::Revoked), "{nth}: nothing was revoked");
        }
    }
}

#[tokio::test]
async fn a_full_disk_rejects_writes_only() {
    // No disk has as much free space as this reserve asks for.
    let folder = tempfile::tempdir().expect("a folder");
    let epoch = Epoch::new("e").expect("an epoch");
    {
        let store = Store::open(folder.path(), &EngineConfig::cached(16), &epoch).expect("opens");
        let mut group = store.group();
        group.identity(LoginKey { pool: "p", issuer: "i", subject: "s" }, &identity(), 1).expect("decides");
        group.admit(&identity(), &add(1).device, &DeviceBound::without_sessions(9), 1).expect("decides");
        group.write(&add(1), &DatasetRules::default(), 1).expect("decides");
        group.commit().expect("commits");
    }
    let full = EngineConfig { reserve_mib: 1 << 40, ..EngineConfig::cached(16) };
    let store = Store::open(folder.path(), &full, &epoch).expect("opens");
    let (committer, _) = Committer::start(store.clone(), Hub::default(), Metrics::default(), Clock::start()).expect("starts");
    let node = FailingNode { reader: Reader::start(store).expect("starts"), committer, hub: Hub::default(), metrics: Metrics::default() };
    for _ in 0..3 {
        assert_eq!(node.write(2).await, Err(Unavailable::ReadOnly));
        assert_eq!(node.version().await, Ok(1), "reads go on");
        assert!(node.committer.is_healthy());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_panics_costs_only_itself() {
    let memory = Memory::default();
    let node = node_over(&memory);
    let panics = node.committer.transact(JobOwner::Identity(identity()), |group, now_ms| {
        group.link(LoginKey { pool: "p", issuer: "i", subject: "another" }, &identity(), now_ms)?;
        let nobody = group.leads_to(LoginKey { pool: "p", issuer: "i", subject: "nobody" })?;
        assert_eq!(nobody, Some(identity()), "a fault of the program");
        Ok(((), Vec::new()))
    });
    let (first, panicked, second) = tokio::join!(node.write(1), panics, node.write(2));
    assert!(matches!((first, second), (Ok(Decision::Written { version: 1, .. }), Ok(Decision::Written { version: 2, .. }))));
    assert_eq!(panicked, Err(Unavailable::Now));
    let linked = node.reader.read(ReadOwner::Server, |store| store.identity(LoginKey { pool: "p", issuer: "i", subject: "another" })).await;
    assert_eq!(linked, Ok(None), "it has left nothing");
    assert!(node.metrics.text().contains("driftless_committer_jobs_failed_total{outcome=\"panic\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_acknowledgements_stay_until_a_group_that_has_them_is_durable() {
    for fault in [FaultPoint::Commit, FaultPoint::Flush, FaultPoint::Space] {
        let memory = Memory::default();
        let node = node_over(&memory);
        assert!(matches!(node.write(1).await, Ok(Decision::Written { .. })));
        let laptop = DeviceId::new("laptop").expect("a device");
        let key = AckKey { identity: identity(), device: laptop.clone(), dataset: dataset() };
        node.committer.submit_ack(key, 1).expect("is taken");
        memory.fail_nth(fault, 1);
        assert_eq!(node.committer.flush_acks().await, Err(Unavailable::ReadOnly), "{fault:?}");
        while node.committer.flush_acks().await.is_err() {
            tokio::task::yield_now().await;
        }
        let acknowledged =
            node.reader.read(ReadOwner::Server, move |store| store.acknowledged_version(&identity(), &laptop, &dataset())).await;
        assert_eq!(acknowledged, Ok(1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_that_look_at_much_and_change_nothing_do_not_share_one_group() {
    const PATCHES: u64 = 64;
    let memory = Memory::default();
    let node = node_over(&memory);
    let text = "x".repeat(driftless_protocol::limits::VALUE_BYTES - 8);
    let large = |id, base| {
        let change = Change::new(Key::new("large").expect("a key"), Op::Put, Value::from(if base { "" } else { &text }));
        Patch { changes: vec![if base { change.with_base(0) } else { change }], ..add(id) }
    };
    let put = node.committer.write(large(1, false), DatasetRules::default(), 0).await.expect("is taken");
    assert!(matches!(put.await.expect("is answered"), Ok(Decision::Written { .. })));
    memory.hold_flushes();
    let first = node.committer.write(add(2), DatasetRules::default(), 0).await.expect("is taken");
    let late = |id| Patch { device: DeviceId::new("laptop").expect("a device"), ..large(id, true) };
    let mut pending = Vec::new();
    for id in 1..=PATCHES {
        pending.push(node.committer.write(late(id), DatasetRules::default(), 0).await.expect("is taken"));
    }
    let counts = || ["driftless_committer_groups_total", "driftless_committer_work_bytes_total"].map(|name| node.count(name));
    let before = counts();
    memory.release_flushes();
    assert!(matches!(first.await.expect("is answered"), Ok(Decision::Written { .. })));
    for conflict in pending {
        assert!(matches!(conflict.await.expect("is answered"), Ok(Decision::Conflict(_))));
    }
    let bytes = PATCHES as usize * text.len();
    let [groups, work_bytes] = counts();
    assert!(groups - before[0] > (bytes / GROUP_WORK_BYTES) as u64, "{} groups", groups - before[0]);
    assert!(work_bytes - before[1] >= bytes as u64, "what changes nothing is counted, too");
}

#[tokio::test]
async fn what_reads_return_is_counted() {
    let memory = Memory::default();
    let node = node_over(&memory);
    let before = node.count("driftless_reader_bytes_total");
    let read = node.reader.read_counted(ReadOwner::Server, |store| store.version(&identity(), &dataset()), |_| 5000).await;
    assert_eq!(read, Ok(0));
    assert!(node.count("driftless_reader_bytes_total") >= before + 5000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_count_to_their_identity_until_they_are_decided_also_when_nobody_waits_for_them() {
    const VALUE_BYTES: usize = 512 * 1024;
    let memory = Memory::default();
    let node = node_over(&memory);
    let queued_bytes = || node.committer.queued.identity_held_bytes(identity().as_str(), MemoryUse::Received);
    memory.hold_flushes();
    let first = node.committer.write(add(1), DatasetRules::default(), 0).await.expect("is taken");
    let text = "x".repeat(VALUE_BYTES);
    let large = |id| Patch { changes: vec![Change::new(Key::new("l").expect("a key"), Op::Put, Value::from(text.as_str()))], ..add(id) };
    let mut taken = 0;
    while let Some(reply) = node.committer.write(large(taken + 2), DatasetRules::default(), 0).now_or_never() {
        // As if its session ended.
        drop(reply.expect("is taken"));
        taken += 1;
        assert!((queued_bytes() as u64) > taken * VALUE_BYTES as u64);
    }
    assert!((queued_bytes() as u64) <= u64::from(QUEUE_IDENTITY_MIB) << 20, "{} bytes", queued_bytes());
    assert_eq!(taken, 15, "16 halves of a MiB are more than 8 MiB with what else they take");
    let theirs = Patch { identity: Identity::from("local:2"), ..large(1) };
    assert!(node.committer.write(theirs, DatasetRules::default(), 0).now_or_never().is_some(), "another identity has its own part");
    memory.release_flushes();
    assert!(matches!(first.await, Ok(Ok(Decision::Written { version: 1, .. }))));
    assert!(matches!(node.write(taken + 2).await, Ok(Decision::Written { version, .. }) if version == taken + 2));
    // What is answered after them comes after they are given back.
    assert_eq!(node.committer.flush_acks().await, Ok(()));
    assert_eq!(queued_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_of_a_device_is_accepted_after_its_revocation() {
    let memory = Memory::default();
    let node = node_over(&memory);
    let admit = |group: &mut Group<'_>, now_ms| group.admit(&identity(), &add(1).device, &DeviceBound::without_sessions(9), now_ms);
    node.committer
        .transact(JobOwner::Identity(identity()), move |group, now_ms| Ok((admit(group, now_ms)?, Vec::new())))
        .await
        .expect("commits");
    let access = |revoked: bool| {
        node.committer.transact(JobOwner::Identity(identity()), move |group, now_ms| {
            Ok((group.set_revoked(&identity(), &add(1).device, revoked.then_some(now_ms), now_ms)?, Vec::new()))
        })
    };
    // All of them wait in one queue, in this order.
    let (before, revoked, after) = tokio::join!(node.write(1), access(true), node.write(2));
    assert_eq!(revoked, Ok(true));
    assert!(matches!(before, Ok(Decision::Written { version: 1, .. })));
    assert_eq!(after, Ok(Decision::DeviceRevoked));
    assert_eq!(node.write(1).await, Ok(Decision::DeviceRevoked), "not even the answer to a retry");
    assert_eq!(access(false).await, Ok(true));
    assert!(matches!(node.write(2).await, Ok(Decision::Written { version: 2, .. })), "the number is still free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_what_frees_space_goes_through_beside_writes_that_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (epoch, erased) = (Epoch::new("e").expect("an epoch"), Identity::from("local:2"));
    {
        let store = Store::open(folder.path(), &EngineConfig::cached(16), &epoch).expect("opens");
        let mut group = store.group();
        for (subject, identity) in [("s", identity()), ("erased", erased.clone())] {
            group.identity(LoginKey { pool: "p", issuer: "i", subject }, &identity, 1).expect("decides");
            group.admit(&identity, &add(1).device, &DeviceBound::without_sessions(9), 1).expect("decides");
            for id in 1..=50 {
                group.write(&Patch { identity: identity.clone(), ..add(id) }, &DatasetRules::default(), 1).expect("decides");
            }
        }
        group.commit().expect("commits");
    }
    // Less than the reserve is free, and more than half of it, which deleting may use.
    let space = rustix::fs::statvfs(folder.path()).expect("is known");
    let free_mib = (space.f_bavail * space.f_frsize) >> 20;
    let full = EngineConfig { reserve_mib: free_mib / 3 * 4, ..EngineConfig::cached(16) };
    let store = Store::open(folder.path(), &full, &epoch).expect("opens");
    let (hub, metrics) = (Hub::default(), Metrics::default());
    let (committer, _) = Committer::start(store.clone(), hub.clone(), metrics.clone(), Clock::start()).expect("starts");
    let node = FailingNode { reader: Reader::start(store).expect("starts"), committer, hub, metrics };
    let mut begun = false;
    loop {
        let next = |_| async {
            match begun {
                false => {
                    let erased = erased.clone();
                    node.committer
                        .transact(JobOwner::Identity(identity()), move |group, _| Ok((group.erase(&erased)?, Vec::new())))
                        .await
                        .map(|_| JobProgress::Unfinished)
                }
                true => node.committer.advance_job(erased.clone(), RetentionPolicy::default()).await,
            }
        };
        // They wait in one queue: a group can take all three.
        let (before, progress, after) = tokio::join!(node.write(51), next(()), node.write(52));
        assert_eq!((before, after), (Err(Unavailable::ReadOnly), Err(Unavailable::ReadOnly)));
        match progress {
            Ok(JobProgress::Done) => break,
            Ok(_) => begun = true,
            Err(_) => {}
        }
    }
    let gone = node.reader.read(ReadOwner::Server, move |store| store.merged(&erased)).await;
    assert_eq!(gone, Ok(None));
}
