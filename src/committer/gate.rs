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
    state: watch::Receiver<State>,
}

/// The committer's end.
pub(super) struct Keeper {
    applied: Arc<AtomicU64>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Groups that are durable.
    durable: u64,
    /// How often the store failed.
    failures: u64,
    /// It was not opened again yet: what can be read may never have been durable.
    fails: bool,
}

/// Taken before something is read, and shown when it is to be used.
#[derive(Clone, Copy, Debug)]
pub struct GateTicket {
    failures: u64,
}

pub(super) fn gate() -> (Keeper, Gate) {
    let applied = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = watch::channel(State::default());
    (Keeper { applied: Arc::clone(&applied), state: sender }, Gate { applied, state: receiver })
}

impl Keeper {
    /// From now on readers may meet rows of a new group.
    pub(super) fn applying(&self) {
        self.applied.fetch_add(1, Ordering::SeqCst);
    }

    /// All rows that can be read are durable.
    pub(super) fn durable(&self) {
        let durable = self.applied.load(Ordering::SeqCst);
        self.state.send_modify(|state| *state = State { durable, fails: false, ..*state });
    }

    /// Rows that can be read may be gone when the store is opened again: nothing comes out until [`Keeper::durable`].
    pub(super) fn fails(&self) {
        self.applied.fetch_add(1, Ordering::SeqCst);
        self.state.send_modify(|state| *state = State { fails: true, failures: state.failures + 1, ..*state });
    }
}

impl Gate {
    /// To be taken before something is read.
    pub fn enter(&self) -> GateTicket {
        let State { failures, fails, .. } = *self.state.borrow();
        // What is read while the store fails is never shown.
        GateTicket { failures: if fails { u64::MAX } else { failures } }
    }

    /// Returns once everything that was read since `entered` is durable; fails if the store failed since, as what was read may be gone then.
    pub async fn pass(&self, entered: GateTicket) -> Result<(), Unavailable> {
        let applied = self.applied.load(Ordering::SeqCst);
        let now = *self.state.borrow();
        let after = match now.fails || now.durable >= applied {
            true => now,
            false => {
                let mut state = self.state.clone();
                let settled = state.wait_for(|state| state.fails || state.durable >= applied).await;
                *settled.map_err(|_| Unavailable::Now)?
            }
        };
        match after.fails || after.failures != entered.failures {
            true => Err(Unavailable::Now),
            false => Ok(()),
        }
    }

    /// Whether the committer is there.
    pub fn is_open(&self) -> bool {
        self.state.has_changed().is_ok()
    }

    /// Whether the store is at work: it did not fail, or was opened again since.
    pub fn is_well(&self) -> bool {
        self.is_open() && !self.state.borrow().fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn what_is_not_durable_waits() {
        let (keeper, gate) = gate();
        assert_eq!(gate.pass(gate.enter()).now_or_never(), Some(Ok(())));
        keeper.applying();
        assert_eq!(gate.pass(gate.enter()).now_or_never(), None);
        keeper.durable();
        assert_eq!(gate.pass(gate.enter()).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn when_the_committer_is_gone_nothing_more_comes_out() {
        let (keeper, gate) = gate();
        keeper.applying();
        drop(keeper);
        assert_eq!(gate.pass(gate.enter()).now_or_never(), Some(Err(Unavailable::Now)));
        assert!(!gate.is_open());
    }

    #[test]
    fn while_the_store_fails_nothing_comes_out_and_then_it_does() {
        let (keeper, gate) = gate();
        let entered = gate.enter();
        keeper.applying();
        let mut waits = Box::pin(gate.pass(entered));
        assert_eq!((&mut waits).now_or_never(), None);
        keeper.fails();
        assert_eq!(waits.now_or_never(), Some(Err(Unavailable::Now)));
        assert_eq!(gate.pass(gate.enter()).now_or_never(), Some(Err(Unavailable::Now)));
        assert!(gate.is_open() && !gate.is_well());
        keeper.durable();
        assert_eq!(gate.pass(entered).now_or_never(), Some(Err(Unavailable::Now)), "what was read before may be gone");
        assert_eq!(gate.pass(gate.enter()).now_or_never(), Some(Ok(())));
        assert!(gate.is_well());
    }
}
