//! As `src/committer.rs`, as far as the gate and the readers need it.

use std::sync::PoisonError;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
use shuttle::thread::JoinHandle;

#[path = "../../src/committer/gate.rs"]
mod gate;
#[path = "../../src/committer/readers.rs"]
mod readers;

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

/// Threads that read.
pub struct Readers(readers::Readers);

impl Readers {
    /// So many.
    pub fn start(threads: usize) -> Readers {
        Readers(readers::Readers::start(threads).unwrap_or_else(|_| unreachable!("threads are not the system's here")))
    }

    /// Has something done.
    pub fn hand_in(&self, job: impl FnOnce() + Send + 'static) {
        self.0.hand_in(Box::new(job));
    }
}

fn spawn_named(_: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Ok(shuttle::thread::spawn(work))
}
