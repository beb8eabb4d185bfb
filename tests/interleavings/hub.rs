//! The signals and topics of `src/hub`.

use std::sync::Arc;

use driftless_protocol::DatasetName;

#[allow(dead_code)]
#[path = "../../src/hub/change.rs"]
mod change;
#[path = "../../src/hub/frame.rs"]
mod frame;
#[path = "hub_primitives.rs"]
mod primitives;
#[allow(dead_code)]
#[path = "../../src/hub/ring.rs"]
mod ring;
#[path = "../../src/hub/signals.rs"]
mod signals;
#[allow(dead_code)]
#[path = "../../src/hub/topic.rs"]
mod topic;

pub use change::{EncodedChange, PublishedChange};
pub use ring::{IDENTITY_RING_BYTES, RING_BYTES, RING_CHANGES, RingBytes};
pub use signals::{SessionSignals, Signal, SignalSet};
pub use topic::NextChange;

/// A topic whose methods the tests can call.
pub struct TestTopic(topic::Topic);

impl TestTopic {
    pub fn new(dataset: DatasetName) -> TestTopic {
        TestTopic(topic::Topic::new(dataset, RingBytes::default()))
    }

    pub fn subscribe(&self, signals: &Arc<SessionSignals>) {
        self.0.subscribe(signals);
    }

    pub fn unsubscribe(&self, signals: &Arc<SessionSignals>) -> bool {
        self.0.unsubscribe(signals)
    }

    pub fn publish(&self, change: PublishedChange) {
        let writer = change.writer;
        if self.0.publish(change) {
            self.0.wake_all_but(writer);
        }
    }

    pub fn next_after(&self, version: u64, session: u64) -> NextChange {
        self.0.next_after(version, session)
    }

    pub fn newest_version(&self) -> u64 {
        self.0.newest_version()
    }
}
