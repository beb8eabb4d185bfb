//! What the thread that measures and the threads that attack tell each other.

use std::sync::atomic::{AtomicBool, Ordering};

/// An attack with all that it needs. Returns how much it did until it was stopped.
pub type PreparedAttack = Box<dyn FnOnce(&AttackSignals) -> Result<u64, String> + Send>;

#[derive(Default)]
pub struct AttackSignals {
    has_begun: AtomicBool,
    must_stop: AtomicBool,
}

impl AttackSignals {
    /// The attack is under way.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Ends the attack.
    pub fn stop(&self) {
        self.must_stop.store(true, Ordering::Release);
    }

    pub fn must_stop(&self) -> bool {
        self.must_stop.load(Ordering::Acquire)
    }
}
