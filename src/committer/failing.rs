//! Stories of a committer over an engine that fails: writes are refused with their own code, nothing acknowledged is lost, nothing is shown that
//! is not durable, and all goes on when the engine works again.

use std::sync::Arc;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, Value};

use super::*;
use crate::hub::{Feed, Mailbox, Taken};
use crate::store::memory::{FaultPoint, Memory};
use crate::store::{EngineConfig, LoginKey};

struct Node {
    committer: Committer,
    reader: Reader,
    hub: Hub,
}

fn identity() -> Identity {
    Identity::from("local:1")
}

fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

fn over(memory: &Memory) -> Node {
    let store = Store::in_memory(memory, &Epoch::new("e").expect("an epoch")).expect("opens");
    let mut group = store.group();
    group.identity(LoginKey { pool: "p", issuer: "i", subject: "s" }, &identity(), 1).expect("decides");
    group.commit().expect("commits");
    let hub = Hub::default();
    let (committer, _) = Committer::start(store.clone(), hub.clone(), Metrics::default(), Clock::start()).expect("starts");
    let reader = Reader::start(store, committer.gate().clone()).expect("starts");
    Node { committer, reader, hub }
}

fn add(id: u64) -> Patch {
    let change = Change::new(Key::new("n").expect("a key"), Op::Add, Some(Value::from(1)));
    let device = DeviceId::new("phone").expect("a device");
    Patch { identity: identity(), device, dataset: dataset(), id, changes: vec![change] }
}

impl Node {
    async fn write(&self, id: u64) -> Result<Decision, Unavailable> {
        let answer = self.committer.write(add(id), DatasetRules::default(), 0).await?;
        answer.await.unwrap_or(Err(Unavailable::Now))
    }

    /// As a device does: again and again, with the same number.
    async fn insist(&self, id: u64) -> Decision {
        loop {
            match self.write(id).await {
                Ok(decision) => return decision,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn version(&self) -> Result<u64, Unavailable> {
        self.reader.read(|store| store.version(&identity(), &dataset())).await
    }

    fn follow(&self) -> Arc<Feed> {
        self.hub.follow(identity().text(), &dataset(), &Arc::new(Mailbox::new(7)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_fails_a_patch_that_is_sent_again_is_applied_once() {
    for call in [FaultPoint::Get, FaultPoint::Commit, FaultPoint::Flush, FaultPoint::Scan] {
        for nth in 1..=6 {
            let memory = Memory::default();
            let node = over(&memory);
            let feed = node.follow();
            assert!(matches!(node.write(1).await, Ok(Decision::Written { version: 1, .. })));
            memory.fail_nth(call, nth);
            for id in 2..=4 {
                let decision = node.insist(id).await;
                let (Decision::Written { version, .. } | Decision::Repeated { version, .. }) = decision else { panic!("{decision:?}") };
                assert_eq!(version, id, "{call:?} {nth}: each once, in order");
                assert!(feed.head() >= version, "{call:?} {nth}: followers are told, also of a group that was found after it failed");
            }
            assert!(!matches!(feed.after(3, 7), Taken::Nothing), "{call:?} {nth}");
            assert_eq!(node.version().await, Ok(4));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_failed_is_refused_as_read_only_and_what_was_acknowledged_survives() {
    let memory = Memory::default();
    let node = over(&memory);
    assert!(matches!(node.write(1).await, Ok(Decision::Written { .. })));
    memory.fail_nth(FaultPoint::Flush, 1);
    assert_eq!(node.write(2).await, Err(Unavailable::ReadOnly));
    assert!(matches!(node.insist(2).await, Decision::Written { version: 2, .. } | Decision::Repeated { version: 2, .. }));
    // And after the machine went down, too.
    memory.crash();
    let again = over(&memory);
    assert_eq!(again.version().await, Ok(2));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_only() {
    // More is to be kept free than any disk has.
    let folder = tempfile::tempdir().expect("a folder");
    let epoch = Epoch::new("e").expect("an epoch");
    {
        let store = Store::open(folder.path(), &EngineConfig::cached(16), &epoch).expect("opens");
        let mut group = store.group();
        group.identity(LoginKey { pool: "p", issuer: "i", subject: "s" }, &identity(), 1).expect("decides");
        group.write(add(1), &DatasetRules::default(), 1).expect("decides");
        group.commit().expect("commits");
    }
    let full = EngineConfig { reserve_mib: 1 << 40, ..EngineConfig::cached(16) };
    let store = Store::open(folder.path(), &full, &epoch).expect("opens");
    let (committer, _) = Committer::start(store.clone(), Hub::default(), Metrics::default(), Clock::start()).expect("starts");
    let node = Node { reader: Reader::start(store, committer.gate().clone()).expect("starts"), committer, hub: Hub::default() };
    for _ in 0..3 {
        assert_eq!(node.write(2).await, Err(Unavailable::ReadOnly));
        assert_eq!(node.version().await, Ok(1), "reads go on");
        assert!(node.committer.gate().is_well());
    }
}
