//! One dataset's newest changes, shared by all sessions that subscribed to it.
//!
//! Invariants: versions in the ring have no gap; publishing never waits for a session; a session that the ring cannot serve reads the store, so
//! nothing is lost when the ring drops a change.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use driftless_protocol::{Codec, DatasetName, ServerMessage, Value};

use super::primitives::{AtomicU64, Mutex, Ordering, lock, push_exact};
use super::signals::{SessionSignals, Signal};

/// Changes that a ring holds at most. A session that lags by a short burst still finds them; one that lags further reads the store, which
/// has only the latest state of each record and is cheaper then.
pub const RING_CHANGES: usize = 32;

/// Bytes of encoded changes that a ring holds at most, approximately. A larger change is read from the store.
pub const RING_BYTES: usize = 64 * 1024;

/// A change as it is published: a `changes` message of exactly one version.
#[derive(Debug)]
pub struct PublishedChange {
    dataset: DatasetName,
    version: u64,
    /// The session that wrote the change; 0 if none did.
    writer: u64,
    message: ServerMessage,
    msgpack: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

impl PublishedChange {
    /// `writer` is the number of the session that wrote the change, 0 for a write without a session.
    pub fn new(dataset: DatasetName, version: u64, writer: u64, message: ServerMessage) -> PublishedChange {
        PublishedChange { dataset, version, writer, message, msgpack: OnceLock::new(), json: OnceLock::new() }
    }

    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// The message in one codec, encoded once for all sessions that use it.
    pub fn encoded(&self, codec: Codec) -> Bytes {
        let cell = match codec {
            Codec::MsgPack => &self.msgpack,
            Codec::Json => &self.json,
        };
        cell.get_or_init(|| codec.encode(&self.message).into()).clone()
    }

    /// The approximate size of the encoded message, known without encoding it.
    fn estimated_bytes(&self) -> usize {
        let ServerMessage::Changes { records, .. } = &self.message else { return 0 };
        records.iter().map(|record| record.key.as_str().len() + record.content.value().map_or(0, Value::packed_bytes)).sum()
    }
}

/// What a session finds after its cursor.
#[derive(Debug)]
pub enum NextChange {
    /// The session has everything that was published.
    UpToDate,
    /// The change of the next version.
    Change(Arc<PublishedChange>),
    /// The next versions are all writes of the session itself, which the ring did not keep.
    OwnWrites,
    /// The session needs more than the ring holds, and reads the store.
    Lagged,
}

/// One dataset's ring and subscribers.
#[derive(Debug)]
pub struct Topic {
    dataset: DatasetName,
    newest_version: AtomicU64,
    /// Allocated with the first change: most datasets with subscribers do not change for a long time.
    ring: Mutex<Option<Box<ChangeRing>>>,
    subscribers: Mutex<Vec<Arc<SessionSignals>>>,
}

impl Topic {
    pub(super) fn new(dataset: DatasetName) -> Topic {
        Topic { dataset, newest_version: AtomicU64::new(0), ring: Mutex::default(), subscribers: Mutex::default() }
    }

    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// The newest version that was published here; 0 if none was since the first session subscribed.
    pub fn newest_version(&self) -> u64 {
        self.newest_version.load(Ordering::Acquire)
    }

    /// What follows the version that a session has. A change that is returned counts as taken by this session.
    pub fn next_after(&self, version: u64, session: u64) -> NextChange {
        if self.newest_version() <= version {
            return NextChange::UpToDate;
        }
        let mut ring = lock(&self.ring);
        let Some(ring) = ring.as_mut() else { return NextChange::Lagged };
        match ring.take(version + 1, session) {
            Some(change) => NextChange::Change(change),
            None if ring.newest.is_all_by(session, version + 1) => NextChange::OwnWrites,
            None => NextChange::Lagged,
        }
    }

    pub(super) fn publish(&self, change: PublishedChange) {
        let subscribers = lock(&self.subscribers);
        let readers = subscribers.iter().filter(|signals| signals.session() != change.writer).count();
        let (version, writer) = (change.version, change.writer);
        {
            let mut ring = lock(&self.ring);
            ring.get_or_insert_default().push(change, readers);
            self.newest_version.fetch_max(version, Ordering::AcqRel);
        }
        for signals in subscribers.iter().filter(|signals| signals.session() != writer) {
            signals.raise(Signal::Changed);
        }
    }

    pub(super) fn advance(&self, version: u64) {
        let subscribers = lock(&self.subscribers);
        *lock(&self.ring) = None;
        self.newest_version.fetch_max(version, Ordering::AcqRel);
        subscribers.iter().for_each(|signals| signals.raise(Signal::Changed));
    }

    pub(super) fn subscribe(&self, signals: &Arc<SessionSignals>) {
        let mut subscribers = lock(&self.subscribers);
        if !subscribers.iter().any(|known| Arc::ptr_eq(known, signals)) {
            push_exact(&mut subscribers, Arc::clone(signals));
        }
    }

    /// Returns whether no subscriber is left.
    pub(super) fn unsubscribe(&self, signals: &Arc<SessionSignals>) -> bool {
        let mut subscribers = lock(&self.subscribers);
        subscribers.retain(|known| !Arc::ptr_eq(known, signals));
        subscribers.is_empty()
    }
}

/// Changes of consecutive versions that at least one session has not taken yet.
#[derive(Debug, Default)]
struct ChangeRing {
    slots: VecDeque<RingSlot>,
    bytes: usize,
    newest: WriterRun,
}

/// The newest versions, as far back as one session wrote all of them.
#[derive(Debug, Default)]
struct WriterRun {
    writer: u64,
    from: u64,
    to: u64,
}

impl WriterRun {
    fn extend(&mut self, version: u64, writer: u64) {
        let is_consecutive = self.writer == writer && self.to + 1 == version;
        *self = WriterRun { writer, from: if is_consecutive { self.from } else { version }, to: version };
    }

    /// Whether the session wrote every version from this one to the newest.
    fn is_all_by(&self, session: u64, version: u64) -> bool {
        self.writer == session && self.from <= version
    }
}

#[derive(Debug)]
struct RingSlot {
    change: Arc<PublishedChange>,
    bytes: usize,
    /// Sessions that have not taken the change yet.
    waiting: usize,
}

impl ChangeRing {
    fn push(&mut self, change: PublishedChange, readers: usize) {
        self.newest.extend(change.version, change.writer);
        // Versions are dense, but a change without readers was not kept, so the ring may end before the previous version.
        let is_consecutive = self.slots.back().is_some_and(|last| last.change.version + 1 == change.version);
        if readers == 0 || !is_consecutive {
            self.slots.clear();
            self.bytes = 0;
        }
        if readers == 0 {
            return;
        }
        let bytes = change.estimated_bytes();
        self.bytes += bytes;
        self.slots.push_back(RingSlot { change: Arc::new(change), bytes, waiting: readers });
        while self.slots.len() > RING_CHANGES || self.bytes > RING_BYTES {
            self.pop();
        }
    }

    fn take(&mut self, version: u64, session: u64) -> Option<Arc<PublishedChange>> {
        let index = version.checked_sub(self.slots.front()?.change.version)?;
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        let change = Arc::clone(&slot.change);
        // The writer is not in `waiting`. Neither is a session that subscribed after the change was published: if one takes the change, the
        // slot is freed early, and the last session to come reads the store.
        if change.writer != session {
            slot.waiting = slot.waiting.saturating_sub(1);
        }
        while self.slots.front().is_some_and(|first| first.waiting == 0) {
            self.pop();
        }
        Some(change)
    }

    fn pop(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.bytes -= slot.bytes;
        }
    }
}
