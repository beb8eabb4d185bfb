//! The live sessions of every identity, and the newest changes that they share.
//!
//! - Publishing never waits and fills no queue of a session: the hub puts the change into its dataset's ring, as a frame that is encoded once
//!   per codec that its readers use, and then its [`Followers`] are woken. Each session takes changes after its own cursor when it can write.
//! - A ring holds only changes that a session may still take, encoded, within [`RING_CHANGES`] and [`RING_BYTES`], and all rings of an identity
//!   within [`IDENTITY_RING_BYTES`]; a session that is further behind reads the store. Without sessions there is no ring.
//! - A device has one session: a newer one replaces the older one.
//!
//! The hub knows neither sessions nor the store, only [`SessionSignals`].

mod change;
mod frame;
mod primitives;
mod ring;
mod signals;
mod topic;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use driftless_protocol::{DatasetName, DeviceId};

pub use change::{EncodedChange, PublishedChange};
pub use frame::encode_frame;
use primitives::{Mutex, MutexGuard, lock, push_exact};
use ring::RingBytes;
pub use ring::{IDENTITY_RING_BYTES, RING_BYTES, RING_CHANGES};
pub use signals::{SessionSignals, Signal, SignalSet};
pub use topic::{NextChange, Topic};

/// Locks over which identities are spread, so that threads rarely contend.
const SHARDS: usize = 64;

/// Where sessions and the committer meet. Clones share one hub.
#[derive(Clone)]
pub struct Hub {
    shards: Arc<[HubShard]>,
    hasher: RandomState,
}

type HubShard = Mutex<HashMap<Arc<str>, IdentitySessions>>;

#[derive(Default)]
struct IdentitySessions {
    sessions: Vec<(DeviceId, Arc<SessionSignals>)>,
    topics: Vec<Arc<Topic>>,
    ring_bytes: RingBytes,
}

impl IdentitySessions {
    fn topic(&self, dataset: &DatasetName) -> Option<Arc<Topic>> {
        self.topics.iter().find(|topic| topic.dataset() == dataset).map(Arc::clone)
    }
}

/// The sessions that have a dataset open which has a newer change, but for the one that wrote it: that one gets its reply.
#[must_use = "they are not woken yet"]
pub struct Followers {
    topic: Arc<Topic>,
    writer: u64,
}

impl Followers {
    pub fn wake(self) {
        self.topic.wake_all_but(self.writer);
    }
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { shards: (0..SHARDS).map(|_| HubShard::default()).collect(), hasher: RandomState::new() }
    }
}

impl Hub {
    /// Adds a session. An older session of the same device is signalled that it is replaced.
    pub fn add_session(&self, identity: &Arc<str>, device: &DeviceId, signals: &Arc<SessionSignals>) {
        let mut shard = self.shard(identity);
        let entry = shard.entry(Arc::clone(identity)).or_default();
        match entry.sessions.iter_mut().find(|(known, _)| known == device) {
            Some((_, older)) => {
                older.raise(Signal::Replaced);
                *older = Arc::clone(signals);
            }
            None => push_exact(&mut entry.sessions, (device.clone(), Arc::clone(signals))),
        }
    }

    /// Removes a session and all of its subscriptions.
    pub fn remove_session(&self, identity: &str, signals: &Arc<SessionSignals>) {
        let mut shard = self.shard(identity);
        let Some(entry) = shard.get_mut(identity) else { return };
        entry.sessions.retain(|(_, known)| !Arc::ptr_eq(known, signals));
        entry.topics.retain(|topic| !topic.unsubscribe(signals));
        if entry.sessions.is_empty() && entry.topics.is_empty() {
            shard.remove(identity);
        }
    }

    /// Subscribes a session to a dataset's changes from now on.
    pub fn subscribe(&self, identity: &Arc<str>, dataset: &DatasetName, signals: &Arc<SessionSignals>) -> Arc<Topic> {
        let mut shard = self.shard(identity);
        let entry = shard.entry(Arc::clone(identity)).or_default();
        let topic = entry.topic(dataset).unwrap_or_else(|| {
            let topic = Arc::new(Topic::new(dataset.clone(), entry.ring_bytes.clone()));
            push_exact(&mut entry.topics, Arc::clone(&topic));
            topic
        });
        topic.subscribe(signals);
        topic
    }

    /// Ends a session's subscription to a dataset.
    pub fn unsubscribe(&self, identity: &str, topic: &Topic, signals: &Arc<SessionSignals>) {
        let mut shard = self.shard(identity);
        if let Some(entry) = shard.get_mut(identity) {
            entry.topics.retain(|known| known.dataset() != topic.dataset() || !known.unsubscribe(signals));
        }
    }

    /// Puts a durable change into the ring of its dataset, where every subscriber finds it from now on. Returns the sessions that are to be woken
    /// for it; `None`: there are none.
    pub fn publish(&self, identity: &str, change: PublishedChange) -> Option<Followers> {
        let topic = self.shard(identity).get(identity).and_then(|entry| entry.topic(change.dataset()))?;
        let writer = change.writer;
        topic.publish(change).then_some(Followers { topic, writer })
    }

    /// Records that a dataset has a newer version whose changes are in the store only. Never waits for a session either.
    pub fn advance(&self, identity: &str, dataset: &DatasetName, version: u64) {
        let topic = self.shard(identity).get(identity).and_then(|entry| entry.topic(dataset));
        if let Some(topic) = topic {
            topic.advance(version);
        }
    }

    /// Bytes of changes that the rings of an identity hold.
    pub fn ring_bytes(&self, identity: &str) -> usize {
        self.shard(identity).get(identity).map_or(0, |entry| entry.ring_bytes.get())
    }

    /// Signals every session of an identity.
    pub fn signal_identity(&self, identity: &str, signal: Signal) {
        if let Some(entry) = self.shard(identity).get(identity) {
            entry.sessions.iter().for_each(|(_, signals)| signals.raise(signal));
        }
    }

    /// Signals the session of one device.
    pub fn signal_device(&self, identity: &str, device: &DeviceId, signal: Signal) {
        if let Some(entry) = self.shard(identity).get(identity) {
            entry.sessions.iter().filter(|(known, _)| known == device).for_each(|(_, signals)| signals.raise(signal));
        }
    }

    /// Whether a device has a session.
    pub fn has_session(&self, identity: &str, device: &DeviceId) -> bool {
        self.shard(identity).get(identity).is_some_and(|entry| entry.sessions.iter().any(|(known, _)| known == device))
    }

    /// Signals every session of the node.
    pub fn signal_all(&self, signal: Signal) {
        for shard in self.shards.iter() {
            for entry in lock(shard).values() {
                for (_, signals) in &entry.sessions {
                    signals.raise(signal);
                }
            }
        }
    }

    fn shard(&self, identity: &str) -> MutexGuard<'_, HashMap<Arc<str>, IdentitySessions>> {
        lock(&self.shards[self.hasher.hash_one(identity) as usize % SHARDS])
    }
}

#[cfg(test)]
mod tests;
