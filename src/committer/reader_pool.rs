//! A few threads that may block, for reads: a page that is not in memory must not hold up the sessions.
//!
//! Threads are woken one by one: a woken thread wakes the next one as long as reads are queued. So no thread is woken while the running
//! ones keep up, and a burst of reads does not wake all threads at once. The queue is bounded by its callers: a session and a request each
//! wait for one read at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::primitives::{Arc, Condvar, Mutex, MutexGuard, PoisonError, spawn_named};

pub(super) type ReadJob = Box<dyn FnOnce() + Send>;

/// The threads end when the pool is dropped.
pub(super) struct ReaderPool {
    shared: Arc<PoolQueue>,
}

struct PoolQueue {
    queue: Mutex<ReadQueue>,
    wakeup: Condvar,
}

#[derive(Default)]
struct ReadQueue {
    jobs: VecDeque<ReadJob>,
    sleeping: usize,
    /// A thread was notified and has not woken up yet.
    is_waking: bool,
    is_closed: bool,
}

impl ReaderPool {
    pub(super) fn start(threads: usize) -> std::io::Result<ReaderPool> {
        let pool = ReaderPool { shared: Arc::new(PoolQueue { queue: Mutex::default(), wakeup: Condvar::default() }) };
        for _ in 0..threads {
            let shared = Arc::clone(&pool.shared);
            spawn_named("reader", move || run_reader(&shared))?;
        }
        Ok(pool)
    }

    /// Queues a read. Never blocks.
    pub(super) fn submit(&self, job: ReadJob) {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(job);
        self.shared.wake_one(queue);
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.wakeup.notify_all();
    }
}

impl PoolQueue {
    /// Ignores poisoning: jobs, which may panic, run outside this lock.
    fn lock(&self) -> MutexGuard<'_, ReadQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes one more thread, if one sleeps, a read is queued, and no thread is waking up already.
    fn wake_one(&self, mut queue: MutexGuard<'_, ReadQueue>) {
        let wakes = !queue.jobs.is_empty() && queue.sleeping > 0 && !queue.is_waking;
        queue.is_waking |= wakes;
        drop(queue);
        if wakes {
            self.wakeup.notify_one();
        }
    }
}

fn run_reader(shared: &PoolQueue) {
    let mut queue = shared.lock();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            shared.wake_one(queue);
            // A panic drops the job's sender, which tells the caller.
            let _ = catch_unwind(AssertUnwindSafe(job));
            queue = shared.lock();
        } else if queue.is_closed {
            return;
        } else {
            queue.sleeping += 1;
            queue = shared.wakeup.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.sleeping -= 1;
            queue.is_waking = false;
        }
    }
}
