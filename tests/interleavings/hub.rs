//! As `src/hub.rs`, as far as feeds and mailboxes need it.

use std::sync::{Arc, PoisonError};

use driftless_protocol::DatasetName;
use shuttle::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use shuttle::sync::{Mutex, MutexGuard};

#[allow(dead_code)]
#[path = "../../src/hub/feed.rs"]
mod feed;
#[path = "../../src/hub/mailbox.rs"]
mod mailbox;

pub use feed::{Change, RING_BYTES, RING_CHANGES, Taken};
pub use mailbox::{Mailbox, Mark, Marks};

/// A dataset's feed.
pub struct Feed(feed::Feed);

impl Feed {
    /// One that nobody follows.
    pub fn new(dataset: DatasetName) -> Feed {
        Feed(feed::Feed::new(dataset))
    }

    /// A session follows.
    pub fn join(&self, mailbox: &Arc<Mailbox>) {
        self.0.join(mailbox);
    }

    /// A session follows no more. Whether nobody does.
    pub fn leave(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.0.leave(mailbox)
    }

    /// A change is durable.
    pub fn publish(&self, change: Change) {
        self.0.publish(change);
    }

    /// What follows a version.
    pub fn after(&self, version: u64, session: u64) -> Taken {
        self.0.after(version, session)
    }

    /// The newest version that was published.
    pub fn head(&self) -> u64 {
        self.0.head()
    }
}

fn push_one<T>(list: &mut Vec<T>, one: T) {
    list.push(one);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
