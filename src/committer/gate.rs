//! Rows are visible in the engine shortly before they are durable. A read that may have seen such rows waits at this gate.
//!
//! Invariant: a reader that passes with its ticket has read only durable rows. No reader passes while the store fails, and no ticket from before
//! a failure ever passes, because the rows that were read with it may be gone.

use std::sync::Arc;

use tokio::sync::watch;

use super::primitives::{AtomicU64, Ordering};
use super::unavailable::Unavailable;

/// Lets a read pass once its rows are durable. Clones share the gate.
#[derive(Clone)]
pub struct DurabilityGate {
    /// Groups whose rows may be visible.
    applied: Arc<AtomicU64>,
    state: watch::Receiver<GateState>,
}

/// The committer's end of the gate.
pub(super) struct GateControl {
    applied: Arc<AtomicU64>,
    state: watch::Sender<GateState>,
}

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    /// Groups that are durable.
    durable: u64,
    /// How often the store failed.
    failures: u64,
    /// The store failed and was not reopened yet: rows that can be read may never have been durable.
    is_failed: bool,
}

/// Taken before a read, and checked before its result is used.
#[derive(Clone, Copy, Debug)]
pub struct GateTicket {
    failures: u64,
}

pub(super) fn gate() -> (GateControl, DurabilityGate) {
    let applied = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = watch::channel(GateState::default());
    (GateControl { applied: Arc::clone(&applied), state: sender }, DurabilityGate { applied, state: receiver })
}

impl GateControl {
    /// From now on readers may see rows of a new group.
    pub(super) fn begin_group(&self) {
        self.applied.fetch_add(1, Ordering::SeqCst);
    }

    /// All rows that can be read are durable.
    pub(super) fn set_durable(&self) {
        let durable = self.applied.load(Ordering::SeqCst);
        self.state.send_modify(|state| *state = GateState { durable, is_failed: false, ..*state });
    }

    /// Rows that can be read may be gone after the store is reopened: no reader passes until [`GateControl::set_durable`].
    pub(super) fn set_failed(&self) {
        self.applied.fetch_add(1, Ordering::SeqCst);
        self.state.send_modify(|state| *state = GateState { is_failed: true, failures: state.failures + 1, ..*state });
    }
}

impl DurabilityGate {
    /// To be called before the read.
    pub fn ticket(&self) -> GateTicket {
        let GateState { failures, is_failed, .. } = *self.state.borrow();
        // A read that begins while the store fails must never be used.
        GateTicket { failures: if is_failed { u64::MAX } else { failures } }
    }

    /// Returns once everything that was read since the ticket was taken is durable. Fails if the store failed since, because the rows that
    /// were read may be gone.
    pub async fn pass(&self, ticket: GateTicket) -> Result<(), Unavailable> {
        let applied = self.applied.load(Ordering::SeqCst);
        let now = *self.state.borrow();
        let after = match now.is_failed || now.durable >= applied {
            true => now,
            false => {
                let mut state = self.state.clone();
                let settled = state.wait_for(|state| state.is_failed || state.durable >= applied).await;
                *settled.map_err(|_| Unavailable::Now)?
            }
        };
        match after.is_failed || after.failures != ticket.failures {
            true => Err(Unavailable::Now),
            false => Ok(()),
        }
    }

    /// Whether the committer still runs.
    pub fn is_open(&self) -> bool {
        self.state.has_changed().is_ok()
    }

    /// Whether the committer runs and the store works: it did not fail, or was reopened since.
    pub fn is_healthy(&self) -> bool {
        self.is_open() && !self.state.borrow().is_failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_read_waits_until_its_rows_are_durable() {
        let (control, gate) = gate();
        assert_eq!(gate.pass(gate.ticket()).now_or_never(), Some(Ok(())));
        control.begin_group();
        assert_eq!(gate.pass(gate.ticket()).now_or_never(), None);
        control.set_durable();
        assert_eq!(gate.pass(gate.ticket()).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn when_the_committer_is_gone_no_read_passes() {
        let (control, gate) = gate();
        control.begin_group();
        drop(control);
        assert_eq!(gate.pass(gate.ticket()).now_or_never(), Some(Err(Unavailable::Now)));
        assert!(!gate.is_open());
    }

    #[test]
    fn no_read_passes_while_the_store_fails_and_new_reads_pass_after_its_recovery() {
        let (control, gate) = gate();
        let ticket = gate.ticket();
        control.begin_group();
        let mut waiting = Box::pin(gate.pass(ticket));
        assert_eq!((&mut waiting).now_or_never(), None);
        control.set_failed();
        assert_eq!(waiting.now_or_never(), Some(Err(Unavailable::Now)));
        assert_eq!(gate.pass(gate.ticket()).now_or_never(), Some(Err(Unavailable::Now)));
        assert!(gate.is_open() && !gate.is_healthy());
        control.set_durable();
        assert_eq!(gate.pass(ticket).now_or_never(), Some(Err(Unavailable::Now)), "rows that were read before may be gone");
        assert_eq!(gate.pass(gate.ticket()).now_or_never(), Some(Ok(())));
        assert!(gate.is_healthy());
    }
}
