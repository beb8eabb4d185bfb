//! Live sessions of every identity, and the newest changes that they share.
//!
//! - Publishing never waits and fills no queue of a session: it puts the change into its dataset's ring, encoded at most once a codec,
//!   and marks the sessions that have the dataset open. Each takes from the ring after its own cursor when it can write.
//! - A ring holds what someone may still take, within [`RING_CHANGES`] and [`RING_BYTES`]; who is further behind reads the store.
//! - One session of a device: a newer one replaces the older.
//!
//! A leaf: it knows neither sessions nor the store, only mailboxes. Locks and atomics of its parts come from here, where
//! `tests/interleavings` puts others, to try the orders in which threads can meet.

mod feed;
mod mailbox;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_protocol::{DatasetName, DeviceId};

pub use feed::{Change, Feed, RING_BYTES, RING_CHANGES, Taken};
pub use mailbox::{Mailbox, Mark, Marks};

/// Locks over which identities are spread, so that threads seldom meet.
const SHARDS: usize = 64;

/// Where sessions and the committer meet; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shards: Arc<[Shard]>,
    hasher: RandomState,
}

type Shard = Mutex<HashMap<Arc<str>, Room>>;

/// One identity's.
#[derive(Default)]
struct Room {
    sessions: Vec<(DeviceId, Arc<Mailbox>)>,
    feeds: Vec<Arc<Feed>>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }
}

impl Hub {
    /// A session comes in. An older one of the same device is told that it is replaced.
    pub fn enter(&self, identity: &Arc<str>, device: &DeviceId, mailbox: &Arc<Mailbox>) {
        let mut shard = self.shard(identity);
        let room = shard.entry(Arc::clone(identity)).or_default();
        match room.sessions.iter_mut().find(|(known, _)| known == device) {
            Some((_, older)) => {
                older.mark(Mark::Replaced);
                *older = Arc::clone(mailbox);
            }
            None => push_one(&mut room.sessions, (device.clone(), Arc::clone(mailbox))),
        }
    }

    /// A session is gone, and with it its interest in all datasets.
    pub fn leave(&self, identity: &str, mailbox: &Arc<Mailbox>) {
        let mut shard = self.shard(identity);
        let Some(room) = shard.get_mut(identity) else { return };
        room.sessions.retain(|(_, known)| !Arc::ptr_eq(known, mailbox));
        room.feeds.retain(|feed| !feed.leave(mailbox));
        if room.sessions.is_empty() && room.feeds.is_empty() {
            shard.remove(identity);
        }
    }

    /// A session wants a dataset's changes from now on.
    pub fn follow(&self, identity: &Arc<str>, dataset: &DatasetName, mailbox: &Arc<Mailbox>) -> Arc<Feed> {
        let mut shard = self.shard(identity);
        let room = shard.entry(Arc::clone(identity)).or_default();
        let feed = match room.feeds.iter().find(|feed| feed.dataset() == dataset) {
            Some(feed) => Arc::clone(feed),
            None => {
                let feed = Arc::new(Feed::new(dataset.clone()));
                push_one(&mut room.feeds, Arc::clone(&feed));
                feed
            }
        };
        feed.join(mailbox);
        feed
    }

    /// A session wants a dataset's changes no more.
    pub fn unfollow(&self, identity: &str, feed: &Feed, mailbox: &Arc<Mailbox>) {
        let mut shard = self.shard(identity);
        if let Some(room) = shard.get_mut(identity) {
            room.feeds.retain(|known| known.dataset() != feed.dataset() || !known.leave(mailbox));
        }
    }

    /// A change is durable: whoever follows its dataset may take it. The writing session is not woken: it gets its reply.
    pub fn publish(&self, identity: &str, change: Change) {
        let feed = {
            let shard = self.shard(identity);
            let Some(room) = shard.get(identity) else { return };
            room.feeds.iter().find(|feed| feed.dataset() == change.dataset()).map(Arc::clone)
        };
        if let Some(feed) = feed {
            feed.publish(change);
        }
    }

    /// A dataset has a newer version, whose changes are in the store only. Nothing waits here either.
    pub fn jump(&self, identity: &str, dataset: &DatasetName, version: u64) {
        let feed =
            self.shard(identity).get(identity).and_then(|room| room.feeds.iter().find(|feed| feed.dataset() == dataset).map(Arc::clone));
        if let Some(feed) = feed {
            feed.jump(version);
        }
    }

    /// Marks every session of an identity.
    pub fn mark(&self, identity: &str, mark: Mark) {
        if let Some(room) = self.shard(identity).get(identity) {
            room.sessions.iter().for_each(|(_, mailbox)| mailbox.mark(mark));
        }
    }

    /// Marks the session of one device.
    pub fn mark_device(&self, identity: &str, device: &DeviceId, mark: Mark) {
        if let Some(room) = self.shard(identity).get(identity) {
            room.sessions.iter().filter(|(known, _)| known == device).for_each(|(_, mailbox)| mailbox.mark(mark));
        }
    }

    /// Marks every session there is.
    pub fn mark_all(&self, mark: Mark) {
        for shard in self.shards.iter() {
            for room in lock(shard).values() {
                for (_, mailbox) in &room.sessions {
                    mailbox.mark(mark);
                }
            }
        }
    }

    fn shard(&self, identity: &str) -> MutexGuard<'_, HashMap<Arc<str>, Room>> {
        lock(&self.shards[self.hasher.hash_one(identity) as usize % SHARDS])
    }
}

/// Most lists here have one or two entries, and there are very many of them: they hold no room for more.
fn push_one<T>(list: &mut Vec<T>, one: T) {
    list.reserve_exact(1);
    list.push(one);
}

/// Nothing that runs under these locks can leave half a change behind, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
