//! The locks, atomics and threads of the reader pool.
//!
//! `tests/interleavings` compiles those two files with its own version of this one, which hands control to another thread at every step, and
//! so tries the orders in which threads can meet.

pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use std::thread::JoinHandle;

pub(super) fn spawn_named(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}
