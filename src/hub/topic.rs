//! One dataset's newest changes, shared by all sessions that subscribed to it.
//!
//! Invariants: versions in the ring have no gap; publishing never waits for a session; a session that the ring cannot serve reads the store, so
//! nothing is lost when the ring drops a change.

use std::sync::Arc;

use driftless_protocol::{Codec, DatasetName};

use super::change::{EncodedChange, PublishedChange};
use super::primitives::{AtomicU64, Mutex, Ordering, lock, push_exact};
use super::ring::{ChangeRing, RING_BYTES, RingBytes};
use super::signals::{SessionSignals, Signal};

/// What a session finds after its cursor.
#[derive(Debug)]
pub enum NextChange {
    /// The session has everything that was published.
    UpToDate,
    /// The change of the next version.
    Change(Arc<EncodedChange>),
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
    ring_bytes: RingBytes,
    subscribers: Mutex<Vec<Arc<SessionSignals>>>,
}

impl Topic {
    /// `ring_bytes` counts for all datasets of the identity.
    pub(super) fn new(dataset: DatasetName, ring_bytes: RingBytes) -> Topic {
        Topic { dataset, newest_version: AtomicU64::new(0), ring: Mutex::default(), ring_bytes, subscribers: Mutex::default() }
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
            None if ring.is_all_by(session, version + 1) => NextChange::OwnWrites,
            None => NextChange::Lagged,
        }
    }

    /// Returns whether the change has readers, which are to be woken.
    pub(super) fn publish(&self, change: PublishedChange) -> bool {
        let subscribers = lock(&self.subscribers);
        let (version, writer) = (change.version, change.writer);
        let readers = || subscribers.iter().filter(|signals| signals.session() != writer);
        let has_readers = readers().next().is_some();
        let is_kept = has_readers && change.memory_bytes() <= RING_BYTES;
        let encoded = is_kept.then(|| change.encode(|codec: Codec| readers().any(|signals| signals.codec() == codec)));
        let mut ring = lock(&self.ring);
        let ring = ring.get_or_insert_with(|| Box::new(ChangeRing::new(self.ring_bytes.clone())));
        match encoded {
            Some(encoded) => ring.push(encoded, readers().count()),
            None => ring.skip(version, writer),
        }
        self.newest_version.fetch_max(version, Ordering::AcqRel);
        has_readers
    }

    /// Signals the subscribers but for one session.
    pub(super) fn wake_all_but(&self, writer: u64) {
        for signals in lock(&self.subscribers).iter().filter(|signals| signals.session() != writer) {
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
        // What only this session has not taken yet would stay until newer changes replace it.
        if let Some(ring) = lock(&self.ring).as_mut() {
            ring.clear();
        }
        subscribers.is_empty()
    }
}
