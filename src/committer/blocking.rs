//! Blocks a thread on a future, up to a deadline.
//!
//! The thread parks itself. A timer of the runtime would instead wake one of the runtime's threads at each wait, only to register an earlier
//! deadline.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// The future's output, or `None` if the deadline comes first. A future that is ready wins over a deadline that has passed. Must not be
/// called on a thread of the runtime.
pub(super) fn block_until<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(ThreadWaker(std::thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(remaining) if remaining.is_zero() => return None,
            Some(remaining) => std::thread::park_timeout(remaining),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_receives_what_another_thread_sends() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let other = std::thread::spawn(move || (0..10_000).for_each(|number| sender.send(number).expect("is received")));
        for number in 0..10_000 {
            assert_eq!(block_until(None, receiver.recv()), Some(Some(number)));
        }
        other.join().expect("ends");
        assert_eq!(block_until(Some(Instant::now() + Duration::from_secs(60)), receiver.recv()), Some(None), "the sender is gone");
    }

    #[test]
    fn a_deadline_that_comes_first_ends_the_wait_and_loses_nothing() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        assert_eq!(block_until(Some(Instant::now() + Duration::from_millis(5)), receiver.recv()), None);
        sender.send(7).expect("is received");
        assert_eq!(block_until(Some(Instant::now()), receiver.recv()), Some(Some(7)), "a ready value wins over a passed deadline");
    }
}
