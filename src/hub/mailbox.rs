//! How others reach a session: marks, never a queue.

use tokio::sync::Notify;

use super::{AtomicU8, Ordering};

/// Something that a session should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// A dataset that it follows has moved.
    Moved = 1,
    /// A deadline of its own may have passed.
    Tick = 2,
    /// A newer session of its device took over.
    Replaced = 4,
    /// The server stops.
    Drain = 8,
    /// The identity was erased.
    Erased = 16,
    /// The identity was merged into another one.
    Merged = 32,
    /// The device was revoked.
    Revoked = 64,
}

/// The marks that a session found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// Whether a mark is among them.
    pub fn has(self, mark: Mark) -> bool {
        self.0 & mark as u8 != 0
    }
}

/// One session's.
#[derive(Debug)]
pub struct Mailbox {
    session: u64,
    marks: AtomicU8,
    bell: Notify,
}

impl Mailbox {
    /// An empty one, for the session with this number.
    pub fn new(session: u64) -> Mailbox {
        Mailbox { session, marks: AtomicU8::new(0), bell: Notify::new() }
    }

    /// The session's number, unique in this process.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Leaves a mark and rings, unless it is there already.
    pub fn mark(&self, mark: Mark) {
        if self.marks.fetch_or(mark as u8, Ordering::AcqRel) & mark as u8 == 0 {
            self.bell.notify_one();
        }
    }

    /// Waits until there are marks, and takes them. Nothing is lost if the wait is dropped.
    pub async fn marks(&self) -> Marks {
        loop {
            let marks = self.marks.swap(0, Ordering::AcqRel);
            if marks != 0 {
                return Marks(marks);
            }
            self.bell.notified().await;
        }
    }
}
