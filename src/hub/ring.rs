//! The newest changes of one dataset, and the bytes that all rings of an identity hold together.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::EncodedChange;
use super::primitives::{AtomicU64, Ordering};

/// Changes that a ring holds at most. A session that lags by a short burst still finds them; one that lags further reads the store, which
/// has only the latest state of each record and is cheaper then.
pub const RING_CHANGES: usize = 32;

/// Bytes of encoded changes that a ring holds at most. A larger change is read from the store.
pub const RING_BYTES: usize = 64 * 1024;

/// Bytes that all rings of an identity hold at most. Sessions that read leave the rings empty, so this is only met while some session does not.
/// Then the others read changes of further datasets from the store.
pub const IDENTITY_RING_BYTES: usize = 1024 * 1024;

/// The bytes of all rings of an identity. Clones share the count.
#[derive(Clone, Debug)]
pub struct RingBytes(Arc<AtomicU64>);

impl Default for RingBytes {
    fn default() -> RingBytes {
        RingBytes(Arc::new(AtomicU64::new(0)))
    }
}

impl RingBytes {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed) as usize
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

/// Changes of consecutive versions that at least one session has not taken yet.
#[derive(Debug)]
pub(super) struct ChangeRing {
    slots: VecDeque<RingSlot>,
    bytes: usize,
    of_identity: RingBytes,
    newest: WriterRun,
}

/// The newest versions, as far back as one session wrote all of them.
#[derive(Debug, Default)]
struct WriterRun {
    writer: u64,
    from: u64,
    to: u64,
}

#[derive(Debug)]
struct RingSlot {
    change: Arc<EncodedChange>,
    bytes: usize,
    /// Sessions that have not taken the change yet.
    waiting: usize,
}

impl ChangeRing {
    pub(super) fn new(of_identity: RingBytes) -> ChangeRing {
        ChangeRing { slots: VecDeque::new(), bytes: 0, of_identity, newest: WriterRun::default() }
    }

    /// Notes a change that the ring does not keep.
    pub(super) fn skip(&mut self, version: u64, writer: u64) {
        self.newest.extend(version, writer);
        self.clear();
    }

    pub(super) fn push(&mut self, change: EncodedChange, readers: usize) {
        self.newest.extend(change.version(), change.writer());
        // Versions are dense, but a change that is not kept leaves a gap.
        if self.slots.back().is_some_and(|last| last.change.version() + 1 != change.version()) {
            self.clear();
        }
        let bytes = change.memory_bytes() + size_of::<RingSlot>();
        self.bytes += bytes;
        self.of_identity.add(bytes);
        self.slots.push_back(RingSlot { change: Arc::new(change), bytes, waiting: readers });
        while self.slots.len() > RING_CHANGES || self.bytes > RING_BYTES || self.of_identity.get() > IDENTITY_RING_BYTES {
            if self.slots.is_empty() {
                break;
            }
            self.pop();
        }
    }

    pub(super) fn take(&mut self, version: u64, session: u64) -> Option<Arc<EncodedChange>> {
        let index = version.checked_sub(self.slots.front()?.change.version())?;
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        let change = Arc::clone(&slot.change);
        // The writer is not in `waiting`. Neither is a session that subscribed after the change was published: if one takes the change, the
        // slot is freed early, and the last session to come reads the store.
        if change.writer() != session {
            slot.waiting = slot.waiting.saturating_sub(1);
        }
        while self.slots.front().is_some_and(|first| first.waiting == 0) {
            self.pop();
        }
        Some(change)
    }

    /// Whether the session wrote every version from this one to the newest.
    pub(super) fn is_all_by(&self, session: u64, version: u64) -> bool {
        self.newest.writer == session && self.newest.from <= version
    }

    /// Drops all changes, and what they took.
    pub(super) fn clear(&mut self) {
        self.of_identity.subtract(std::mem::take(&mut self.bytes));
        self.slots = VecDeque::new();
    }

    fn pop(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.bytes -= slot.bytes;
            self.of_identity.subtract(slot.bytes);
        }
    }
}

impl Drop for ChangeRing {
    fn drop(&mut self) {
        self.clear();
    }
}

impl WriterRun {
    fn extend(&mut self, version: u64, writer: u64) {
        let is_consecutive = self.writer == writer && self.to + 1 == version;
        *self = WriterRun { writer, from: if is_consecutive { self.from } else { version }, to: version };
    }
}
