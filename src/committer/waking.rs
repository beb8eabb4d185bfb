//! In which order the writer thread tells of a durable write.

use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use driftless_protocol::DatasetName;

use super::failing::{add, dataset, identity, node_over};
use super::*;
use crate::hub::{SessionSignals, Topic};
use crate::store::memory::Memory;

/// Who was woken, and the version that the ring had by then.
type WakeLog = Mutex<Vec<(&'static str, u64)>>;

struct LoggingWaker {
    name: &'static str,
    topic: Arc<Topic>,
    log: Arc<WakeLog>,
}

impl Wake for LoggingWaker {
    fn wake(self: Arc<Self>) {
        self.log.lock().expect("is not poisoned").push((self.name, self.topic.newest_version()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ring_is_filled_then_all_writers_of_a_group_are_answered_then_the_followers_are_woken() {
    let memory = Memory::default();
    let node = node_over(&memory);
    let follower = Arc::new(SessionSignals::new(7));
    let topic = node.hub.subscribe(identity().text(), &dataset(), &follower);
    let log = Arc::new(WakeLog::default());
    let waker = |name| Waker::from(Arc::new(LoggingWaker { name, topic: Arc::clone(&topic), log: Arc::clone(&log) }));
    // A write that nobody follows is being flushed while the next two wait, so that these are one group.
    memory.hold_flushes();
    let other = Patch { dataset: DatasetName::new("other").expect("a name"), ..add(1) };
    let first = node.committer.write(other, DatasetRules::default(), 1).await.expect("is queued");
    let held = memory.clone();
    tokio::task::spawn_blocking(move || held.wait_for_held_flush()).await.expect("waits");
    let mut second = node.committer.write(add(2), DatasetRules::default(), 1).await.expect("is queued");
    let mut third = node.committer.write(add(3), DatasetRules::default(), 1).await.expect("is queued");
    for (name, pending) in [("second", &mut second), ("third", &mut third)] {
        assert!(std::pin::Pin::new(pending).poll(&mut Context::from_waker(&waker(name))).is_pending());
    }
    assert!(follower.poll_take(&mut Context::from_waker(&waker("follower"))).is_pending());
    memory.release_flushes();
    node.committer.flush_acks().await.expect("the writer has told of what came before");
    assert_eq!(*log.lock().expect("is not poisoned"), [("second", 2), ("third", 2), ("follower", 2)]);
    for pending in [first, second, third] {
        assert!(matches!(pending.await, Ok(Ok(Decision::Written { .. }))));
    }
}
