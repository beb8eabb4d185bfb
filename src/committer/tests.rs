//! Many concurrent tasks on one committer. Each task records what it saw, and the test checks the records against the rules afterwards.
//!
//! Every patch puts a value that no other patch puts, and adds to a counter that all patches share. So the replies alone give the order of the
//! patches, and the order gives what every read must have returned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use driftless_protocol::{Change, Content, DatasetName, DeviceId, Epoch, Key, Op, Record, ServerMessage, Value};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::hub::{NextChange, SessionSignals, Topic};
use crate::store::memory::Memory;
use crate::store::{DeviceBound, EngineConfig, LoginKey, ReadResult, ReadStart};

/// Devices that write, each in its own task.
const WRITERS: u64 = 16;

/// Patches per device.
const PATCHES: u64 = 40;

/// Tasks that read each dataset from the beginning, again and again.
const READERS: usize = 2;

/// Sessions that subscribe to each dataset.
const SUBSCRIBERS: u64 = 3;

const DATASETS: [(&str, &str); 3] = [("local:1", "a"), ("local:1", "b"), ("local:2", "a")];

/// A store in a folder, and its committer.
struct CommitterNode {
    folder: TempDir,
    committer: Committer,
    reader: Reader,
    hub: Hub,
    thread: JoinHandle<()>,
    /// A logical clock: events are numbered in the order in which they happened.
    clock: AtomicU64,
}

/// A patch that was written. `submitted` and `answered` are times of the logical clock.
#[derive(Clone, Debug)]
struct WrittenPatch {
    dataset: usize,
    version: u64,
    submitted: u64,
    answered: u64,
    writer: u64,
    n: u64,
}

/// A read of a whole dataset. `began` and `ended` are times of the logical clock.
struct DatasetRead {
    dataset: usize,
    version: u64,
    began: u64,
    ended: u64,
    found: Contents,
}

/// Key to value and version.
type Contents = BTreeMap<String, (String, u64)>;

fn open(folder: &TempDir) -> Store {
    Store::open(folder.path(), &EngineConfig::cached(16), &Epoch::new("e").expect("an epoch")).expect("opens")
}

fn sign_in(store: &Store, subject: &str, identity: &Identity) {
    let mut group = store.group();
    group.identity(LoginKey { pool: "demo", issuer: "i", subject }, identity, 1).expect("decides");
    group.commit().expect("commits");
}

fn address(dataset: usize) -> (Identity, DatasetName) {
    (Identity::from(DATASETS[dataset].0), DatasetName::new(DATASETS[dataset].1).expect("a name"))
}

fn device(writer: u64) -> DeviceId {
    DeviceId::new(&format!("device-{writer}")).expect("a device")
}

/// The nth patch of a writer: its own value under a key that other patches reuse, the value under a key of its own, and an increment.
fn patch(dataset: usize, writer: u64, n: u64) -> Patch {
    let put = |key: String| Change::new(Key::new(&key).expect("a key"), Op::Put, Value::from(value(writer, n).as_str()));
    let count = Change::new(Key::new("count").expect("a key"), Op::Add, Value::from(1));
    let (identity, dataset) = address(dataset);
    Patch {
        identity,
        device: device(writer),
        dataset,
        id: n,
        changes: vec![put(format!("k{}", n % 4)), put(format!("{writer}.{n}")), count],
    }
}

fn value(writer: u64, n: u64) -> String {
    format!("{writer}.{n}")
}

impl CommitterNode {
    async fn start() -> Arc<CommitterNode> {
        let folder = TempDir::new().expect("a folder");
        let (store, hub) = (open(&folder), Hub::default());
        let (committer, thread) = Committer::start(store.clone(), hub.clone(), Metrics::default(), Clock::start()).expect("starts");
        let reader = Reader::start(store).expect("starts");
        for identity in DATASETS.iter().map(|(identity, _)| *identity).collect::<BTreeSet<_>>() {
            let new_identity = Identity::from(identity);
            let request = SignInRequest {
                pool: "demo".into(),
                issuer: "i".into(),
                subject: identity.to_owned(),
                issued_s: None,
                fallback_identity: new_identity.clone(),
                new_identity,
                device: None,
                max_devices: 100,
            };
            for writer in 0..=WRITERS {
                let request = SignInRequest { device: Some(device(writer)), ..request.clone() };
                committer.sign_in(request).await.expect("signs in");
            }
        }
        Arc::new(CommitterNode { folder, committer, reader, hub, thread, clock: AtomicU64::new(0) })
    }

    fn next_time(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Submits a patch and waits for the decision; `None` if the committer has stopped.
    async fn write(&self, dataset: usize, writer: u64, n: u64) -> Option<(Decision, WrittenPatch)> {
        let submitted = self.next_time();
        let pending = self.committer.write(patch(dataset, writer, n), DatasetRules::default(), 0).await.ok()?;
        let decision = pending.await.ok()?.expect("the store works");
        let (Decision::Written { version, .. } | Decision::Repeated { version, .. }) = decision else { panic!("{decision:?}") };
        Some((decision, WrittenPatch { dataset, version, submitted, answered: self.next_time(), writer, n }))
    }

    async fn read(&self, dataset: usize) -> DatasetRead {
        let began = self.next_time();
        let (version, found) = self.read_after(dataset, 0).await;
        DatasetRead { dataset, version, began, ended: self.next_time(), found }
    }

    /// Every change after a version, read page by page as a session does, and the version that the last page ends at.
    async fn read_after(&self, dataset: usize, version: u64) -> (u64, Contents) {
        let (mut found, mut next) = (Contents::new(), None);
        loop {
            let (identity, name) = address(dataset);
            let page = self.reader.read(ReadOwner::Server, move |store| {
                let position = driftless_protocol::Position { epoch: store.epoch().clone(), version };
                let start = store.start(&identity, &name, Some(&position.into()))?;
                let (ReadStart::After(cursor) | ReadStart::Fresh(cursor) | ReadStart::Reset { cursor, .. }) = start;
                store.changes(&identity, &name, next.unwrap_or(cursor))
            });
            let ReadResult::Page(page) = page.await.expect("reads") else { panic!("nothing is reaped here") };
            for record in page.records {
                let content = if let Content::Value(value) = record.content { value.to_string() } else { String::new() };
                found.insert(record.key.as_str().to_owned(), (content, record.version));
            }
            next = Some(page.cursor);
            if !page.more {
                return (page.cursor.version, found);
            }
        }
    }

    /// Stops the writer, and opens its store again.
    async fn reopen(self: Arc<CommitterNode>) -> Store {
        self.committer.stop().await;
        let node = Arc::into_inner(self).expect("is the only owner");
        let CommitterNode { folder, committer, reader, thread, .. } = node;
        drop((committer, reader));
        thread.join().expect("ends without a panic");
        open(&folder)
    }
}

/// Sorts a dataset's patches by version, and checks that the versions are 1, 2, 3, ... (I1) and that each patch is there exactly once.
fn in_order(dataset: usize, written: &[WrittenPatch]) -> Vec<&WrittenPatch> {
    let mut order: Vec<_> = written.iter().filter(|one| one.dataset == dataset).collect();
    order.sort_by_key(|one| one.version);
    let versions: Vec<_> = order.iter().map(|one| one.version).collect();
    assert_eq!(versions, (1..=order.len() as u64).collect::<Vec<_>>(), "versions are dense, and each belongs to one patch");
    let patches: BTreeSet<_> = order.iter().map(|one| (one.writer, one.n)).collect();
    assert_eq!(patches.len(), order.len(), "each patch is there once");
    order
}

/// The expected contents of a dataset at a version.
fn contents_at(order: &[&WrittenPatch], version: u64) -> Contents {
    let mut contents = Contents::new();
    for one in &order[..version as usize] {
        let text = Value::from(value(one.writer, one.n).as_str()).to_string();
        contents.insert(format!("k{}", one.n % 4), (text.clone(), one.version));
        contents.insert(value(one.writer, one.n), (text, one.version));
        contents.insert("count".to_owned(), (one.version.to_string(), one.version));
    }
    contents
}

/// A patch that was answered before another one was submitted has the lower version.
fn check_real_time_order(order: &[&WrittenPatch]) {
    let mut newest_after: u64 = u64::MAX;
    for one in order.iter().rev() {
        assert!(one.submitted < newest_after, "version {} was submitted after a later version was answered", one.version);
        newest_after = newest_after.min(one.answered);
    }
}

/// A read returns a prefix of the order, with every patch that was answered before it began and none that was submitted after it ended.
fn check_prefix(order: &[&WrittenPatch], read: &DatasetRead) {
    assert_eq!(read.found, contents_at(order, read.version), "the state at version {}", read.version);
    assert!(order[read.version as usize..].iter().all(|later| later.answered > read.began), "an answered write is missing");
    assert!(order[..read.version as usize].iter().all(|earlier| earlier.submitted < read.ended), "a read from the future");
}

/// Receives a dataset's changes as a session does until it has seen a version, and returns the version and contents that it ends with.
async fn receive_changes(node: Arc<CommitterNode>, dataset: usize, session: u64, until: Arc<AtomicU64>) -> (u64, Contents) {
    let signals = Arc::new(SessionSignals::new(session));
    let (identity, name) = address(dataset);
    let topic = node.hub.subscribe(identity.text(), &name, &signals);
    let (mut version, mut contents) = node.read_after(dataset, 0).await;
    while version < until.load(Ordering::SeqCst) {
        signals.wait().await;
        loop {
            match topic.next_after(version, session) {
                NextChange::UpToDate => break,
                NextChange::Change(change) => {
                    assert_eq!(change.version(), version + 1, "in order and without a gap");
                    version += 1;
                    contents.extend(records_of(&change));
                }
                NextChange::OwnWrites | NextChange::Lagged => {
                    let (to, more) = node.read_after(dataset, version).await;
                    assert!(to > version, "the store has what was published");
                    version = to;
                    contents.extend(more);
                }
            }
        }
    }
    (version, contents)
}

fn records_of(change: &crate::hub::EncodedChange) -> Contents {
    let codec = driftless_protocol::Codec::MsgPack;
    let frame = change.frame(codec).expect("is encoded");
    // Behind a header that has the length in one, three or nine bytes.
    let begin = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let message = codec.decode_server(&frame[begin..]).expect("decodes");
    let ServerMessage::Changes { records, .. } = message else { panic!("no changes") };
    let one = |record: Record| {
        (record.key.as_str().to_owned(), (record.content.value().map(ToString::to_string).unwrap_or_default(), record.version))
    };
    records.into_iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_all_tasks_agree_on_one_order_that_has_every_answered_patch_once() {
    let node = CommitterNode::start().await;
    let patches_of = |dataset: u64| WRITERS * (1..=PATCHES).filter(|n| n % 3 == dataset).count() as u64;
    let (mut writers, mut readers, mut subscribers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let writing = Arc::new(AtomicUsize::new(WRITERS as usize));
    for dataset in 0..DATASETS.len() {
        let last = Arc::new(AtomicU64::new(patches_of(dataset as u64)));
        for session in 1..=SUBSCRIBERS {
            let receiving = receive_changes(Arc::clone(&node), dataset, session, Arc::clone(&last));
            subscribers.spawn(async move { (dataset, receiving.await) });
        }
        for _ in 0..READERS {
            let (node, writing) = (Arc::clone(&node), Arc::clone(&writing));
            readers.spawn(async move {
                let mut reads = Vec::new();
                while writing.load(Ordering::SeqCst) > 0 {
                    reads.push(node.read(dataset).await);
                }
                reads
            });
        }
    }
    for writer in 1..=WRITERS {
        let (node, writing) = (Arc::clone(&node), Arc::clone(&writing));
        writers.spawn(async move {
            let mut written = Vec::new();
            for n in 1..=PATCHES {
                let dataset = (n % 3) as usize;
                // Some patches are sent several times concurrently, as a device does after a lost connection.
                let copies = if (n + writer) % 5 == 0 { 3 } else { 1 };
                let answers = futures_util::future::join_all((0..copies).map(|_| node.write(dataset, writer, n))).await;
                let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("the committer runs")).collect();
                let first: Vec<_> = answers.iter().filter(|(decision, _)| matches!(decision, Decision::Written { .. })).collect();
                assert_eq!(first.len(), 1, "applied once: {answers:?}");
                assert!(answers.iter().all(|(_, one)| one.version == first[0].1.version), "one result: {answers:?}");
                let (identity, name) = address(dataset);
                let visible = node.reader.store().version(&identity, &name).expect("reads");
                assert!(visible >= first[0].1.version, "an answered write is in the store");
                // The patch was applied between its first submission and its first answer.
                let submitted = answers.iter().map(|(_, one)| one.submitted).min().expect("one");
                let answered = answers.iter().map(|(_, one)| one.answered).min().expect("one");
                written.push(WrittenPatch { submitted, answered, ..first[0].1.clone() });
            }
            writing.fetch_sub(1, Ordering::SeqCst);
            written
        });
    }
    let written = writers.join_all().await.concat();
    let reads: Vec<_> = readers.join_all().await.into_iter().flatten().collect();
    let received = subscribers.join_all().await;
    let orders: Vec<_> = (0..DATASETS.len()).map(|dataset| in_order(dataset, &written)).collect();
    for (dataset, order) in orders.iter().enumerate() {
        assert_eq!(order.len() as u64, patches_of(dataset as u64));
        check_real_time_order(order);
    }
    assert!(reads.len() >= READERS * DATASETS.len());
    reads.iter().for_each(|read| check_prefix(&orders[read.dataset], read));
    for (dataset, (version, contents)) in received {
        assert_eq!((version, contents), (orders[dataset].len() as u64, contents_at(&orders[dataset], orders[dataset].len() as u64)));
    }
    let store = node.reopen().await;
    for (dataset, order) in orders.iter().enumerate() {
        let (identity, name) = address(dataset);
        assert_eq!(store.version(&identity, &name).expect("reads"), order.len() as u64, "no write is lost by reopening");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stopped_committer_leaves_exactly_the_patches_that_it_answered() {
    let node = CommitterNode::start().await;
    let mut writers = JoinSet::new();
    let (answered, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Notify::new()));
    for writer in 1..=WRITERS {
        let (node, answered, enough) = (Arc::clone(&node), Arc::clone(&answered), Arc::clone(&enough));
        writers.spawn(async move {
            let mut written = Vec::new();
            for n in 1.. {
                let Some((_, one)) = node.write(0, writer, n).await else { return written };
                written.push(one);
                if answered.fetch_add(1, Ordering::SeqCst) == 100 {
                    enough.notify_one();
                }
            }
            written
        });
    }
    enough.notified().await;
    node.committer.stop().await;
    let written = writers.join_all().await.concat();
    let order = in_order(0, &written);
    assert!(order.len() > 100);
    let store = node.reopen().await;
    let (identity, name) = address(0);
    assert_eq!(store.version(&identity, &name).expect("reads"), order.len() as u64);
}

/// While a group is not durable, no reply, no change and no read discloses it.
#[test]
fn a_group_is_neither_answered_nor_published_nor_read_before_its_flush() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let memory = Memory::default();
        let store = Store::in_memory(&memory, &Epoch::new("e").expect("an epoch")).expect("opens");
        let (identity, name) = address(0);
        sign_in(&store, "alice", &identity);
        let mut group = store.group();
        group.admit(&identity, &device(1), &DeviceBound::without_sessions(9), 1).expect("decides");
        group.commit().expect("commits");
        let hub = Hub::default();
        let (committer, _) = Committer::start(store.clone(), hub.clone(), Metrics::default(), Clock::start()).expect("starts");
        let reader = Reader::with_threads(store.clone(), 1).expect("starts");
        let topic = hub.subscribe(identity.text(), &name, &Arc::new(SessionSignals::new(1)));
        memory.hold_flushes();
        let held = memory.clone();
        let mut pending = committer.write(patch(0, 1, 1), DatasetRules::default(), 0).await.expect("is queued");
        tokio::task::spawn_blocking(move || memory.wait_for_held_flush()).await.expect("waits");
        let read = || {
            let (identity, name) = (identity.clone(), name.clone());
            reader.read(ReadOwner::Server, move |store| store.version(&identity, &name))
        };
        assert_eq!(read().await, Ok(0), "a read neither waits for the flush nor sees what it covers");
        assert!((&mut pending).now_or_never().is_none() && topic.newest_version() == 0, "no reply, and nothing published");
        held.release_flushes();
        assert!(matches!(pending.await, Ok(Ok(Decision::Written { version: 1, .. }))));
        assert_eq!(read().await, Ok(1));
    });
}

#[tokio::test]
async fn a_session_that_has_its_reply_finds_the_change_in_the_topic() {
    let node = CommitterNode::start().await;
    let (identity, name) = address(0);
    let signals = Arc::new(SessionSignals::new(1));
    let topic: Arc<Topic> = node.hub.subscribe(identity.text(), &name, &signals);
    for n in 1..=50 {
        let (_, written) = node.write(0, 1, n).await.expect("written");
        assert!(topic.newest_version() >= written.version, "published before it was answered");
        assert!(matches!(topic.next_after(n - 1, 1), NextChange::Change(change) if change.version() == n));
    }
}
