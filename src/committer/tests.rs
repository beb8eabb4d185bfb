//! Many tasks at once on one committer: what each of them saw is written down, and held against the rules afterwards.
//!
//! Every patch puts a value that no other puts, and counts on a record that all share. So the answers alone say which order the patches
//! were given, and the order says what every read must have found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use driftless_protocol::{Change, Content, Epoch, Key, Op, Record, ServerMessage, Value};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::hub::{Feed, Mailbox, Taken};
use crate::store::memory::Memory;
use crate::store::{EngineConfig, LoginKey, ReadResult, ReadStart};

/// Devices that write, each on its own task.
const WRITERS: u64 = 16;

/// Patches of each.
const PATCHES: u64 = 40;

/// Tasks that read each dataset from the beginning, again and again.
const READERS: usize = 2;

/// Sessions that follow each dataset.
const FOLLOWERS: u64 = 3;

const DATASETS: [(&str, &str); 3] = [("local:1", "a"), ("local:1", "b"), ("local:2", "a")];

/// A store in a folder, and its committer.
struct Node {
    folder: TempDir,
    committer: Committer,
    reader: Reader,
    hub: Hub,
    thread: JoinHandle<()>,
    /// Moments, in the order in which they happened.
    moments: AtomicU64,
}

/// A patch that was written.
#[derive(Clone, Debug)]
struct Written {
    dataset: usize,
    version: u64,
    handed_in: u64,
    answered: u64,
    writer: u64,
    n: u64,
}

/// A read from the beginning.
struct Read {
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

fn whose(dataset: usize) -> (Identity, DatasetName) {
    (Identity::from(DATASETS[dataset].0), DatasetName::new(DATASETS[dataset].1).expect("a name"))
}

fn device(writer: u64) -> DeviceId {
    DeviceId::new(&format!("device-{writer}")).expect("a device")
}

/// The nth patch of a writer: its own value under a key that comes again, one under a key that does not, and one more on the count.
fn patch(dataset: usize, writer: u64, n: u64) -> Patch {
    let put = |key: String| Change::new(Key::new(&key).expect("a key"), Op::Put, Value::from(value(writer, n).as_str()));
    let count = Change::new(Key::new("count").expect("a key"), Op::Add, Value::from(1));
    let (identity, dataset) = whose(dataset);
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

impl Node {
    async fn start() -> Arc<Node> {
        let folder = TempDir::new().expect("a folder");
        let (store, hub) = (open(&folder), Hub::default());
        let (committer, thread) = Committer::start(store.clone(), hub.clone(), Metrics::default(), Clock::start()).expect("starts");
        let reader = Reader::start(store, committer.gate().clone()).expect("starts");
        for identity in DATASETS.iter().map(|(identity, _)| *identity).collect::<BTreeSet<_>>() {
            let (subject, fresh) = (identity.to_owned(), Identity::from(identity));
            let who = SignIn {
                pool: "demo".into(),
                issuer: "i".into(),
                subject,
                spare: fresh.clone(),
                fresh,
                device: device(0),
                most_devices: 100,
            };
            committer.sign_in(who).await.expect("signs in");
        }
        Arc::new(Node { folder, committer, reader, hub, thread, moments: AtomicU64::new(0) })
    }

    fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// Hands in a patch and waits for what becomes of it; `None` if the committer has gone.
    async fn write(&self, dataset: usize, writer: u64, n: u64) -> Option<(Decision, Written)> {
        let handed_in = self.now();
        let answer = self.committer.write(patch(dataset, writer, n), DatasetRules::default(), 0).await.ok()?;
        let decision = answer.await.ok()?.expect("the store is well");
        let (Decision::Written { version, .. } | Decision::Repeated { version, .. }) = decision else { panic!("{decision:?}") };
        Some((decision, Written { dataset, version, handed_in, answered: self.now(), writer, n }))
    }

    async fn read(&self, dataset: usize) -> Read {
        let began = self.now();
        let (version, found) = self.read_after(dataset, 0).await;
        Read { dataset, version, began, ended: self.now(), found }
    }

    /// All that changed after a version, page by page as a session reads, and the version that it leads to.
    async fn read_after(&self, dataset: usize, version: u64) -> (u64, Contents) {
        let (mut found, mut next) = (Contents::new(), None);
        loop {
            let (identity, name) = whose(dataset);
            let page = self.reader.read(move |store| {
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

    /// Lets the writer end, and opens what it left.
    async fn reopened(self: Arc<Node>) -> Store {
        self.committer.stop().await;
        let node = Arc::into_inner(self).expect("nobody else has it");
        let Node { folder, committer, reader, thread, .. } = node;
        drop((committer, reader));
        thread.join().expect("ends in good order");
        open(&folder)
    }
}

/// A dataset's patches in the order of their versions, which are 1, 2, 3, ... (I1); each patch is there exactly once.
fn in_order(dataset: usize, written: &[Written]) -> Vec<&Written> {
    let mut order: Vec<_> = written.iter().filter(|one| one.dataset == dataset).collect();
    order.sort_by_key(|one| one.version);
    let versions: Vec<_> = order.iter().map(|one| one.version).collect();
    assert_eq!(versions, (1..=order.len() as u64).collect::<Vec<_>>(), "versions are dense, and each belongs to one patch");
    let patches: BTreeSet<_> = order.iter().map(|one| (one.writer, one.n)).collect();
    assert_eq!(patches.len(), order.len(), "each patch is there once");
    order
}

/// What a dataset holds after the first so many patches.
fn state(order: &[&Written], version: u64) -> Contents {
    let mut contents = Contents::new();
    for one in &order[..version as usize] {
        let text = Value::from(value(one.writer, one.n).as_str()).to_string();
        contents.insert(format!("k{}", one.n % 4), (text.clone(), one.version));
        contents.insert(value(one.writer, one.n), (text, one.version));
        contents.insert("count".to_owned(), (one.version.to_string(), one.version));
    }
    contents
}

/// A patch that was answered before another was handed in comes before it.
fn real_time_is_kept(order: &[&Written]) {
    let mut newest_after: u64 = u64::MAX;
    for one in order.iter().rev() {
        assert!(one.handed_in < newest_after, "version {} was handed in after a later one was answered", one.version);
        newest_after = newest_after.min(one.answered);
    }
}

/// A read is a prefix of the order, with all that was answered before it began and nothing that was handed in after it ended.
fn is_a_prefix(order: &[&Written], read: &Read) {
    assert_eq!(read.found, state(order, read.version), "the state at version {}", read.version);
    assert!(order[read.version as usize..].iter().all(|later| later.answered > read.began), "an answered write is missing");
    assert!(order[..read.version as usize].iter().all(|earlier| earlier.handed_in < read.ended), "a read from the future");
}

/// Follows a dataset as a session does until it has seen a version, and returns what it was led to.
async fn follow(node: Arc<Node>, dataset: usize, session: u64, until: Arc<AtomicU64>) -> (u64, Contents) {
    let mailbox = Arc::new(Mailbox::new(session));
    let (identity, name) = whose(dataset);
    let feed = node.hub.follow(identity.text(), &name, &mailbox);
    let (mut version, mut contents) = node.read_after(dataset, 0).await;
    while version < until.load(Ordering::SeqCst) {
        mailbox.marks().await;
        loop {
            match feed.after(version, session) {
                Taken::Nothing => break,
                Taken::Change(change) => {
                    assert_eq!(change.version(), version + 1, "in order and without a gap");
                    version += 1;
                    contents.extend(records_of(&change));
                }
                Taken::Own | Taken::Behind => {
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

fn records_of(change: &crate::hub::Change) -> Contents {
    let message = driftless_protocol::Codec::Json.decode_server(&change.encoded(driftless_protocol::Codec::Json)).expect("decodes");
    let ServerMessage::Changes { records, .. } = message else { panic!("no changes") };
    let one = |record: Record| {
        (record.key.as_str().to_owned(), (record.content.value().map(ToString::to_string).unwrap_or_default(), record.version))
    };
    records.into_iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_all_agree_on_one_order_in_which_every_answered_patch_stands_once() {
    let node = Node::start().await;
    let patches_of = |dataset: u64| WRITERS * (1..=PATCHES).filter(|n| n % 3 == dataset).count() as u64;
    let (mut writers, mut readers, mut followers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let writing = Arc::new(AtomicUsize::new(WRITERS as usize));
    for dataset in 0..DATASETS.len() {
        let last = Arc::new(AtomicU64::new(patches_of(dataset as u64)));
        for session in 1..=FOLLOWERS {
            let following = follow(Arc::clone(&node), dataset, session, Arc::clone(&last));
            followers.spawn(async move { (dataset, following.await) });
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
                // Now and then the same patch comes on several ways at once, as after a lost connection.
                let copies = if (n + writer) % 5 == 0 { 3 } else { 1 };
                let answers = futures_util::future::join_all((0..copies).map(|_| node.write(dataset, writer, n))).await;
                let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("the committer is there")).collect();
                let first: Vec<_> = answers.iter().filter(|(decision, _)| matches!(decision, Decision::Written { .. })).collect();
                assert_eq!(first.len(), 1, "applied once: {answers:?}");
                assert!(answers.iter().all(|(_, one)| one.version == first[0].1.version), "one result: {answers:?}");
                let (identity, name) = whose(dataset);
                let visible = node.reader.store().version(&identity, &name).expect("reads");
                assert!(visible >= first[0].1.version, "an answered write is in the store");
                // The first to be handed in and to be answered bound when it happened.
                let handed_in = answers.iter().map(|(_, one)| one.handed_in).min().expect("one");
                let answered = answers.iter().map(|(_, one)| one.answered).min().expect("one");
                written.push(Written { handed_in, answered, ..first[0].1.clone() });
            }
            writing.fetch_sub(1, Ordering::SeqCst);
            written
        });
    }
    let written = writers.join_all().await.concat();
    let reads: Vec<_> = readers.join_all().await.into_iter().flatten().collect();
    let followed = followers.join_all().await;
    let orders: Vec<_> = (0..DATASETS.len()).map(|dataset| in_order(dataset, &written)).collect();
    for (dataset, order) in orders.iter().enumerate() {
        assert_eq!(order.len() as u64, patches_of(dataset as u64));
        real_time_is_kept(order);
    }
    assert!(reads.len() >= READERS * DATASETS.len());
    reads.iter().for_each(|read| is_a_prefix(&orders[read.dataset], read));
    for (dataset, (version, contents)) in followed {
        assert_eq!((version, contents), (orders[dataset].len() as u64, state(&orders[dataset], orders[dataset].len() as u64)));
    }
    let store = node.reopened().await;
    for (dataset, order) in orders.iter().enumerate() {
        let (identity, name) = whose(dataset);
        assert_eq!(store.version(&identity, &name).expect("reads"), order.len() as u64, "nothing is gone after opening again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_was_answered_before_the_committer_stopped_is_there_and_nothing_else() {
    let node = Node::start().await;
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
    let store = node.reopened().await;
    let (identity, name) = whose(0);
    assert_eq!(store.version(&identity, &name).expect("reads"), order.len() as u64);
}

/// While a group is seen and not durable, nothing of it leaves: no answer, no change, no read.
#[test]
fn nothing_is_told_or_shown_before_its_flush() {
    // One thread reads. When it takes the next job, it has let go of what it read before.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let memory = Memory::default();
        let store = Store::in_memory(&memory, &Epoch::new("e").expect("an epoch")).expect("opens");
        let (identity, name) = whose(0);
        sign_in(&store, "alice", &identity);
        let hub = Hub::default();
        let (committer, _) = Committer::start(store.clone(), hub.clone(), Metrics::default(), Clock::start()).expect("starts");
        let reader = Reader::with(store.clone(), committer.gate().clone(), 1).expect("starts");
        let feed = hub.follow(identity.text(), &name, &Arc::new(Mailbox::new(1)));
        memory.hold_flushes();
        let mut answer = committer.write(patch(0, 1, 1), DatasetRules::default(), 0).await.expect("is taken");
        while store.version(&identity, &name).expect("reads") == 0 {
            tokio::task::yield_now().await;
        }
        let mut reading = Box::pin(reader.read(move |store| store.version(&identity, &name)));
        assert_eq!((&mut reading).now_or_never(), None, "the read is on its way");
        let (done, is_done) = tokio::sync::oneshot::channel();
        let behind = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read(move |_| Ok(done.send(()))).await }
        });
        is_done.await.expect("the one thread has done what came before");
        assert_eq!((&mut reading).now_or_never(), None, "it is not durable yet");
        assert!((&mut answer).now_or_never().is_none() && feed.head() == 0, "and nobody was told");
        memory.release_flushes();
        assert_eq!(reading.await, Ok(1));
        assert!(behind.await.is_ok_and(|read| read.is_ok()));
        assert!(matches!(answer.await, Ok(Ok(Decision::Written { version: 1, .. }))));
    });
}

#[tokio::test]
async fn who_has_the_answer_finds_the_change_in_the_feed() {
    let node = Node::start().await;
    let (identity, name) = whose(0);
    let mailbox = Arc::new(Mailbox::new(1));
    let feed: Arc<Feed> = node.hub.follow(identity.text(), &name, &mailbox);
    for n in 1..=50 {
        let (_, written) = node.write(0, 1, n).await.expect("written");
        assert!(feed.head() >= written.version, "published before it was answered");
        assert!(matches!(feed.after(n - 1, 1), Taken::Change(change) if change.version() == n));
    }
}
