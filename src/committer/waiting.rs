//! A thread waits for a future, up to a moment.
//!
//! It parks itself. A timer of the runtime would wake one of the runtime's threads at each wait, only to tell it of an earlier moment.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// What a future comes to; `None`: the moment came first. Not for a thread of the runtime.
pub(super) fn until<T>(moment: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        match moment.map(|moment| moment.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(left) if left.is_zero() => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn what_comes_from_another_thread_is_met() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let other = std::thread::spawn(move || (0..10_000).for_each(|number| sender.send(number).expect("is heard")));
        for number in 0..10_000 {
            assert_eq!(until(None, receiver.recv()), Some(Some(number)));
        }
        other.join().expect("ends");
        assert_eq!(until(Some(Instant::now() + Duration::from_secs(60)), receiver.recv()), Some(None), "nobody sends any more");
    }

    #[test]
    fn a_moment_that_comes_first_ends_it_and_nothing_is_lost() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        assert_eq!(until(Some(Instant::now() + Duration::from_millis(5)), receiver.recv()), None);
        sender.send(7).expect("is heard");
        assert_eq!(until(Some(Instant::now()), receiver.recv()), Some(Some(7)), "what is there comes before the moment");
    }
}
