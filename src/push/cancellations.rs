//! Cancels the wakes of an identity that is erased: those that wait in a gateway's client, for a connection or a credential, are not sent any more.
//!
//! A sender of wakes is known here before it reads the identity, and the erasure is durable before it cancels: so a wake is cancelled, or its
//! sender finds no identity.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::store::Identity;

/// The senders of wakes, of which there are at most as many as rounds at a time, and operators' tests. Clones share them.
#[derive(Clone, Default)]
pub(super) struct WakeCancellations(Arc<Mutex<Senders>>);

#[derive(Default)]
struct Senders {
    last: u64,
    /// Dropping the second part of an entry cancels.
    by_number: HashMap<u64, (Identity, oneshot::Sender<()>)>,
}

/// One sender of wakes. Dropping it ends its registration.
pub(super) struct Cancellable {
    number: u64,
    cancelled: oneshot::Receiver<()>,
    all: WakeCancellations,
}

impl WakeCancellations {
    fn lock(&self) -> MutexGuard<'_, Senders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins what [`WakeCancellations::cancel`] ends.
    pub(super) fn begin(&self, identity: Identity) -> Cancellable {
        let (sender, cancelled) = oneshot::channel();
        let mut senders = self.lock();
        senders.last += 1;
        let number = senders.last;
        senders.by_number.insert(number, (identity, sender));
        Cancellable { number, cancelled, all: self.clone() }
    }

    /// Cancels the wakes of an identity.
    pub(super) fn cancel(&self, identity: &Identity) {
        self.lock().by_number.retain(|_, (of, _)| of != identity);
    }
}

impl Cancellable {
    /// Runs a future to its end, unless it is cancelled before: then the future is dropped where it waits.
    pub(super) async fn run<T>(mut self, sending: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = &mut self.cancelled => None,
            sent = sending => Some(sent),
        }
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.all.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_what_is_of_the_identity_and_has_not_ended_is_cancelled() {
        let (cancellations, alice, bob) = (WakeCancellations::default(), Identity::from("local:a"), Identity::from("local:b"));
        let begin = |identity: &Identity| cancellations.begin(identity.clone());
        assert_eq!(begin(&alice).run(ready(1)).now_or_never(), Some(Some(1)));
        let (early, other) = (begin(&alice), begin(&bob));
        let mut waiting = Box::pin(begin(&alice).run(pending::<()>()));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        cancellations.cancel(&alice);
        assert_eq!(waiting.now_or_never(), Some(None));
        assert_eq!(early.run(ready(2)).now_or_never(), Some(None), "also what had not begun to send");
        assert_eq!(other.run(ready(3)).now_or_never(), Some(Some(3)));
        assert_eq!(begin(&alice).run(ready(4)).now_or_never(), Some(Some(4)), "a later identity of this name is another one");
        assert!(cancellations.lock().by_number.is_empty());
    }
}
