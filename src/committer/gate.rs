//! Rows are visible in the engine a little before they are durable. What was read in between is held at this gate.
//!
//! Its atomics come from above, where `tests/interleavings` puts others, to try the orders in which threads can meet here.

use std::sync::Arc;

use tokio::sync::watch;

use super::{AtomicU64, Ordering, Unavailable};

/// Lets through what is durable; cheap to clone.
#[derive(Clone)]
pub struct Gate {
    applied: Arc<AtomicU64>,
    durable: watch::Receiver<u64>,
}

/// The committer's end.
pub(super) struct Keeper {
    applied: Arc<AtomicU64>,
    durable: watch::Sender<u64>,
}

pub(super) fn gate() -> (Keeper, Gate) {
    let applied = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = watch::channel(0);
    (Keeper { applied: Arc::clone(&applied), durable: sender }, Gate { applied, durable: receiver })
}

impl Keeper {
    /// From now on readers may meet rows of a new group.
    pub(super) fn applying(&self) {
        self.applied.fetch_add(1, Ordering::SeqCst);
    }

    /// All rows that were ever applied are durable.
    pub(super) fn durable(&self) {
        self.durable.send_replace(self.applied.load(Ordering::SeqCst));
    }
}

impl Gate {
    /// Returns once everything that was read before this call is durable; fails when it never will be.
    pub async fn pass(&self) -> Result<(), Unavailable> {
        let applied = self.applied.load(Ordering::SeqCst);
        if *self.durable.borrow() >= applied {
            return Ok(());
        }
        let mut durable = self.durable.clone();
        durable.wait_for(|durable| *durable >= applied).await.map(|_| ()).map_err(|_| Unavailable)
    }

    /// Whether the committer is at work.
    pub fn is_open(&self) -> bool {
        self.durable.has_changed().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn what_is_not_durable_waits() {
        let (keeper, gate) = gate();
        assert_eq!(gate.pass().now_or_never(), Some(Ok(())));
        keeper.applying();
        assert_eq!(gate.pass().now_or_never(), None);
        keeper.durable();
        assert_eq!(gate.pass().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn when_the_committer_failed_nothing_more_comes_out() {
        let (keeper, gate) = gate();
        keeper.applying();
        drop(keeper);
        assert_eq!(gate.pass().now_or_never(), Some(Err(Unavailable)));
        assert!(!gate.is_open());
    }
}
