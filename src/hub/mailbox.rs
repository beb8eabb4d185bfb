//! How others reach a session: marks, never a queue.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

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

/// One session's: only one task at a time waits for its marks.
#[derive(Debug)]
pub struct Mailbox {
    session: u64,
    marks: AtomicU8,
    bell: AtomicWaker,
}

impl Mailbox {
    /// An empty one, for the session with this number.
    pub fn new(session: u64) -> Mailbox {
        Mailbox { session, marks: AtomicU8::new(0), bell: AtomicWaker::new() }
    }

    /// The session's number, unique in this process.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Leaves a mark and rings, unless it is there already.
    pub fn mark(&self, mark: Mark) {
        if self.marks.fetch_or(mark as u8, Ordering::AcqRel) & mark as u8 == 0 {
            self.bell.wake();
        }
    }

    /// Waits until there are marks, and takes them. Nothing is lost if the wait is dropped.
    pub async fn marks(&self) -> Marks {
        poll_fn(|context| self.poll_marks(context)).await
    }

    /// Takes the marks, if there are any; if not, the task is woken when there are.
    pub fn poll_marks(&self, context: &mut Context<'_>) -> Poll<Marks> {
        if let Some(marks) = self.take() {
            return Poll::Ready(marks);
        }
        self.bell.register(context.waker());
        // One may have come before the bell could wake this task.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn take(&self) -> Option<Marks> {
        let marks = self.marks.swap(0, Ordering::AcqRel);
        (marks != 0).then_some(Marks(marks))
    }
}
