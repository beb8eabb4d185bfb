//! Stands in for `src/hub/primitives.rs`: the same names, with shuttle's atomics and locks.

pub(super) use shuttle::sync::atomic::{AtomicU8, AtomicU64, Ordering};
pub(super) use shuttle::sync::{Mutex, MutexGuard};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(super) fn push_exact<T>(list: &mut Vec<T>, item: T) {
    list.push(item);
}
