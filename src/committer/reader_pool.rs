//! A few threads that may block, for reads: a page that is not in memory must not hold up the sessions.
//!
//! Threads are woken one by one: a woken thread wakes the next one as long as reads are queued. So no thread is woken while the running
//! ones keep up, and a burst of reads does not wake all threads at once. Whose read is next is decided by [`ReadQueue`]. Its length is bounded
//! by the callers: a session and a request each wait for one read at a time.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::primitives::{Arc, Condvar, Mutex, MutexGuard, PoisonError, spawn_named};
use super::read_queue::ReadQueue;

/// A read; returns how many bytes it has returned to its caller.
pub(super) type ReadJob = Box<dyn FnOnce() -> usize + Send>;

/// Reads of owners, each of which is an `O`. The threads end when the pool is dropped.
pub(super) struct ReaderPool<O> {
    shared: Arc<PoolQueue<O>>,
}

struct PoolQueue<O> {
    state: Mutex<PoolState<O>>,
    wakeup: Condvar,
}

struct PoolState<O> {
    reads: ReadQueue<O, ReadJob>,
    sleeping: usize,
    /// A thread was notified and has not woken up yet.
    is_waking: bool,
    is_closed: bool,
}

impl<O: Clone + Eq + Hash + Send + 'static> ReaderPool<O> {
    pub(super) fn start(threads: usize) -> std::io::Result<ReaderPool<O>> {
        let state = PoolState { reads: ReadQueue::default(), sleeping: 0, is_waking: false, is_closed: false };
        let pool = ReaderPool { shared: Arc::new(PoolQueue { state: Mutex::new(state), wakeup: Condvar::default() }) };
        for _ in 0..threads {
            let shared = Arc::clone(&pool.shared);
            spawn_named("reader", move || run_reader(&shared))?;
        }
        Ok(pool)
    }

    /// Queues a read. Never blocks.
    pub(super) fn submit(&self, owner: O, job: ReadJob) {
        let mut state = self.shared.lock();
        state.reads.push(owner, job);
        self.shared.wake_one(state);
    }
}

impl<O> Drop for ReaderPool<O> {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.wakeup.notify_all();
    }
}

impl<O> PoolQueue<O> {
    /// Ignores poisoning: jobs, which may panic, run outside this lock.
    fn lock(&self) -> MutexGuard<'_, PoolState<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O: Clone + Eq + Hash> PoolQueue<O> {
    /// Wakes one more thread, if one sleeps, a read can begin, and no thread is waking up already.
    fn wake_one(&self, mut state: MutexGuard<'_, PoolState<O>>) {
        let wakes = state.reads.is_ready() && state.sleeping > 0 && !state.is_waking;
        state.is_waking |= wakes;
        drop(state);
        if wakes {
            self.wakeup.notify_one();
        }
    }
}

/// A thread that ends a read looks for the next one itself, so nobody has to be woken for a read that waited for this end.
fn run_reader<O: Clone + Eq + Hash>(shared: &PoolQueue<O>) {
    let mut state = shared.lock();
    loop {
        if let Some((owner, job)) = state.reads.begin() {
            shared.wake_one(state);
            // A panic drops the job's sender, which tells the caller.
            let returned_bytes = catch_unwind(AssertUnwindSafe(job)).unwrap_or(0);
            state = shared.lock();
            state.reads.end(&owner, returned_bytes);
        } else if state.is_closed {
            return;
        } else {
            state.sleeping += 1;
            state = shared.wakeup.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
            state.is_waking = false;
        }
    }
}
