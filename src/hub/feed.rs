//! One dataset's newest changes, shared by all sessions that follow it.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use driftless_protocol::{Codec, DatasetName, ServerMessage, Value};

use super::mailbox::{Mailbox, Mark};
use super::{AtomicU64, Mutex, Ordering, lock, push_one};

/// Changes that a ring holds at most: a session that lags by a burst still finds them, one that lags by more reads the store,
/// where only the latest state of each record is left.
pub const RING_CHANGES: usize = 32;

/// Bytes of encoded changes that a ring holds at most, in about; a larger change is read from the store.
pub const RING_BYTES: usize = 64 * 1024;

/// A change as it is published: a `changes` message of exactly one version.
#[derive(Debug)]
pub struct Change {
    dataset: DatasetName,
    version: u64,
    /// The session that wrote it, 0 if none did.
    writer: u64,
    message: ServerMessage,
    packed: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

impl Change {
    /// A change of a dataset, by the session with this number.
    pub fn new(dataset: DatasetName, version: u64, writer: u64, message: ServerMessage) -> Change {
        Change { dataset, version, writer, message, packed: OnceLock::new(), json: OnceLock::new() }
    }

    /// Its dataset.
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// The version that it made.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The session that wrote it.
    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// Its message, encoded once for all who ask.
    pub fn encoded(&self, codec: Codec) -> Bytes {
        let cell = match codec {
            Codec::MsgPack => &self.packed,
            Codec::Json => &self.json,
        };
        cell.get_or_init(|| codec.encode(&self.message).into()).clone()
    }

    /// About the size of its encoding.
    fn bytes(&self) -> usize {
        let ServerMessage::Changes { records, .. } = &self.message else { return 0 };
        records.iter().map(|record| record.key.as_str().len() + record.content.value().map_or(0, Value::packed_bytes)).sum()
    }
}

/// What a session finds after its cursor.
#[derive(Debug)]
pub enum Taken {
    /// Nothing: it has all that was published.
    Nothing,
    /// The change of the next version.
    Change(Arc<Change>),
    /// Only what it wrote itself, which was kept for nobody.
    Own,
    /// More than the ring holds: it reads the store.
    Behind,
}

/// One dataset's ring and followers.
#[derive(Debug)]
pub struct Feed {
    dataset: DatasetName,
    head: AtomicU64,
    /// There is none before the first change: most datasets that somebody follows do not change for long.
    ring: Mutex<Option<Box<Ring>>>,
    followers: Mutex<Vec<Arc<Mailbox>>>,
}

impl Feed {
    pub(super) fn new(dataset: DatasetName) -> Feed {
        Feed { dataset, head: AtomicU64::new(0), ring: Mutex::default(), followers: Mutex::default() }
    }

    /// Whose feed it is.
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// The newest version that was published here; 0 if none was since the first session followed.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// What follows a version that a session has.
    pub fn after(&self, version: u64, session: u64) -> Taken {
        if self.head() <= version {
            return Taken::Nothing;
        }
        let mut ring = lock(&self.ring);
        let Some(ring) = ring.as_mut() else { return Taken::Behind };
        match ring.take(version + 1, session) {
            Some(change) => Taken::Change(change),
            None if ring.newest.is_own(version + 1, session) => Taken::Own,
            None => Taken::Behind,
        }
    }

    pub(super) fn publish(&self, change: Change) {
        let followers = lock(&self.followers);
        let others = followers.iter().filter(|mailbox| mailbox.session() != change.writer).count();
        let (version, writer) = (change.version, change.writer);
        {
            let mut ring = lock(&self.ring);
            ring.get_or_insert_default().push(change, others);
            self.head.fetch_max(version, Ordering::AcqRel);
        }
        for mailbox in followers.iter().filter(|mailbox| mailbox.session() != writer) {
            mailbox.mark(Mark::Moved);
        }
    }

    pub(super) fn jump(&self, version: u64) {
        let followers = lock(&self.followers);
        *lock(&self.ring) = None;
        self.head.fetch_max(version, Ordering::AcqRel);
        followers.iter().for_each(|mailbox| mailbox.mark(Mark::Moved));
    }

    pub(super) fn join(&self, mailbox: &Arc<Mailbox>) {
        let mut followers = lock(&self.followers);
        if !followers.iter().any(|known| Arc::ptr_eq(known, mailbox)) {
            push_one(&mut followers, Arc::clone(mailbox));
        }
    }

    /// Whether nobody follows any more.
    pub(super) fn leave(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut followers = lock(&self.followers);
        followers.retain(|known| !Arc::ptr_eq(known, mailbox));
        followers.is_empty()
    }
}

/// Changes of neighbouring versions that somebody may still take.
#[derive(Debug, Default)]
struct Ring {
    slots: VecDeque<Slot>,
    bytes: usize,
    newest: Run,
}

/// The newest versions, as far back as one session wrote them all.
#[derive(Debug, Default)]
struct Run {
    writer: u64,
    from: u64,
    to: u64,
}

impl Run {
    fn extend(&mut self, version: u64, writer: u64) {
        let follows = self.writer == writer && self.to + 1 == version;
        *self = Run { writer, from: if follows { self.from } else { version }, to: version };
    }

    fn is_own(&self, version: u64, session: u64) -> bool {
        self.writer == session && self.from <= version
    }
}

#[derive(Debug)]
struct Slot {
    change: Arc<Change>,
    bytes: usize,
    /// Sessions that have yet to take it.
    waiting: usize,
}

impl Ring {
    fn push(&mut self, change: Change, waiting: usize) {
        self.newest.extend(change.version, change.writer);
        // Without a gap: versions are dense, but what nobody waited for was left out.
        let follows = self.slots.back().is_some_and(|last| last.change.version + 1 == change.version);
        if waiting == 0 || !follows {
            self.slots.clear();
            self.bytes = 0;
        }
        if waiting == 0 {
            return;
        }
        let bytes = change.bytes();
        self.bytes += bytes;
        self.slots.push_back(Slot { change: Arc::new(change), bytes, waiting });
        while self.slots.len() > RING_CHANGES || self.bytes > RING_BYTES {
            self.pop();
        }
    }

    fn take(&mut self, version: u64, session: u64) -> Option<Arc<Change>> {
        let at = version.checked_sub(self.slots.front()?.change.version)?;
        let slot = self.slots.get_mut(usize::try_from(at).ok()?)?;
        let change = Arc::clone(&slot.change);
        // The writer was not counted. Whoever came late was not either; then a change goes early, and the last to come reads the store.
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
