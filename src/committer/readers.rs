//! A few threads that may block, for reads: a page that is not in memory must not hold up the sessions.
//!
//! They are woken one by one: whoever was woken wakes the next one as long as more is waiting. So while they are busy nobody is woken, and
//! a rush of reads is not a rush of threads. What waits is bounded by who asks: a session and a request each wait for one read at a time.
//!
//! Its locks come from above, where `tests/interleavings` puts others, to try the orders in which threads can meet here.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Arc, Condvar, Mutex, MutexGuard, PoisonError, spawn_named};

/// A read.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads; they end when this does.
pub(super) struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    asleep: usize,
    /// The bell was rung, and nobody has answered it yet.
    rung: bool,
    ended: bool,
}

impl Readers {
    /// Starts so many threads.
    pub(super) fn start(threads: usize) -> std::io::Result<Readers> {
        let readers = Readers { shared: Arc::new(Shared { queue: Mutex::default(), bell: Condvar::default() }) };
        for _ in 0..threads {
            let shared = Arc::clone(&readers.shared);
            spawn_named("reader", move || work(&shared))?;
        }
        Ok(readers)
    }

    /// Has a read done, soon.
    pub(super) fn hand_in(&self, job: Job) {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(job);
        self.shared.ring(queue);
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.bell.notify_all();
    }
}

impl Shared {
    /// A job that panics does so outside this lock.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes one more thread, if one sleeps, something waits, and none is on its way.
    fn ring(&self, mut queue: MutexGuard<'_, Queue>) {
        let rings = !queue.jobs.is_empty() && queue.asleep > 0 && !queue.rung;
        queue.rung |= rings;
        drop(queue);
        if rings {
            self.bell.notify_one();
        }
    }
}

fn work(shared: &Shared) {
    let mut queue = shared.lock();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            shared.ring(queue);
            // Whoever asked sees that there is no answer.
            let _ = catch_unwind(AssertUnwindSafe(job));
            queue = shared.lock();
        } else if queue.ended {
            return;
        } else {
            queue.asleep += 1;
            queue = shared.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.asleep -= 1;
            queue.rung = false;
        }
    }
}
