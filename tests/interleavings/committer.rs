//! As `src/committer.rs`, as far as the gate needs it.

use shuttle::sync::atomic::{AtomicU64, Ordering};

#[path = "../../src/committer/gate.rs"]
mod gate;

pub use gate::Gate;

/// The store cannot do it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It fails, or stops.
    Now,
}

/// The committer's end of a gate.
pub struct Keeper(gate::Keeper);

/// A gate.
pub fn gate() -> (Keeper, Gate) {
    let (keeper, gate) = gate::gate();
    (Keeper(keeper), gate)
}

impl Keeper {
    /// Before a group's rows can be met.
    pub fn applying(&self) {
        self.0.applying();
    }

    /// After its flush.
    pub fn durable(&self) {
        self.0.durable();
    }

    /// Its flush failed.
    pub fn fails(&self) {
        self.0.fails();
    }
}
