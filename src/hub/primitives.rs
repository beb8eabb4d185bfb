//! The locks and atomics of the hub.
//!
//! `tests/interleavings` compiles the other files of the hub with its own version of this one, which hands control to another thread at
//! every step, and so tries the orders in which threads can meet.

pub(super) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};

/// Ignores poisoning: no code that runs under these locks can panic halfway through a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Grows by exactly one. Most lists in the hub have one or two entries and there are millions of lists, so spare capacity would cost more
/// memory than the lists themselves.
pub(super) fn push_exact<T>(list: &mut Vec<T>, item: T) {
    list.reserve_exact(1);
    list.push(item);
}
