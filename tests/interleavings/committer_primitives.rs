//! Stands in for `src/committer/primitives.rs`: the same names, with shuttle's atomics, locks and threads.

pub(super) use std::sync::PoisonError;

pub(super) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
use shuttle::thread::JoinHandle;

pub(super) fn spawn_named(_: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Ok(shuttle::thread::spawn(work))
}
